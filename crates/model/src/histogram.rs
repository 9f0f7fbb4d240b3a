//! Native histograms: one value of many buckets.
//!
//! Counts are absolute `f64`s, whatever the wire wrote (integer histograms are deltas there):
//! exact up to 2^53, and one arithmetic for both kinds. `integer` remembers how to write it back.

pub mod bounds;
pub mod builder;
pub mod codec;
mod flat;
pub mod ops;
pub mod reset;
pub mod validate;

pub use builder::HistogramBuilder;
pub use validate::HistogramError;

use crate::Timestamp;

/// The schema that marks custom bucket bounds (NHCB).
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;

/// A run of consecutive buckets: `offset` empty ones, then `length` present ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// Gap to the end of the span before; for the first one, the index of its first bucket.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// What the sender knows of resets (`prompb.Histogram.ResetHint`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ResetHint {
    /// Nothing: compare with the sample before.
    #[default]
    Unknown,
    /// This sample begins anew.
    Yes,
    /// This sample goes on.
    No,
    /// Not a counter: it may go up and down.
    Gauge,
}

/// One native histogram sample.
#[derive(Clone, Debug, Default)]
pub struct NativeHistogram {
    /// When it was taken.
    pub timestamp: Timestamp,
    /// When it began, 0 if unknown.
    pub start: Timestamp,
    /// Resolution, -4 to 8, or [`CUSTOM_BUCKETS_SCHEMA`].
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Count in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of observations; the stale marker's bits end the series.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Absolute counts of the positive buckets.
    pub positive: Vec<f64>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Absolute counts of the negative buckets.
    pub negative: Vec<f64>,
    /// Upper bounds of custom buckets.
    pub custom_values: Vec<f64>,
    /// What the sender knows of resets.
    pub reset_hint: ResetHint,
    /// Whether the wire's kind has integer counts.
    pub integer: bool,
}

impl NativeHistogram {
    /// Whether this is a stale marker.
    pub fn is_stale(&self) -> bool {
        crate::sample::is_stale(self.sum)
    }
}
