//! What a sender sees: every status of remote write is chosen here.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode};
use weir_aggregate::shard::Outcome;
use weir_http::limits::BodyError;
use weir_journal::{AppendError, ReserveError};
use weir_model::{Class, Timestamp};
use weir_wire::DecodeError;
use weir_wire::compress::DecompressError;
use weir_wire::negotiate::{Unsupported, Version};

use crate::node::{Node, NotSynced};
use crate::pipeline::SubmitError;

/// Refused samples by reason.
pub type Refused = Vec<(&'static str, u64)>;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// What the sender's operator reads.
    pub message: String,
    /// Seconds after which to come again.
    pub retry_after: Option<u32>,
    /// For 2.0: samples, histograms and exemplars with a durable verdict other than refused.
    pub written: Option<[u64; 3]>,
    /// Samples that were refused.
    pub refused: Refused,
}

/// What a request held.
pub(super) struct Counted {
    /// Its version.
    pub(super) version: Version,
    /// Float samples.
    pub(super) floats: u64,
    /// Native histograms.
    pub(super) histograms: u64,
    /// Exemplars.
    pub(super) exemplars: u64,
}

/// The answer to a request that is durable.
pub(super) fn of(outcome: &Outcome, counted: Counted, first_future: Option<Timestamp>) -> Answer {
    let refused = outcome.counts.get(Class::Refused);
    let refused_histograms = counted.histograms.saturating_sub(outcome.histograms_written);
    let floats = counted.floats - refused.saturating_sub(refused_histograms).min(counted.floats);
    let written = super::counts_in_headers(counted.version).then_some([
        floats,
        outcome.histograms_written,
        counted.exemplars,
    ]);
    if refused == 0 {
        return Answer { written, ..Answer::new(StatusCode::NO_CONTENT, "") };
    }
    let mut reasons: Refused = Vec::new();
    for (_, refusal, samples) in &outcome.refusals {
        let reason = refusal.reason();
        match reasons.iter_mut().find(|(r, _)| *r == reason) {
            Some((_, count)) => *count += u64::from(*samples),
            None => reasons.push((reason, u64::from(*samples))),
        }
    }
    let known: u64 = reasons.iter().map(|(_, count)| count).sum();
    if refused > known {
        reasons.push(("too_far_in_the_future", refused - known));
    }
    let first = outcome.refusals.first().map(|(_, refusal, _)| refusal.to_string());
    let first = first.or_else(|| {
        first_future
            .map(|at| format!("timestamp {at} is too far in the future, see windows.future_max"))
    });
    let total = outcome.counts.total();
    let message = format!(
        "{refused} of {total} samples refused, the others are stored; the first: {}",
        first.unwrap_or_default()
    );
    Answer { written, refused: reasons, ..Answer::new(StatusCode::BAD_REQUEST, &message) }
}

impl Answer {
    fn new(status: StatusCode, message: &str) -> Self {
        Self {
            status,
            message: message.into(),
            retry_after: None,
            written: None,
            refused: Vec::new(),
        }
    }

    fn later(message: &str, seconds: u32) -> Self {
        Self { retry_after: Some(seconds), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, message) }
    }

    pub(super) fn stopping() -> Self {
        Self::later("this gateway is shutting down", 2)
    }

    pub(super) fn not_ready() -> Self {
        Self::later("this gateway is reading its log back, see /-/ready", 2)
    }

    pub(super) fn another_epoch() -> Self {
        Self::later("this gateway's data directory is another than the request is meant for", 1)
    }

    pub(super) fn not_owner() -> Self {
        Self::later("these series are not this member's: the table has just changed", 1)
    }

    /// An owner of some series has not taken them.
    pub fn owner_away(member: &str, why: &str) -> Self {
        Self::later(&format!("{member}, who owns some of these series: {why}"), 1)
    }

    pub(super) fn queue_full(node: &Node) -> Self {
        if node.queue.stats().disk_full.load(Ordering::Relaxed) {
            return Self::later("the send queue's disk is full", 10);
        }
        Self::later("the send queue is full: a backend is away for longer than it can hold", 10)
    }

    pub(super) fn clock_in_doubt() -> Self {
        Self::later("this gateway's clock has jumped, it takes no samples until it is steady", 5)
    }

    pub(super) fn memory() -> Self {
        Self::later("no memory for more requests", 2)
    }

    pub(super) fn log_failed() -> Self {
        Self::later("the log could not be written", 5)
    }

    pub(super) fn no_follower(why: &str) -> Self {
        Self::later(&format!("no follower is in step, so nothing can be acknowledged: {why}"), 1)
    }

    pub(super) fn too_large(max: usize) -> Self {
        let message = format!("the body is larger than http.max_body_size, {max} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, &message)
    }

    pub(super) fn no_tenant(header: &str) -> Self {
        let message = format!("name the tenant in the header {header}");
        Self::new(StatusCode::UNAUTHORIZED, &message)
    }

    pub(super) fn bad_tenant(why: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, why)
    }

    pub(super) fn over_limit(status: u16, max: u64) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::TOO_MANY_REQUESTS);
        let message = format!("the tenant is over its limit of {max} samples a second");
        Self { retry_after: Some(1), ..Self::new(status, &message) }
    }

    /// As HTTP.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::builder().status(self.status);
        if let Some(seconds) = self.retry_after {
            response = response.header("retry-after", seconds);
        }
        if let Some([samples, histograms, exemplars]) = self.written {
            response = response
                .header("x-prometheus-remote-write-samples-written", samples)
                .header("x-prometheus-remote-write-histograms-written", histograms)
                .header("x-prometheus-remote-write-exemplars-written", exemplars);
        }
        let mut body = self.message;
        if !body.is_empty() {
            response = response.header("content-type", "text/plain; charset=utf-8");
            body.push('\n');
        }
        response.body(Full::new(Bytes::from(body))).unwrap_or_default()
    }
}

impl From<NotSynced> for Answer {
    fn from(why: NotSynced) -> Self {
        match why {
            NotSynced::Failed(_) => Self::log_failed(),
            NotSynced::NoFollower(why) => Self::no_follower(&why),
        }
    }
}

impl From<Unsupported> for Answer {
    fn from(why: Unsupported) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, &why.to_string())
    }
}

impl From<DecompressError> for Answer {
    fn from(why: DecompressError) -> Self {
        let status = match why {
            DecompressError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, &why.to_string())
    }
}

impl From<DecodeError> for Answer {
    fn from(why: DecodeError) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &why.to_string())
    }
}

impl From<BodyError> for Answer {
    fn from(why: BodyError) -> Self {
        let status = match why {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Timeout => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken => StatusCode::BAD_REQUEST,
        };
        Self::new(status, &why.to_string())
    }
}

impl From<ReserveError> for Answer {
    fn from(why: ReserveError) -> Self {
        match why {
            ReserveError::TooLarge { max, .. } => {
                Self::too_large(usize::try_from(max).unwrap_or(usize::MAX))
            }
            ReserveError::Queue { .. } => Self::later("the disk is behind", 1),
            ReserveError::Quota | ReserveError::Disk => Self::later("the log's disk is full", 10),
            ReserveError::Poisoned(_) => Self::log_failed(),
        }
    }
}

impl From<SubmitError> for Answer {
    fn from(why: SubmitError) -> Self {
        match why {
            SubmitError::Reserve(why) => why.into(),
            SubmitError::Append(_) => Self::log_failed(),
            SubmitError::Moving => Self::later(&why.to_string(), 1),
        }
    }
}

impl From<AppendError> for Answer {
    fn from(_: AppendError) -> Self {
        Self::log_failed()
    }
}
