//! A native histogram as both versions write it.
//!
//! Integer histograms go back to differences between neighbouring buckets: exact up to counts of
//! 2^53, like the model itself.

use weir_model::NativeHistogram;
use weir_model::histogram::{ResetHint, Span};
use weir_model::varint::{self, zigzag};

use super::{put_double, put_doubles, put_key, put_message, put_varint};
use crate::varint::{FIXED64, VARINT};

/// Writes a histogram's fields; the start timestamp only if `with_start` (1.0 has none).
pub(super) fn put_histogram(out: &mut Vec<u8>, histogram: &NativeHistogram, with_start: bool) {
    let integer = histogram.integer;
    put_count(out, 1, histogram.count, integer);
    put_double(out, 3, histogram.sum);
    put_varint(out, 4, zigzag32(histogram.schema));
    put_double(out, 5, histogram.zero_threshold);
    put_count(out, 6, histogram.zero_count, integer);
    put_side(out, 8, &histogram.negative_spans, &histogram.negative, integer);
    put_side(out, 11, &histogram.positive_spans, &histogram.positive, integer);
    let hint = match histogram.reset_hint {
        ResetHint::Unknown => 0,
        ResetHint::Yes => 1,
        ResetHint::No => 2,
        ResetHint::Gauge => 3,
    };
    put_varint(out, 14, hint);
    put_varint(out, 15, histogram.timestamp as u64);
    put_doubles(out, 16, &histogram.custom_values);
    if with_start {
        put_varint(out, 17, histogram.start as u64);
    }
}

/// A count as a `oneof` of integer (`field`) and double (the next one); written even if 0, for it
/// says which kind the histogram is.
fn put_count(out: &mut Vec<u8>, field: u32, count: f64, integer: bool) {
    if integer {
        put_key(out, field, VARINT);
        varint::write(count as u64, out);
    } else {
        put_key(out, field + 1, FIXED64);
        out.extend_from_slice(&count.to_le_bytes());
    }
}

/// One sign: spans in `field`, then deltas in the next one or counts in the one after.
fn put_side(out: &mut Vec<u8>, field: u32, spans: &[Span], counts: &[f64], integer: bool) {
    for span in spans {
        put_message(out, field, |out| {
            put_varint(out, 1, zigzag32(span.offset));
            put_varint(out, 2, span.length.into());
        });
    }
    if !integer {
        return put_doubles(out, field + 2, counts);
    }
    if counts.is_empty() {
        return;
    }
    put_message(out, field + 1, |out| {
        let mut last = 0i64;
        for count in counts {
            let count = *count as i64;
            varint::write(zigzag(count.wrapping_sub(last)), out);
            last = count;
        }
    });
}

fn zigzag32(value: i32) -> u64 {
    u64::from(zigzag(value.into()) as u32)
}
