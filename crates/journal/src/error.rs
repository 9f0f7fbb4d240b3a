//! What can go wrong, by operation.
//!
//! Invariant: no error here is retried inside the crate. Deliberately not here: answers to clients;
//! the caller maps these to its own.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file operation that failed, with the path it was about.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {action}: {source}", path.display())]
pub struct IoError {
    /// The file or directory.
    pub path: PathBuf,
    /// What was tried, as a verb phrase.
    pub action: &'static str,
    /// What the system said.
    pub source: io::Error,
}

/// Attaches path and action to an [`io::Result`].
pub(crate) trait At<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, IoError>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, IoError> {
        self.map_err(|source| IoError { path: path.to_owned(), action, source })
    }
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The settings contradict each other.
    #[error("journal settings: {0}")]
    Config(&'static str),
    /// Another process, or another journal of this one, holds the directory.
    #[error("{} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// A segment was written by a version of the format that this program does not know.
    #[error("{} has format version {version}; this program reads version {known}", path.display())]
    Version {
        /// The segment's file.
        path: PathBuf,
        /// The version it claims.
        version: u32,
        /// The one that this program writes.
        known: u32,
    },
    /// Two segments claim the same positions, which no crash can cause.
    #[error("{} begins at {first}, but its predecessor reaches {reached}", path.display())]
    Overlap {
        /// The later segment's file.
        path: PathBuf,
        /// Its first position.
        first: u64,
        /// The position up to which its predecessor goes, exclusive.
        reached: u64,
    },
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// The journal takes no more records: a write or a sync failed, or it was closed.
///
/// After a failed fsync nobody knows what is on the disk, so the process should stop; the next start
/// copies what survived to new files and syncs it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the journal has stopped: {reason}")]
pub struct Poisoned {
    /// What happened first.
    pub reason: Arc<str>,
}

/// Why room was not granted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ReserveError {
    /// The record would not fit into a segment; it can never be stored.
    #[error("a record of {bytes} bytes is larger than the {max} that a segment can hold")]
    TooLarge {
        /// The payload's length.
        bytes: u64,
        /// The longest payload allowed.
        max: u64,
    },
    /// As many bytes as allowed are waiting for the disk; try again shortly.
    #[error("{in_flight} bytes are waiting for the disk, the bound is {max}")]
    Queue {
        /// Bytes reserved or appended, and not yet durable.
        in_flight: u64,
        /// The bound that applied.
        max: u64,
    },
    /// The quota is used up; room comes back when segments are cut.
    #[error("the journal has used up its quota")]
    Quota,
    /// The disk gives no more room: it is full, or new segments are not ready yet.
    #[error("the disk has no room for another segment")]
    Disk,
    /// The journal has stopped.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why a record was not appended.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AppendError {
    /// The pieces are longer than what was reserved for them: a bug of the caller.
    #[error("{bytes} bytes appended on a reservation of {reserved}")]
    LargerThanReserved {
        /// Total length of the pieces.
        bytes: u64,
        /// Payload bytes reserved.
        reserved: u64,
    },
    /// The journal has stopped.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why a reader could not read; the same call may be tried again.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Why segments could not be cut; they are cut again at the next start.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The file system failed.
    #[error(transparent)]
    Io(#[from] IoError),
}
