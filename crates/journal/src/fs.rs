//! The one seam to the disk: everything the journal does to files goes through [`Fs`].
//!
//! Invariant: no other file of this crate names `std::fs`. What is not synced may be gone after a
//! crash, and a created, renamed or removed name holds only after [`Fs::sync_dir`].
//! Deliberately not here: buffering, retries, knowledge of what the bytes mean.

use std::fmt::Debug;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;

mod direct;
#[cfg(any(test, feature = "faulty"))]
pub mod faulty;

use direct::DirectFile;

/// Keeps a directory locked while it lives.
pub trait Lock: Debug + Send + Sync {}

/// A file system.
pub trait Fs: Debug + Send + Sync {
    /// Creates the directory and those above it.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Creates an empty file, or empties the one there; readable and writable.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>>;
    /// Opens an existing file whose writes go past the page cache, where the file system can do that. What
    /// stands behind a write in its last block of the disk is lost.
    fn open_direct(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        self.open(path)
    }
    /// Renames, replacing what is at `to`; open files stay usable.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a name; open files stay readable.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names of the files in a directory, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes the directory's names durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that could still be stored, as far as the file system knows.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
    /// Locks against other processes; `WouldBlock` when another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;
}

/// An open file; offsets are explicit, so that threads may share it.
pub trait FsFile: Debug + Send + Sync {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True when there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Reads up to `buf.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes some of the bytes, returns how many.
    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize>;
    /// Makes the content durable, and the length where it grew.
    fn sync_data(&self) -> io::Result<()>;
    /// Takes `len` bytes of disk for the file and makes it that long. `Unsupported` where the file
    /// system cannot.
    fn allocate(&self, len: u64) -> io::Result<()>;
}

/// Reads exactly `len` bytes at `offset`, fewer only at the end of the file.
pub fn read_up_to(file: &dyn FsFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; len];
    let mut done = 0;
    while done < len {
        let Some(rest) = buf.get_mut(done..) else {
            break;
        };
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buf.truncate(done);
    Ok(buf)
}

/// Writes all of the slices, going on after short writes; never repeats one that failed.
pub fn write_all_at(
    file: &dyn FsFile,
    mut slices: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        let batch = slices.get(..SLICES_MAX).unwrap_or(slices);
        match file.write_at(batch, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                offset += n as u64;
                IoSlice::advance_slices(&mut slices, n);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Linux's IOV_MAX: a longer vector is refused with EINVAL.
const SLICES_MAX: usize = 1024;

/// The machine's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskFs;

impl Fs for DiskFs {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
        Ok(Arc::new(DiskFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        Ok(Arc::new(DiskFile(OpenOptions::new().read(true).write(true).open(path)?)))
    }

    fn open_direct(&self, path: &Path) -> io::Result<Arc<dyn FsFile>> {
        let file = DiskFile(OpenOptions::new().read(true).write(true).open(path)?);
        Ok(DirectFile::open(path, file)
            .map_or_else(|file| Arc::new(file) as _, |file| Arc::new(file) as _))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(dir)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Box::new(DiskLock(file))),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// The lock goes with the descriptor, so it never outlives the process.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its descriptor")]
struct DiskLock(File);

impl Lock for DiskLock {}

#[derive(Debug)]
struct DiskFile(File);

impl FsFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buf, offset)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        Ok(rustix::io::pwritev(&self.0, bufs, offset)?)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len) {
            Ok(()) => Ok(()),
            Err(rustix::io::Errno::OPNOTSUPP) => Err(io::ErrorKind::Unsupported.into()),
            Err(error) => Err(error.into()),
        }
    }
}
