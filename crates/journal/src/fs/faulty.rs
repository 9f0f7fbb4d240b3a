//! An in-memory disk that fails on purpose, repeatably under a seed.
//!
//! Invariant: after [`FaultyFs::power_cycle`] there is what was synced, plus any part of what was not;
//! handles from before are dead. A directory's changes come through in order, up to some point.
//! Deliberately not here: timing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::fs::{Fs, FsFile, Lock};

use self::disk::{Disk, Faults, HeldLock, Inode, NameChange, Nth, SECTOR, crash};

mod disk;

pub use self::disk::Operation;

/// The disk; clones are the same one.
#[derive(Clone, Debug)]
pub struct FaultyFs(Arc<Mutex<Disk>>);

impl FaultyFs {
    /// An empty disk without faults.
    pub fn new(seed: u64) -> Self {
        let faults = Faults {
            crash_at: None,
            fail_sync_at: None,
            crash_in: None,
            fail_sync_in: None,
            crashed: false,
            lying_syncs: false,
            short_writes: false,
            capacity: u64::MAX,
        };
        Self(Arc::new(Mutex::new(Disk {
            files: HashMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending: Vec::new(),
            locks: HashMap::new(),
            next_inode: 1,
            life: 0,
            random: seed.wrapping_mul(2).wrapping_add(1),
            trace: Vec::new(),
            faults,
        })))
    }

    /// Changing operations so far: create, allocate, write, sync, rename, remove, directory sync.
    pub fn operations(&self) -> u64 {
        self.disk().trace.len() as u64
    }

    /// What those were, and which file or directory each was for.
    pub fn trace(&self) -> Vec<(Operation, PathBuf)> {
        self.disk().trace.clone()
    }

    /// The machine stops in the middle of the operation with this number (from 0); it and all later
    /// ones fail until [`Self::power_cycle`] or [`Self::restart_process`].
    pub fn crash_at(&self, operation: u64) {
        self.disk().faults.crash_at = Some(operation);
    }

    /// As [`Self::crash_at`], in the operation of this kind that comes after `skip` others on this file,
    /// or on this directory or a file in it.
    pub fn crash_in(&self, operation: Operation, place: &Path, skip: u64) {
        let nth = Nth { operation, place: place.to_owned(), left: skip };
        self.disk().faults.crash_in = Some(nth);
    }

    /// As [`Self::fail_sync_at`], by place as [`Self::crash_in`].
    pub fn fail_sync_in(&self, place: &Path, skip: u64) {
        let nth = Nth { operation: Operation::Sync, place: place.to_owned(), left: skip };
        self.disk().faults.fail_sync_in = Some(nth);
    }

    /// The machine has stopped.
    pub fn has_crashed(&self) -> bool {
        self.disk().faults.crashed
    }

    /// The first sync of a file at or after this operation fails with EIO, and its pages count as clean
    /// without being on disk.
    pub fn fail_sync_at(&self, operation: u64) {
        self.disk().faults.fail_sync_at = Some(operation);
    }

    /// Syncs say that they succeeded and do nothing.
    pub fn lie_about_syncs(&self, lie: bool) {
        self.disk().faults.lying_syncs = lie;
    }

    /// Writes take a random part of what they are given.
    pub fn short_writes(&self, short: bool) {
        self.disk().faults.short_writes = short;
    }

    /// Bytes that all files together may have.
    pub fn set_capacity(&self, bytes: u64) {
        self.disk().faults.capacity = bytes;
    }

    /// Bytes that all files together have.
    pub fn used_bytes(&self) -> u64 {
        self.disk().used_bytes()
    }

    /// The power goes and comes back: of what was not synced each sector is there or not.
    pub fn power_cycle(&self) {
        let mut disk = self.disk();
        let pending = std::mem::take(&mut disk.pending);
        let survivors = disk.random_below(pending.len() as u64 + 1) as usize;
        pending
            .into_iter()
            .take(survivors)
            .for_each(|change| change.apply(&mut disk.durable_names));
        disk.names = disk.durable_names.clone();
        let mut ids: Vec<_> = disk.files.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            // None, all, or some of a file's sectors.
            let policy = disk.random_below(3);
            let dirty = disk.files.get(&id).map(|file| file.dirty.clone()).unwrap_or_default();
            let kept = dirty.into_iter().filter(|_| match policy {
                0 => false,
                1 => true,
                _ => disk.random_below(2) == 0,
            });
            let kept: Vec<_> = kept.collect();
            if let Some(file) = disk.files.get_mut(&id) {
                file.make_durable(kept);
                file.dirty.clear();
                file.data = file.durable.clone();
            }
        }
        disk.new_life();
    }

    /// The process dies and comes back, as after `kill -9`: what was written is still there.
    pub fn restart_process(&self) {
        self.disk().new_life();
    }

    /// The files' paths, in order.
    pub fn paths(&self) -> Vec<PathBuf> {
        self.disk().names.keys().cloned().collect()
    }

    /// A file's content, if it is there.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        let id = disk.names.get(path)?;
        Some(disk.files.get(id)?.data.clone())
    }

    /// Flips the bits of `mask` in one byte of a file, on the platter too; false if it is not there.
    pub fn flip(&self, path: &Path, offset: usize, mask: u8) -> bool {
        let mut disk = self.disk();
        let Some(&id) = disk.names.get(path) else {
            return false;
        };
        let Some(file) = disk.files.get_mut(&id) else {
            return false;
        };
        let mut hit = false;
        for content in [&mut file.data, &mut file.durable] {
            if let Some(byte) = content.get_mut(offset) {
                *byte ^= mask;
                hit = true;
            }
        }
        hit
    }

    /// Another disk with the same content and no faults; un-synced changes count as synced.
    pub fn fork(&self) -> Self {
        let disk = self.disk();
        let fork = Self::new(disk.random);
        {
            let mut copy = fork.disk();
            copy.names = disk.names.clone();
            copy.durable_names = disk.names.clone();
            copy.next_inode = disk.next_inode;
            // What has no name any more cannot be opened either.
            let named = disk.names.values().filter_map(|id| disk.files.get_key_value(id));
            for (&id, file) in named {
                let data = file.data.clone();
                let durable = data.clone();
                copy.files.insert(id, Inode { data, durable, dirty: BTreeSet::new() });
            }
        }
        fork
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fs for FaultyFs {
    fn create_dir_all(&self, _dir: &Path) -> io::Result<()> {
        self.disk().alive()
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let mut disk = self.disk();
        let inode = disk.next_inode;
        disk.next_inode += 1;
        disk.files.insert(inode, Inode::default());
        disk.change_names(NameChange::Set(path.to_owned(), inode))?;
        Ok(Arc::new(FaultyFile { fs: self.clone(), inode, life: disk.life }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let disk = self.disk();
        disk.alive()?;
        let inode = *disk.names.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultyFile { fs: self.clone(), inode, life: disk.life }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let id = *disk.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        disk.change_names(NameChange::Rename(from.to_owned(), to.to_owned(), id))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        if !disk.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        disk.change_names(NameChange::Remove(path.to_owned()))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let disk = self.disk();
        disk.alive()?;
        let inside = disk.names.keys().filter(|path| path.parent() == Some(dir));
        let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
        Ok(names.collect())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        if disk.operation(Operation::SyncDir, dir.to_owned())? {
            return Err(crash());
        }
        if disk.faults.lying_syncs {
            return Ok(());
        }
        let inside = |change: &NameChange| match change {
            NameChange::Set(path, _) | NameChange::Remove(path) => path.parent() == Some(dir),
            NameChange::Rename(_, to, _) => to.parent() == Some(dir),
        };
        let (done, left) = std::mem::take(&mut disk.pending).into_iter().partition(inside);
        disk.pending = left;
        let done: Vec<NameChange> = done;
        done.into_iter().for_each(|change| change.apply(&mut disk.durable_names));
        Ok(())
    }

    fn free_bytes(&self, _dir: &Path) -> io::Result<u64> {
        let disk = self.disk();
        Ok(disk.faults.capacity.saturating_sub(disk.used_bytes()))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let mut disk = self.disk();
        disk.alive()?;
        if disk.locks.get(path).is_some_and(|held| held.strong_count() > 0) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let held = Arc::new(HeldLock);
        disk.locks.insert(path.to_owned(), Arc::downgrade(&held));
        Ok(Box::new(FaultyLock(held)))
    }
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for its count")]
struct FaultyLock(Arc<HeldLock>);

impl Lock for FaultyLock {}

#[derive(Debug)]
struct FaultyFile {
    fs: FaultyFs,
    inode: u64,
    life: u64,
}

impl FaultyFile {
    fn disk(&self) -> io::Result<MutexGuard<'_, Disk>> {
        let disk = self.fs.disk();
        if disk.life != self.life {
            return Err(crash());
        }
        disk.alive()?;
        Ok(disk)
    }
}

impl FsFile for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk()?.file(self.inode).data.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        let rest = disk.file(self.inode).data.get(offset as usize..).unwrap_or_default();
        let n = rest.len().min(buf.len());
        for (to, from) in buf.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(n)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk()?;
        let path = disk.path_of(self.inode);
        let stops = disk.operation(Operation::Write, path)?;
        let bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        let mut n = bytes.len();
        if n > 0 && stops {
            n = disk.random_below(n as u64 + 1) as usize;
        } else if n > 0 && disk.faults.short_writes {
            n = 1 + disk.random_below(n as u64) as usize;
        }
        disk.grow(self.inode, offset + n as u64)?;
        let part = bytes.get(..n).unwrap_or(&bytes);
        disk.file(self.inode).write(offset as usize, part);
        if stops { Err(crash()) } else { Ok(n) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk()?;
        let now = disk.trace.len() as u64;
        let path = disk.path_of(self.inode);
        let nth = &mut disk.faults.fail_sync_in;
        let meant = nth.as_mut().is_some_and(|nth| nth.is(Operation::Sync, &path));
        if disk.operation(Operation::Sync, path)? {
            return Err(crash());
        }
        if meant || disk.faults.fail_sync_at.is_some_and(|at| now >= at) {
            disk.faults.fail_sync_at = disk.faults.fail_sync_at.filter(|_| meant);
            disk.file(self.inode).dirty.clear();
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        if !disk.faults.lying_syncs {
            let file = disk.file(self.inode);
            let dirty = std::mem::take(&mut file.dirty);
            file.make_durable(dirty);
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut disk = self.disk()?;
        let path = disk.path_of(self.inode);
        let stops = disk.operation(Operation::Allocate, path)?;
        disk.grow(self.inode, len)?;
        let file = disk.file(self.inode);
        if file.data.len() < len as usize {
            let from = file.data.len();
            file.data.resize(len as usize, 0);
            file.dirty.extend(from / SECTOR..(len as usize).div_ceil(SECTOR));
        }
        if stops { Err(crash()) } else { Ok(()) }
    }
}
