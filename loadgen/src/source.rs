//! Where requests come from: made, or captured.
//!
//! Invariant: whoever sends does not know which.

use crate::body::{Body, Scratch};
use crate::replay::Replay;
use crate::sender::Endpoint;
use crate::sender::owners::Doors;
use crate::workload::{Request, Slot, Step, Workload};

/// Requests of one kind or the other.
#[derive(Clone, Debug)]
pub enum Source {
    /// By a workload.
    Made(Box<Workload>),
    /// By captures.
    Replayed(Replay),
}

impl Source {
    /// Requests of a round.
    pub fn slots(&self) -> u64 {
        match self {
            Self::Made(workload) => workload.slots(),
            Self::Replayed(replay) => replay.len(),
        }
    }

    /// Samples of a slot's requests.
    pub fn samples_of(&self, slot: u64) -> u64 {
        match self {
            Self::Made(workload) => workload.samples_of(slot),
            Self::Replayed(replay) => replay.samples_of(slot),
        }
    }

    /// Samples of a round.
    pub fn samples(&self) -> u64 {
        match self {
            Self::Made(workload) => workload.shape().series * workload.shape().replicas.count(),
            Self::Replayed(replay) => replay.samples(),
        }
    }

    /// A slot's next request.
    pub fn step(&self, slot: &mut Slot, number: u64, due: i64) -> Option<Step> {
        match self {
            Self::Made(workload) => slot.step(workload, number, due),
            Self::Replayed(_) => {
                let request = Request { number, time: due, since: due };
                Some(Step { request, repeats: false, malformed: None })
            }
        }
    }

    /// Changes whenever a slot's body must be written anew.
    pub fn label_version(&self, request: &Request) -> u64 {
        match self {
            Self::Made(workload) => workload.label_version(request),
            Self::Replayed(_) => 0,
        }
    }

    /// Writes the body of a request's slot.
    pub fn body(&self, request: &Request, endpoint: &Endpoint) -> Body {
        match self {
            Self::Made(workload) => {
                Body::new(workload, request, endpoint.protocol, endpoint.compression)
            }
            Self::Replayed(_) => Body::default(),
        }
    }

    /// Makes it the request's.
    pub fn fill(
        &self,
        request: &Request,
        body: &mut Body,
        endpoint: &Endpoint,
        scratch: &mut Scratch,
    ) {
        match self {
            Self::Made(workload) => body.fill(workload, request, scratch),
            Self::Replayed(replay) => replay.fill(request, body, endpoint.compression, scratch),
        }
    }

    /// The place of the owner of a request's first series.
    pub fn place(&self, request: &Request, doors: &Doors) -> Option<usize> {
        match self {
            Self::Made(workload) => workload.with_first(request, |series| doors.place(series))?,
            Self::Replayed(_) => None,
        }
    }

    /// The slot's content type, where it is not the endpoint's.
    pub fn content_type(&self, slot: u64) -> Option<&'static str> {
        match self {
            Self::Made(_) => None,
            Self::Replayed(replay) => Some(replay.content_type(slot)),
        }
    }
}
