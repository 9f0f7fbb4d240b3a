//! What a destination counts, and what a status page shows of it.
//!
//! Plain atomics, written by one sender once a request or a frame, read by whoever asks. Every
//! sample that enters a sender ends in exactly one of `samples_sent`, `samples_repeated`,
//! `samples_unwritten`, `set_aside` and `given_up`.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::verdict::{REASONS, Reason};

/// Why samples were not even sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum GivenUp {
    /// The queue was full and drops its oldest frames.
    QueueFull = 0,
    /// The frame was older than `max_age`.
    MaxAge,
    /// The sample was older than `sample_age_limit`.
    SampleAge,
    /// `write_relabel_configs` dropped the series.
    Relabelled,
    /// A native histogram, and `send_native_histograms` is off.
    NativeHistogram,
}

/// All of them in the order of their numbers.
pub const GIVEN_UP: [GivenUp; 5] = [
    GivenUp::QueueFull,
    GivenUp::MaxAge,
    GivenUp::SampleAge,
    GivenUp::Relabelled,
    GivenUp::NativeHistogram,
];

impl GivenUp {
    /// The value of the `reason` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::MaxAge => "max_age",
            Self::SampleAge => "sample_age",
            Self::Relabelled => "relabelled",
            Self::NativeHistogram => "native_histogram",
        }
    }
}

/// How requests end: the `class` label.
pub const CLASSES: [&str; 6] = ["error", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// The counters and gauges of one destination.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Samples that the backend has taken.
    pub samples_sent: AtomicU64,
    /// Samples that it had already, from an earlier send.
    pub samples_repeated: AtomicU64,
    /// Samples that a 2xx answer says were not written.
    pub samples_unwritten: AtomicU64,
    /// Samples of requests that were sent again.
    pub samples_retried: AtomicU64,
    /// Samples refused for good, by [`Reason`].
    pub set_aside: [AtomicU64; REASONS.len()],
    /// Samples not sent, by [`GivenUp`].
    pub given_up: [AtomicU64; GIVEN_UP.len()],
    /// Exemplars left out because their sample was refused with them.
    pub exemplars_set_aside: AtomicU64,
    /// Frames that could not be read; how many samples they held is not known.
    pub frames_undecodable: AtomicU64,
    /// Frames that the queue no longer had.
    pub frames_missing: AtomicU64,
    /// Requests, by [`CLASSES`].
    pub requests: [AtomicU64; CLASSES.len()],
    /// Halvings of refused requests.
    pub splits: AtomicU64,
    /// Bodies' bytes, as sent.
    pub bytes_sent: AtomicU64,
    /// Gauge: requests on their way or waiting for a retry.
    pub batches_open: AtomicU64,
    /// Gauge: undelivered frames in the queue.
    pub lag_frames: AtomicU64,
    /// Gauge: undelivered bytes in the queue, about.
    pub lag_bytes: AtomicU64,
    /// Gauge: when the oldest undelivered frame was written, milliseconds since the epoch; 0
    /// where there is none.
    pub oldest_unsent_ms: AtomicI64,
    /// Gauge: 1 or 2, the version of remote write spoken now.
    pub protocol: AtomicU64,
}

impl Metrics {
    pub(crate) fn count(counter: &AtomicU64, by: usize) {
        counter.fetch_add(by as u64, Ordering::Relaxed);
    }

    pub(crate) fn set(gauge: &AtomicU64, to: u64) {
        gauge.store(to, Ordering::Relaxed);
    }

    pub(crate) fn count_set_aside(&self, reason: Reason, samples: usize) {
        Self::count(&self.set_aside[reason as usize], samples);
    }

    pub(crate) fn count_given_up(&self, reason: GivenUp, samples: usize) {
        Self::count(&self.given_up[reason as usize], samples);
    }

    /// `None` for a request without an answer.
    pub(crate) fn count_request(&self, status: Option<u16>) {
        let class = status.map_or(0, |s| usize::from(s / 100).min(5));
        Self::count(&self.requests[class], 1);
    }

    /// Samples set aside for all reasons.
    pub fn set_aside_total(&self) -> u64 {
        self.set_aside.iter().map(|c| c.load(Ordering::Relaxed)).sum()
    }

    /// Samples given up for one reason.
    pub fn given_up(&self, reason: GivenUp) -> u64 {
        self.given_up[reason as usize].load(Ordering::Relaxed)
    }
}

/// How a destination fares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum State {
    /// The last answer was good, or nothing was sent yet.
    #[default]
    Sending,
    /// The last request is going to be sent again.
    Retrying,
    /// The backend refuses us, not the data: credentials, URL.
    Blocked,
    /// The queue cannot be read, or the cursor cannot be written.
    Broken,
    /// It was asked to stop.
    Stopped,
}

impl State {
    /// The value of the `state` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Retrying => "retrying",
            Self::Blocked => "blocked",
            Self::Broken => "broken",
            Self::Stopped => "stopped",
        }
    }
}

/// One sample that was set aside, as a person wants to see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetAside {
    /// Its series.
    pub series: String,
    /// Its timestamp.
    pub timestamp: i64,
    /// Why.
    pub reason: Reason,
    /// The beginning of what the backend said.
    pub text: String,
}

/// What a status page shows beside the metrics.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// How it fares.
    pub state: State,
    /// The last error's text.
    pub last_error: Option<String>,
    /// When it was, milliseconds since the epoch.
    pub last_error_ms: i64,
    /// The latest samples that were set aside, the newest last.
    pub set_aside: VecDeque<SetAside>,
}

/// How many set-aside samples are kept to be looked at.
const SET_ASIDE_SHOWN: usize = 20;

/// A status that others may look at.
#[derive(Debug, Default)]
pub(crate) struct StatusCell(Mutex<Status>);

impl StatusCell {
    pub(crate) fn snapshot(&self) -> Status {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_state(&self, state: State) {
        self.change(|status| status.state = state);
    }

    pub(crate) fn set_error(&self, state: State, error: &str, now_ms: i64) {
        self.change(|status| {
            status.state = state;
            status.last_error = Some(error.to_owned());
            status.last_error_ms = now_ms;
        });
    }

    pub(crate) fn show_set_aside(&self, one: SetAside) {
        self.change(|status| {
            if status.set_aside.len() >= SET_ASIDE_SHOWN {
                status.set_aside.pop_front();
            }
            status.set_aside.push_back(one);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
