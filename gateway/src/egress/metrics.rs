//! A destination's metrics, as `/metrics` shows them.
//!
//! Nothing here decides or counts; counters are the sender's and begin anew when a reload restarts
//! it.

use std::sync::atomic::{AtomicU64, Ordering};

use weir_remote::metrics::{CLASSES, GIVEN_UP, Metrics};
use weir_remote::verdict::REASONS;
use weir_remote::{Sender, State};
use weir_telemetry::Scrape;

/// Adds one destination's metrics to a scrape.
pub(super) fn collect(name: &str, sender: &Sender, now_ms: i64, scrape: &mut Scrape) {
    let metrics = sender.metrics();
    let label = [("destination", name)];
    for (metric, help, counter) in COUNTERS {
        scrape.counter(metric, help, &label, read(counter(metrics)));
    }
    for (metric, help, gauge) in GAUGES {
        scrape.gauge(metric, help, &label, read(gauge(metrics)) as f64);
    }
    let lag = "Age of the oldest frame on its way to the destination.";
    scrape.gauge("weir_remote_lag_seconds", lag, &label, lag_seconds(metrics, now_ms));
    let up = u8::from(sender.status().state == State::Sending);
    let help = "Whether the destination's last answer was good, or none was needed yet.";
    scrape.gauge("weir_remote_up", help, &label, f64::from(up));
    if let Some(endpoint) = sender.endpoint() {
        let help = "How often an endpoint failed and another one was taken.";
        scrape.counter("weir_remote_failovers_total", help, &label, endpoint.failovers);
        let labels = [label[0], ("endpoint", endpoint.in_use.as_str())];
        let help = "1 for the endpoint that requests go to.";
        scrape.gauge("weir_remote_endpoint", help, &labels, 1.0);
    }
    let mut by = |metric: &str, help: &str, key: &str, value: &str, count: u64| {
        scrape.counter(metric, help, &[("destination", name), (key, value)], count);
    };
    for (class, count) in CLASSES.iter().zip(&metrics.requests) {
        let help = "Requests by the class of their answer; error is none at all.";
        by("weir_remote_requests_total", help, "code_class", class, read(count));
    }
    for (reason, samples) in set_aside(metrics) {
        let help = "Samples that the destination refused for good.";
        by("weir_remote_set_aside_samples_total", help, "reason", reason, samples);
    }
    for (reason, samples) in given_up(metrics) {
        let help = "Samples that were not sent.";
        by("weir_remote_given_up_samples_total", help, "reason", reason, samples);
    }
    let help = "Samples that may be lost: the answer was good and said that it left them out.";
    let unwritten = read(&metrics.samples_unwritten);
    by("weir_remote_failed_samples_total", help, "reason", "unwritten", unwritten);
    let help = "Frames of the queue that could not be sent; what they held is not known.";
    let lost = [("missing", &metrics.frames_missing), ("damaged", &metrics.frames_undecodable)];
    for (reason, frames) in lost {
        by("weir_remote_lost_frames_total", help, "reason", reason, read(frames));
    }
}

/// Name, help, and where it is.
type Row = (&'static str, &'static str, fn(&Metrics) -> &AtomicU64);

const COUNTERS: [Row; 6] = [
    ("weir_remote_samples_total", "Samples that the destination has taken.", |m| &m.samples_sent),
    ("weir_remote_repeated_samples_total", "Samples that the destination had already.", |m| {
        &m.samples_repeated
    }),
    ("weir_remote_retried_samples_total", "Samples of requests that were sent again.", |m| {
        &m.samples_retried
    }),
    (
        "weir_remote_set_aside_exemplars_total",
        "Exemplars left out because their sample was refused with them.",
        |m| &m.exemplars_set_aside,
    ),
    ("weir_remote_splits_total", "Halvings of refused requests.", |m| &m.splits),
    ("weir_remote_sent_bytes_total", "Bytes of request bodies.", |m| &m.bytes_sent),
];

const GAUGES: [Row; 4] = [
    ("weir_remote_lag_frames", "Undelivered frames in the queue.", |m| &m.lag_frames),
    ("weir_remote_lag_bytes", "Undelivered bytes in the queue, about.", |m| &m.lag_bytes),
    ("weir_remote_open_requests", "Requests on their way or to be repeated.", |m| &m.batches_open),
    ("weir_remote_protocol", "The version of remote write that is spoken.", |m| &m.protocol),
];

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn set_aside(metrics: &Metrics) -> impl Iterator<Item = (&'static str, u64)> {
    REASONS.iter().zip(&metrics.set_aside).map(|(r, samples)| (r.as_str(), read(samples)))
}

fn given_up(metrics: &Metrics) -> impl Iterator<Item = (&'static str, u64)> {
    GIVEN_UP.iter().zip(&metrics.given_up).map(|(r, samples)| (r.as_str(), read(samples)))
}

fn lag_seconds(metrics: &Metrics, now_ms: i64) -> f64 {
    let oldest = metrics.oldest_unsent_ms.load(Ordering::Relaxed);
    let age_ms = if oldest > 0 { now_ms.saturating_sub(oldest).max(0) } else { 0 };
    age_ms as f64 / 1000.0
}
