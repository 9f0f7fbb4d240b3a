//! The series that a scrape says about itself: `up` and its like.
//!
//! Names, order and values are Prometheus's. They carry the target's labels, are not relabelled,
//! and are there for a scrape that failed as well.

use std::time::Duration;

/// Report series of every scrape, then those of `extra_scrape_metrics`.
pub(super) const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// How many there are.
pub(super) const fn count(extra_metrics: bool) -> usize {
    if extra_metrics { NAMES.len() } else { 5 }
}

/// What they say.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub(super) struct Report {
    pub(super) is_up: bool,
    pub(super) duration: Duration,
    pub(super) scraped: usize,
    pub(super) post_relabel: usize,
    pub(super) series_added: usize,
    pub(super) timeout: Duration,
    pub(super) sample_limit: usize,
    /// −1 for a page over its limit.
    pub(super) body_bytes: i64,
}

impl Report {
    /// Their values, in the order of [`NAMES`].
    pub(super) fn values(&self) -> [f64; NAMES.len()] {
        [
            f64::from(u8::from(self.is_up)),
            self.duration.as_secs_f64(),
            self.scraped as f64,
            self.post_relabel as f64,
            self.series_added as f64,
            self.timeout.as_secs_f64(),
            self.sample_limit as f64,
            self.body_bytes as f64,
        ]
    }
}
