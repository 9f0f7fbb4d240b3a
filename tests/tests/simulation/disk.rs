//! What a gateway has on disk: log, queue, exchange, checkpoint, the table, the destination's cursor. A
//! crash takes what was not synced, or leaves a part of it.
//!
//! Invariant: a frame is in the queue, and what others are told in the exchange, only once the log is
//! synced past its position; a checkpoint counts only once all that it stands for is synced.

use std::sync::Arc;

use weir_aggregate::home::Epochs;
use weir_gateway::wal::PlacementRecord;
use weir_loadgen::samples::Sample;
use weir_loadgen::torture::dice::Dice;
use weir_model::VShard;
use weir_ring::{OwnedSet, Table};

use crate::gateway::State;

/// A record of the log; its place is its position.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// A request of an agent, or this gateway's part of one; `order` says what was logged first, here
    /// or elsewhere.
    Batch { request: u64, order: u64, body: Vec<u8> },
    /// The frontier of this gateway's virtual shards, and how long a pause was that is not over.
    Frontier { to: i64, paused_ms: i64 },
    /// A piece of another gateway's stream.
    Partials { origin: usize, items: Vec<Item> },
    /// The table in force.
    Placement(Arc<PlacementRecord>),
    /// Virtual shards are given away.
    Release(Arc<Release>),
    /// Virtual shards are taken over.
    Adopt(Arc<Adopt>),
    /// What was given away is another's.
    Settled,
    /// Windows up to a time do not wait for another.
    Waive { origin: usize, through: i64 },
}

#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) to: usize,
    pub(crate) vshards: OwnedSet,
    pub(crate) after: PlacementRecord,
}

#[derive(Debug)]
pub(crate) struct Adopt {
    /// Whose they were; this gateway itself where it takes them back.
    pub(crate) from: usize,
    /// The release's position.
    pub(crate) id: usize,
    pub(crate) vshards: OwnedSet,
    pub(crate) after: PlacementRecord,
    pub(crate) state: Arc<Carried>,
}

/// What moves with virtual shards.
#[derive(Debug)]
pub(crate) struct Carried {
    pub(crate) vshards: Vec<(VShard, Vec<u8>)>,
    pub(crate) groups: Vec<u8>,
    /// Where the giver's own frontier stood.
    pub(crate) frontier: i64,
    /// Through where windows of groups are closed in it.
    pub(crate) closed: i64,
}

/// An item of a stream, with its place in it.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) place: u64,
    pub(crate) what: What,
}

/// What gateways tell each other.
#[derive(Clone, Debug)]
pub(crate) enum What {
    /// Parts of groups that live there, and whose they are.
    Parts { to: usize, of: usize, bytes: Vec<u8> },
    /// All windows that end by then have been told, by who knew so much of moves.
    Mark(i64, Epochs),
}

/// An entry of the exchange.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Of the record that determines it.
    pub(crate) position: usize,
    pub(crate) what: What,
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

pub(crate) struct Disk {
    pub(crate) log: Vec<Record>,
    /// Records before this are durable.
    pub(crate) log_synced: usize,
    pub(crate) queue: Vec<Frame>,
    /// Frames before this are durable.
    pub(crate) queue_synced: usize,
    pub(crate) exchange: Vec<Told>,
    /// Entries before this are durable.
    pub(crate) exchange_synced: usize,
    pub(crate) checkpoint: Option<Checkpoint>,
    /// Written and synced at once.
    pub(crate) table: Table,
    /// What is its gateway's by it.
    pub(crate) owned: OwnedSet,
    /// Frames before this are delivered; stored behind what is.
    pub(crate) cursor: usize,
}

impl Disk {
    /// With nothing on it but the first table; `own` is whose disk it is.
    pub(crate) fn new(table: Table, own: &str) -> Self {
        Self {
            log: Vec::new(),
            log_synced: 0,
            queue: Vec::new(),
            queue_synced: 0,
            exchange: Vec::new(),
            exchange_synced: 0,
            checkpoint: None,
            owned: table.owned_by(own),
            table,
            cursor: 0,
        }
    }

    /// The power goes: of what was not synced any part may be there, from its beginning on.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
        let mut left =
            |synced: usize, all: usize| synced + dice.between(0, (all - synced) as u64) as usize;
        self.log.truncate(left(self.log_synced, self.log.len()));
        self.queue.truncate(left(self.queue_synced, self.queue.len()));
        self.exchange.truncate(left(self.exchange_synced, self.exchange.len()));
        self.sync();
    }

    /// A start syncs what it found before it serves.
    pub(crate) fn sync(&mut self) {
        self.log_synced = self.log.len();
        self.queue_synced = self.queue.len();
        self.exchange_synced = self.exchange.len();
    }

    /// How long a pause was that was not over at the last frontier.
    pub(crate) fn paused_ms(&self) -> i64 {
        let paused = |record: &Record| match record {
            Record::Frontier { paused_ms, .. } => Some(*paused_ms),
            _ => None,
        };
        self.log.iter().rev().find_map(paused).unwrap_or(0)
    }

    /// Past this position others have been told nothing; a frontier whose mark is missing is told anew.
    pub(crate) fn told_through(&self) -> Option<usize> {
        let marks = self.exchange.iter().rev().filter(|told| matches!(told.what, What::Mark(..)));
        marks.map(|mark| mark.position).next()
    }

    /// What another gateway has not got of what is durable, a few items.
    pub(crate) fn stream(&self, to: usize, past: u64, most: usize) -> Vec<Item> {
        let durable = self.exchange[..self.exchange_synced].iter().zip(1..).skip(past as usize);
        let its = durable.filter(|(told, _)| match told.what {
            What::Parts { to: other, .. } => other == to,
            What::Mark(..) => true,
        });
        its.take(most).map(|(told, place)| Item { place, what: told.what.clone() }).collect()
    }
}
