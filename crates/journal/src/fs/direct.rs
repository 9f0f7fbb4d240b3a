//! A file that is written past the page cache (`O_DIRECT`), for a log that is read again only after a
//! crash: in the cache it would cost a second copy of every byte, and memory that others need.
//!
//! Invariant: whole blocks are written. The first one holds what already stood before the offset, byte for
//! byte, so that a write that is torn harms nothing that was durable; the last one is filled up with zeros.
//! Reads go through the cache, which the kernel keeps true. Deliberately not here: writes that would make
//! the file longer, and disks that refuse; both go through the cache.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::{DiskFile, FsFile};
use crate::room::lock;

/// What disks and file systems ask for at most: offsets, lengths and addresses are multiples of it.
const BLOCK: usize = 4096;

/// Most bytes of one call; what is more takes another.
const WRITE_BYTES_MAX: usize = 1 << 20;

/// Two descriptors of one file.
#[derive(Debug)]
pub(super) struct DirectFile {
    cached: DiskFile,
    direct: File,
    tail: Mutex<Tail>,
}

/// The block in which the last write ended.
#[derive(Debug, Default)]
struct Tail {
    /// Where it begins.
    offset: u64,
    /// Its bytes, as far as they were written.
    bytes: Vec<u8>,
}

impl DirectFile {
    /// Opens the file once more; gives it back where the file system has no direct writes.
    pub(super) fn open(path: &Path, file: DiskFile) -> Result<Self, DiskFile> {
        let flags = OFlags::DIRECT.bits() as i32;
        match OpenOptions::new().write(true).custom_flags(flags).open(path) {
            Ok(direct) => Ok(Self { cached: file, direct, tail: Mutex::default() }),
            Err(_) => Err(file),
        }
    }

    /// Appends the bytes of the block at `start` that stand before what is to be written.
    fn lead(&self, tail: &Tail, start: u64, len: usize, area: &mut Vec<u8>) -> io::Result<()> {
        let known = tail.bytes.get(..len).filter(|_| tail.offset == start);
        match known {
            Some(known) => area.extend_from_slice(known),
            None => {
                let mut read = super::read_up_to(&self.cached, start, len)?;
                read.resize(len, 0);
                area.extend_from_slice(&read);
            }
        }
        Ok(())
    }
}

impl FsFile for DirectFile {
    fn len(&self) -> io::Result<u64> {
        self.cached.len()
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.cached.read_at(buf, offset)
    }

    fn write_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut tail = lock(&self.tail);
        let before = (offset % BLOCK as u64) as usize;
        let start = offset - before as u64;
        let bytes: usize = bufs.iter().map(|buf| buf.len()).sum();
        let len = bytes.min(WRITE_BYTES_MAX - before);
        let blocks = (before + len).next_multiple_of(BLOCK);
        if start + blocks as u64 > self.len()? {
            return self.cached.write_at(bufs, offset);
        }
        // Room to begin at a multiple of the block, wherever the allocation is.
        let mut area = Vec::<u8>::with_capacity(blocks + BLOCK);
        let skip = area.as_ptr().align_offset(BLOCK);
        area.resize(skip, 0);
        self.lead(&tail, start, before, &mut area)?;
        for buf in bufs {
            let left = skip + before + len - area.len();
            area.extend_from_slice(buf.get(..left).unwrap_or(buf));
        }
        area.resize(skip + blocks, 0);
        let image = area.get(skip..).unwrap_or_default();
        match rustix::io::pwrite(&self.direct, image, start) {
            // Short by part of a block: what counts is what was asked for.
            Ok(n) => {
                let end = n.min(before + len);
                let last = end - end % BLOCK;
                tail.offset = start + last as u64;
                tail.bytes.clear();
                tail.bytes.extend_from_slice(image.get(last..end).unwrap_or_default());
                Ok(end.saturating_sub(before))
            }
            Err(Errno::INVAL) => self.cached.write_at(bufs, offset),
            Err(error) => Err(error.into()),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.cached.sync_data()
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.cached.allocate(len)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::fs::{DiskFs, Fs, write_all_at};

    /// A file of `len` bytes.
    fn file(len: u64) -> (tempfile::TempDir, Arc<dyn FsFile>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        DiskFs.create(&path).unwrap().allocate(len).unwrap();
        let file = DiskFs.open_direct(&path).unwrap();
        (folder, file)
    }

    fn read(file: &dyn FsFile, len: usize) -> Vec<u8> {
        crate::fs::read_up_to(file, 0, len).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Appended in pieces, or begun anywhere: what was written before is there, and what is read is
        /// what was written.
        #[test]
        fn what_is_appended_is_what_is_read(
            sizes in proptest::collection::vec(1usize..20_000, 1..12),
            begin in 0u64..9_000,
        ) {
            let (_folder, file) = file(1 << 20);
            let mut expected = vec![0; begin as usize];
            for (at, size) in sizes.into_iter().enumerate() {
                let piece: Vec<u8> = (0..size).map(|n| (n * 7 + at) as u8).collect();
                let (a, b) = piece.split_at(size / 3);
                let offset = expected.len() as u64;
                write_all_at(&*file, &mut [IoSlice::new(a), IoSlice::new(b)], offset).unwrap();
                expected.extend(&piece);
                file.sync_data().unwrap();
                prop_assert!(read(&*file, expected.len()) == expected);
            }
        }
    }

    #[test]
    fn a_second_opening_goes_on_in_the_middle_of_a_block() {
        let (folder, first) = file(64 << 10);
        write_all_at(&*first, &mut [IoSlice::new(&[1; 5000])], 0).unwrap();
        let second = DiskFs.open_direct(&folder.path().join("log")).unwrap();
        write_all_at(&*second, &mut [IoSlice::new(&[2; 100])], 5000).unwrap();
        let all = read(&*second, 5200);
        assert!(all[..5000] == [1; 5000] && all[5000..5100] == [2; 100] && all[5100..] == [0; 100]);
    }

    #[test]
    fn a_write_longer_than_one_call_and_one_past_the_end_arrive_whole() {
        let (_folder, file) = file(3 << 20);
        let long: Vec<u8> = (0..(5 << 19) + 77).map(|n: u32| n as u8).collect();
        write_all_at(&*file, &mut [IoSlice::new(&long)], 10).unwrap();
        write_all_at(&*file, &mut [IoSlice::new(&[9; 10])], (3 << 20) - 5).unwrap();
        let all = read(&*file, 4 << 20);
        assert_eq!(all.len(), (3 << 20) + 5);
        assert!(all[10..10 + long.len()] == long && all[(3 << 20) - 5..] == [9; 10]);
    }
}
