//! What the gateway's log holds: one kind of record for each thing that decides about samples.
//!
//! The journal knows positions, checksums and durability; this knows what a payload means.
//! `docs/DISK_FORMAT.md` has the layouts. Invariant: replaying records in the order of positions
//! gives the same verdicts and the same windows, without a clock and without any other file.

pub mod records;
pub mod tier;

pub use records::{BatchRecord, ConfigRecord, FrontierRecord, RecordError};
pub use tier::{PartialsRecord, PlacementRecord, WaiveRecord};

/// A request body with what decided about it.
pub const BATCH: u8 = 1;
/// The frontier of virtual shards has moved.
pub const FRONTIER: u8 = 2;
/// A configuration came into force.
pub const CONFIG: u8 = 3;
/// The placement table has changed.
pub const PLACEMENT: u8 = 4;
/// What another node has of windows.
pub const PARTIALS: u8 = 5;
/// A member is not waited for.
pub const WAIVE: u8 = 6;

/// The epoch of all virtual shards while there is one node.
pub const FIRST_EPOCH: u64 = 1;
