//! A tiny durable map from names to numbers: up to where each destination has acknowledged.
//!
//! Invariant: [`Ledger::store`] writes the slot that does not hold the newest map, so a crash at any
//! moment leaves that one whole; what was stored is what the next [`Ledger::open`] loads.
//! Deliberately not here: merging, history, more entries than fit into a few kilobytes.
//!
//! The two slots are files, `<name>.0` and `<name>.1`: magic `WEIRLEDG`, u32 version, u32 count, u64
//! sequence, then for each entry u32 length, name in UTF-8, u64 value; at the end a CRC-32 of all before
//! it; zeros up to 4 KiB. Integers are little-endian. The whole slot with the higher sequence counts.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{At, IoError};
use crate::frame::{u32_at, u64_at};
use crate::fs::{Fs, FsFile, read_up_to, write_all_at};

const MAGIC: [u8; 8] = *b"WEIRLEDG";
const VERSION: u32 = 1;
/// What a slot has on the disk from the start.
const SLOT_BYTES: u64 = 4096;

/// The file pair.
#[derive(Debug)]
pub struct Ledger {
    slots: [(PathBuf, Arc<dyn FsFile>); 2],
    sequence: u64,
    map: BTreeMap<String, u64>,
}

impl Ledger {
    /// Opens the ledger `name` in `dir`, or begins an empty one.
    pub fn open(fs: &dyn Fs, dir: &Path, name: &str) -> Result<Self, IoError> {
        fs.create_dir_all(dir).at("create", dir)?;
        let slot = |n: u8| -> Result<_, IoError> {
            let path = dir.join(format!("{name}.{n}"));
            let file = match fs.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => fs.create(&path),
                opened => opened,
            };
            let file = file.at("open", &path)?;
            let len = file.len().at("measure", &path)?;
            if len < SLOT_BYTES {
                // Room while there is some: a full disk must not keep a cursor where it is. Without
                // it a store may fail, and says so.
                file.allocate(SLOT_BYTES).ok();
            }
            let bytes = read_up_to(&*file, 0, len as usize).at("read", &path)?;
            Ok(((path, file), decode(&bytes)))
        };
        let ((first, first_map), (second, second_map)) = (slot(0)?, slot(1)?);
        fs.sync_dir(dir).at("sync", dir)?;
        let newest = first_map.into_iter().chain(second_map).max_by_key(|(sequence, _)| *sequence);
        let (sequence, map) = newest.unwrap_or_default();
        Ok(Self { slots: [first, second], sequence, map })
    }

    /// What was stored last.
    pub fn load(&self) -> &BTreeMap<String, u64> {
        &self.map
    }

    /// Replaces the map, durably. After an error the one before still counts, and the next attempt
    /// writes the same slot anew.
    pub fn store(&mut self, map: &BTreeMap<String, u64>) -> Result<(), IoError> {
        let sequence = self.sequence + 1;
        let [even, odd] = &self.slots;
        let (path, file) = if sequence.is_multiple_of(2) { even } else { odd };
        let bytes = encode(sequence, map);
        write_all_at(&**file, &mut [IoSlice::new(&bytes)], 0).at("write", path)?;
        file.sync_data().at("sync", path)?;
        self.sequence = sequence;
        self.map.clone_from(map);
        Ok(())
    }
}

fn encode(sequence: u64, map: &BTreeMap<String, u64>) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&(map.len() as u32).to_le_bytes());
    out.extend_from_slice(&sequence.to_le_bytes());
    for (name, value) in map {
        out.extend_from_slice(&(name.len() as u32).to_le_bytes());
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(&value.to_le_bytes());
    }
    let crc = crc32fast::hash(&out);
    out.extend_from_slice(&crc.to_le_bytes());
    out
}

/// Sequence and map of a whole slot; what follows its checksum is a longer map's leftover.
fn decode(bytes: &[u8]) -> Option<(u64, BTreeMap<String, u64>)> {
    if !bytes.starts_with(&MAGIC) || u32_at(bytes, 8)? != VERSION {
        return None;
    }
    let (count, sequence) = (u32_at(bytes, 12)?, u64_at(bytes, 16)?);
    let mut map = BTreeMap::new();
    let mut at = 24;
    for _ in 0..count {
        let len = u32_at(bytes, at)? as usize;
        let name = bytes.get(at + 4..)?.get(..len)?;
        map.insert(String::from_utf8(name.to_vec()).ok()?, u64_at(bytes, at + 4 + len)?);
        at += 12 + len;
    }
    (crc32fast::hash(bytes.get(..at)?) == u32_at(bytes, at)?).then_some((sequence, map))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::faulty::FaultyFs;

    fn map(n: u64) -> BTreeMap<String, u64> {
        // Shorter and longer in turn, so that a slot holds leftovers.
        (0..1 + n % 3).map(|name| (format!("destination {name}"), n * 10 + name)).collect()
    }

    #[test]
    fn what_was_stored_is_loaded() {
        let fs = FaultyFs::new(1);
        let dir = Path::new("/ledger");
        let mut ledger = Ledger::open(&fs, dir, "acknowledged").unwrap();
        assert!(ledger.load().is_empty());
        for n in 0..7 {
            ledger.store(&map(n)).unwrap();
            assert_eq!(*ledger.load(), map(n));
            assert_eq!(*Ledger::open(&fs, dir, "acknowledged").unwrap().load(), map(n));
        }
        assert!(Ledger::open(&fs, dir, "another").unwrap().load().is_empty());
    }

    #[test]
    fn a_crash_in_any_operation_leaves_the_last_map_or_the_one_being_stored() {
        let dir = Path::new("/ledger");
        for seed in 0..20 {
            for at in 0.. {
                let fs = FaultyFs::new(seed);
                fs.crash_at(at);
                let mut stored = None;
                let mut run = || -> Result<(), IoError> {
                    let mut ledger = Ledger::open(&fs, dir, "l")?;
                    for n in 0..6 {
                        ledger.store(&map(n))?;
                        stored = Some(n);
                    }
                    Ok(())
                };
                let ended = run();
                fs.power_cycle();
                let found = Ledger::open(&fs, dir, "l").unwrap().load().clone();
                let old = stored.map(map).unwrap_or_default();
                let new = map(stored.map_or(0, |n| n + 1));
                assert!(found == old || found == new, "seed {seed}, operation {at}: {found:?}");
                if ended.is_ok() {
                    assert!(at > 12);
                    break;
                }
            }
        }
    }

    /// A destination's first cursors could not be stored on a full disk, because the slots grew.
    #[test]
    fn a_full_disk_takes_what_is_stored() {
        let fs = FaultyFs::new(3);
        let dir = Path::new("/ledger");
        let mut ledger = Ledger::open(&fs, dir, "l").unwrap();
        fs.set_capacity(fs.used_bytes());
        for n in 0..7 {
            ledger.store(&map(n)).unwrap();
        }
        assert_eq!(*Ledger::open(&fs, dir, "l").unwrap().load(), map(6));
    }

    #[test]
    fn a_damaged_slot_leaves_the_other_and_no_bytes_make_it_panic() {
        let fs = FaultyFs::new(2);
        let dir = Path::new("/ledger");
        let mut ledger = Ledger::open(&fs, dir, "l").unwrap();
        ledger.store(&map(1)).unwrap();
        ledger.store(&map(2)).unwrap();
        // The second store has sequence 2, so it is in the even slot.
        let path = Path::new("/ledger/l.0");
        let whole = encode(2, &map(2));
        assert!(fs.content(path).unwrap().starts_with(&whole));
        for offset in 0..whole.len() {
            let fs = fs.fork();
            assert!(fs.flip(path, offset, 0x10));
            assert_eq!(*Ledger::open(&fs, dir, "l").unwrap().load(), map(1));
            assert_eq!(decode(whole.get(..offset).unwrap()), None);
        }
    }
}
