//! What is on its way between agents and gateways.

use std::sync::Arc;

use weir_ring::{OwnedSet, Table};

use crate::disk::{Carried, Item};

/// What is on its way.
#[derive(Clone)]
pub(crate) enum Message {
    /// An agent's request, to any gateway.
    Request { agent: usize, to: usize, request: u64, body: Vec<u8> },
    /// All owners have it.
    Answer { agent: usize, request: u64 },
    /// From one gateway to another.
    Between { from: usize, to: usize, what: Between },
}

/// What gateways say to each other.
#[derive(Clone)]
pub(crate) enum Between {
    /// An owner's part of a request.
    Forward { request: u64, body: Vec<u8> },
    /// The owner has it.
    Forwarded { request: u64 },
    /// A piece of the sender's stream.
    Partials(Vec<Item>),
    /// It was taken up to a place.
    Taken { place: u64 },
    /// The sender's table.
    Table(Arc<Table>),
    /// Virtual shards will come: the receiver's frontier is to stand still.
    Prepare,
    /// It stands here.
    Prepared { frontier: i64 },
    /// Virtual shards and their state.
    Adopt { id: usize, vshards: Box<OwnedSet>, state: Arc<Carried> },
    /// They are there.
    Adopted { id: usize },
    /// They are not wanted.
    Refused { id: usize },
    /// What they did is in the table.
    Done(Arc<Table>),
}

impl Message {
    /// The gateway that it is for, where it is for one.
    pub(crate) fn to(&self) -> Option<usize> {
        match *self {
            Self::Request { to, .. } | Self::Between { to, .. } => Some(to),
            Self::Answer { .. } => None,
        }
    }

    /// The two gateways that it passes between.
    pub(crate) fn ends(&self) -> Option<(usize, usize)> {
        match *self {
            Self::Between { from, to, .. } => Some((from, to)),
            Self::Request { .. } | Self::Answer { .. } => None,
        }
    }
}
