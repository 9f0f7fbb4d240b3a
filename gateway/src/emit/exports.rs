//! What other nodes are told of windows, as records of the exchange: a journal of its own.
//!
//! Each FRONTIER gives, for every member that a part is for, records with the parts, and then one MARK
//! for all: whatever ends by then has been told; before it what this node knows of moves, where that has
//! changed, for by that it chooses whom it tells. As with frames, a record is written only once the log
//! is durable past its position, and a replay writes nothing that the exchange holds already. Where a
//! position's MARK is missing its parts are written again: parts are set, so that changes nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use weir_aggregate::codec::{Reader, Unreadable, Writer};
use weir_aggregate::decisions::Decisions;
use weir_aggregate::exchange;
use weir_aggregate::home::Epochs;
use weir_aggregate::home::afar::Export;
use weir_journal::{Importance, Journal, ReadError, ReserveError};
use weir_model::{TenantId, Timestamp};
use weir_wire::compress::Compressor;
use weir_wire::negotiate::Encoding;

/// Parts for one member.
const PARTS: u8 = 1;
/// All windows that end by then have been told.
const MARK: u8 = 2;
/// What this node knows of moves.
const KNOWS: u8 = 3;

/// Version of the layouts.
const LAYOUT: u64 = 1;

/// Groups in one record; at some 100 bytes each that is a megabyte before compression.
const PARTS_MAX: usize = 10_000;

/// The same where parts have more than numbers: a set of values has up to 32 KB.
const COMPLEX_PARTS_MAX: usize = 500;

/// A record of the exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    /// Position in the log of the FRONTIER that determines it.
    pub source: u64,
    /// What it says.
    pub what: What,
}

/// What a record of the exchange says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum What {
    /// Parts for a member, compressed, and whose they are where they are passed on.
    Parts {
        /// For whom.
        to: String,
        /// Whose; empty for this node's own.
        of: String,
        /// As the exchange's codec writes them, with zstd.
        bytes: Bytes,
    },
    /// All windows that end by `to` have been told, and nothing of any that ends past `frontier`.
    Mark {
        /// What other members hear.
        to: Timestamp,
        /// This node's own frontier.
        frontier: Timestamp,
    },
    /// What this node knows of moves from here on.
    Knows(Epochs),
}

impl Told {
    /// Reads a record.
    pub fn read(kind: u8, payload: &Bytes) -> Result<Self, Unreadable> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(Unreadable);
        }
        let source = from.number()?;
        let what = match kind {
            PARTS => {
                let (to, of) = (from.text()?.to_owned(), from.text()?.to_owned());
                What::Parts { to, of, bytes: payload.slice(payload.len() - from.left()..) }
            }
            MARK => What::Mark { to: from.timestamp()?, frontier: from.timestamp()? },
            KNOWS => What::Knows(Epochs::read(&mut from)?),
            _ => return Err(Unreadable),
        };
        Ok(Self { source, what })
    }

    /// The record's kind, and its payload in pieces: parts are not copied, however often there is no room.
    fn payload(&self) -> (u8, Vec<Bytes>) {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.number(self.source);
        let (kind, parts) = match &self.what {
            What::Parts { to, of, bytes } => {
                out.blob(to.as_bytes());
                out.blob(of.as_bytes());
                (PARTS, Some(bytes.clone()))
            }
            What::Mark { to, frontier } => {
                out.signed(*to);
                out.signed(*frontier);
                (MARK, None)
            }
            What::Knows(epochs) => {
                epochs.write(&mut out);
                (KNOWS, None)
            }
        };
        (kind, [Bytes::from(out.bytes)].into_iter().chain(parts).collect())
    }
}

/// Writes the exchange in the order of positions.
pub struct ExportWriter {
    journal: Arc<Journal>,
    compressor: Compressor,
    waiting: VecDeque<Told>,
    /// What was told last of what this node knows of moves; nothing yet since the start.
    knows: Option<Epochs>,
    /// The last position whose MARK the exchange holds from before.
    held: u64,
    /// The newest end of a window of which parts were passed on: whose they are may be ahead of this node.
    passed_on: Timestamp,
    /// A record was not written, so none that follows may be.
    ended: bool,
    /// What is to be written waits for room.
    is_short: bool,
}

impl ExportWriter {
    /// Goes on behind what the exchange holds.
    pub fn resume(journal: Arc<Journal>) -> Result<Self, ReadError> {
        let held = last_source(&journal)?;
        let (compressor, waiting) = (Compressor::new(1), VecDeque::new());
        let (ended, is_short) = (false, false);
        let passed_on = Timestamp::MIN;
        Ok(Self { journal, compressor, waiting, knows: None, held, passed_on, ended, is_short })
    }

    /// The last position of the log that the exchange knows of.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Tells all that a frontier has passed, after the parts that it gave, and up to where all is told by
    /// that. What this node knows of moves is told before it where that is news, or `again`.
    pub fn mark(
        &mut self,
        source: u64,
        (to, frontier): (Timestamp, Timestamp),
        knows: Epochs,
        again: bool,
    ) {
        if source <= self.held {
            return;
        }
        if again || self.knows.as_ref() != Some(&knows) {
            self.waiting.push_back(Told { source, what: What::Knows(knows.clone()) });
            self.knows = Some(knows);
        }
        let frontier = frontier.max(self.passed_on);
        self.waiting.push_back(Told { source, what: What::Mark { to, frontier } });
    }

    /// Tells each member its parts; `of` is whose they are where they are passed on, else empty.
    pub fn tell(
        &mut self,
        source: u64,
        of: &str,
        parts: BTreeMap<Arc<str>, Export>,
        config: &Decisions,
        names: &dyn Fn(TenantId) -> Arc<str>,
    ) {
        if source <= self.held {
            return;
        }
        for (to, export) in parts {
            if !of.is_empty() {
                let ends = export.parts.iter().map(|part| part.end);
                self.passed_on = ends.fold(self.passed_on, Timestamp::max);
            }
            for piece in pieces(export) {
                let bytes = exchange::encode(&piece, config, names);
                let mut compressed = Vec::new();
                let done = self.compressor.compress(Encoding::Zstd, &bytes, &mut compressed);
                if let Err(why) = done {
                    tracing::error!(%why, "the exchange takes nothing more; the log still has it");
                    self.ended = true;
                }
                let (to, of) = (to.to_string(), of.to_owned());
                let what = What::Parts { to, of, bytes: Bytes::from(compressed) };
                self.waiting.push_back(Told { source, what });
            }
        }
    }

    /// Writes the records whose positions are durable, as far as there is room; the rest waits.
    pub fn flush(&mut self, durable: u64) {
        while let Some(told) = self.waiting.front()
            && told.source <= durable
            && !self.ended
        {
            let (kind, payload) = told.payload();
            let bytes = payload.iter().map(|piece| piece.len() as u64).sum();
            let written = match self.journal.reserve(bytes, Importance::Essential) {
                Ok(room) => {
                    let appended = self.journal.append(room, kind, payload);
                    appended.map(drop).map_err(|why| why.to_string())
                }
                Err(why @ (ReserveError::TooLarge { .. } | ReserveError::Poisoned(_))) => {
                    Err(why.to_string())
                }
                // A full disk, or one that is behind.
                Err(why) => return self.note_room(Some(&why)),
            };
            self.note_room(None);
            if let Err(why) = written {
                tracing::error!(%why, "the exchange takes nothing more; the log still has it");
                self.ended = true;
            }
            self.waiting.pop_front();
            if kind == PARTS {
                let last = || self.journal.next_position() - 1;
                crate::crash::point_after("told", || drop(self.journal.wait_durable(last())));
            }
        }
    }

    /// Says once that there is no room, and once that there is.
    fn note_room(&mut self, missing: Option<&ReserveError>) {
        match missing {
            Some(why) if !self.is_short => {
                tracing::warn!(%why, "other members are told later");
            }
            None if self.is_short => tracing::info!("other members are told again"),
            _ => {}
        }
        self.is_short = missing.is_some();
    }

    /// Writes what is left once the log has synced it, and waits for the disk. Whether all is there.
    pub fn finish(&mut self, log: &Journal) -> bool {
        if let Some(last) = self.waiting.back().map(|told| told.source) {
            if log.wait_durable(last).is_err() {
                return false;
            }
            self.flush(log.durable());
        }
        let last = self.journal.next_position() - 1;
        self.waiting.is_empty() && !self.ended && self.journal.wait_durable(last).is_ok()
    }

    /// Whether nothing waits for the log.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Records that are looked at first for the last MARK; then so many times as many.
const LOOK_BACK: u64 = 1024;

/// The source of the last MARK.
fn last_source(journal: &Journal) -> Result<u64, ReadError> {
    let (first, next) = (journal.first(), journal.next_position());
    // It may be large, and the last MARK is mostly among the last records.
    let mut back = LOOK_BACK;
    loop {
        let from = next.saturating_sub(back).max(first);
        let last = last_source_from(journal, from)?;
        if last > 0 || from == first {
            return Ok(last);
        }
        back = back.saturating_mul(LOOK_BACK);
    }
}

fn last_source_from(journal: &Journal, from: u64) -> Result<u64, ReadError> {
    let mut reader = journal.reader(from);
    let mut last = 0;
    while let Some(item) = reader.next()? {
        if let weir_journal::Item::Record(record) = item
            && record.kind == MARK
            && let Ok(told) = Told::read(record.kind, &record.payload)
        {
            last = told.source;
        }
    }
    Ok(last)
}

/// An export cut so that no piece is too large.
fn pieces(mut export: Export) -> impl Iterator<Item = Export> {
    std::iter::from_fn(move || {
        let few = |len: usize| len.min(PARTS_MAX);
        let complex = export.parts.iter().take(PARTS_MAX).any(|part| !part.complex.is_empty());
        let most = if complex { COMPLEX_PARTS_MAX } else { PARTS_MAX };
        let parts = export.parts.drain(..export.parts.len().min(most)).collect();
        let left = export.left.drain(..few(export.left.len())).collect();
        let joined = export.joined.drain(..few(export.joined.len())).collect();
        let piece = Export { parts, left, joined };
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use weir_journal::Config;
    use weir_journal::fs::DiskFs;

    use super::*;

    #[test]
    fn what_is_told_once_is_not_told_again_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let open = || {
            let (journal, _) = Journal::open(Arc::new(DiskFs), Config::new(dir.path())).unwrap();
            ExportWriter::resume(Arc::new(journal)).unwrap()
        };
        let knows = Epochs::from(&[1, 1][..]);
        let mut writer = open();
        writer.mark(7, (10_000, 10_000), knows.clone(), false);
        writer.flush(6);
        assert_eq!(writer.journal.next_position(), 1, "the log is not durable yet");
        writer.flush(7);
        writer.journal.close().unwrap();
        drop(writer);
        let mut writer = open();
        assert_eq!(writer.held(), 7);
        writer.mark(7, (10_000, 10_000), knows.clone(), false);
        writer.mark(9, (20_000, 25_000), knows.clone(), false);
        writer.mark(11, (30_000, 30_000), knows.clone(), false);
        writer.mark(13, (40_000, 40_000), knows.clone(), true);
        writer.flush(13);
        writer.journal.wait_durable(7).unwrap();
        let mut reader = writer.journal.reader(1);
        let mut told = Vec::new();
        while let Some(weir_journal::Item::Record(record)) = reader.next().unwrap() {
            told.push(Told::read(record.kind, &record.payload).unwrap());
        }
        let mark = |source, to, frontier| Told { source, what: What::Mark { to, frontier } };
        // Once after each start, and once again.
        let knows = |source| Told { source, what: What::Knows(knows.clone()) };
        let first = [knows(7), mark(7, 10_000, 10_000)];
        let then = [knows(9), mark(9, 20_000, 25_000), mark(11, 30_000, 30_000)];
        let again = [knows(13), mark(13, 40_000, 40_000)];
        assert_eq!(told, [&first[..], &then[..], &again[..]].concat());
    }
}
