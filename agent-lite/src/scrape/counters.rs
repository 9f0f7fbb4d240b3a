//! What all scrapes count, for `/metrics`: the field behind each name is named in its comment.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use weir_model::Millis;

use super::limits::ScrapeError;
use super::scraper::Outcome;

/// Counters of all targets together.
#[derive(Debug, Default)]
pub struct ScrapeCounters {
    /// Scrapes that ended, good and bad.
    pub scrapes: AtomicU64,
    /// Those that failed.
    pub failures: AtomicU64,
    /// `prometheus_target_scrapes_exceeded_sample_limit_total`
    pub over_sample_limit: AtomicU64,
    /// `prometheus_target_scrapes_exceeded_body_size_limit_total`
    pub over_body_limit: AtomicU64,
    /// `prometheus_target_scrape_pool_exceeded_label_limits_total`
    pub over_label_limits: AtomicU64,
    /// `prometheus_target_scrapes_sample_duplicate_timestamp_total`
    pub duplicates: AtomicU64,
    /// `prometheus_target_scrapes_sample_out_of_order_total`
    pub out_of_order: AtomicU64,
    /// `prometheus_target_scrapes_sample_out_of_bounds_total`
    pub out_of_bounds: AtomicU64,
    /// Samples with timestamps of their own.
    pub own_timestamps: AtomicU64,
    /// Samples on all pages.
    pub samples_scraped: AtomicU64,
    /// Samples handed to the buffer, report series and stale markers included.
    pub samples_buffered: AtomicU64,
    /// Samples that the buffer did not take.
    pub samples_refused: AtomicU64,
    /// Bytes of all pages after decompression.
    pub page_bytes: AtomicU64,
    /// Ticks that passed while a scrape was still running.
    pub missed_ticks: AtomicU64,
    /// `prometheus_target_interval_length_seconds`, by configured interval: count and sum.
    intervals: Mutex<BTreeMap<Millis, (u64, Duration)>>,
}

impl ScrapeCounters {
    /// Counts a scrape.
    pub(super) fn count(&self, outcome: &Outcome) {
        let add = |counter: &AtomicU64, n: usize| {
            counter.fetch_add(n as u64, Ordering::Relaxed);
        };
        add(&self.scrapes, 1);
        let counts = &outcome.counts;
        add(&self.samples_scraped, counts.scraped);
        add(&self.own_timestamps, counts.own_timestamps);
        add(&self.duplicates, counts.duplicates);
        add(&self.out_of_order, counts.out_of_order);
        add(&self.out_of_bounds, counts.out_of_bounds);
        let Some(error) = &outcome.error else {
            return;
        };
        add(&self.failures, 1);
        match error {
            ScrapeError::SampleLimit => add(&self.over_sample_limit, 1),
            ScrapeError::Fetch(e) if e.is_body_limit() => add(&self.over_body_limit, 1),
            error if error.is_label_limit() => add(&self.over_label_limits, 1),
            _ => {}
        }
    }

    /// Notes the time between the beginnings of two scrapes of a target.
    pub(super) fn interval(&self, configured: Millis, length: Duration) {
        let mut intervals = self.intervals.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, sum) = intervals.entry(configured).or_default();
        *count += 1;
        *sum += length;
    }

    /// Count and sum of the lengths of intervals, by configured interval.
    pub fn intervals(&self) -> Vec<(Millis, u64, Duration)> {
        let intervals = self.intervals.lock().unwrap_or_else(PoisonError::into_inner);
        intervals.iter().map(|(&interval, &(count, sum))| (interval, count, sum)).collect()
    }
}
