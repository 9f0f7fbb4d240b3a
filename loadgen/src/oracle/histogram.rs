//! Native histograms: their sums and differences, and what came against what must come.
//!
//! For `native_histogram` outputs the gateway chooses the schema; with it the buckets of the values are
//! computed anew. Exponential schemas only, and zero buckets of one width.

use std::collections::BTreeMap;

use super::Differences;
use crate::samples::{Labels, display, is_stale};

/// What a native histogram must be.
#[derive(Clone, PartialEq, Debug)]
pub enum ExpectedHistogram {
    /// One of these values, in a schema of the gateway's choice.
    Of(Vec<f64>),
    /// This one, but for its timestamp.
    Is(NativeHistogram),
}

/// Native histograms by series and timestamp.
pub type HistogramOutputs = BTreeMap<Labels, BTreeMap<i64, ExpectedHistogram>>;

/// A native histogram as a backend received it.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct NativeHistogram {
    /// Milliseconds since the epoch.
    pub timestamp: i64,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Resolution: buckets grow by 2^(2^-schema).
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// Observations by bucket, above zero.
    pub positive: BTreeMap<i32, f64>,
    /// The same below.
    pub negative: BTreeMap<i32, f64>,
}

impl NativeHistogram {
    fn of(values: &[f64], schema: i32, zero_threshold: f64) -> Self {
        let mut histogram = Self { schema, zero_threshold, ..Self::default() };
        for &value in values {
            histogram.count += 1.0;
            histogram.sum += value;
            // Bucket i holds (base^(i-1), base^i].
            let bucket = |v: f64| (v.log2() * 2f64.powi(schema) - 1e-9).ceil() as i32;
            if value.abs() <= zero_threshold {
                histogram.zero_count += 1.0;
            } else if value > 0.0 {
                *histogram.positive.entry(bucket(value)).or_default() += 1.0;
            } else {
                *histogram.negative.entry(bucket(-value)).or_default() += 1.0;
            }
        }
        histogram
    }

    /// One of the same kind in which nothing is.
    pub(super) fn nothing(&self) -> Self {
        let Self { timestamp, schema, zero_threshold, .. } = *self;
        Self { timestamp, schema, zero_threshold, ..Self::default() }
    }

    /// At a coarser schema: 2^n buckets become the one that ends where the last of them does.
    fn at(&self, schema: i32) -> Self {
        let merged = 1i32 << (self.schema - schema).clamp(0, 30);
        let coarser = |buckets: &BTreeMap<i32, f64>| {
            let mut sums = BTreeMap::new();
            for (&bucket, count) in buckets {
                *sums.entry(-(-bucket).div_euclid(merged)).or_default() += count;
            }
            sums
        };
        let (positive, negative) = (coarser(&self.positive), coarser(&self.negative));
        Self { schema: self.schema.min(schema), positive, negative, ..self.clone() }
    }

    /// Adds another one's observations, at the coarser schema of both.
    pub(super) fn add(&mut self, other: &Self) {
        let schema = self.schema.min(other.schema);
        let (mut sum, other) = (self.at(schema), other.at(schema));
        sum.count += other.count;
        sum.sum += other.sum;
        sum.zero_count += other.zero_count;
        for (mine, theirs) in
            [(&mut sum.positive, &other.positive), (&mut sum.negative, &other.negative)]
        {
            theirs.iter().for_each(|(&bucket, count)| *mine.entry(bucket).or_default() += count);
        }
        *self = sum;
    }

    /// What came since an earlier one of the same counter; nothing if it has begun anew.
    pub(super) fn less(&self, before: &Self) -> Option<Self> {
        if self.schema > before.schema {
            return None;
        }
        let mut negated = before.at(self.schema);
        negated.count = -negated.count;
        negated.sum = -negated.sum;
        negated.zero_count = -negated.zero_count;
        negated.positive.values_mut().for_each(|count| *count = -*count);
        negated.negative.values_mut().for_each(|count| *count = -*count);
        let mut grown = self.clone();
        grown.add(&negated);
        let mut counts = grown.positive.values().chain(grown.negative.values());
        let fell = grown.count < 0.0 || grown.zero_count < 0.0 || counts.any(|count| *count < 0.0);
        (!fell).then_some(grown)
    }

    fn is_met_by(&self, other: &Self) -> bool {
        let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a.abs().max(1.0);
        let filled = |buckets: &BTreeMap<i32, f64>| -> BTreeMap<i32, f64> {
            buckets.iter().filter(|(_, n)| **n != 0.0).map(|(&b, &n)| (b, n)).collect()
        };
        let same = |a: &BTreeMap<i32, f64>, b: &BTreeMap<i32, f64>| {
            let (a, b) = (filled(a), filled(b));
            a.len() == b.len() && a.iter().zip(&b).all(|((i, n), (j, m))| i == j && near(*n, *m))
        };
        if is_stale(self.sum) || is_stale(other.sum) {
            return is_stale(self.sum) && is_stale(other.sum);
        }
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && near(self.count, other.count)
            && near(self.sum, other.sum)
            && near(self.zero_count, other.zero_count)
            && same(&self.positive, &other.positive)
            && same(&self.negative, &other.negative)
    }

    fn is_of(&self, values: &[f64]) -> bool {
        let wanted = Self::of(values, self.schema, self.zero_threshold);
        let filled = |buckets: &BTreeMap<i32, f64>| -> BTreeMap<i32, u64> {
            let filled = buckets.iter().filter(|(_, n)| **n > 0.0);
            filled.map(|(&bucket, &n)| (bucket, n as u64)).collect()
        };
        (self.sum - wanted.sum).abs() <= 1e-9 * wanted.sum.abs().max(1.0)
            && (self.count, self.zero_count) == (wanted.count, wanted.zero_count)
            && filled(&self.positive) == filled(&wanted.positive)
            && filled(&self.negative) == filled(&wanted.negative)
    }
}

impl ExpectedHistogram {
    fn is_met_by(&self, histogram: &NativeHistogram) -> bool {
        match self {
            Self::Of(values) => histogram.is_of(values),
            Self::Is(wanted) => wanted.is_met_by(histogram),
        }
    }
}

/// Compares received histograms with what they must be; `through` bounds what is meant.
pub fn compare_histograms<'a>(
    expected: &HistogramOutputs,
    received: impl Iterator<Item = (&'a Labels, &'a NativeHistogram)>,
    through: i64,
) -> Differences {
    let mut differences = Differences::default();
    let mut got: BTreeMap<(&Labels, i64), &NativeHistogram> = BTreeMap::new();
    for (labels, histogram) in received.filter(|(_, h)| h.timestamp <= through) {
        let at = || format!("{} at {}", display(labels), histogram.timestamp);
        match got.insert((labels, histogram.timestamp), histogram) {
            Some(before) if before == histogram => differences.resent += 1,
            Some(_) => differences.doubled.push(at()),
            None => {}
        }
        if !expected.get(labels).is_some_and(|s| s.contains_key(&histogram.timestamp)) {
            differences.unexpected.push(at());
        }
    }
    for (labels, samples) in expected {
        for (&timestamp, wanted) in samples {
            differences.compared += 1;
            let at = || format!("{} at {timestamp}: expected {wanted:?}", display(labels));
            match got.get(&(labels, timestamp)) {
                None => differences.lost.push(at()),
                Some(histogram) if !wanted.is_met_by(histogram) => {
                    differences.wrong.push(format!("{}, got {histogram:?}", at()));
                }
                Some(_) => {}
            }
        }
    }
    differences
}
