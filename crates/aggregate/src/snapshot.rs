//! A virtual shard's state, to and from bytes: what a checkpoint holds and a move carries.
//!
//! Self-contained: label pairs, tenants, replicas and rules are written out (rules as their
//! identity), so the reader may have other workers, other rule numbers, another process. What can
//! be worked out again is left out: aliases, plans, cells. `docs/DISK_FORMAT.md` has the layout.

pub(crate) mod complex;
mod home;
mod read;
mod waiting;
mod windows;
mod write;

pub(crate) use home::{read_group, write_group};
pub use read::RestoreError;
pub(crate) use waiting::{WaitingPart, read_row, write_row};

/// Version of the layout.
const VERSION: u64 = 2;
