//! Checkpoints: where replay starts, so that it reads a minute of the log and not its life.
//!
//! Kept in a journal of its own, always two of them: where the newest is damaged on disk, the one
//! before it and a longer piece of the log give the same state. A cycle is: each worker's virtual shards, each at its own
//! position; then the output groups, at a position that is not before any of those; then COMPLETE,
//! which is what makes the cycle count. Replay starts after the lowest position and leaves out, for
//! each virtual shard, what stands behind its own. Invariant: nothing is cut
//! that the cycle before the last complete one needs.

pub mod load;
pub mod writer;

use weir_model::{Timestamp, VShard};

pub use load::{Loaded, load};
pub use writer::{Abandoned, CheckpointFacts, Checkpointer, CurrentConfig};

/// State of one virtual shard.
pub const SHARD: u8 = 1;
/// State of the output groups.
pub const HOME: u8 = 2;
/// A cycle is complete.
pub const COMPLETE: u8 = 3;

/// A virtual shard's state at a position.
#[derive(Clone)]
pub struct ShardState {
    /// Which.
    pub vshard: VShard,
    /// All records up to it are in the state.
    pub position: u64,
    /// The snapshot.
    pub bytes: Vec<u8>,
}

/// What workers tell the checkpoint writer.
pub enum ShardPart {
    /// A worker begins a cycle; it has handled all records up to this position.
    Begin {
        /// The cycle.
        cycle: u64,
        /// The position.
        position: u64,
    },
    /// One virtual shard of a cycle.
    State(u64, ShardState),
    /// The worker has written all its virtual shards, or given up for another configuration.
    Done(u64),
}

/// What must not be cut while a complete cycle may be needed.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Its first record among the checkpoints.
    pub first: u64,
    /// The last position of the log that it does not need.
    pub replay_from: u64,
    /// The first position of the queue that it needs.
    pub queue_mark: u64,
}

/// The output groups at a position.
pub struct HomeState {
    /// All records up to it are in the state.
    pub position: u64,
    /// The frontier through which windows have been closed.
    pub frontier: Timestamp,
    /// Their snapshot.
    pub bytes: Vec<u8>,
    /// Frames of later positions stand in the queue from here on.
    pub queue_mark: u64,
}
