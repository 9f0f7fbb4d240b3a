//! A plain message, and where its values and timestamps lie.

use super::protobuf::{self, FIXED64, VARINT};
use super::{STAMP_BYTES, encode_stamp};
use crate::workload::Series;

/// A message before compression. Places ascend.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    /// The message, with zeros as values.
    pub bytes: Vec<u8>,
    /// Where each value's 8 bytes begin.
    pub values: Vec<u32>,
    /// Where each timestamp's bytes begin, and by which clock it is.
    pub stamps: Vec<(u32, u16)>,
}

/// Encoded length of a sample: key and value, key and timestamp.
pub(super) const SAMPLE_LEN: usize = 1 + 8 + 1 + STAMP_BYTES;

impl Draft {
    fn place(&self) -> u32 {
        // A request's plain body is far below 4 GiB: samples of a request are bounded.
        self.bytes.len() as u32
    }

    /// A double's 8 bytes, to be patched.
    pub(super) fn value(&mut self) {
        self.values.push(self.place());
        self.bytes.extend([0; 8]);
    }

    /// A timestamp's bytes, to be patched.
    pub(super) fn stamp(&mut self, clock: u16) {
        self.stamps.push((self.place(), clock));
        self.bytes.extend(encode_stamp(0));
    }

    /// A float sample or a histogram, whichever the series has, as a field of these numbers.
    pub(super) fn content(&mut self, series: &Series<'_>, sample: u32, histogram: u32) {
        if series.buckets > 0 {
            self.histogram(series, histogram);
            return;
        }
        protobuf::begin(&mut self.bytes, sample, SAMPLE_LEN);
        protobuf::key(&mut self.bytes, 1, FIXED64);
        self.value();
        protobuf::key(&mut self.bytes, 2, VARINT);
        self.stamp(series.clock);
    }

    /// Length of what [`Draft::content`] writes.
    pub(super) fn content_len(series: &Series<'_>) -> usize {
        let message = match series.buckets {
            0 => SAMPLE_LEN,
            buckets => histogram_len(buckets),
        };
        protobuf::field_len(message)
    }

    /// Schema 3, one span of positive buckets from index 0 on, float counts. The order is that of
    /// the motions: buckets, zero bucket, count, sum.
    fn histogram(&mut self, series: &Series<'_>, field: u32) {
        protobuf::begin(&mut self.bytes, field, histogram_len(series.buckets));
        // schema: sint32 3
        self.bytes.extend([4 << 3, 6]);
        let buckets = usize::from(series.buckets);
        let span = 1 + protobuf::varint_len(buckets as u64);
        protobuf::begin(&mut self.bytes, 11, span);
        protobuf::key(&mut self.bytes, 2, VARINT);
        protobuf::varint(&mut self.bytes, buckets as u64);
        protobuf::begin(&mut self.bytes, 13, buckets * 8);
        for _ in 0..buckets {
            self.value();
        }
        for field in [7, 2, 3] {
            protobuf::key(&mut self.bytes, field, FIXED64);
            self.value();
        }
        protobuf::key(&mut self.bytes, 15, VARINT);
        self.stamp(series.clock);
    }
}

fn histogram_len(buckets: u16) -> usize {
    let buckets = usize::from(buckets);
    let span = 1 + protobuf::varint_len(buckets as u64);
    2 + protobuf::field_len(span) + protobuf::field_len(buckets * 8) + 3 * 9 + 1 + STAMP_BYTES
}
