//! The native part of a `Histogram`.

use weir_model::histogram::{ResetHint, Span};
use weir_model::{MetricType, NativeHistogram};

use super::metric::Metric;
use super::parts::Part;
use crate::error::DecodeError;
use crate::exposition::error::{ParseError, ParseErrorKind as Kind};
use crate::exposition::labels::ordinary_nan;
use crate::histogram::{Side, deltas, doubles, span};
use crate::varint::{FIXED64, LEN, Reader, VARINT};

/// What the message holds of either kind.
#[derive(Default)]
struct Fields {
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    /// Elements so far.
    buckets: usize,
}

/// Reads the native histogram of a metric. One that contradicts itself is refused, and the page
/// with it, as in Prometheus.
pub(super) fn read(metric: &Metric<'_>) -> Result<NativeHistogram, ParseError> {
    let mut fields = Fields::default();
    let place = metric.place();
    let mut values = place.values();
    while let Some(message) = values.next()? {
        fields.read(message)?;
    }
    let (count, count_float) = metric.counts();
    // A float histogram shows in its counts, or in the mere presence of float buckets.
    let float = count_float > 0.0
        || fields.zero_count_float > 0.0
        || !fields.positive.counts.is_empty()
        || !fields.negative.counts.is_empty();
    let (negative_spans, negative) = fields.negative.absolute(!float);
    let (positive_spans, positive) = fields.positive.absolute(!float);
    let histogram = NativeHistogram {
        timestamp: metric.timestamp().unwrap_or_default(),
        start: metric.start().unwrap_or_default(),
        schema: fields.schema,
        zero_threshold: fields.zero_threshold,
        zero_count: if float { fields.zero_count_float } else { fields.zero_count as f64 },
        count: if float { count_float } else { count as f64 },
        sum: ordinary_nan(metric.value_of(&Part::Sum)),
        positive_spans,
        positive,
        negative_spans,
        negative,
        reset_hint: if place.kind == MetricType::GaugeHistogram {
            ResetHint::Gauge
        } else {
            ResetHint::Unknown
        },
        integer: !float,
        ..NativeHistogram::default()
    };
    let unsound = |error| ParseError::at_byte(place.message.pos(), Kind::Histogram(error));
    histogram.validate().map_err(unsound)?;
    Ok(compacted(histogram))
}

/// Leaves out empty buckets, as Prometheus does on taking a histogram in. Nothing else: a bucket
/// within the zero bucket stays where its target has put it.
fn compacted(mut histogram: NativeHistogram) -> NativeHistogram {
    let NativeHistogram { positive_spans, positive, negative_spans, negative, .. } = &mut histogram;
    for (spans, counts) in [(positive_spans, positive), (negative_spans, negative)] {
        (*spans, *counts) = without_empty(spans, counts);
    }
    histogram
}

fn without_empty(spans: &[Span], counts: &[f64]) -> (Vec<Span>, Vec<f64>) {
    let (mut kept_spans, mut kept): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut counts = counts.iter();
    // Empty buckets since the last one that is kept.
    let mut gap = 0i32;
    for span in spans {
        gap = gap.saturating_add(span.offset);
        for &count in counts.by_ref().take(span.length as usize) {
            if count == 0.0 {
                gap = gap.saturating_add(1);
                continue;
            }
            match kept_spans.last_mut() {
                Some(last) if gap == 0 => last.length += 1,
                _ => kept_spans.push(Span { offset: gap, length: 1 }),
            }
            kept.push(count);
            gap = 0;
        }
    }
    (kept_spans, kept)
}

impl Fields {
    fn read(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        let Self { negative, positive, buckets, .. } = self;
        while !message.is_done() {
            let (field, wire) = message.key()?;
            match (field, wire) {
                (5, VARINT) => self.schema = message.sint32()?,
                (6, FIXED64) => self.zero_threshold = message.double()?,
                (7, VARINT) => self.zero_count = message.varint()?,
                (8, FIXED64) => self.zero_count_float = message.double()?,
                (9, LEN) => negative.spans.push(span(message.message()?, buckets)?),
                (10, LEN | VARINT) => deltas(&mut message, wire, &mut negative.deltas, buckets)?,
                (11, LEN | FIXED64) => doubles(&mut message, wire, &mut negative.counts, buckets)?,
                (12, LEN) => positive.spans.push(span(message.message()?, buckets)?),
                (13, LEN | VARINT) => deltas(&mut message, wire, &mut positive.deltas, buckets)?,
                (14, LEN | FIXED64) => doubles(&mut message, wire, &mut positive.counts, buckets)?,
                (5..=14, _) => return Err(message.wire_error("Histogram", field, wire)),
                _ => message.skip(field, wire)?,
            }
        }
        Ok(())
    }
}
