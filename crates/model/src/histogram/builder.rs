//! Makes a native histogram of single values.
//!
//! Invariant: at most [`BUCKETS_MAX`] buckets; before there are more, the resolution is halved.
//! (Only values from all over the range of `f64` exceed it, at the coarsest schema, to some 270.)
//! So the same values give the same histogram in any order, and what several builders made and
//! [`NativeHistogram::add`] merged is, after [`NativeHistogram::limit_buckets`], what one builder
//! would have made of all. The zero bucket is fixed.

use super::bounds::{SCHEMA_MAX, SCHEMA_MIN, index_of};
use super::flat::{Flat, coarser};
use super::{HistogramError, NativeHistogram};

/// Buckets of both sides together; what OpenTelemetry's exponential histograms default to.
pub const BUCKETS_MAX: usize = 160;

/// The width of the zero bucket, the default of Prometheus's client libraries: 2^-128, a bound
/// in every schema.
pub const ZERO_THRESHOLD: f64 = 2.938_735_877_055_719e-39;

/// Collects values.
#[derive(Clone, Debug)]
pub struct HistogramBuilder {
    schema: i32,
    zero_count: f64,
    count: f64,
    sum: f64,
    positive: Vec<(i32, f64)>,
    negative: Vec<(i32, f64)>,
}

impl Default for HistogramBuilder {
    fn default() -> Self {
        Self {
            schema: SCHEMA_MAX,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

impl HistogramBuilder {
    /// Adds a value. A NaN counts as an observation, is in no bucket, and makes the sum NaN, as
    /// the specification of native histograms has it.
    pub fn fold(&mut self, value: f64) {
        self.count += 1.0;
        self.sum += value;
        if value.is_nan() {
            return;
        }
        if value.abs() <= ZERO_THRESHOLD {
            self.zero_count += 1.0;
            return;
        }
        let index = index_of(value.abs(), self.schema);
        let side = if value > 0.0 { &mut self.positive } else { &mut self.negative };
        match side.binary_search_by_key(&index, |&(i, _)| i) {
            Ok(at) => side[at].1 += 1.0,
            Err(at) => side.insert(at, (index, 1.0)),
        }
        while self.positive.len() + self.negative.len() > BUCKETS_MAX && self.schema > SCHEMA_MIN {
            self.positive = coarser(&self.positive, 1);
            self.negative = coarser(&self.negative, 1);
            self.schema -= 1;
        }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.count == 0.0
    }

    /// The histogram of the values so far, without timestamps.
    pub fn build(&self) -> NativeHistogram {
        let mut histogram = NativeHistogram {
            count: self.count,
            sum: self.sum,
            integer: true,
            ..NativeHistogram::default()
        };
        let flat = Flat {
            schema: self.schema,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: self.zero_count,
            positive: self.positive.clone(),
            negative: self.negative.clone(),
            bounds: Vec::new(),
        };
        flat.store(&mut histogram);
        histogram
    }

    /// Goes on from what [`HistogramBuilder::build`] gave (a checkpoint).
    pub fn resume(histogram: &NativeHistogram) -> Result<Self, HistogramError> {
        let flat = Flat::open(histogram)?;
        if histogram.is_custom() || flat.zero_threshold != ZERO_THRESHOLD {
            return Err(HistogramError::MixedKinds);
        }
        Ok(Self {
            schema: flat.schema,
            zero_count: flat.zero_count,
            count: histogram.count,
            sum: histogram.sum,
            positive: flat.positive,
            negative: flat.negative,
        })
    }

    /// Bytes that it occupies, itself and its heap.
    pub fn memory_bytes(&self) -> usize {
        let buckets = self.positive.capacity() + self.negative.capacity();
        size_of::<Self>() + buckets * size_of::<(i32, f64)>()
    }
}
