//! Native histograms on the wire; 1.0 and 2.0 number their fields alike.
//!
//! Integer histograms carry differences between neighbouring buckets, float ones absolute counts;
//! the model has absolute counts only. What does not fit together (buckets and spans) is kept as
//! it came: [`histogram_is_consistent`] tells, and later stages refuse.

use weir_model::NativeHistogram;
use weir_model::histogram::{ResetHint, Span};

use crate::decode::{BUCKETS_MAX, check_room};
use crate::error::DecodeError;
use crate::varint::{FIXED64, LEN, Reader, VARINT};

/// Whose schema a histogram is read by: 1.0 has no start timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HistogramVersion {
    /// `prometheus.Histogram`.
    V1,
    /// `io.prometheus.write.v2.Histogram`.
    V2,
}

/// What the wire has for one sign.
#[derive(Default)]
pub(crate) struct Side {
    pub(crate) spans: Vec<Span>,
    pub(crate) deltas: Vec<i64>,
    pub(crate) counts: Vec<f64>,
}

impl Side {
    /// Spans and counts, the latter from differences in the integer kind.
    pub(crate) fn absolute(self, integer: bool) -> (Vec<Span>, Vec<f64>) {
        if !integer {
            return (self.spans, self.counts);
        }
        let mut count = 0i64;
        let add = |delta: i64| {
            count = count.wrapping_add(delta);
            count as f64
        };
        (self.spans, self.deltas.into_iter().map(add).collect())
    }
}

/// Reads a histogram; `buckets` counts those of the whole request.
pub(crate) fn decode(
    mut message: Reader<'_>,
    version: HistogramVersion,
    buckets: &mut usize,
) -> Result<NativeHistogram, DecodeError> {
    let mut out = NativeHistogram { integer: true, ..NativeHistogram::default() };
    let (mut negative, mut positive) = (Side::default(), Side::default());
    while !message.is_done() {
        let (field, wire) = message.key()?;
        match (field, wire) {
            (1, VARINT) => {
                out.count = message.varint()? as f64;
                out.integer = true;
            }
            (2, FIXED64) => {
                out.count = message.double()?;
                out.integer = false;
            }
            (3, FIXED64) => out.sum = message.double()?,
            (4, VARINT) => out.schema = message.sint32()?,
            (5, FIXED64) => out.zero_threshold = message.double()?,
            (6, VARINT) => out.zero_count = message.varint()? as f64,
            (7, FIXED64) => out.zero_count = message.double()?,
            (8, LEN) => negative.spans.push(span(message.message()?, buckets)?),
            (9, LEN | VARINT) => deltas(&mut message, wire, &mut negative.deltas, buckets)?,
            (10, LEN | FIXED64) => doubles(&mut message, wire, &mut negative.counts, buckets)?,
            (11, LEN) => positive.spans.push(span(message.message()?, buckets)?),
            (12, LEN | VARINT) => deltas(&mut message, wire, &mut positive.deltas, buckets)?,
            (13, LEN | FIXED64) => doubles(&mut message, wire, &mut positive.counts, buckets)?,
            (14, VARINT) => out.reset_hint = reset_hint(message.varint()? as u32),
            (15, VARINT) => out.timestamp = message.varint()? as i64,
            (16, LEN | FIXED64) => doubles(&mut message, wire, &mut out.custom_values, buckets)?,
            (17, VARINT) if version == HistogramVersion::V2 => {
                out.start = message.varint()? as i64;
            }
            (17, _) if version == HistogramVersion::V1 => message.skip(field, wire)?,
            (1..=17, _) => return Err(message.wire_error("Histogram", field, wire)),
            _ => message.skip(field, wire)?,
        }
    }
    (out.negative_spans, out.negative) = negative.absolute(out.integer);
    (out.positive_spans, out.positive) = positive.absolute(out.integer);
    Ok(out)
}

/// Whether buckets and spans fit together: as many buckets as the spans have, on both sides, and
/// only the first span of a side with a negative offset.
pub fn histogram_is_consistent(histogram: &NativeHistogram) -> bool {
    let fits = |spans: &[Span], counts: &[f64]| {
        spans.iter().map(|s| u64::from(s.length)).sum::<u64>() == counts.len() as u64
            && spans.iter().skip(1).all(|s| s.offset >= 0)
    };
    fits(&histogram.positive_spans, &histogram.positive)
        && fits(&histogram.negative_spans, &histogram.negative)
}

fn reset_hint(number: u32) -> ResetHint {
    match number {
        1 => ResetHint::Yes,
        2 => ResetHint::No,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

/// A run of buckets.
pub(crate) fn span(mut message: Reader<'_>, buckets: &mut usize) -> Result<Span, DecodeError> {
    take_bucket(&message, buckets)?;
    let mut span = Span::default();
    while !message.is_done() {
        match message.key()? {
            (1, VARINT) => span.offset = message.sint32()?,
            (2, VARINT) => span.length = message.varint()? as u32,
            (field @ (1 | 2), wire) => return Err(message.wire_error("BucketSpan", field, wire)),
            (field, wire) => message.skip(field, wire)?,
        }
    }
    Ok(span)
}

/// Repeated `sint64`, packed or one by one.
pub(crate) fn deltas(
    message: &mut Reader<'_>,
    wire: u8,
    out: &mut Vec<i64>,
    buckets: &mut usize,
) -> Result<(), DecodeError> {
    if wire != LEN {
        take_bucket(message, buckets)?;
        out.push(message.sint64()?);
        return Ok(());
    }
    let mut packed = message.message()?;
    while !packed.is_done() {
        take_bucket(&packed, buckets)?;
        out.push(packed.sint64()?);
    }
    Ok(())
}

/// Repeated `double`, packed or one by one.
pub(crate) fn doubles(
    message: &mut Reader<'_>,
    wire: u8,
    out: &mut Vec<f64>,
    buckets: &mut usize,
) -> Result<(), DecodeError> {
    if wire != LEN {
        take_bucket(message, buckets)?;
        out.push(message.double()?);
        return Ok(());
    }
    let mut packed = message.message()?;
    while !packed.is_done() {
        take_bucket(&packed, buckets)?;
        out.push(packed.double()?);
    }
    Ok(())
}

fn take_bucket(message: &Reader<'_>, buckets: &mut usize) -> Result<(), DecodeError> {
    check_room(*buckets, BUCKETS_MAX, "buckets", message.pos())?;
    *buckets += 1;
    Ok(())
}
