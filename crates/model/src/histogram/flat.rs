//! A native histogram opened up for arithmetic: buckets as sorted (index, count) pairs.
//!
//! Invariant: indexes rise strictly, and no bucket lies wholly within the zero bucket (a sender's
//! that does is counted there). Empty buckets may be there while one calculates; [`Flat::store`]
//! leaves them out, so what is stored is canonical.
//!
//! Aligning two histograms departs from Prometheus in one point, and only where the zero
//! threshold is no bucket bound and the schemas differ: down-scaling widens the zero bucket to the
//! next bound of the coarser schema, where Prometheus leaves the threshold inside a bucket. Ours
//! makes merging associative: the result does not depend on which node merged what first.

use super::bounds::{index_of, upper_bound};
use super::{HistogramError, NativeHistogram, Span};

/// Buckets of one side in the order of their indexes.
pub(super) type Buckets = Vec<(i32, f64)>;

/// The opened form.
#[derive(Clone, Debug)]
pub(super) struct Flat {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) zero_count: f64,
    pub(super) positive: Buckets,
    pub(super) negative: Buckets,
    pub(super) bounds: Vec<f64>,
}

impl Flat {
    /// Opens a histogram whose layout is sound.
    pub(super) fn open(histogram: &NativeHistogram) -> Result<Self, HistogramError> {
        if histogram.is_stale() {
            return Err(HistogramError::Stale);
        }
        histogram.validate_layout()?;
        let mut flat = Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: histogram.zero_count,
            positive: open_side(&histogram.positive_spans, &histogram.positive),
            negative: open_side(&histogram.negative_spans, &histogram.negative),
            bounds: histogram.custom_values.clone(),
        };
        if !histogram.is_custom() {
            flat.clear_zero();
        }
        Ok(flat)
    }

    /// Puts the buckets back, empty ones left out.
    pub(super) fn store(self, histogram: &mut NativeHistogram) {
        histogram.schema = self.schema;
        histogram.zero_threshold = self.zero_threshold;
        histogram.zero_count = self.zero_count;
        (histogram.positive_spans, histogram.positive) = store_side(&self.positive);
        (histogram.negative_spans, histogram.negative) = store_side(&self.negative);
        histogram.custom_values = self.bounds;
    }

    /// Brings both to the same schema, zero threshold and bounds.
    pub(super) fn align(&mut self, other: &mut Self) -> Result<(), HistogramError> {
        use super::CUSTOM_BUCKETS_SCHEMA as CUSTOM;
        if self.schema == CUSTOM && other.schema == CUSTOM {
            if self.bounds != other.bounds {
                let common = intersection(&self.bounds, &other.bounds);
                self.map_to_bounds(&common);
                other.map_to_bounds(&common);
            }
            return Ok(());
        }
        if self.schema == CUSTOM || other.schema == CUSTOM {
            return Err(HistogramError::MixedKinds);
        }
        let coarser = self.schema.min(other.schema);
        self.downscale(coarser);
        other.downscale(coarser);
        while self.zero_threshold != other.zero_threshold {
            if self.zero_threshold > other.zero_threshold {
                other.widen_zero(self.zero_threshold);
            } else {
                self.widen_zero(other.zero_threshold);
            }
        }
        Ok(())
    }

    /// Brings a standard histogram to a coarser schema; nothing for its own or a finer one.
    pub(super) fn downscale(&mut self, schema: i32) {
        if schema >= self.schema {
            return;
        }
        self.positive = coarser(&self.positive, self.schema - schema);
        self.negative = coarser(&self.negative, self.schema - schema);
        self.schema = schema;
        if self.zero_threshold > 0.0 {
            let bucket = index_of(self.zero_threshold, schema);
            self.widen_zero(upper_bound(i64::from(bucket), schema));
        }
    }

    /// What the zero bucket would hold, and how wide it would be, if it reached `threshold`: a
    /// populated bucket that this cuts is taken in whole.
    pub(super) fn zero_up_to(&self, mut threshold: f64) -> (f64, f64) {
        if threshold <= self.zero_threshold {
            return (self.zero_count, self.zero_threshold);
        }
        let sides = || self.positive.iter().chain(&self.negative);
        let lower = |index: i32| upper_bound(i64::from(index) - 1, self.schema);
        let upper = |index: i32| upper_bound(i64::from(index), self.schema);
        let is_cut = |&&(index, count): &&(i32, f64)| {
            count != 0.0 && lower(index) < threshold && threshold < upper(index)
        };
        // Both sides have the same bounds, so what is a bound for one cuts none of the other.
        if let Some(&(index, _)) = sides().find(is_cut) {
            threshold = upper(index);
        }
        let inside = sides().filter(|&&(index, _)| lower(index) < threshold);
        let count = self.zero_count + inside.map(|&(_, count)| count).sum::<f64>();
        (count, threshold)
    }

    fn widen_zero(&mut self, threshold: f64) {
        if threshold > self.zero_threshold {
            (self.zero_count, self.zero_threshold) = self.zero_up_to(threshold);
            let (schema, threshold) = (self.schema, self.zero_threshold);
            let outside =
                |&(index, _): &(i32, f64)| upper_bound(i64::from(index) - 1, schema) >= threshold;
            self.positive.retain(outside);
            self.negative.retain(outside);
        }
    }

    /// Moves what lies within the zero bucket into it.
    fn clear_zero(&mut self) {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        for side in [&mut self.positive, &mut self.negative] {
            let inside = side
                .partition_point(|&(index, _)| upper_bound(i64::from(index), schema) <= threshold);
            self.zero_count += side.drain(..inside).map(|(_, count)| count).sum::<f64>();
        }
    }

    /// Brings custom buckets to bounds that are a subset of their own.
    fn map_to_bounds(&mut self, common: &[f64]) {
        let target = |index: i32| match self.bounds.get(index as usize) {
            Some(own) => common.partition_point(|bound| bound < own),
            None => common.len(),
        };
        self.positive = gathered(self.positive.iter().map(|&(i, c)| (target(i) as i32, c)));
        self.bounds = common.to_vec();
    }
}

/// Buckets `shift` schemas coarser: 2^shift neighbours become one.
pub(super) fn coarser(buckets: &[(i32, f64)], shift: i32) -> Buckets {
    let target = |index: i32| (((i64::from(index) - 1) >> shift) + 1) as i32;
    gathered(buckets.iter().map(|&(index, count)| (target(index), count)))
}

/// Adds `factor` times the other side's counts.
pub(super) fn combine(one: &[(i32, f64)], other: &[(i32, f64)], factor: f64) -> Buckets {
    let other = other.iter().map(|&(index, count)| (index, factor * count));
    let mut both: Buckets = one.iter().copied().chain(other).collect();
    both.sort_by_key(|&(index, _)| index);
    gathered(both.into_iter())
}

/// The bounds that both have.
fn intersection(one: &[f64], other: &[f64]) -> Vec<f64> {
    let in_other = |bound: &&f64| other.iter().any(|o| o == *bound);
    one.iter().filter(in_other).copied().collect()
}

/// Sums neighbours of equal index.
fn gathered(buckets: impl Iterator<Item = (i32, f64)>) -> Buckets {
    let mut out = Buckets::new();
    for (index, count) in buckets {
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => out.push((index, count)),
        }
    }
    out
}

fn open_side(spans: &[Span], counts: &[f64]) -> Buckets {
    let mut out = Buckets::with_capacity(counts.len());
    let mut counts = counts.iter();
    let mut index = 0i32;
    for span in spans {
        index += span.offset;
        for &count in counts.by_ref().take(span.length as usize) {
            out.push((index, count));
            index += 1;
        }
    }
    out
}

fn store_side(buckets: &[(i32, f64)]) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut counts) = (Vec::<Span>::new(), Vec::with_capacity(buckets.len()));
    let mut next = 0i32;
    for &(index, count) in buckets.iter().filter(|&&(_, count)| count != 0.0) {
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(Span { offset: index - next, length: 1 }),
        }
        counts.push(count);
        next = index + 1;
    }
    (spans, counts)
}
