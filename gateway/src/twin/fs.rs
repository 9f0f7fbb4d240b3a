//! The disk as the journals see it, which tells a twin of every change.
//!
//! Invariant: a change is told once it is made, in the order in which the changes of a file are made;
//! those of names are made and told as one. Zeros in a file that has never held anything else are not
//! told: the twin's file has them from its length. Locks are not told, for they are this process's.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_journal::fs::{Fs, FsFile, Lock};

use super::name::{Change, Name};
use super::op::{Op, PIECE_BYTES};
use super::outgoing::Outgoing;

/// A file system of which one directory has a twin.
#[derive(Clone, Debug)]
pub struct TwinFs {
    disk: Arc<dyn Fs>,
    root: PathBuf,
    outgoing: Arc<Outgoing>,
}

impl TwinFs {
    /// Over a disk; `outgoing` is told what changes below its root.
    pub fn new(disk: Arc<dyn Fs>, outgoing: &Arc<Outgoing>) -> Self {
        Self { disk, root: outgoing.root().to_owned(), outgoing: Arc::clone(outgoing) }
    }

    /// Below the root, or `None`; empty for the root itself.
    fn relative<'a>(&self, path: &'a Path) -> Option<&'a str> {
        path.strip_prefix(&self.root).ok()?.to_str()
    }

    fn opened(&self, path: &Path, disk: Arc<dyn FsFile>) -> io::Result<Arc<dyn FsFile>> {
        let name = self.relative(path).map(|relative| self.outgoing.open(relative));
        Ok(self.file(path, disk, name))
    }

    fn file(&self, path: &Path, disk: Arc<dyn FsFile>, name: Option<Arc<Name>>) -> Arc<dyn FsFile> {
        let Some(name) = name else { return disk };
        // A ledger's cursor may be behind in the twin: a repeat is all that comes of it.
        let waits = self.relative(path).is_some_and(|path| path.contains('/'));
        Arc::new(TwinFile { disk, name, outgoing: Arc::clone(&self.outgoing), waits })
    }
}

impl Fs for TwinFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)?;
        if let Some(folder) = self.relative(dir) {
            self.outgoing.folder(folder);
        }
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let Some(relative) = self.relative(path) else { return self.disk.create(path) };
        let (disk, name) = self.outgoing.create(relative, || self.disk.create(path))?;
        Ok(self.file(path, disk, Some(name)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.opened(path, self.disk.open(path)?)
    }

    fn open_direct(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.opened(path, self.disk.open_direct(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        match (self.relative(from), self.relative(to)) {
            (Some(old), Some(new)) => self.outgoing.rename(old, new, || self.disk.rename(from, to)),
            _ => self.disk.rename(from, to),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match self.relative(path) {
            Some(relative) => self.outgoing.remove(relative, || self.disk.remove(path)),
            None => self.disk.remove(path),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    /// Told, and not waited for: a name that matters is followed by a file's sync, and order does the
    /// rest.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)?;
        if let Some(folder) = self.relative(dir) {
            self.outgoing.tell(&Op::SyncFolder(folder));
        }
        Ok(())
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        self.disk.lock(path)
    }
}

#[derive(Debug)]
struct TwinFile {
    disk: Arc<dyn FsFile>,
    name: Arc<Name>,
    outgoing: Arc<Outgoing>,
    /// Its syncs are the twin's, too.
    waits: bool,
}

impl TwinFile {
    /// Tells what was written at an offset.
    fn told(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.name.is_blank() && is_zero(bytes) {
            return self.grown(self.disk.len()?);
        }
        self.name.written();
        for (at, piece) in bytes.chunks(PIECE_BYTES).enumerate() {
            let offset = offset + (at * PIECE_BYTES) as u64;
            self.outgoing.tell_of(&self.name, Change::Write(offset, piece));
        }
        Ok(())
    }

    fn grown(&self, len: u64) -> io::Result<()> {
        if self.name.grow_to(len) {
            self.name.changed();
            self.outgoing.tell_of(&self.name, Change::Length(len));
        }
        Ok(())
    }
}

impl FsFile for TwinFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.read_at(buf, offset)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let written = self.disk.write_at(bufs, offset)?;
        let mut bytes = Vec::with_capacity(written);
        for buf in bufs {
            let left = written - bytes.len();
            bytes.extend_from_slice(buf.get(..left).unwrap_or(buf));
        }
        self.told(&bytes, offset)?;
        Ok(written)
    }

    /// Here and in the twin, at the same time.
    fn sync_data(&self) -> io::Result<()> {
        if !self.name.take_unsynced() {
            return self.disk.sync_data();
        }
        let ticket = self.outgoing.sync(&self.name);
        let synced = self.disk.sync_data();
        if synced.is_err() {
            self.name.changed();
        } else if self.waits {
            self.outgoing.wait(ticket);
        }
        synced
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.allocate(len)?;
        self.grown(len)
    }
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    let chunks = bytes.chunks_exact(64);
    let rest = chunks.remainder();
    rest.iter().all(|&byte| byte == 0) && chunks.into_iter().all(|chunk| chunk == [0; 64])
}
