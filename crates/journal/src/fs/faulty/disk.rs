//! The faulty disk's platter: inodes, names, and what of either is durable.
//!
//! Invariant: `durable` and `durable_names` change only by a sync or by what a power failure lets through.
//! Deliberately not here: the traits that programs see.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Weak;

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) files: HashMap<u64, Inode>,
    /// Names as programs see them, and as they are on the platter.
    pub(super) names: BTreeMap<PathBuf, u64>,
    pub(super) durable_names: BTreeMap<PathBuf, u64>,
    /// Changes of names that no directory sync has covered.
    pub(super) pending: Vec<NameChange>,
    pub(super) locks: HashMap<PathBuf, Weak<HeldLock>>,
    pub(super) next_inode: u64,
    /// Handles of an earlier life are dead.
    pub(super) life: u64,
    pub(super) random: u64,
    /// Changes so far, and which file or directory each was for.
    pub(super) trace: Vec<(Operation, PathBuf)>,
    pub(super) faults: Faults,
}

/// A change that a disk may be asked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Operation {
    /// A new name.
    Create,
    /// Room for a file.
    Allocate,
    /// Bytes of a file.
    Write,
    /// A file's bytes to the platter.
    Sync,
    /// Another name.
    Rename,
    /// A name less.
    Remove,
    /// A directory's names to the platter.
    SyncDir,
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) data: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Sectors written since the last sync.
    pub(super) dirty: BTreeSet<usize>,
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Set(PathBuf, u64),
    Rename(PathBuf, PathBuf, u64),
    Remove(PathBuf),
}

#[derive(Debug)]
pub(super) struct Faults {
    pub(super) crash_at: Option<u64>,
    pub(super) fail_sync_at: Option<u64>,
    pub(super) crash_in: Option<Nth>,
    pub(super) fail_sync_in: Option<Nth>,
    pub(super) crashed: bool,
    pub(super) lying_syncs: bool,
    pub(super) short_writes: bool,
    pub(super) capacity: u64,
}

/// The operation of a kind in a place that is `left` such ones away.
#[derive(Debug)]
pub(super) struct Nth {
    pub(super) operation: Operation,
    pub(super) place: PathBuf,
    pub(super) left: u64,
}

impl Nth {
    /// Whether it is this one; counts it if it is of that kind.
    pub(super) fn is(&mut self, operation: Operation, path: &Path) -> bool {
        let inside = operation != Operation::SyncDir && path.parent() == Some(&self.place);
        if self.operation != operation || !(inside || path == self.place) {
            return false;
        }
        let is = self.left == 0;
        self.left = self.left.wrapping_sub(1);
        is
    }
}

/// The unit in which un-synced data is kept or lost.
pub(super) const SECTOR: usize = 512;

#[derive(Debug)]
pub(super) struct HeldLock;

impl NameChange {
    pub(super) fn apply(self, names: &mut BTreeMap<PathBuf, u64>) {
        match self {
            Self::Set(path, id) => {
                names.insert(path, id);
            }
            Self::Rename(from, to, id) => {
                names.remove(&from);
                names.insert(to, id);
            }
            Self::Remove(path) => {
                names.remove(&path);
            }
        }
    }
}

impl Inode {
    pub(super) fn make_durable(&mut self, sectors: impl IntoIterator<Item = usize>) {
        for sector in sectors {
            let from = (sector * SECTOR).min(self.data.len());
            let to = (from + SECTOR).min(self.data.len());
            if self.durable.len() < to {
                self.durable.resize(to, 0);
            }
            let (Some(new), Some(old)) = (self.data.get(from..to), self.durable.get_mut(from..to))
            else {
                continue;
            };
            old.copy_from_slice(new);
        }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        if let Some(place) = self.data.get_mut(offset..end) {
            place.copy_from_slice(bytes);
        }
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }
}

impl Disk {
    /// xorshift64: repeatable, and nothing more is asked of it.
    pub(super) fn random_below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    pub(super) fn new_life(&mut self) {
        self.life += 1;
        self.locks.clear();
        self.faults.crash_at = None;
        self.faults.fail_sync_at = None;
        self.faults.crash_in = None;
        self.faults.fail_sync_in = None;
        self.faults.crashed = false;
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let named: BTreeSet<_> = self.names.values().collect();
        let sizes = named.into_iter().filter_map(|id| self.files.get(id));
        sizes.map(|file| file.data.len() as u64).sum()
    }

    /// Counts a changing operation; true if the machine stops in the middle of it.
    pub(super) fn operation(&mut self, operation: Operation, path: PathBuf) -> io::Result<bool> {
        self.alive()?;
        let now = self.trace.len() as u64;
        let nth = &mut self.faults.crash_in;
        let meant = nth.as_mut().is_some_and(|nth| nth.is(operation, &path));
        self.trace.push((operation, path));
        self.faults.crashed = meant || self.faults.crash_at.is_some_and(|at| now >= at);
        Ok(self.faults.crashed)
    }

    pub(super) fn alive(&self) -> io::Result<()> {
        if self.faults.crashed { Err(crash()) } else { Ok(()) }
    }

    pub(super) fn file(&mut self, inode: u64) -> &mut Inode {
        self.files.entry(inode).or_default()
    }

    /// What an inode is called; nothing if it has no name any more.
    pub(super) fn path_of(&self, inode: u64) -> PathBuf {
        let named = self.names.iter().find(|&(_, &id)| id == inode);
        named.map(|(path, _)| path.clone()).unwrap_or_default()
    }

    /// Checks that there is room for a file to become `len` bytes long.
    pub(super) fn grow(&mut self, inode: u64, len: u64) -> io::Result<()> {
        let more = len.saturating_sub(self.file(inode).data.len() as u64);
        if more > 0 && self.used_bytes().saturating_add(more) > self.faults.capacity {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// A change of names; one during which the machine stops may come through or not.
    pub(super) fn change_names(&mut self, change: NameChange) -> io::Result<()> {
        let stops = match &change {
            NameChange::Set(path, _) => self.operation(Operation::Create, path.clone())?,
            NameChange::Rename(_, to, _) => self.operation(Operation::Rename, to.clone())?,
            NameChange::Remove(path) => self.operation(Operation::Remove, path.clone())?,
        };
        self.pending.push(change.clone());
        change.apply(&mut self.names);
        if stops { Err(crash()) } else { Ok(()) }
    }
}

pub(super) fn crash() -> io::Error {
    io::Error::other("the machine has stopped")
}
