//! Segment files: the catalog of those in use, and how a spare one is made and taken into use.
//!
//! Invariant: the catalog is in order of positions and never empty; its last segment is the active one,
//! and a name ends in `.seg` only when the header in the file is durable. Deliberately not here: frames.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::Config;
use crate::error::{At, IoError};
use crate::frame::{HEADER_BYTES, SegmentId};
use crate::fs::{Fs, FsFile, write_all_at};

/// A segment in use.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn FsFile>,
    /// Length of the file.
    pub(crate) len: u64,
    /// Offset after the last durable frame.
    end: AtomicU64,
    /// First position of the next segment; 0 while there is none.
    limit: AtomicU64,
}

impl Segment {
    pub(crate) fn new(
        id: SegmentId,
        path: PathBuf,
        file: Arc<dyn FsFile>,
        len: u64,
        end: u64,
    ) -> Self {
        Self { id, path, file, len, end: AtomicU64::new(end), limit: AtomicU64::new(0) }
    }

    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// First position of the next segment, if there is one.
    pub(crate) fn limit(&self) -> Option<u64> {
        Some(self.limit.load(Ordering::Acquire)).filter(|&limit| limit > 0)
    }

    /// The bytes before `end` are durable.
    pub(crate) fn set_end(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }
}

/// The segments in use, in order.
#[derive(Debug)]
pub(crate) struct Catalog(VecDeque<Arc<Segment>>);

impl Catalog {
    pub(crate) fn new(segments: impl IntoIterator<Item = Arc<Segment>>) -> Self {
        let mut catalog = Self(VecDeque::new());
        segments.into_iter().for_each(|segment| catalog.push(segment));
        catalog
    }

    pub(crate) fn push(&mut self, segment: Arc<Segment>) {
        if let Some(last) = self.0.back() {
            last.limit.store(segment.id.first, Ordering::Release);
        }
        self.0.push_back(segment);
    }

    /// The oldest position that may be there.
    pub(crate) fn first(&self) -> u64 {
        self.0.front().map_or(0, |segment| segment.id.first)
    }

    /// The segment that holds `position`; the oldest one if it was cut.
    pub(crate) fn locate(&self, position: u64) -> Option<Arc<Segment>> {
        let after = self.0.partition_point(|segment| segment.id.first <= position);
        self.0.get(after.saturating_sub(1)).cloned()
    }

    /// Takes the oldest segment out if all its records are below `position`; never the active one.
    pub(crate) fn pop_below(&mut self, position: u64) -> Option<Arc<Segment>> {
        let second = self.0.get(1)?;
        if second.id.first <= position { self.0.pop_front() } else { None }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.0.iter()
    }
}

/// A file of a segment's size that waits for its use.
#[derive(Debug)]
pub(crate) struct Spare {
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<dyn FsFile>,
    /// It was a segment before.
    pub(crate) recycled: bool,
}

/// The name of the `n`th spare file.
pub(crate) fn spare_name(n: u64) -> String {
    format!("spare-{n:08}")
}

/// The inverse of [`spare_name`].
pub(crate) fn spare_number(name: &str) -> Option<u64> {
    name.strip_prefix("spare-")?.parse().ok()
}

/// The extension of files that are not finished; they are removed at start.
pub(crate) const UNFINISHED: &str = ".tmp";

/// Makes a spare file: allocated, and with `fill` also written through, so that the syncs of the records
/// to come need no change of the file's metadata.
pub(crate) fn create_spare(
    fs: &dyn Fs,
    config: &Config,
    n: u64,
    fill: bool,
) -> Result<Spare, IoError> {
    let (dir, len) = (&config.dir, config.segment_bytes);
    let path = dir.join(spare_name(n));
    let unfinished = dir.join(spare_name(n) + UNFINISHED);
    let make = || -> io::Result<Arc<dyn FsFile>> {
        let created = fs.create(&unfinished)?;
        let fill = match created.allocate(len) {
            Ok(()) => fill,
            Err(error) if error.kind() == io::ErrorKind::Unsupported => true,
            Err(error) => return Err(error),
        };
        let file = if config.past_cache { fs.open_direct(&unfinished)? } else { created };
        if fill {
            zero_fill(&*file, len)?;
        }
        file.sync_data()?;
        fs.rename(&unfinished, &path)?;
        fs.sync_dir(dir)?;
        Ok(file)
    };
    match make() {
        Ok(file) => Ok(Spare { path, file, recycled: false }),
        Err(source) => {
            // What is left of it takes the room that others need; the start removes it otherwise.
            drop(fs.remove(&unfinished));
            Err(IoError { path, action: "prepare a segment", source })
        }
    }
}

/// In chunks with a sync each, so that the log's own syncs do not wait for a whole segment.
fn zero_fill(file: &dyn FsFile, len: u64) -> io::Result<()> {
    const CHUNK: u64 = 1 << 20;
    const SYNC_EVERY: u64 = 4;
    let zeros = vec![0; CHUNK.min(len) as usize];
    for (n, offset) in (0..len).step_by(CHUNK as usize).enumerate() {
        let chunk = zeros.get(..(len - offset).min(CHUNK) as usize).unwrap_or(&zeros);
        write_all_at(file, &mut [IoSlice::new(chunk)], offset)?;
        if (n as u64 + 1).is_multiple_of(SYNC_EVERY) {
            file.sync_data()?;
        }
    }
    Ok(())
}

/// Takes a spare file into use as the segment that begins at `first`. The name comes last, so a segment
/// that can be seen has a durable header.
pub(crate) fn activate(
    fs: &dyn Fs,
    dir: &Path,
    spare: Spare,
    first: u64,
    len: u64,
) -> Result<Segment, IoError> {
    let id = SegmentId::new(first);
    let path = dir.join(id.file_name());
    let header = id.encode_header();
    write_all_at(&*spare.file, &mut [IoSlice::new(&header)], 0).at("write", &spare.path)?;
    spare.file.sync_data().at("sync", &spare.path)?;
    fs.rename(&spare.path, &path).at("rename a spare file to", &path)?;
    fs.sync_dir(dir).at("sync", dir)?;
    Ok(Segment::new(id, path, spare.file, len, HEADER_BYTES as u64))
}
