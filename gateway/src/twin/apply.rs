//! The follower's side: the same changes, in the same order, in the twin.
//!
//! Invariant: a sync is done where it stands in the stream, so what survives a crash of the follower is
//! what would have survived one of the member at that place. Changes of names that are not there are
//! none: the copy brings those files later.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use weir_aggregate::codec::Reader;
use weir_journal::fs::{Fs, FsFile, write_all_at};

use super::op::{Op, OpError};

/// Files that stay open between changes.
const OPEN_MAX: usize = 64;

/// Why a batch is not in the twin.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// It is none.
    #[error("{0}")]
    Op(#[from] OpError),
    /// It is not the one that comes next.
    #[error("it begins after {0} changes, and the twin has {1}")]
    Gap(u64, u64),
    /// The disk.
    #[error("the twin cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// Makes changes below a folder.
#[derive(Debug)]
pub struct Applier {
    disk: Arc<dyn Fs>,
    root: PathBuf,
    open: BTreeMap<String, Arc<dyn FsFile>>,
    folders: BTreeSet<String>,
    /// Files that have unsynced changes.
    unsynced: BTreeSet<String>,
    changes: u64,
    is_whole: bool,
}

impl Applier {
    /// Into the folder `root`, which is empty or does not exist.
    pub fn new(disk: Arc<dyn Fs>, root: PathBuf) -> io::Result<Self> {
        disk.create_dir_all(&root)?;
        let folders = BTreeSet::from([String::new()]);
        let (open, unsynced) = (BTreeMap::new(), BTreeSet::new());
        Ok(Self { disk, root, open, folders, unsynced, changes: 0, is_whole: false })
    }

    /// Changes so far.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Whether everything has been copied, and is durable.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Makes the changes of a batch that begins after `first` others, but for those that were made
    /// before. After an error of the disk the twin is of no use.
    pub fn apply(&mut self, first: u64, bytes: &[u8]) -> Result<(), ApplyError> {
        if first > self.changes {
            return Err(ApplyError::Gap(first, self.changes));
        }
        // All of them are read before one is made.
        let mut ops = Vec::new();
        let mut from = Reader::new(bytes);
        while !from.is_empty() {
            ops.push(Op::read(&mut from)?);
        }
        let known = usize::try_from(self.changes - first).unwrap_or(usize::MAX);
        for op in ops.iter().skip(known) {
            self.make(op)?;
            self.changes += 1;
        }
        Ok(())
    }

    fn make(&mut self, op: &Op<'_>) -> io::Result<()> {
        match *op {
            Op::Folder(path) => {
                self.disk.create_dir_all(&self.root.join(path))?;
                self.folders.insert(path.to_owned());
            }
            Op::Create(path) => {
                let file = self.disk.create(&self.root.join(path))?;
                self.keep(path, file);
            }
            Op::Write(path, offset, bytes) => {
                let file = self.file(path)?;
                write_all_at(&*file, &mut [IoSlice::new(bytes)], offset)?;
                self.unsynced.insert(path.to_owned());
            }
            Op::Length(path, len) => {
                let file = self.file(path)?;
                lengthen(&*file, len)?;
                self.unsynced.insert(path.to_owned());
            }
            Op::Sync(path) => self.sync(path)?,
            Op::Rename(from, to) => self.rename(from, to)?,
            Op::Remove(path) => {
                self.forget(path);
                ignore_absent(self.disk.remove(&self.root.join(path)))?;
            }
            Op::SyncFolder(path) => self.disk.sync_dir(&self.root.join(path))?,
            Op::Whole => self.sync_all()?,
        }
        Ok(())
    }

    fn file(&mut self, path: &str) -> io::Result<Arc<dyn FsFile>> {
        if let Some(file) = self.open.get(path) {
            return Ok(Arc::clone(file));
        }
        let at = self.root.join(path);
        let file = match self.disk.open(&at) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => self.disk.create(&at),
            opened => opened,
        }?;
        self.keep(path, Arc::clone(&file));
        Ok(file)
    }

    fn keep(&mut self, path: &str, file: Arc<dyn FsFile>) {
        if self.open.len() >= OPEN_MAX {
            self.open.clear();
        }
        self.open.insert(path.to_owned(), file);
        self.unsynced.insert(path.to_owned());
    }

    fn sync(&mut self, path: &str) -> io::Result<()> {
        if self.unsynced.remove(path) {
            self.file(path)?.sync_data()?;
            self.unsynced.remove(path);
        }
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let file = self.open.remove(from);
        let was_unsynced = self.unsynced.remove(from);
        self.forget(to);
        match self.disk.rename(&self.root.join(from), &self.root.join(to)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => {
                ignore_absent(self.disk.remove(&self.root.join(to)))
            }
            renamed => {
                self.open.extend(file.map(|file| (to.to_owned(), file)));
                self.unsynced.extend(was_unsynced.then(|| to.to_owned()));
                renamed
            }
        }
    }

    fn forget(&mut self, path: &str) {
        self.open.remove(path);
        self.unsynced.remove(path);
    }

    fn sync_all(&mut self) -> io::Result<()> {
        for path in std::mem::take(&mut self.unsynced) {
            self.file(&path)?.sync_data()?;
        }
        self.unsynced.clear();
        for folder in &self.folders {
            self.disk.sync_dir(&self.root.join(folder))?;
        }
        self.is_whole = true;
        Ok(())
    }
}

/// With room on the disk, where it can be had; else by its last byte.
fn lengthen(file: &dyn FsFile, len: u64) -> io::Result<()> {
    if file.len()? >= len {
        return Ok(());
    }
    match file.allocate(len) {
        Err(why) if why.kind() == io::ErrorKind::Unsupported => {
            write_all_at(file, &mut [IoSlice::new(&[0])], len - 1)
        }
        allocated => allocated,
    }
}

fn ignore_absent(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
