//! The handles that count: counter, gauge, histogram. Clones share one value.
//!
//! Invariant: an update is a few relaxed atomic operations; a scrape may see one update of a
//! histogram half done, never a count that fell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Value;

/// A count that only grows.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

/// A value that goes up and down. Whole numbers are exact up to 2^53.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicU64>);

/// Observations counted by fixed upper bounds. The default has [`SECONDS_BUCKETS`].
#[derive(Clone, Debug)]
pub struct Histogram(Arc<HistogramInner>);

#[derive(Debug)]
struct HistogramInner {
    bounds: Box<[f64]>,
    /// One for each bound and one for `+Inf`, not cumulative.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// A histogram at one moment; buckets cumulative, the last one is the count.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct HistogramSnapshot {
    pub(super) bounds: Box<[f64]>,
    pub(super) buckets: Vec<u64>,
    pub(super) sum: f64,
}

/// What a family holds.
pub(super) trait Instrument: Clone {
    /// One like this that has counted nothing.
    fn fresh(&self) -> Self;
    fn value(&self) -> Value;
}

impl Counter {
    /// Adds 1.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The count so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `delta`, which may be negative.
    pub fn add(&self, delta: f64) {
        add_f64(&self.0, delta);
    }

    /// The value now.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

impl Histogram {
    /// Buckets with these upper bounds, which ascend; bounds that do not, and `+Inf`, are left out.
    pub fn new(bounds: &[f64]) -> Self {
        let mut ascending: Vec<f64> = Vec::with_capacity(bounds.len());
        for bound in bounds {
            if bound.is_finite() && ascending.last().is_none_or(|last| last < bound) {
                ascending.push(*bound);
            }
        }
        debug_assert!(ascending.len() == bounds.len(), "{bounds:?} must be finite and ascend");
        let buckets = (0..=ascending.len()).map(|_| AtomicU64::new(0)).collect();
        let bounds = ascending.into_boxed_slice();
        Self(Arc::new(HistogramInner { bounds, buckets, sum: AtomicU64::new(0) }))
    }

    /// Counts one observation. A bucket holds what is less than or equal to its bound.
    pub fn observe(&self, value: f64) {
        let index = self.0.bounds.iter().position(|bound| value <= *bound);
        let last = self.0.bounds.len();
        if let Some(bucket) = self.0.buckets.get(index.unwrap_or(last)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        add_f64(&self.0.sum, value);
    }

    /// Observations so far.
    pub fn count(&self) -> u64 {
        self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new(&SECONDS_BUCKETS)
    }
}

impl Instrument for Counter {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn value(&self) -> Value {
        Value::Integer(self.get())
    }
}

impl Instrument for Gauge {
    fn fresh(&self) -> Self {
        Self::default()
    }

    fn value(&self) -> Value {
        Value::Float(self.get())
    }
}

impl Instrument for Histogram {
    fn fresh(&self) -> Self {
        Self::new(&self.0.bounds)
    }

    fn value(&self) -> Value {
        let mut total = 0;
        let cumulate = |bucket: &AtomicU64| {
            total += bucket.load(Ordering::Relaxed);
            total
        };
        let buckets = self.0.buckets.iter().map(cumulate).collect();
        let sum = f64::from_bits(self.0.sum.load(Ordering::Relaxed));
        Value::Histogram(HistogramSnapshot { bounds: self.0.bounds.clone(), buckets, sum })
    }
}

fn add_f64(cell: &AtomicU64, delta: f64) {
    let mut old = cell.load(Ordering::Relaxed);
    loop {
        let new = (f64::from_bits(old) + delta).to_bits();
        match cell.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}

/// From half a millisecond (an idle disk's sync) to ten seconds (a request's usual timeout).
pub const SECONDS_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
