//! The two sides of a sender that are not its own: where frames come from, and how requests go.
//!
//! Tests stand in for both. The journal's side is in [`crate::source`], the HTTP client's in
//! [`crate::transport`].

use std::future::Future;
use std::time::SystemTime;

use bytes::Bytes;
use weir_wire::negotiate::{
    EXEMPLARS_WRITTEN_HEADER, HISTOGRAMS_WRITTEN_HEADER, SAMPLES_WRITTEN_HEADER,
};

use crate::outbox::Outcome;
use crate::request::Post;
use crate::retry::parse_retry_after;
use crate::verdict::Written;

/// What a queue has at its reader's place.
#[derive(Clone, Debug)]
pub enum Queued {
    /// A frame.
    Frame {
        /// Its position.
        position: u64,
        /// What was appended.
        payload: Bytes,
    },
    /// One that another destination takes, at this position.
    Elsewhere(u64),
    /// Positions that are not there: cut, or damaged on disk.
    Missing {
        /// The first one.
        from: u64,
        /// The first one after them.
        to: u64,
    },
}

/// What is in a queue from a position on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Backlog {
    /// Frames.
    pub frames: u64,
    /// Bytes on disk, about.
    pub bytes: u64,
}

/// One destination's view of the queue. Positions count frames: the next one is one more.
pub trait Frames: Send + 'static {
    /// The next durable frame, if there is one; it does not wait.
    fn next(&mut self) -> Result<Option<Queued>, FramesError>;

    /// The position after the last durable frame.
    fn end(&self) -> u64;

    /// What is durable from this position on.
    fn backlog(&self, from: u64) -> Backlog;

    /// Ends once more frames have become durable since it was last asked. May be dropped half-way.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;
}

/// Where a destination's cursor is kept.
pub trait CursorStore: Send + Sync + 'static {
    /// Stores the first position that is not done, durably. May block.
    fn save(&self, position: u64) -> Result<(), FramesError>;
}

/// The disk failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct FramesError(pub String);

/// Sends requests to one destination. It knows the URL, the timeout, TLS and credentials.
pub trait Transport: Send + Sync + 'static {
    /// Posts a request and waits for the answer, not longer than the timeout.
    fn post(&self, post: Post) -> impl Future<Output = Result<Reply, PostError>> + Send;

    /// Which of several endpoints is in use, where the transport knows of any.
    fn endpoint(&self) -> Option<EndpointView> {
        None
    }
}

/// Where a destination's requests go now.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EndpointView {
    /// The endpoint, as people know it.
    pub in_use: String,
    /// How often another one had to be taken.
    pub failovers: u64,
    /// [`weir_ring::OWNERS_HEADER`] of the last answer that had one: this is a tier.
    pub owners: Option<String>,
}

/// An answer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` as it stands.
    pub retry_after: Option<String>,
    /// The `…-Written` headers.
    pub written: Written,
    /// The body's beginning.
    pub text: String,
}

/// Bytes of an answer's body that are read as text.
const TEXT_BYTES_MAX: usize = 4096;

impl Reply {
    /// Picks what matters out of an answer; `header` looks a header up by its name.
    pub fn new(status: u16, header: &dyn Fn(&str) -> Option<String>, body: &[u8]) -> Self {
        let count = |name: &str| header(name).and_then(|v| v.trim().parse().ok());
        Self {
            status,
            retry_after: header("Retry-After"),
            written: Written {
                samples: count(SAMPLES_WRITTEN_HEADER),
                histograms: count(HISTOGRAMS_WRITTEN_HEADER),
                exemplars: count(EXEMPLARS_WRITTEN_HEADER),
            },
            text: String::from_utf8_lossy(&body[..body.len().min(TEXT_BYTES_MAX)]).into_owned(),
        }
    }

    /// As the state machine takes it; `now` is what a `Retry-After` date is relative to.
    pub(crate) fn into_outcome(self, now: SystemTime) -> Outcome {
        let after = self.retry_after.as_deref();
        Outcome::Answered {
            status: self.status,
            retry_after: after.and_then(|v| parse_retry_after(v, now)),
            written: self.written,
            text: self.text,
        }
    }
}

/// No answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{text}")]
pub struct PostError {
    /// Why.
    pub text: String,
    /// Whether the backend may have acted on the request.
    pub maybe_sent: bool,
}
