//! A journal's settings.
//!
//! Invariant: what passes [`Config::check`] leaves room for at least one record in a segment, and for
//! the active segment and one more in the quota. Deliberately not here: reading them from a file.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::error::{OpenError, Poisoned};
use crate::frame::{FRAME_BYTES, HEADER_BYTES, frame_bytes};
use crate::fs::{Fs, FsFile};

/// Called by the writer thread after each group commit with the highest durable position, or once with
/// the reason why there will be no more. It must not block.
pub type OnDurable = Arc<dyn Fn(Result<u64, Poisoned>) + Send + Sync>;

/// Settings of one journal.
#[derive(Clone)]
pub struct Config {
    /// The directory, which this journal has for itself; created if missing.
    pub dir: PathBuf,
    /// Bytes of a segment file, 64 MiB by default. A record must fit into one. Existing segments of
    /// another size stay readable.
    pub segment_bytes: u64,
    /// How long the writer waits for more after the first record of a group, 0 by default: an idle disk
    /// syncs at once, and the next group is what came meanwhile. For disks that dislike many syncs.
    pub commit_delay: Duration,
    /// Most bytes of segment files, spare ones included; no bound if `None`.
    pub quota_bytes: Option<u64>,
    /// The part of the room that only essential records may use; kept allocated, so that it is there
    /// even when others have filled the disk. 0 by default.
    pub reserve_bytes: u64,
    /// Segments made ahead of time, beyond the active one and the reserve. 2 by default.
    pub spare_segments: usize,
    /// Most cut segments kept beyond those to be used again, which costs less than making new ones; kept
    /// are as many as were begun since the last ones were cut. 4 by default.
    pub recycled_segments: usize,
    /// Most bytes reserved or appended and not yet durable, 64 MiB by default; essential records may go
    /// to twice as much.
    pub queue_bytes: u64,
    /// Write past the page cache where the file system can: for a journal that is read only after a crash.
    /// False by default; what is read soon had better be in the cache.
    pub past_cache: bool,
    /// Positions begin here, 1 by default, so that 0 can mean "none". An existing journal that ends
    /// before it goes on from it; the positions between count as lost. (A ledger may know of positions
    /// that a lying disk has lost; they must not be given out twice.)
    pub first_position: u64,
    /// Told of each group commit.
    pub on_durable: Option<OnDurable>,
}

impl Config {
    /// Default settings for a journal in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 << 20,
            commit_delay: Duration::ZERO,
            quota_bytes: None,
            reserve_bytes: 0,
            spare_segments: 2,
            recycled_segments: 4,
            queue_bytes: 64 << 20,
            past_cache: false,
            first_position: 1,
            on_durable: None,
        }
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        if self.segment_bytes < SEGMENT_BYTES_MIN || self.segment_bytes > u64::from(u32::MAX) {
            return Err(OpenError::Config("segment_bytes must be from 256 to 4 GiB"));
        }
        if self.first_position == 0 || self.first_position == u64::MAX {
            return Err(OpenError::Config("first_position must be at least 1"));
        }
        let segments_min = 2 + self.reserve_segments() as u64;
        if self.quota_segments().is_some_and(|segments| (segments as u64) < segments_min) {
            return Err(OpenError::Config(
                "quota_bytes must hold two segments and those of reserve_bytes",
            ));
        }
        Ok(())
    }

    /// Opens one of the journal's files, for reading and writing.
    pub(crate) fn open_file(&self, fs: &dyn Fs, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        if self.past_cache { fs.open_direct(path) } else { fs.open(path) }
    }

    /// Bytes for frames in a new segment.
    pub(crate) fn usable_bytes(&self) -> u64 {
        usable_bytes(self.segment_bytes)
    }

    /// Longest payload that fits into a segment.
    pub(crate) fn payload_bytes_max(&self) -> u64 {
        // The multiple of eight below, so that padding fits too.
        (self.usable_bytes() & !7) - FRAME_BYTES as u64
    }

    /// Segments that hold `reserve_bytes` however the records fall (see [`crate::room`]).
    pub(crate) fn reserve_segments(&self) -> usize {
        let whole = self.reserve_bytes.div_ceil(self.usable_bytes()) as usize;
        (2 * whole).saturating_sub(1)
    }

    /// Spare segments to keep ready.
    pub(crate) fn spares_wanted(&self) -> usize {
        self.spare_segments.max(1) + self.reserve_segments()
    }

    /// Spare segments to keep at most.
    pub(crate) fn spares_max(&self) -> usize {
        self.spares_wanted() + self.recycled_segments
    }

    pub(crate) fn quota_segments(&self) -> Option<usize> {
        self.quota_bytes.map(|quota| (quota / self.segment_bytes) as usize)
    }
}

/// Bytes for frames in a segment file of `len` bytes: all but the header and a closing frame.
pub(crate) fn usable_bytes(len: u64) -> u64 {
    len.saturating_sub((HEADER_BYTES + FRAME_BYTES) as u64)
}

/// Header, closing frame, and a record worth the name.
const SEGMENT_BYTES_MIN: u64 = 256;

const _: () = assert!(SEGMENT_BYTES_MIN as usize > HEADER_BYTES + frame_bytes(0) + frame_bytes(64));

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("dir", &self.dir)
            .field("segment_bytes", &self.segment_bytes)
            .field("commit_delay", &self.commit_delay)
            .field("quota_bytes", &self.quota_bytes)
            .field("reserve_bytes", &self.reserve_bytes)
            .field("spare_segments", &self.spare_segments)
            .field("recycled_segments", &self.recycled_segments)
            .field("queue_bytes", &self.queue_bytes)
            .field("past_cache", &self.past_cache)
            .field("first_position", &self.first_position)
            .finish_non_exhaustive()
    }
}
