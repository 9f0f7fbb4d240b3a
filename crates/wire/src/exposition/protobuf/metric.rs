//! One `Metric`: what all of its series share, read at once.

use weir_model::{MetricType, Timestamp, varint};

use super::elements::field_of;
use super::parts::{Part, Parts};
use super::source::MetricPlace;
use crate::error::DecodeError;
use crate::exposition::Options;
use crate::varint::{FIXED64, LEN, Reader, VARINT};

/// The fields of a metric that all of its series share.
#[derive(Debug, Default)]
pub(super) struct Metric<'a> {
    place: MetricPlace<'a>,
    timestamp_ms: i64,
    value: f64,
    /// Observations, and their number as a float, which overrides the other unless it is 0.
    count: u64,
    count_float: f64,
    sum: f64,
    started: Moment,
    has_buckets: bool,
    is_native: bool,
}

/// A `google.protobuf.Timestamp`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    seconds: i64,
    nanos: i32,
}

impl<'a> Metric<'a> {
    /// Reads a metric; the bytes of its labels are appended to `key`.
    pub(super) fn read(
        message: Reader<'a>,
        name: &'a str,
        kind: MetricType,
        key: &mut Vec<u8>,
    ) -> Result<Self, DecodeError> {
        let place = MetricPlace { name, kind, message: message.clone() };
        let mut metric = Self { place, ..Self::default() };
        let (wanted, mut rest) = (field_of(kind), message);
        while !rest.is_done() {
            match rest.key()? {
                (1, LEN) => {
                    let label = rest.bytes()?;
                    varint::write(label.len() as u64, key);
                    key.extend_from_slice(label);
                }
                (6, VARINT) => metric.timestamp_ms = rest.varint()? as i64,
                (field, LEN) if field == wanted => {
                    let value = rest.message()?;
                    match kind {
                        MetricType::Histogram | MetricType::GaugeHistogram => {
                            metric.read_histogram(value)?;
                        }
                        MetricType::Summary => metric.read_summary(value)?,
                        _ => metric.read_simple(value)?,
                    }
                }
                (field, wire) if matches!(field, 1 | 6) || field == wanted => {
                    return Err(rest.wire_error("Metric", field, wire));
                }
                (field, wire) => rest.skip(field, wire)?,
            }
        }
        Ok(metric)
    }

    /// `Gauge`, `Counter`, `Untyped`; a gauge has the first field only.
    fn read_simple(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while !message.is_done() {
            match message.key()? {
                (1, FIXED64) => self.value = message.double()?,
                (3, LEN) => self.started.read(message.message()?)?,
                (field @ (1 | 3), wire) => return Err(message.wire_error("Counter", field, wire)),
                (field, wire) => message.skip(field, wire)?,
            }
        }
        Ok(())
    }

    fn read_summary(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while !message.is_done() {
            match message.key()? {
                (1, VARINT) => self.count = message.varint()?,
                (2, FIXED64) => self.sum = message.double()?,
                (4, LEN) => self.started.read(message.message()?)?,
                (field @ (1..=4), wire) if (field, wire) != (3, LEN) => {
                    return Err(message.wire_error("Summary", field, wire));
                }
                (field, wire) => message.skip(field, wire)?,
            }
        }
        Ok(())
    }

    /// What series of either kind share; buckets come later.
    fn read_histogram(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while !message.is_done() {
            let (field, wire) = message.key()?;
            match (field, wire) {
                (1, VARINT) => self.count = message.varint()?,
                (2, FIXED64) => self.sum = message.double()?,
                (4, FIXED64) => self.count_float = message.double()?,
                (15, LEN) => self.started.read(message.message()?)?,
                // A histogram is native by its spans (if only an empty one) or its zero bucket.
                (6, FIXED64) => self.is_native |= message.double()? > 0.0,
                (7, VARINT) => self.is_native |= message.varint()? > 0,
                (1 | 2 | 4 | 6 | 7 | 15, _) => {
                    return Err(message.wire_error("Histogram", field, wire));
                }
                _ => {
                    self.has_buckets |= field == 3;
                    self.is_native |= field == 9 || field == 12;
                    message.skip(field, wire)?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn place(&self) -> &MetricPlace<'a> {
        &self.place
    }

    /// The page's timestamp in milliseconds; 0 says nothing, as the schema cannot tell them apart.
    pub(super) fn timestamp(&self) -> Option<Timestamp> {
        Some(self.timestamp_ms).filter(|&ms| ms != 0)
    }

    pub(super) fn start(&self) -> Option<Timestamp> {
        Some(self.started.millis()).filter(|&ms| ms != 0)
    }

    /// Number of observations, as an integer and as a float.
    pub(super) fn counts(&self) -> (u64, f64) {
        (self.count, self.count_float)
    }

    /// Their number for classic series: the float overrides the integer unless it is 0.
    fn observations(&self) -> f64 {
        if self.count_float == 0.0 { self.count as f64 } else { self.count_float }
    }

    /// The value of one of its series.
    pub(super) fn value_of(&self, part: &Part<'_>) -> f64 {
        match part {
            Part::Whole => self.value,
            Part::Count => self.observations(),
            Part::Sum | Part::Native => self.sum,
            Part::Quantile(_, value) => *value,
            Part::Bucket(_, count, _) => *count,
        }
    }

    /// Its series.
    pub(super) fn parts(&self, options: Options) -> Parts<'a> {
        let native = self.is_native && !options.ignore_native;
        let classic = !native || (options.classic_too && self.has_buckets);
        let elements = self.place.elements(ELEMENTS);
        Parts::new(self.place.kind, native, classic, self.observations(), elements)
    }
}

impl Moment {
    /// Reads a message over what is known; one that stands twice is merged, as protobuf has it.
    pub(super) fn read(&mut self, mut message: Reader<'_>) -> Result<(), DecodeError> {
        while !message.is_done() {
            match message.key()? {
                (1, VARINT) => self.seconds = message.varint()? as i64,
                (2, VARINT) => self.nanos = message.varint()? as i32,
                (field @ (1 | 2), wire) => {
                    return Err(message.wire_error("Timestamp", field, wire));
                }
                (field, wire) => message.skip(field, wire)?,
            }
        }
        Ok(())
    }

    /// Milliseconds since the epoch.
    pub(super) fn millis(self) -> Timestamp {
        self.seconds.saturating_mul(1000).saturating_add(i64::from(self.nanos / 1_000_000))
    }
}

/// Quantiles of a summary, classic buckets of a histogram.
const ELEMENTS: u32 = 3;
