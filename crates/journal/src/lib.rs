//! One segmented, checksummed, group-committed log: the WAL and the send queues. It knows nothing of
//! what records mean; who opens it gives each a kind and a payload, and gets a position back.
//!
//! Invariant: a position reported durable is on disk, and comes back after any crash, or is reported as
//! lost by its number. Deliberately not here: tokio, replication, compression, retention by age.
//!
//! ```
//! use std::sync::Arc;
//! use weir_journal::{Config, Importance, Item, Journal, fs::DiskFs};
//!
//! # let dir = std::env::temp_dir().join(format!("weir-journal-doc-{}", std::process::id()));
//! let (journal, recovery) =
//!     Journal::open(Arc::new(DiskFs), Config { segment_bytes: 1 << 16, ..Config::new(&dir) })?;
//! let room = journal.reserve(5, Importance::Ordinary)?;
//! let position = journal.append(room, 1, vec!["hel".into(), "lo".into()])?;
//! journal.wait_durable(position)?;
//! let mut reader = journal.reader(recovery.first);
//! assert!(matches!(reader.next()?, Some(Item::Record(record)) if record.payload == "hello"));
//! journal.close()?;
//! # drop(journal);
//! # std::fs::remove_dir_all(dir)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Life of a record
//! [`Journal::reserve`] grants room in the queue and in files that are already allocated, so that a full
//! disk is met before a record has a position. [`Journal::append`] gives the position and puts the pieces
//! in the queue. The writer thread takes what has gathered, writes it with as few calls as possible,
//! syncs, and publishes the new durable position: the next group is what came meanwhile. A group lies in
//! one segment, and is written only when the one before is durable. When a segment is full the writer
//! takes a spare file; a helper thread makes these ahead of time and zero-fills them, because a sync of a
//! file whose length or extents change costs the file system a journal commit of its own. A journal that is
//! read only after a crash is written past the page cache ([`Config::past_cache`], `fs/direct.rs`): whole
//! blocks, of which the first repeats what it held.
//!
//! # Files
//! All integers are little-endian. The directory holds:
//!
//! | name | what |
//! |---|---|
//! | `<first>-<salt>.seg` | a segment; first position and salt as 16 hex digits each |
//! | `spare-<n>` | a file of segment size whose content means nothing, to become a segment |
//! | `*.tmp` | unfinished, removed at start |
//! | `<segment>.<offset>.quarantine` | damaged bytes, copied out at start, offset in hex; for people |
//! | `LOCK` | locked (`flock`) while a process has the journal open |
//!
//! A file becomes a segment thus: header written and synced under the spare name, renamed, directory
//! synced. So what ends in `.seg` has a header. A cut segment is renamed to a spare, or removed, and the
//! directory synced, one by one from the oldest.
//!
//! ## Segment header, 64 bytes
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic `WEIRJRNL` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | header length, 64 |
//! | 16 | 8 | first position: that of the segment's first record |
//! | 24 | 8 | salt: random, new at each use of a file |
//! | 32 | 28 | zero |
//! | 60 | 4 | CRC-32 of the 60 bytes before |
//!
//! The file's name repeats first position and salt, and decides: a damaged header costs no record. A
//! whole header of another version is refused, and nothing is touched.
//!
//! ## Frame, from offset 64 on, each at a multiple of 8
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 4 | mark: `0x46524a57` xor the low half of the salt |
//! | 4 | 4 | length of the payload |
//! | 8 | 8 | position |
//! | 16 | 2 | back: how many positions before this one its group began |
//! | 18 | 1 | kind: the caller's |
//! | 19 | 1 | type: 1 record, 2 lost positions, 3 orderly close |
//! | 20 | 4 | CRC-32 of salt (8 bytes), the 20 bytes before, and the payload |
//! | 24 | | payload, then zeros up to the next multiple of 8 |
//!
//! CRC-32 is IEEE 802.3's, as in zlib. Its seed, the salt, keeps a leftover of the file's earlier life,
//! or a payload that looks like a frame, from ever passing for one. Records of one segment have
//! ascending positions, +1 each. *Lost positions* (payload: u64, the position after the last one lost)
//! stands where recovery found records missing; its own position is the first of them. *Orderly close*
//! has no payload; its position is the next record's, and it takes none. The next process appends after
//! it. 24 bytes for it are kept free in every segment.
//!
//! # Recovery
//! At open every segment is scanned. Where bytes are no valid frame the scan goes on in steps of 8.
//!
//! 1. **Torn tail.** Nothing valid after it: cut. It was never reported durable, or the disk lied.
//! 2. **Damage.** A valid later frame, or the next segment, proves that something was there. The positions
//!    missing are those between the neighbours: an exact count. The bytes are copied to a quarantine file;
//!    what follows survives. Damage within the last group before an unclean stop may never have been
//!    reported durable ([`Damage::synced`] is false): the power may have gone while it was written. Damage
//!    before that group had been.
//! 3. **Repair.** A segment with damage, and after an unclean stop the last segment in any case, is copied
//!    into another file (valid frames as they are, a lost-positions frame for each loss), synced, renamed
//!    over the old one, and the directory synced, before open returns. After a failed fsync the pages of
//!    the old file may count as clean although they are not on disk. So each damage is reported once; later
//!    starts count it in [`Recovery::known_lost`], and readers still report the gap.
//!    Where the disk has no room for a copy, the same bytes are written in the same place and synced; damage
//!    then stays, and is found again at the next start.
//! 4. A start is clean if the last frame is an orderly close, or nothing was ever appended.
//!
//! Not found: records lost from the very end by a disk that lies about syncs, if no later segment exists.
//! Whoever knows that a position had been reached says so by [`Config::first_position`].
//!
//! # When things fail
//! A failed write or sync is never tried again: the journal is [`Poisoned`], waiters fail, nothing is
//! appended any more. Durable records stay readable. A full disk poisons nothing: spare files run out,
//! `reserve` refuses ordinary records first, then essential ones when the reserve is used up, and grants
//! again when segments are cut or the disk has space. (A copy-on-write file system may still refuse a write
//! into an allocated file; that poisons.)

mod config;
mod error;
mod frame;
pub mod fs;
mod image;
mod journal;
mod ledger;
mod reader;
mod recover;
mod room;
mod scan;
mod segment;
mod spare;
mod stats;
mod writer;

pub use config::{Config, OnDurable};
pub use error::{AppendError, CutError, IoError, OpenError, Poisoned, ReadError, ReserveError};
pub use frame::FORMAT_VERSION;
pub use journal::Journal;
pub use ledger::Ledger;
pub use reader::{GapCause, Item, Reader, Record};
pub use recover::{Damage, Recovery};
pub use room::{Importance, Reservation};
pub use scan::{ScanSummary, scan_bytes};
pub use stats::Stats;

#[cfg(test)]
mod tests;
