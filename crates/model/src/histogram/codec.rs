//! Native histograms as bytes, for checkpoints and partial aggregates.
//!
//! Version 1: version, flags (bit 0 integer, bits 1–2 reset hint), zigzag varints of timestamp,
//! start and schema; zero threshold and sum as 8 bytes each, little-endian (a stale marker's bits
//! survive); counts; then both sides and the custom bounds, each with its length in front. A count
//! is a varint of twice its value where it is whole, else a 1 and the 8 bytes.
//! What is read is trusted for nothing: lengths are compared with the bytes that are left before
//! anything is allocated, and the layout must be sound. This is no exchange format of Prometheus.

use super::{NativeHistogram, ResetHint, Span};
use crate::varint;

const VERSION: u8 = 1;

/// Whole counts below this are written as varints; twice the value stays within 64 bits.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

impl NativeHistogram {
    /// Appends the histogram.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let hint = match self.reset_hint {
            ResetHint::Unknown => 0,
            ResetHint::Yes => 1,
            ResetHint::No => 2,
            ResetHint::Gauge => 3u8,
        };
        out.extend([VERSION, u8::from(self.integer) | (hint << 1)]);
        for number in [self.timestamp, self.start, i64::from(self.schema)] {
            varint::write(varint::zigzag(number), out);
        }
        out.extend(self.zero_threshold.to_le_bytes());
        out.extend(self.sum.to_le_bytes());
        write_count(self.zero_count, out);
        write_count(self.count, out);
        write_side(&self.positive_spans, &self.positive, out);
        write_side(&self.negative_spans, &self.negative, out);
        varint::write(self.custom_values.len() as u64, out);
        for bound in &self.custom_values {
            out.extend(bound.to_le_bytes());
        }
    }

    /// Takes a histogram from the front of `rest`; `None` if the bytes are none.
    pub fn decode(rest: &mut &[u8]) -> Option<Self> {
        let (&[version, flags], tail) = rest.split_first_chunk()?;
        *rest = tail;
        if version != VERSION || flags > 0b111 {
            return None;
        }
        let mut number = || varint::read(rest).map(varint::unzigzag);
        let (timestamp, start, schema) = (number()?, number()?, number()?);
        let mut histogram = Self {
            timestamp,
            start,
            schema: i32::try_from(schema).ok()?,
            integer: flags & 1 == 1,
            reset_hint: match flags >> 1 {
                0 => ResetHint::Unknown,
                1 => ResetHint::Yes,
                2 => ResetHint::No,
                _ => ResetHint::Gauge,
            },
            zero_threshold: read_float(rest)?,
            sum: read_float(rest)?,
            zero_count: read_count(rest)?,
            count: read_count(rest)?,
            ..Self::default()
        };
        (histogram.positive_spans, histogram.positive) = read_side(rest)?;
        (histogram.negative_spans, histogram.negative) = read_side(rest)?;
        for _ in 0..read_len(rest, size_of::<f64>())? {
            histogram.custom_values.push(read_float(rest)?);
        }
        histogram.validate_layout().ok()?;
        Some(histogram)
    }
}

fn write_side(spans: &[Span], counts: &[f64], out: &mut Vec<u8>) {
    varint::write(spans.len() as u64, out);
    for span in spans {
        varint::write(varint::zigzag(i64::from(span.offset)), out);
        varint::write(u64::from(span.length), out);
    }
    varint::write(counts.len() as u64, out);
    for &count in counts {
        write_count(count, out);
    }
}

fn read_side(rest: &mut &[u8]) -> Option<(Vec<Span>, Vec<f64>)> {
    let len = read_len(rest, 2)?;
    let mut spans = Vec::with_capacity(len);
    for _ in 0..len {
        spans.push(Span {
            offset: i32::try_from(varint::unzigzag(varint::read(rest)?)).ok()?,
            length: u32::try_from(varint::read(rest)?).ok()?,
        });
    }
    let len = read_len(rest, 1)?;
    let mut counts = Vec::with_capacity(len);
    for _ in 0..len {
        counts.push(read_count(rest)?);
    }
    Some((spans, counts))
}

/// A number of elements, of which each takes `size_min` bytes at least.
fn read_len(rest: &mut &[u8], size_min: usize) -> Option<usize> {
    let len = usize::try_from(varint::read(rest)?).ok()?;
    (len <= rest.len() / size_min).then_some(len)
}

fn write_count(count: f64, out: &mut Vec<u8>) {
    // Compared as bits, so that -0 takes the long form and comes back as it was.
    let whole = (0.0..WHOLE_MAX).contains(&count).then_some(count as u64);
    match whole.filter(|&whole| (whole as f64).to_bits() == count.to_bits()) {
        Some(whole) => varint::write(whole << 1, out),
        None => {
            out.push(1);
            out.extend(count.to_le_bytes());
        }
    }
}

fn read_count(rest: &mut &[u8]) -> Option<f64> {
    match varint::read(rest)? {
        1 => read_float(rest),
        doubled if doubled & 1 == 0 => Some((doubled >> 1) as f64),
        _ => None,
    }
}

fn read_float(rest: &mut &[u8]) -> Option<f64> {
    let (&bytes, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(f64::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_with_every_field() {
        let span = |offset, length| Span { offset, length };
        let histogram = NativeHistogram {
            timestamp: 1_700_000_000_123,
            start: -5,
            schema: 3,
            zero_threshold: 1e-128,
            zero_count: 0.5,
            count: 12.5,
            sum: crate::STALE_NAN,
            positive_spans: vec![span(-3, 2), span(7, 1)],
            positive: vec![1.0, 1e15, -0.0],
            negative_spans: vec![span(1, 1)],
            negative: vec![1e300],
            reset_hint: ResetHint::Gauge,
            integer: true,
            ..NativeHistogram::default()
        };
        let mut bytes = Vec::new();
        histogram.encode(&mut bytes);
        let mut rest = &bytes[..];
        let back = NativeHistogram::decode(&mut rest).unwrap();
        assert!(rest.is_empty());
        assert_eq!(format!("{histogram:?}"), format!("{back:?}"));
        assert!(back.is_stale() && back.positive[2].is_sign_negative());
        for cut in 0..bytes.len() {
            assert!(NativeHistogram::decode(&mut &bytes[..cut]).is_none());
        }
    }

    #[test]
    fn a_length_that_the_bytes_cannot_hold_allocates_nothing() {
        let mut bytes = Vec::new();
        NativeHistogram::default().encode(&mut bytes);
        let side = bytes.len() - 5;
        bytes.truncate(side);
        varint::write(u64::MAX, &mut bytes);
        assert!(NativeHistogram::decode(&mut &bytes[..]).is_none());
    }
}
