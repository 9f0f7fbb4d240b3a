//! A file's name as its open handles have it: it goes with the file.
//!
//! Invariant: all handles of a file share one, so that what is told of the file always names it as the
//! twin has it. It only changes with the lock of [`super::Outgoing`] held.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::op::Op;

/// A file's name.
#[derive(Debug)]
pub(super) struct Name {
    /// `None` once it is gone.
    path: Mutex<Option<Arc<str>>>,
    /// The length that has been told.
    len: AtomicU64,
    /// Nothing but zeros since it was created.
    is_blank: AtomicBool,
    /// Something was told since the last sync.
    is_unsynced: AtomicBool,
}

impl Name {
    pub(super) fn new(path: &Arc<str>) -> Self {
        Self {
            path: Mutex::new(Some(Arc::clone(path))),
            len: AtomicU64::new(0),
            is_blank: AtomicBool::new(false),
            is_unsynced: AtomicBool::new(true),
        }
    }

    pub(super) fn path(&self) -> Option<Arc<str>> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Another name, or none.
    pub(super) fn set_path(&self, path: Option<Arc<str>>) {
        *self.path.lock().unwrap_or_else(PoisonError::into_inner) = path;
    }

    /// The file has just been created, or emptied.
    pub(super) fn begin(&self) {
        self.len.store(0, Ordering::Release);
        self.is_blank.store(true, Ordering::Release);
        self.is_unsynced.store(true, Ordering::Release);
    }

    /// Whether it has held nothing but zeros.
    pub(super) fn is_blank(&self) -> bool {
        self.is_blank.load(Ordering::Acquire)
    }

    /// It has been written to.
    pub(super) fn written(&self) {
        self.is_blank.store(false, Ordering::Release);
        self.changed();
    }

    /// It is not synced any more.
    pub(super) fn changed(&self) {
        self.is_unsynced.store(true, Ordering::Release);
    }

    /// It is being synced; says whether there is anything to sync.
    pub(super) fn take_unsynced(&self) -> bool {
        self.is_unsynced.swap(false, Ordering::AcqRel)
    }

    /// Says whether that is longer than what was told, which it is no more.
    pub(super) fn grow_to(&self, len: u64) -> bool {
        self.len.fetch_max(len, Ordering::AcqRel) < len
    }
}

/// A change of a file that has a name.
pub(super) enum Change<'a> {
    /// Bytes at an offset.
    Write(u64, &'a [u8]),
    /// Another length.
    Length(u64),
    /// A sync.
    Sync,
}

impl<'a> Change<'a> {
    pub(super) fn at(self, path: &'a str) -> Op<'a> {
        match self {
            Self::Write(offset, bytes) => Op::Write(path, offset, bytes),
            Self::Length(len) => Op::Length(path, len),
            Self::Sync => Op::Sync(path),
        }
    }
}
