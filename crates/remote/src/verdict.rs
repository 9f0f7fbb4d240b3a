//! What a backend's answer means: one pure function from status, headers and text to a verdict.
//!
//! Invariant: no verdict drops data that the backend may still take, and none retries for ever
//! what it can never take. The rows come from the remote write specifications and from what
//! Prometheus, Cortex, Mimir, M3, VictoriaMetrics and Thanos answer in practice; the tests hold
//! their real message texts. Nothing here sends, waits or counts.

use std::time::Duration;

use weir_wire::{Encoding, Version};

/// Which backend stands behind a URL, where that changes what an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// Not said: what all have in common, and peculiarities recognised by their text.
    #[default]
    Auto,
    /// Prometheus with the remote write receiver.
    Prometheus,
    /// Cortex.
    Cortex,
    /// Grafana Mimir.
    Mimir,
    /// M3 coordinator: never inspects the content type, so it must never get 2.0.
    M3,
    /// VictoriaMetrics or vmagent: decodes a 2.0 body as an empty 1.0 one.
    VictoriaMetrics,
    /// Thanos receive: answers conflicts with 409.
    Thanos,
}

impl Kind {
    /// Whether this backend may get remote write 2.0 at all.
    pub fn may_speak_v2(self) -> bool {
        !matches!(self, Self::M3 | Self::VictoriaMetrics)
    }

    /// Whether zstd is worth a try; the others are known to take snappy alone.
    pub fn may_take_zstd(self) -> bool {
        matches!(self, Self::Auto | Self::VictoriaMetrics)
    }
}

/// Why a sample was refused: the `reason` label of what is set aside.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(usize)]
pub enum Reason {
    /// Older than what the backend has of the series.
    OutOfOrder = 0,
    /// Same timestamp, another value.
    Duplicate,
    /// Behind the backend's bound.
    TooOld,
    /// Ahead of the backend's bound.
    TooNew,
    /// Labels that the backend does not take.
    Labels,
    /// A limit on series or on what a series may have.
    Limit,
    /// A single sample that is still too large a request.
    TooLarge,
    /// Over a rate, and `retry_on_http_429` is off.
    RateLimited,
    /// M3 has no namespace for the storage policy that the headers ask for.
    UnknownStoragePolicy,
    /// Cannot be written in the protocol in use.
    Unencodable,
    /// The search for culprits used up its requests.
    Unsplit,
    /// Anything else that the specification forbids to retry.
    Other,
}

/// All reasons in the order of their numbers.
pub const REASONS: [Reason; 12] = [
    Reason::OutOfOrder,
    Reason::Duplicate,
    Reason::TooOld,
    Reason::TooNew,
    Reason::Labels,
    Reason::Limit,
    Reason::TooLarge,
    Reason::RateLimited,
    Reason::UnknownStoragePolicy,
    Reason::Unencodable,
    Reason::Unsplit,
    Reason::Other,
];

impl Reason {
    /// The value of the `reason` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out_of_order",
            Self::Duplicate => "duplicate",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::Labels => "labels",
            Self::Limit => "limit",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::UnknownStoragePolicy => "unknown_storage_policy",
            Self::Unencodable => "unencodable",
            Self::Unsplit => "unsplit",
            Self::Other => "other",
        }
    }

    /// Whether a sample that may have been sent before gets this answer because it is there.
    pub fn means_already_stored(self) -> bool {
        matches!(self, Self::OutOfOrder | Self::Duplicate)
    }
}

/// What a 2.0 receiver says it has written; `None` where the header is absent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Written {
    /// `X-Prometheus-Remote-Write-Samples-Written`.
    pub samples: Option<u64>,
    /// `X-Prometheus-Remote-Write-Histograms-Written`.
    pub histograms: Option<u64>,
    /// `X-Prometheus-Remote-Write-Exemplars-Written`.
    pub exemplars: Option<u64>,
}

impl Written {
    /// Whether not one of the three headers is there.
    pub fn is_absent(&self) -> bool {
        self.samples.is_none() && self.histograms.is_none() && self.exemplars.is_none()
    }

    /// Samples of both kinds; a single missing header counts as 0.
    pub fn samples_total(&self) -> u64 {
        self.samples.unwrap_or(0) + self.histograms.unwrap_or(0)
    }
}

/// An answer, as far as it matters.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, already as a duration.
    pub retry_after: Option<Duration>,
    /// The `…-Written` headers.
    pub written: Written,
    /// The body's beginning.
    pub text: &'a str,
}

/// What was asked, as far as it changes the meaning of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The backend.
    pub kind: Kind,
    /// The protocol of the request.
    pub protocol: Version,
    /// Its encoding.
    pub compression: Encoding,
    /// Whether the backend has ever taken a request in this encoding.
    pub compression_proven: bool,
    /// Samples of both kinds in it.
    pub samples: u64,
    /// Whether a 429 is retried.
    pub retry_on_429: bool,
}

/// Something simpler to speak from now on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fallback {
    /// Remote write 1.0.
    V1,
    /// Snappy instead of zstd.
    Snappy,
}

/// What to do with the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Stored, or taken over by the backend. `unwritten` samples it claims not to have written
    /// although it answers 2xx: they are counted as failed.
    Delivered {
        /// Samples that a 2xx leaves out.
        unwritten: u64,
    },
    /// The backend has these samples already, or newer ones; the rest of the request is stored.
    Conflict,
    /// Try the same again, not before `after`.
    Retry {
        /// What the backend asks for.
        after: Option<Duration>,
    },
    /// Try the same again a bounded number of times, then set it aside.
    RetryBounded {
        /// Why it is set aside in the end.
        reason: Reason,
    },
    /// Try the same again, slowly and loudly: the configuration is wrong, not the data.
    Blocked,
    /// Something in the request is refused: find it. Other parts may have been stored.
    Split {
        /// What the text says of the first culprit.
        reason: Reason,
    },
    /// Refused as a whole and for ever.
    SetAside {
        /// Why.
        reason: Reason,
    },
    /// Say it again in simpler words.
    FallBack(Fallback),
}

/// Reads an answer.
pub fn judge(answer: &Answer<'_>, asked: &Asked) -> Verdict {
    match answer.status {
        // Cortex and Mimir: deduplicated by their HA tracker. A success, whatever was written.
        202 => Verdict::Delivered { unwritten: 0 },
        200..=299 => judge_success(answer, asked),
        300..=399 | 401 | 403 | 404 | 405 | 407 | 501 | 505 => Verdict::Blocked,
        400 | 422 => judge_bad_request(answer, asked),
        408 => retry(answer),
        409 if matches!(asked.kind, Kind::Thanos | Kind::Auto) => Verdict::Conflict,
        413 => Verdict::Split { reason: Reason::TooLarge },
        415 => judge_unsupported(asked),
        429 if asked.retry_on_429 => retry(answer),
        429 => Verdict::SetAside { reason: Reason::RateLimited },
        500 if is_unknown_policy(answer, asked) => {
            Verdict::RetryBounded { reason: Reason::UnknownStoragePolicy }
        }
        500..=599 => retry(answer),
        _ => Verdict::SetAside { reason: read_reason(answer.text) },
    }
}

fn retry(answer: &Answer<'_>) -> Verdict {
    Verdict::Retry { after: answer.retry_after }
}

fn judge_success(answer: &Answer<'_>, asked: &Asked) -> Verdict {
    if asked.protocol == Version::V1 {
        return Verdict::Delivered { unwritten: 0 };
    }
    // A 1.0 receiver decodes a 2.0 body as an empty request and is content with it.
    if answer.written.is_absent() {
        return Verdict::FallBack(Fallback::V1);
    }
    let unwritten = asked.samples.saturating_sub(answer.written.samples_total());
    Verdict::Delivered { unwritten }
}

fn judge_bad_request(answer: &Answer<'_>, asked: &Asked) -> Verdict {
    // VictoriaMetrics and M3 answer 400 to an encoding that they do not know.
    if asked.compression == Encoding::Zstd && !asked.compression_proven {
        return Verdict::FallBack(Fallback::Snappy);
    }
    let all_written = answer.written.samples_total() >= asked.samples && asked.samples > 0;
    if asked.protocol == Version::V2 && all_written {
        return Verdict::Delivered { unwritten: 0 };
    }
    Verdict::Split { reason: read_reason(answer.text) }
}

fn judge_unsupported(asked: &Asked) -> Verdict {
    match (asked.compression, asked.protocol) {
        (Encoding::Zstd, _) => Verdict::FallBack(Fallback::Snappy),
        (Encoding::Snappy, Version::V2) => Verdict::FallBack(Fallback::V1),
        (Encoding::Snappy, Version::V1) => Verdict::Blocked,
    }
}

/// M3 answers a storage policy that it does not have with a plain 500, for ever.
fn is_unknown_policy(answer: &Answer<'_>, asked: &Asked) -> bool {
    matches!(asked.kind, Kind::M3 | Kind::Auto)
        && answer.text.contains("no configured cluster namespace")
}

/// Words in the texts of Prometheus, Cortex, Mimir, M3 and Thanos, the most telling first.
const WORDS: [(&str, Reason); 24] = [
    ("err-mimir-sample-out-of-order", Reason::OutOfOrder),
    ("out of order sample", Reason::OutOfOrder),
    ("out-of-order sample", Reason::OutOfOrder),
    ("err-mimir-sample-duplicate-timestamp", Reason::Duplicate),
    ("duplicate sample for timestamp", Reason::Duplicate),
    ("err-mimir-sample-timestamp-too-old", Reason::TooOld),
    ("too far in past", Reason::TooOld),
    ("too old", Reason::TooOld),
    ("err-mimir-too-far-in-future", Reason::TooNew),
    ("too far in the future", Reason::TooNew),
    ("too far in future", Reason::TooNew),
    ("too new", Reason::TooNew),
    ("out of bounds", Reason::TooOld),
    ("series limit", Reason::Limit),
    ("number of labels exceeds", Reason::Limit),
    ("too many labels", Reason::Limit),
    ("too many HA clusters", Reason::Limit),
    ("err-mimir-max", Reason::Limit),
    ("too long", Reason::Limit),
    ("label", Reason::Labels),
    ("metric name", Reason::Labels),
    ("out of order", Reason::OutOfOrder),
    ("duplicate", Reason::Duplicate),
    ("too large", Reason::TooLarge),
];

/// What an error's text says of its first culprit.
pub fn read_reason(text: &str) -> Reason {
    let found = WORDS.iter().find(|(word, _)| text.contains(word));
    found.map_or(Reason::Other, |&(_, reason)| reason)
}

#[cfg(test)]
mod tests;
