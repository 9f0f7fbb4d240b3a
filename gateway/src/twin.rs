//! A data directory's twin on another member: every change of a file, in its order, applied twice.
//!
//! [`TwinFs`] stands between the journals and the disk and tells [`Outgoing`] what they do;
//! [`Outgoing`] keeps it until the follower has it, and holds syncs until then; [`Applier`] does the
//! same changes in the twin. A copy of what was there before travels in the same stream, between the
//! changes, so nothing has to stand still for it. Invariant: what a journal takes for synced while the
//! twin is in step is synced in both directories. Who follows whom, and what a twin is for, is decided in
//! [`crate::cluster::follow`]; here are no sockets and no clocks.

mod apply;
mod copying;
mod fs;
mod name;
mod op;
mod outgoing;

pub use apply::{Applier, ApplyError};
pub use fs::TwinFs;
pub use op::{Op, OpError, PIECE_BYTES};
pub use outgoing::{Batch, Outgoing, Step};
