//! What requests come to, for `/metrics` and the status page.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_telemetry::registry::{Histogram, SECONDS_BUCKETS, Scrape};

use super::{Answer, Rates};
use crate::shard::worker::lock;

/// Counts of requests.
#[derive(Default)]
pub struct IngestFacts {
    statuses: Mutex<BTreeMap<u16, u64>>,
    refused: Mutex<BTreeMap<&'static str, u64>>,
    samples: AtomicU64,
    bytes: AtomicU64,
    duration: Mutex<Option<Histogram>>,
    /// What tenants send, against their limits.
    pub rates: Rates,
}

impl IngestFacts {
    /// Durations go to this histogram from now on.
    pub fn measure_into(&self, histogram: Histogram) {
        *lock(&self.duration) = Some(histogram);
    }

    /// Buckets of the duration histogram, seconds.
    pub fn duration_buckets() -> &'static [f64] {
        &SECONDS_BUCKETS
    }

    /// Samples received, refused ones included.
    pub fn samples(&self) -> u64 {
        self.samples.load(Ordering::Relaxed)
    }

    /// Compressed bytes received.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Requests by status.
    pub fn statuses(&self) -> BTreeMap<u16, u64> {
        lock(&self.statuses).clone()
    }

    /// Refused samples by reason.
    pub fn refused(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.refused).clone()
    }

    /// Writes its metrics.
    pub fn collect(&self, scrape: &mut Scrape) {
        for (status, count) in self.statuses() {
            let status = status.to_string();
            let labels = [("code", status.as_str())];
            scrape.counter(
                "weir_requests_total",
                "Remote write requests by status.",
                &labels,
                count,
            );
        }
        for (reason, count) in self.refused() {
            let help = "Samples answered as invalid, by reason.";
            scrape.counter("weir_refused_samples_total", help, &[("reason", reason)], count);
        }
        let help = "Compressed bytes of remote write bodies.";
        scrape.counter("weir_received_bytes_total", help, &[], self.bytes());
    }

    pub(super) fn received_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn received_samples(&self, samples: u64) {
        self.samples.fetch_add(samples, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, answer: &Answer, took: Duration) {
        *lock(&self.statuses).entry(answer.status.as_u16()).or_default() += 1;
        if !answer.refused.is_empty() {
            let mut refused = lock(&self.refused);
            for (reason, samples) in &answer.refused {
                *refused.entry(reason).or_default() += samples;
            }
        }
        if let Some(histogram) = &*lock(&self.duration) {
            histogram.observe(took.as_secs_f64());
        }
    }
}
