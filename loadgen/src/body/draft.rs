//! A plain message, and where its values and timestamps lie.

use super::protobuf::{self, FIXED64, VARINT};
use super::{STAMP_BYTES, encode_stamp};
use crate::workload::{NATIVE_SCHEMA, Series};

/// A message before compression. Places ascend.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The message, with zeros as values.
    pub bytes: Vec<u8>,
    /// Where each value's 8 bytes begin, and what they are.
    pub values: Vec<Place>,
    /// Where each timestamp's bytes begin, and by which clock it is.
    pub stamps: Vec<(u32, u16)>,
}

/// Where a value's 8 bytes begin, and what they are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u32);

/// What the 8 bytes of a value are. Varints are stretched to them, which is as good as a short one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A double.
    Double,
    /// A varint.
    Whole,
    /// A zigzag varint: a histogram's first bucket.
    First,
    /// A zigzag varint: by how much a bucket differs from the value before.
    Delta,
}

impl Place {
    /// A request's plain body is far below 1 GiB: samples of a request are bounded.
    pub(super) fn new(at: usize, kind: Kind) -> Self {
        Self((at as u32) << 2 | kind as u32)
    }

    /// Where.
    pub fn at(self) -> usize {
        (self.0 >> 2) as usize
    }

    /// What.
    pub fn kind(self) -> Kind {
        [Kind::Double, Kind::Whole, Kind::First, Kind::Delta][(self.0 & 3) as usize]
    }

    /// The same elsewhere.
    pub(super) fn moved_to(self, at: usize) -> Self {
        Self::new(at, self.kind())
    }
}

/// Bytes of a value.
pub const VALUE_BYTES: usize = 8;

/// Encoded length of a sample: key and value, key and timestamp.
const SAMPLE_LEN: usize = 1 + VALUE_BYTES + 1 + STAMP_BYTES;

/// Encoded length of an exemplar's value and timestamp.
const EXEMPLAR_LEN: usize = SAMPLE_LEN;

/// Numbers of a series' fields.
pub(super) struct Fields {
    pub(super) sample: u32,
    pub(super) histogram: u32,
}

impl Draft {
    /// A double's 8 bytes, to be patched.
    pub(super) fn value(&mut self) {
        self.number(Kind::Double);
    }

    /// A number's 8 bytes, to be patched.
    fn number(&mut self, kind: Kind) {
        self.values.push(Place::new(self.bytes.len(), kind));
        self.bytes.extend([0; VALUE_BYTES]);
    }

    /// A timestamp's bytes, to be patched.
    pub(super) fn stamp(&mut self, clock: u16) {
        self.stamps.push((self.bytes.len() as u32, clock));
        self.bytes.extend(encode_stamp(0));
    }

    /// A float sample or a histogram, whichever the series has, as a field of these numbers.
    pub(super) fn content(&mut self, series: &Series<'_>, fields: &Fields) {
        if series.buckets > 0 {
            self.histogram(series, fields.histogram);
            return;
        }
        protobuf::begin(&mut self.bytes, fields.sample, SAMPLE_LEN + start_len(series, 1));
        protobuf::key(&mut self.bytes, 1, FIXED64);
        self.value();
        protobuf::key(&mut self.bytes, 2, VARINT);
        self.stamp(series.clock);
        if series.has_start {
            protobuf::key(&mut self.bytes, 3, VARINT);
            self.number(Kind::Whole);
        }
    }

    /// Length of what [`Draft::content`] writes.
    pub(super) fn content_len(series: &Series<'_>) -> usize {
        let message = match series.buckets {
            0 => SAMPLE_LEN + start_len(series, 1),
            buckets => histogram_len(buckets) + start_len(series, 2),
        };
        protobuf::field_len(message)
    }

    /// An exemplar as a field of this number; `labels` as their fields are written.
    pub(super) fn exemplar(&mut self, clock: u16, field: u32, labels: &[u8]) {
        protobuf::begin(&mut self.bytes, field, labels.len() + EXEMPLAR_LEN);
        self.bytes.extend(labels);
        protobuf::key(&mut self.bytes, 2, FIXED64);
        self.bytes.extend(1f64.to_le_bytes());
        protobuf::key(&mut self.bytes, 3, VARINT);
        self.stamp(clock);
    }

    /// Length of what [`Draft::exemplar`] writes.
    pub(super) fn exemplar_len(labels: &[u8]) -> usize {
        protobuf::field_len(labels.len() + EXEMPLAR_LEN)
    }

    /// One span of positive buckets from index 0 on, in floats or whole numbers. The order is that of
    /// the motions: buckets, zero bucket, count, sum.
    fn histogram(&mut self, series: &Series<'_>, field: u32) {
        let len = histogram_len(series.buckets) + start_len(series, 2);
        protobuf::begin(&mut self.bytes, field, len);
        // schema: sint32
        self.bytes.extend([4 << 3, (NATIVE_SCHEMA * 2) as u8]);
        let buckets = usize::from(series.buckets);
        let span = 1 + protobuf::varint_len(buckets as u64);
        protobuf::begin(&mut self.bytes, 11, span);
        protobuf::key(&mut self.bytes, 2, VARINT);
        protobuf::varint(&mut self.bytes, buckets as u64);
        let whole = series.whole_counts;
        protobuf::begin(&mut self.bytes, if whole { 12 } else { 13 }, buckets * VALUE_BYTES);
        for bucket in 0..buckets {
            self.number(match bucket {
                _ if !whole => Kind::Double,
                0 => Kind::First,
                _ => Kind::Delta,
            });
        }
        let counts = if whole { [(6, VARINT), (1, VARINT)] } else { [(7, FIXED64), (2, FIXED64)] };
        for (field, wire) in counts {
            protobuf::key(&mut self.bytes, field, wire);
            self.number(if whole { Kind::Whole } else { Kind::Double });
        }
        protobuf::key(&mut self.bytes, 3, FIXED64);
        self.value();
        protobuf::key(&mut self.bytes, 15, VARINT);
        self.stamp(series.clock);
        if series.has_start {
            // Field 17: a key of two bytes.
            protobuf::varint(&mut self.bytes, 17 << 3);
            self.number(Kind::Whole);
        }
    }
}

fn histogram_len(buckets: u16) -> usize {
    let buckets = usize::from(buckets);
    let span = 1 + protobuf::varint_len(buckets as u64);
    2 + protobuf::field_len(span)
        + protobuf::field_len(buckets * VALUE_BYTES)
        + 3 * (1 + VALUE_BYTES)
        + 1
        + STAMP_BYTES
}

/// Length of a start timestamp with a key of so many bytes.
fn start_len(series: &Series<'_>, key: usize) -> usize {
    if series.has_start { key + VALUE_BYTES } else { 0 }
}
