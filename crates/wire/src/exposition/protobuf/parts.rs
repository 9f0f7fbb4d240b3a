//! The series that a metric falls into, one after the other.

use weir_model::MetricType;

use super::elements::Elements;
use crate::error::DecodeError;
use crate::varint::{FIXED64, Reader, VARINT};

/// A series of a metric.
#[derive(Clone, Debug, Default)]
pub(in crate::exposition) enum Part<'a> {
    /// Counter, gauge, untyped: the metric is one series.
    #[default]
    Whole,
    /// A native histogram.
    Native,
    /// `_count`.
    Count,
    /// `_sum`.
    Sum,
    /// A quantile and its value.
    Quantile(f64, f64),
    /// A bucket's upper bound, its cumulative count, its message.
    Bucket(f64, f64, Reader<'a>),
}

/// The series that are left of a metric.
#[derive(Debug, Default)]
pub(super) struct Parts<'a> {
    next: Next,
    /// Observations, for the bucket `+Inf`.
    count: f64,
    elements: Elements<'a>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Next {
    Whole,
    Native {
        classic_too: bool,
    },
    Count {
        buckets: bool,
    },
    Sum {
        buckets: bool,
    },
    Quantile,
    Bucket,
    #[default]
    Nothing,
}

impl<'a> Parts<'a> {
    /// Those of a metric: `native`, `classic` or both for a histogram.
    pub(super) fn new(
        kind: MetricType,
        native: bool,
        classic: bool,
        count: f64,
        elements: Elements<'a>,
    ) -> Self {
        let next = match kind {
            MetricType::Histogram | MetricType::GaugeHistogram if native => {
                Next::Native { classic_too: classic }
            }
            MetricType::Histogram | MetricType::GaugeHistogram => Next::Count { buckets: true },
            MetricType::Summary => Next::Count { buckets: false },
            _ => Next::Whole,
        };
        Self { next, count, elements }
    }

    pub(super) fn next(&mut self) -> Result<Option<Part<'a>>, DecodeError> {
        let part = match self.next {
            Next::Whole => {
                self.next = Next::Nothing;
                Part::Whole
            }
            Next::Native { classic_too } => {
                self.next = if classic_too { Next::Count { buckets: true } } else { Next::Nothing };
                Part::Native
            }
            Next::Count { buckets } => {
                self.next = Next::Sum { buckets };
                Part::Count
            }
            Next::Sum { buckets } => {
                self.next = if buckets { Next::Bucket } else { Next::Quantile };
                Part::Sum
            }
            Next::Quantile => match self.elements.next()? {
                Some(message) => quantile(message)?,
                None => return Ok(None),
            },
            Next::Bucket => {
                let bucket = match self.elements.next()? {
                    Some(message) => bucket(message)?,
                    None => Part::Bucket(f64::INFINITY, self.count, Reader::default()),
                };
                // What stands behind the last possible bucket is none.
                if matches!(bucket, Part::Bucket(f64::INFINITY, ..)) {
                    self.next = Next::Nothing;
                }
                bucket
            }
            Next::Nothing => return Ok(None),
        };
        Ok(Some(part))
    }
}

impl Part<'_> {
    /// Appends what tells the series of one metric apart: nine bytes, so that no labels run into
    /// them.
    pub(super) fn write_key(&self, key: &mut Vec<u8>) {
        let (which, bound) = match self {
            Self::Whole => (0, 0.0),
            Self::Native => (1, 0.0),
            Self::Count => (2, 0.0),
            Self::Sum => (3, 0.0),
            Self::Quantile(quantile, _) => (4, *quantile),
            Self::Bucket(bound, ..) => (5, *bound),
        };
        key.extend_from_slice(&bound.to_bits().to_le_bytes());
        key.push(which);
    }
}

fn quantile<'a>(mut message: Reader<'a>) -> Result<Part<'a>, DecodeError> {
    let (mut quantile, mut value) = (0.0, 0.0);
    while !message.is_done() {
        match message.key()? {
            (1, FIXED64) => quantile = message.double()?,
            (2, FIXED64) => value = message.double()?,
            (field @ (1 | 2), wire) => return Err(message.wire_error("Quantile", field, wire)),
            (field, wire) => message.skip(field, wire)?,
        }
    }
    Ok(Part::Quantile(quantile, value))
}

fn bucket(message: Reader<'_>) -> Result<Part<'_>, DecodeError> {
    let (mut bound, mut count, mut count_float) = (0.0, 0, 0.0);
    let mut rest = message.clone();
    while !rest.is_done() {
        match rest.key()? {
            (1, VARINT) => count = rest.varint()?,
            (2, FIXED64) => bound = rest.double()?,
            (4, FIXED64) => count_float = rest.double()?,
            (field @ (1 | 2 | 4), wire) => return Err(rest.wire_error("Bucket", field, wire)),
            (field, wire) => rest.skip(field, wire)?,
        }
    }
    let count = if count_float == 0.0 { count as f64 } else { count_float };
    Ok(Part::Bucket(bound, count, message))
}
