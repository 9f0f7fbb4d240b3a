//! Everything an outbox says: counters, the status page's texts, rate-limited logs.
//!
//! Nothing here decides anything.

use std::sync::Arc;

use super::Now;
use crate::metrics::{GivenUp, Metrics, SetAside, State, StatusCell};
use crate::unit::{Series, Unit};
use crate::verdict::{Fallback, Reason};
use weir_wire::Version;

/// Log lines of one kind in a minute; the rest is counted in the next line.
const LINES_A_MINUTE: u32 = 10;
/// Characters of a backend's text that are shown.
const TEXT_CHARS_MAX: usize = 300;

/// Where an outbox reports to.
#[derive(Debug)]
pub(super) struct Report {
    name: String,
    metrics: Arc<Metrics>,
    status: Arc<StatusCell>,
    errors: Throttle,
    set_aside: Throttle,
}

impl Report {
    pub(super) fn new(name: String, metrics: Arc<Metrics>, status: Arc<StatusCell>) -> Self {
        Self { name, metrics, status, errors: Throttle::default(), set_aside: Throttle::default() }
    }

    pub(super) fn protocol(&self, protocol: Version) {
        let number = match protocol {
            Version::V1 => 1,
            Version::V2 => 2,
        };
        Metrics::set(&self.metrics.protocol, number);
    }

    pub(super) fn open_requests(&self, count: usize) {
        Metrics::set(&self.metrics.batches_open, count as u64);
    }

    pub(super) fn request(&self, status: Option<u16>) {
        self.metrics.count_request(status);
    }

    pub(super) fn given_up(&self, reason: GivenUp, samples: usize) {
        self.metrics.count_given_up(reason, samples);
    }

    pub(super) fn delivered(&self, samples: usize, unwritten: u64, text: &str) {
        let unwritten = usize::try_from(unwritten).unwrap_or(samples).min(samples);
        Metrics::count(&self.metrics.samples_sent, samples - unwritten);
        Metrics::count(&self.metrics.samples_unwritten, unwritten);
        if unwritten > 0 {
            let (destination, answer) = (&self.name, excerpt(text));
            tracing::error!(destination, unwritten, answer, "a 2xx that leaves samples out");
        }
        self.status.set_state(State::Sending);
    }

    pub(super) fn conflict(&self, samples: usize, text: &str) {
        Metrics::count(&self.metrics.samples_repeated, samples);
        let (destination, answer) = (&self.name, excerpt(text));
        tracing::debug!(destination, samples, answer, "conflict: stored already");
        self.status.set_state(State::Sending);
    }

    pub(super) fn repeated(&self, samples: usize) {
        Metrics::count(&self.metrics.samples_repeated, samples);
    }

    pub(super) fn retrying(&mut self, text: &str, samples: usize, now: Now) {
        Metrics::count(&self.metrics.samples_retried, samples);
        self.status.set_error(State::Retrying, excerpt(text), now.wall_ms);
        if let Some(suppressed) = self.errors.pass(now.mono_ms) {
            let (destination, error) = (&self.name, excerpt(text));
            tracing::warn!(destination, error, suppressed, "sending failed, will be tried again");
        }
    }

    pub(super) fn blocked(&mut self, text: &str, samples: usize, now: Now) {
        Metrics::count(&self.metrics.samples_retried, samples);
        self.status.set_error(State::Blocked, excerpt(text), now.wall_ms);
        if let Some(suppressed) = self.errors.pass(now.mono_ms) {
            let (destination, error) = (&self.name, excerpt(text));
            tracing::error!(
                destination,
                error,
                suppressed,
                "the backend refuses this sender: check url, credentials and headers"
            );
        }
    }

    pub(super) fn split(&self) {
        Metrics::count(&self.metrics.splits, 1);
    }

    pub(super) fn stripped(&self) {
        Metrics::count(&self.metrics.exemplars_set_aside, 1);
    }

    pub(super) fn fell_back(&self, fallback: Fallback, text: &str) {
        let (destination, answer) = (&self.name, excerpt(text));
        let to = match fallback {
            Fallback::V1 => "remote write 1.0",
            Fallback::Snappy => "snappy",
        };
        tracing::warn!(destination, answer, to, "falling back");
    }

    /// One line, and one entry for the status page, for the first sample of a piece.
    pub(super) fn set_aside(&mut self, piece: &[Unit], reason: Reason, text: &str, now: Now) {
        let samples = piece.iter().map(Unit::sample_count).sum();
        self.metrics.count_set_aside(reason, samples);
        let opened = piece.first().and_then(|unit| unit.opened().ok()).unwrap_or_default();
        let nothing = Series::default();
        let series = opened.first().unwrap_or(&nothing);
        let float = series.samples.first().map(|s| s.timestamp);
        let timestamp = float.or_else(|| series.histograms.first().map(|h| h.timestamp));
        let one = SetAside {
            series: excerpt(&series.labels.to_string()).to_owned(),
            timestamp: timestamp.unwrap_or_default(),
            reason,
            text: excerpt(text).to_owned(),
        };
        if let Some(suppressed) = self.set_aside.pass(now.mono_ms) {
            tracing::warn!(
                destination = self.name,
                series = one.series,
                timestamp = one.timestamp,
                reason = reason.as_str(),
                answer = one.text,
                samples,
                suppressed,
                "set aside: the backend refuses it for good"
            );
        }
        self.status.show_set_aside(one);
    }
}

/// Lets a bounded number of lines through a minute.
#[derive(Debug, Default)]
struct Throttle {
    minute: u64,
    lines: u32,
    suppressed: u64,
}

impl Throttle {
    /// `Some(lines left out since the last one)` if a line may be written.
    fn pass(&mut self, now_ms: u64) -> Option<u64> {
        let minute = now_ms / 60_000;
        if minute != self.minute {
            (self.minute, self.lines) = (minute, 0);
        }
        if self.lines >= LINES_A_MINUTE {
            self.suppressed += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.suppressed))
    }
}

fn excerpt(text: &str) -> &str {
    let end = text.char_indices().nth(TEXT_CHARS_MAX).map(|(at, _)| at);
    text[..end.unwrap_or(text.len())].trim_end()
}
