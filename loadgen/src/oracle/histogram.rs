//! `native_histogram` outputs: a histogram against the values that must be in it.
//!
//! The gateway chooses the schema; with it the buckets of the values are computed anew. Exponential
//! schemas only, which is what the output writes.

use std::collections::BTreeMap;

use super::Differences;
use crate::samples::{Labels, display};

/// The values behind each histogram, by series and timestamp.
pub type HistogramOutputs = BTreeMap<Labels, BTreeMap<i64, Vec<f64>>>;

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

/// Compares received histograms with the values that must be in them; `through` bounds what is meant.
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
        for (&timestamp, values) in samples {
            differences.compared += 1;
            let at = || format!("{} at {timestamp}: {} values", display(labels), values.len());
            match got.get(&(labels, timestamp)) {
                None => differences.lost.push(at()),
                Some(histogram) if !histogram.is_of(values) => {
                    differences.wrong.push(format!("{}, got {histogram:?}", at()));
                }
                Some(_) => {}
            }
        }
    }
    differences
}
