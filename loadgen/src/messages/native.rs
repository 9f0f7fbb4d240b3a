//! Native histograms on the wire, and as the oracle looks at them.
//!
//! Counts are whole numbers where all of them are, as a scraper sends them, and floats elsewhere.

use std::collections::BTreeMap;

use weir_wire::oracle::{BucketSpan, Count, Histogram, ZeroCount};

use crate::oracle::NativeHistogram;
use crate::samples::Sample;

/// The native histogram of a sample that is one.
pub fn wire(sample: &Sample) -> Option<Histogram> {
    let h = sample.histogram.as_ref()?;
    let mut counts = h.positive.values().chain(h.negative.values());
    let is_whole = |n: f64| n >= 0.0 && n.fract() == 0.0;
    let whole = counts.all(|&n| is_whole(n)) && is_whole(h.count) && is_whole(h.zero_count);
    let (positive_spans, positive) = spans(&h.positive);
    let (negative_spans, negative) = spans(&h.negative);
    let deltas = |counts: &[f64]| -> Vec<i64> {
        let before = std::iter::once(&0.0).chain(counts);
        counts.iter().zip(before).map(|(now, before)| (now - before) as i64).collect()
    };
    let mut histogram = Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        negative_spans,
        positive_spans,
        timestamp: sample.timestamp,
        ..Histogram::default()
    };
    if whole {
        histogram.count = Some(Count::Int(h.count as u64));
        histogram.zero_count = Some(ZeroCount::Int(h.zero_count as u64));
        (histogram.positive_deltas, histogram.negative_deltas) =
            (deltas(&positive), deltas(&negative));
    } else {
        histogram.count = Some(Count::Float(h.count));
        histogram.zero_count = Some(ZeroCount::Float(h.zero_count));
        (histogram.positive_counts, histogram.negative_counts) = (positive, negative);
    }
    Some(histogram)
}

/// Runs of buckets that follow each other, and what all of them hold.
fn spans(buckets: &BTreeMap<i32, f64>) -> (Vec<BucketSpan>, Vec<f64>) {
    let mut spans: Vec<BucketSpan> = Vec::new();
    let mut next = None;
    for &bucket in buckets.keys() {
        match spans.last_mut().filter(|_| next == Some(bucket)) {
            Some(span) => span.length += 1,
            None => spans.push(BucketSpan { offset: bucket - next.unwrap_or(0), length: 1 }),
        }
        next = Some(bucket + 1);
    }
    (spans, buckets.values().copied().collect())
}

/// A histogram as the oracle looks at it.
pub fn native(histogram: &Histogram) -> NativeHistogram {
    let number = |n: u64| n as f64;
    let buckets = |spans: &[BucketSpan], deltas: &[i64], counts: &[f64]| {
        let mut summed = 0;
        let integers = deltas.iter().map(|delta| {
            summed += delta;
            summed as f64
        });
        let counts: Vec<f64> = if counts.is_empty() { integers.collect() } else { counts.to_vec() };
        let mut at = 0;
        let mut places = Vec::new();
        for span in spans {
            at += span.offset;
            for _ in 0..span.length {
                places.push(at);
                at += 1;
            }
        }
        places.into_iter().zip(counts).collect()
    };
    let h = histogram;
    NativeHistogram {
        timestamp: h.timestamp,
        count: match h.count {
            Some(Count::Int(n)) => number(n),
            Some(Count::Float(n)) => n,
            None => 0.0,
        },
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: match h.zero_count {
            Some(ZeroCount::Int(n)) => number(n),
            Some(ZeroCount::Float(n)) => n,
            None => 0.0,
        },
        positive: buckets(&h.positive_spans, &h.positive_deltas, &h.positive_counts),
        negative: buckets(&h.negative_spans, &h.negative_deltas, &h.negative_counts),
    }
}
