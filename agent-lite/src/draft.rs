//! What the requests of the running beat hold so far, in files beside the buffer: whoever kills the agent
//! takes no finished scrape with it.
//!
//! A request has a file of its own, which after each scrape gets what that one added; when the request
//! has become a frame of the buffer, and that is on disk, the file is written anew from its beginning.
//!
//! Invariant: what [`Drafts::open`] finds are whole scrapes, in their order, of requests that the buffer
//! does not have. Nothing is synced: what a process has written stays when it is killed, not when the
//! power goes. Whatever fails here costs no more than that: scrapes go on, and it is counted.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use weir_remote::Summary;

mod piece;

use piece::{End, Piece};

/// What a request has got since it was last kept.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// Names the request; no other one of this buffer has it.
    pub number: u64,
    /// Whose all of it is, where that is known.
    pub owner: Option<u64>,
    /// Symbols, as a request has them.
    pub symbols: &'a [u8],
    /// Series, likewise.
    pub series: &'a [u8],
    /// What the request holds in all, this part included.
    pub summary: Summary,
}

/// A request that was not finished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Whose all of it is, where that is known.
    pub owner: Option<u64>,
    /// The request, not compressed.
    pub plain: Vec<u8>,
    /// What it holds.
    pub summary: Summary,
    /// When something was last added.
    pub written: SystemTime,
}

/// The files.
#[derive(Debug)]
pub struct Drafts {
    dir: PathBuf,
    slots: Vec<Slot>,
    failures: u64,
}

#[derive(Debug)]
struct Slot {
    file: File,
    /// Of the request that it has; 0 for none.
    number: u64,
    /// Where its next piece goes.
    at: u64,
    /// The frame that the request has become.
    frame: Option<u64>,
    /// It lacks a part, so that no later one is of use.
    is_broken: bool,
}

impl Drafts {
    /// Reads the files beside a buffer whose next frame is `next`. What is found comes again at the next
    /// start, unless [`Drafts::forget`] is called in between.
    pub fn open(storage: &Path, next: u64) -> (Self, Vec<Found>) {
        let mut drafts = Self { dir: storage.join("draft"), slots: Vec::new(), failures: 0 };
        let mut found = Vec::new();
        while drafts.slots.len() < SLOTS_MAX && drafts.path().exists() {
            let read = drafts.add_slot().and_then(|slot| slot.read(next));
            match read {
                Ok(read) => found.extend(read),
                Err(error) => {
                    drafts.fail(&error);
                    break;
                }
            }
        }
        found.sort_by_key(|(number, _)| *number);
        (drafts, found.into_iter().map(|(_, found)| found).collect())
    }

    /// What was found is elsewhere now.
    pub fn forget(&mut self) {
        let emptied = self.slots.iter().try_for_each(|slot| slot.file.set_len(0));
        if let Err(error) = emptied {
            self.fail(&error);
        }
    }

    /// Writes a part behind those that its request has; all frames up to `durable` are on disk.
    pub fn keep(&mut self, part: &Part<'_>, durable: u64) {
        let kept = match self.slot(part.number, durable) {
            Ok(Some(slot)) => slot.write(part),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            self.fail(&error);
        }
    }

    /// The request has become this frame, or is lost.
    pub fn end(&mut self, number: u64, frame: Option<u64>) {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.number == number) else {
            return;
        };
        // A request that is lost was counted as such, and frames are counted from 1.
        let frame = frame.unwrap_or(0);
        slot.frame = Some(frame);
        let end = End { number, frame }.encode();
        // Without an end a kill soon after it makes a repeat.
        if let Err(error) = slot.file.write_all_at(&end, slot.at) {
            self.fail(&error);
        }
    }

    /// How often something could not be kept.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// The file of a request, or one that it may have; `None` where there are too many.
    fn slot(&mut self, number: u64, durable: u64) -> io::Result<Option<&mut Slot>> {
        let own = self.slots.iter().position(|slot| slot.number == number);
        let free = |slot: &Slot| slot.number == 0 || slot.frame.is_some_and(|at| at <= durable);
        let at = match own.or_else(|| self.slots.iter().position(free)) {
            Some(at) => at,
            None if self.slots.len() == SLOTS_MAX => return Ok(None),
            None => {
                std::fs::create_dir_all(&self.dir)?;
                self.add_slot()?;
                self.slots.len() - 1
            }
        };
        let slot = &mut self.slots[at];
        if slot.number != number {
            if slot.at > BYTES_KEPT {
                slot.file.set_len(0)?;
            }
            (slot.number, slot.at, slot.frame, slot.is_broken) = (number, 0, None, false);
        }
        Ok(Some(slot))
    }

    fn add_slot(&mut self) -> io::Result<&mut Slot> {
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(self.path())?;
        Ok(self.slots.push_mut(Slot::new(file)))
    }

    /// Of the next file.
    fn path(&self) -> PathBuf {
        self.dir.join(self.slots.len().to_string())
    }

    fn fail(&mut self, error: &io::Error) {
        if self.failures == 0 {
            tracing::warn!(%error, "scrapes are not kept before their beat: a kill costs them");
        }
        self.failures += 1;
    }
}

impl Slot {
    fn new(file: File) -> Self {
        Self { file, number: 0, at: 0, frame: None, is_broken: false }
    }

    fn write(&mut self, part: &Part<'_>) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::Other.into());
        }
        let head = Piece::head(part);
        let pieces = [&head[..], part.symbols, part.series].map(IoSlice::new);
        let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        let written = rustix::io::pwritev(&self.file, &pieces, self.at);
        // A disk takes all of it or is full.
        self.is_broken = !written.as_ref().is_ok_and(|&written| written == bytes);
        if self.is_broken {
            return Err(written.map_or_else(io::Error::from, |_| io::ErrorKind::WriteZero.into()));
        }
        self.at += bytes as u64;
        Ok(())
    }

    /// The request in the file and its number, if there is one that did not become a frame before
    /// `next`.
    fn read(&self, next: u64) -> io::Result<Option<(u64, Found)>> {
        let meta = self.file.metadata()?;
        let mut bytes = vec![0; usize::try_from(meta.len()).unwrap_or(usize::MAX).min(READ_MAX)];
        self.file.read_exact_at(&mut bytes, 0)?;
        let mut rest = &bytes[..];
        let (mut symbols, mut series) = (Vec::new(), Vec::new());
        let mut last: Option<Piece<'_>> = None;
        while let Some(piece) = Piece::read(&mut rest) {
            if last.is_some_and(|last| last.number != piece.number) {
                break;
            }
            if let Some(frame) = piece.frame {
                if frame < next {
                    return Ok(None);
                }
                break;
            }
            symbols.extend_from_slice(piece.symbols);
            series.extend_from_slice(piece.series);
            last = Some(piece);
        }
        let written = meta.modified()?;
        Ok(last.map(|Piece { number, owner, summary, .. }| {
            symbols.append(&mut series);
            let summary = Summary { plain_bytes: symbols.len() as u64, ..summary };
            (number, Found { owner, plain: symbols, summary, written })
        }))
    }
}

/// Requests at one time, with those whose frame is not on disk yet: an owner of a tier has one each.
const SLOTS_MAX: usize = 256;
/// A file that has become longer begins empty.
const BYTES_KEPT: u64 = 4 << 20;
/// More than a request ever has.
const READ_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests;
