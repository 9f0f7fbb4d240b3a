//! Arithmetic of native histograms: merging, differences, coarser resolutions.
//!
//! Follows Prometheus's `FloatHistogram` (`Add`, `Sub`, `ReduceResolution`, `Compact(0)`); `flat.rs`
//! names the one difference. Invariant: every result is canonical, without empty buckets and with
//! adjacent spans joined, so equal contents have equal representations. Timestamps are left as
//! they are: what is calculated is dated by the caller.

use super::flat::{Flat, combine};
use super::{HistogramError, NativeHistogram, ResetHint, Span};

impl NativeHistogram {
    /// Adds another histogram's observations: at the coarser of both schemas, with the wider zero
    /// bucket, or on the custom bounds that both have. An error leaves `self` as it was.
    pub fn add(&mut self, other: &Self) -> Result<(), HistogramError> {
        self.combine(other, 1.0)
    }

    /// Takes away an earlier sample of the same counter, which leaves the increase between the
    /// two. Ask [`NativeHistogram::is_reset`] first: after a reset the increase is the whole value.
    pub fn sub(&mut self, previous: &Self) -> Result<(), HistogramError> {
        self.combine(previous, -1.0)
    }

    /// Brings a standard histogram to a coarser schema (its own changes nothing).
    pub fn downscale(&mut self, schema: i32) -> Result<(), HistogramError> {
        let from = self.schema;
        let sensible = super::bounds::is_standard(schema) && schema <= from;
        if self.is_custom() || !sensible {
            return Err(HistogramError::Resolution { from, to: schema });
        }
        let mut flat = Flat::open(self)?;
        flat.downscale(schema);
        flat.store(self);
        Ok(())
    }

    /// Down-scales until there are at most `buckets_max` buckets (both sides, the zero bucket not
    /// counted), or until the coarsest schema. Custom buckets stay: they have their own bound.
    pub fn limit_buckets(&mut self, buckets_max: usize) -> Result<(), HistogramError> {
        while !self.is_custom()
            && self.positive.len() + self.negative.len() > buckets_max
            && self.schema > super::bounds::SCHEMA_MIN
        {
            self.downscale(self.schema - 1)?;
        }
        Ok(())
    }

    /// Multiplies all counts and the sum (a rate divides an increase by seconds).
    pub fn scale(&mut self, factor: f64) {
        self.zero_count *= factor;
        self.count *= factor;
        self.sum *= factor;
        for count in self.positive.iter_mut().chain(&mut self.negative) {
            *count *= factor;
        }
        self.integer &= factor.fract() == 0.0;
    }

    /// Leaves out empty buckets and joins adjacent spans.
    pub fn compact(&mut self) -> Result<(), HistogramError> {
        Flat::open(self)?.store(self);
        Ok(())
    }

    /// Bytes that it occupies, itself and its heap.
    pub fn memory_bytes(&self) -> usize {
        let spans = self.positive_spans.capacity() + self.negative_spans.capacity();
        let floats = self.positive.capacity() + self.negative.capacity();
        size_of::<Self>()
            + spans * size_of::<Span>()
            + (floats + self.custom_values.capacity()) * size_of::<f64>()
    }

    fn combine(&mut self, other: &Self, factor: f64) -> Result<(), HistogramError> {
        let (mut one, mut two) = (Flat::open(self)?, Flat::open(other)?);
        one.align(&mut two)?;
        one.zero_count += factor * two.zero_count;
        one.positive = combine(&one.positive, &two.positive, factor);
        one.negative = combine(&one.negative, &two.negative, factor);
        one.store(self);
        self.count += factor * other.count;
        self.sum += factor * other.sum;
        self.integer &= other.integer;
        self.reset_hint = combine_hints(self.reset_hint, other.reset_hint);
        Ok(())
    }
}

/// Prometheus's `adjustCounterReset`: a gauge makes a gauge, and what disagrees is unknown.
fn combine_hints(one: ResetHint, other: ResetHint) -> ResetHint {
    match (one, other) {
        (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
        (one, other) if one == other => one,
        _ => ResetHint::Unknown,
    }
}

#[cfg(test)]
mod tests;
