//! What a gateway has on disk: log, queue, checkpoint, the destination's cursor. A crash takes what
//! was not synced, or leaves a part of it.
//!
//! Invariant: a frame is in the queue only once the log is synced past its position, and a checkpoint
//! counts only once all that it stands for is synced.

use weir_loadgen::samples::Sample;
use weir_loadgen::torture::dice::Dice;

use crate::gateway::State;

/// A record of the log; its place is its position.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// A request of an agent, as it came.
    Batch { request: u64, body: Vec<u8> },
    /// The frontier of all virtual shards.
    Frontier(i64),
}

/// A frame of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Of the record that determines it.
    pub(crate) position: usize,
    /// The window's end, for outputs.
    pub(crate) window_end: Option<i64>,
    pub(crate) samples: Vec<Sample>,
}

/// A state as of a position, to start from.
#[derive(Clone)]
pub(crate) struct Checkpoint {
    /// Records before this are in it.
    pub(crate) position: usize,
    pub(crate) state: State,
}

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) log: Vec<Record>,
    /// Records before this are durable.
    pub(crate) log_synced: usize,
    pub(crate) queue: Vec<Frame>,
    /// Frames before this are durable.
    pub(crate) queue_synced: usize,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Frames before this are delivered; stored behind what is.
    pub(crate) cursor: usize,
}

impl Disk {
    /// The power goes: of what was not synced any part may be there, from its beginning on.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        let mut left =
            |synced: usize, all: usize| synced + dice.between(0, (all - synced) as u64) as usize;
        let log = left(self.log_synced, self.log.len());
        let queue = left(self.queue_synced, self.queue.len());
        self.log.truncate(log);
        self.queue.truncate(queue);
        // A start syncs what it found before it serves.
        (self.log_synced, self.queue_synced) = (log, queue);
    }
}
