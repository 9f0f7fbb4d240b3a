//! Messages within a metric, wherever they stand in it.
//!
//! Protobuf may write one message in several pieces, which are to be joined. Nobody does, and these
//! walks join them all the same, so that every reader of the schema sees the same series.

use weir_model::MetricType;

use super::source::MetricPlace;
use crate::error::DecodeError;
use crate::varint::{LEN, Reader};

/// The pieces of a metric's value. It is one as a rule; protobuf joins several.
#[derive(Clone, Debug, Default)]
pub(super) struct Values<'a> {
    rest: Reader<'a>,
    field: u32,
}

/// The messages of one field of a metric's value.
#[derive(Clone, Debug, Default)]
pub(super) struct Elements<'a> {
    values: Values<'a>,
    value: Reader<'a>,
    field: u32,
}

impl<'a> MetricPlace<'a> {
    /// The pieces of the metric's value.
    pub(super) fn values(&self) -> Values<'a> {
        Values { rest: self.message.clone(), field: field_of(self.kind) }
    }

    /// The messages of a field of the metric's value.
    pub(super) fn elements(&self, field: u32) -> Elements<'a> {
        Elements { values: self.values(), value: Reader::default(), field }
    }
}

impl<'a> Values<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Reader<'a>>, DecodeError> {
        next_message(&mut self.rest, self.field)
    }
}

impl<'a> Elements<'a> {
    pub(super) fn next(&mut self) -> Result<Option<Reader<'a>>, DecodeError> {
        loop {
            if let Some(element) = next_message(&mut self.value, self.field)? {
                return Ok(Some(element));
            }
            match self.values.next()? {
                Some(value) => self.value = value,
                None => return Ok(None),
            }
        }
    }
}

/// The next message of a field.
pub(super) fn next_message<'a>(
    rest: &mut Reader<'a>,
    wanted: u32,
) -> Result<Option<Reader<'a>>, DecodeError> {
    while !rest.is_done() {
        match rest.key()? {
            (field, LEN) if field == wanted => return rest.message().map(Some),
            (field, wire) if field == wanted => {
                return Err(rest.wire_error("Metric", field, wire));
            }
            (field, wire) => rest.skip(field, wire)?,
        }
    }
    Ok(None)
}

/// The field of `Metric` that holds the value of a type.
pub(super) fn field_of(kind: MetricType) -> u32 {
    match kind {
        MetricType::Gauge => 2,
        MetricType::Counter => 3,
        MetricType::Summary => 4,
        MetricType::Histogram | MetricType::GaugeHistogram => 7,
        _ => 5,
    }
}
