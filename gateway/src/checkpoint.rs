//! Checkpoints: where replay starts, so that it reads a minute of the log and not its life.
//!
//! Kept in a journal of its own. A cycle is: each worker's virtual shards, each at its own
//! position; then the output groups, at a position that is not before any of those; then COMPLETE,
//! which is what makes the cycle count. Replay starts after the lowest position and leaves out, for
//! each virtual shard, what stands behind its own. Invariant: the log and the cycle before are cut
//! only once COMPLETE is durable.

pub mod load;
pub mod writer;

use weir_model::{Timestamp, VShard};

pub use load::{Loaded, load};
pub use writer::{CheckpointFacts, Checkpointer, CurrentConfig};

/// State of one virtual shard.
pub const SHARD: u8 = 1;
/// State of the output groups.
pub const HOME: u8 = 2;
/// A cycle is complete.
pub const COMPLETE: u8 = 3;

/// A virtual shard's state at a position.
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
