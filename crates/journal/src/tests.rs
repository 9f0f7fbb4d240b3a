//! The journal as a whole, mostly on the disk that fails on purpose.
//!
//! Invariant: what a record must hold follows from its position and the life it was written in, so a
//! record that was never appended cannot pass for one. Deliberately not here: tests of one file's noun.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::fs::faulty::FaultyFs;
use crate::{
    Config, GapCause, Importance, Item, Journal, Poisoned, Reader, Recovery, ReserveError,
};

mod basics;
mod crash;
mod damage;
mod faults;
mod model;
mod real_disk;

const DIR: &str = "/log";

/// Small segments, so that a few dozen records fill several.
fn config(segment_bytes: u64) -> Config {
    Config { segment_bytes, ..Config::new(DIR) }
}

fn open(fs: &FaultyFs, config: Config) -> (Journal, Recovery) {
    Journal::open(Arc::new(fs.clone()), config).unwrap()
}

/// What the record at `position` written in life `kind` holds: up to 150 bytes.
fn payload(position: u64, kind: u8) -> Vec<u8> {
    let mut state = (position << 8 | u64::from(kind)).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let len = state >> 32 & 0x7f;
    let mut out = format!("{position}/{kind}:").into_bytes();
    out.extend((0..len).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    }));
    out
}

/// Appends the record that belongs to the next position; waits for room.
fn append(journal: &Journal, kind: u8) -> Result<u64, Poisoned> {
    append_unless(journal, kind, || false)
}

/// As [`append`], until it turns out that there will never be room.
fn append_unless(journal: &Journal, kind: u8, gone: impl Fn() -> bool) -> Result<u64, Poisoned> {
    let position = journal.next_position();
    let bytes = payload(position, kind);
    let reservation = until(|| match journal.reserve(bytes.len() as u64, Importance::Ordinary) {
        Ok(reservation) => Some(Ok(reservation)),
        Err(ReserveError::Poisoned(poisoned)) => Some(Err(poisoned)),
        Err(_) if gone() => Some(Err(Poisoned { reason: "no room for ever".into() })),
        Err(ReserveError::Disk | ReserveError::Queue { .. }) => None,
        Err(other) => panic!("{other}"),
    })?;
    let (head, tail) = bytes.split_at(bytes.len() / 3);
    let pieces = vec![Bytes::copy_from_slice(head), Bytes::copy_from_slice(tail)];
    match journal.append(reservation, kind, pieces) {
        Ok(at) => {
            assert_eq!(at, position);
            Ok(at)
        }
        Err(crate::AppendError::Poisoned(poisoned)) => Err(poisoned),
        Err(other) => panic!("{other}"),
    }
}

/// Appends `n` records and waits for them.
fn fill(journal: &Journal, n: u64) -> u64 {
    let last = (0..n).map(|_| append(journal, 0).unwrap()).last().unwrap();
    journal.wait_durable(last).unwrap();
    last
}

/// Polls until there is an answer.
fn until<T>(mut poll: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = poll() {
            return answer;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "nothing came of it");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Everything a reader yields now.
fn drain(reader: &mut Reader) -> Vec<Item> {
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

/// Kinds by position.
type Records = BTreeMap<u64, u8>;
/// From, to (exclusive), and why.
type Gaps = Vec<(u64, u64, GapCause)>;

/// The records by position, after checking that each holds what was appended and that records and gaps
/// cover `from..next` without a break.
fn read_checked(journal: &Journal, from: u64) -> (Records, Gaps) {
    let mut records = BTreeMap::new();
    let mut gaps = Vec::new();
    let mut next = from;
    let durable = journal.durable();
    for item in drain(&mut journal.reader(from)) {
        match item {
            Item::Record(record) => {
                assert_eq!(record.position, next);
                assert_eq!(record.payload, payload(record.position, record.kind));
                records.insert(record.position, record.kind);
                next += 1;
            }
            Item::Gap { from, to, cause } => {
                assert_eq!(from, next);
                assert!(to > from);
                gaps.push((from, to, cause));
                next = to;
            }
        }
    }
    assert!(next > durable);
    (records, gaps)
}

/// The segment files there are, in order of positions.
fn segments(fs: &FaultyFs) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|name| name == "seg");
    fs.paths().into_iter().filter(is_segment).collect()
}
