//! What makes a native histogram sound, and what may go wrong with one.
//!
//! Two degrees. The *layout* (spans against buckets, indexes, bounds, schema) must hold before
//! any arithmetic; the *counts* are what a sender must get right besides. A difference of two
//! samples may have rounded counts, so only the layout is asked of it.

use super::bounds::{index_of, is_standard};
use super::{CUSTOM_BUCKETS_SCHEMA, NativeHistogram, Span};

/// Why a native histogram is refused, or two of them cannot be combined.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HistogramError {
    /// Neither -4 to 8 nor the custom one.
    #[error("native histogram schema {0} is none of -4 to 8 and -53")]
    Schema(i32),
    /// Spans that announce another number of buckets than there are.
    #[error("the spans of the native histogram announce {announced} buckets, it has {present}")]
    SpansMismatch {
        /// Sum of the spans' lengths.
        announced: u64,
        /// Number of counts.
        present: usize,
    },
    /// A span that starts before the end of the one before it.
    #[error("native histogram spans overlap")]
    SpansOverlap,
    /// A bucket that no `f64` can fall into, or that lies past the custom bounds.
    #[error("a bucket index of the native histogram is out of range")]
    IndexRange,
    /// Custom bounds that do not increase, are NaN, or name +Inf.
    #[error("custom bounds of the native histogram must be finite at the end and increase")]
    Bounds,
    /// Bounds with a standard schema; or a zero bucket or negative buckets with a custom one.
    #[error("the native histogram mixes custom and standard buckets")]
    MixedKinds,
    /// A zero threshold that is negative or not finite.
    #[error("the zero threshold of the native histogram is negative or not finite")]
    ZeroThreshold,
    /// A count that is negative, NaN or infinite.
    #[error("a count of the native histogram is negative or not finite")]
    Count,
    /// More observations in the buckets than in all.
    #[error("the buckets of the native histogram hold more observations than its count")]
    CountTooSmall,
    /// A stale marker, which has no buckets to combine.
    #[error("a stale marker is no histogram to calculate with")]
    Stale,
    /// Asked to become finer, or to change kind.
    #[error("a native histogram of schema {from} cannot be brought to schema {to}")]
    Resolution {
        /// Schema that it has.
        from: i32,
        /// Schema that was asked for.
        to: i32,
    },
}

impl NativeHistogram {
    /// Whether the buckets are custom (NHCB).
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Checks layout and counts, as a receiver must before it takes a sample.
    pub fn validate(&self) -> Result<(), HistogramError> {
        self.validate_layout()?;
        let buckets = self.positive.iter().chain(&self.negative);
        let mut populated = 0.0;
        for &count in buckets.chain([&self.zero_count]) {
            if !count.is_finite() || count < 0.0 {
                return Err(HistogramError::Count);
            }
            populated += count;
        }
        if !self.count.is_finite() || self.count < 0.0 {
            return Err(HistogramError::Count);
        }
        // Float counts come from rates and sums: their last bits may disagree.
        let slack = if self.integer { 0.0 } else { populated * 1e-9 };
        // NaN observations are in `count` and in no bucket, so more is right and less is not.
        if self.count < populated - slack {
            return Err(HistogramError::CountTooSmall);
        }
        Ok(())
    }

    /// Checks what the arithmetic relies on: schema, spans, indexes, bounds, zero threshold.
    pub fn validate_layout(&self) -> Result<(), HistogramError> {
        if !self.zero_threshold.is_finite() || self.zero_threshold < 0.0 {
            return Err(HistogramError::ZeroThreshold);
        }
        if self.is_custom() {
            let outside = self.zero_count != 0.0 || self.zero_threshold != 0.0;
            if outside || !self.negative.is_empty() || !self.negative_spans.is_empty() {
                return Err(HistogramError::MixedKinds);
            }
            check_bounds(&self.custom_values)?;
            let last = self.custom_values.len() as i64;
            return check_spans(&self.positive_spans, self.positive.len(), 0, last);
        }
        if !is_standard(self.schema) {
            return Err(HistogramError::Schema(self.schema));
        }
        if !self.custom_values.is_empty() {
            return Err(HistogramError::MixedKinds);
        }
        let first = i64::from(index_of(f64::from_bits(1), self.schema));
        let last = i64::from(index_of(f64::INFINITY, self.schema));
        check_spans(&self.positive_spans, self.positive.len(), first, last)?;
        check_spans(&self.negative_spans, self.negative.len(), first, last)
    }
}

/// Checks that spans fit the number of buckets and stay within the indexes `first..=last`.
fn check_spans(
    spans: &[Span],
    present: usize,
    first: i64,
    last: i64,
) -> Result<(), HistogramError> {
    let (mut announced, mut end) = (0u64, 0i64);
    for (position, span) in spans.iter().enumerate() {
        if position > 0 && span.offset < 0 {
            return Err(HistogramError::SpansOverlap);
        }
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        if start < first || end - 1 > last {
            return Err(HistogramError::IndexRange);
        }
        announced += u64::from(span.length);
    }
    if announced == present as u64 {
        Ok(())
    } else {
        Err(HistogramError::SpansMismatch { announced, present })
    }
}

fn check_bounds(bounds: &[f64]) -> Result<(), HistogramError> {
    let rising = bounds.windows(2).all(|pair| pair[0] < pair[1]);
    let sound = bounds.iter().all(|b| !b.is_nan() && *b != f64::INFINITY);
    if rising && sound { Ok(()) } else { Err(HistogramError::Bounds) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: i32, length: u32) -> Span {
        Span { offset, length }
    }

    fn sound() -> NativeHistogram {
        NativeHistogram {
            schema: 3,
            zero_threshold: 0.001,
            zero_count: 1.0,
            count: 7.0,
            positive_spans: vec![span(-2, 1), span(3, 2)],
            positive: vec![1.0, 2.0, 3.0],
            integer: true,
            ..NativeHistogram::default()
        }
    }

    fn broken(change: impl FnOnce(&mut NativeHistogram)) -> Option<HistogramError> {
        let mut histogram = sound();
        change(&mut histogram);
        histogram.validate().err()
    }

    #[test]
    fn a_sound_histogram_passes_and_each_fault_has_its_name() {
        use HistogramError as E;
        assert_eq!(broken(|_| {}), None);
        assert_eq!(broken(|h| h.count = f64::from(8)), None, "a NaN observation");
        assert_eq!(broken(|h| h.schema = 9), Some(E::Schema(9)));
        assert_eq!(broken(|h| h.schema = -5), Some(E::Schema(-5)));
        let (announced, present) = (3, 4);
        let mismatch = E::SpansMismatch { announced, present };
        assert_eq!(broken(|h| h.positive.push(1.0)), Some(mismatch));
        assert_eq!(broken(|h| h.positive_spans[1].offset = -1), Some(E::SpansOverlap));
        assert_eq!(broken(|h| h.positive_spans[0].offset = i32::MAX), Some(E::IndexRange));
        assert_eq!(broken(|h| h.positive_spans[0].offset = i32::MIN), Some(E::IndexRange));
        assert_eq!(broken(|h| h.zero_threshold = f64::NAN), Some(E::ZeroThreshold));
        assert_eq!(broken(|h| h.positive[0] = -1.0), Some(E::Count));
        assert_eq!(broken(|h| h.zero_count = f64::NAN), Some(E::Count));
        assert_eq!(broken(|h| h.count = 6.0), Some(E::CountTooSmall));
        assert_eq!(broken(|h| h.custom_values = vec![1.0]), Some(E::MixedKinds));
    }

    #[test]
    fn custom_bounds_must_increase_and_cover_the_spans() {
        let custom = |bounds: &[f64], spans: Vec<Span>| {
            let length: u32 = spans.iter().map(|s| s.length).sum();
            let histogram = NativeHistogram {
                schema: CUSTOM_BUCKETS_SCHEMA,
                custom_values: bounds.to_vec(),
                positive_spans: spans,
                positive: vec![1.0; length as usize],
                count: f64::from(length),
                ..NativeHistogram::default()
            };
            histogram.validate().err()
        };
        assert_eq!(custom(&[1.0, 2.0], vec![span(0, 3)]), None);
        assert_eq!(custom(&[1.0, 2.0], vec![span(0, 4)]), Some(HistogramError::IndexRange));
        assert_eq!(custom(&[1.0, 2.0], vec![span(-1, 1)]), Some(HistogramError::IndexRange));
        for bounds in [[2.0, 1.0], [1.0, 1.0], [1.0, f64::NAN], [1.0, f64::INFINITY]] {
            assert_eq!(custom(&bounds, vec![]), Some(HistogramError::Bounds));
        }
    }
}
