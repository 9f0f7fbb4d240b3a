//! Labels and exemplars of a protobuf series, read when they are asked for.

use weir_model::labels::METRIC_NAME;
use weir_model::{Exemplar, LabelsBuilder, MetricType, Timestamp};

use super::elements::next_message;
use super::metric::Moment;
use super::parts::Part;
use crate::error::DecodeError;
use crate::exposition::error::{ParseError, ParseErrorKind as Kind};
use crate::exposition::labels::{bound_text, ordinary_nan, put};
use crate::varint::{FIXED64, LEN, Reader};

/// Where a metric stands.
#[derive(Clone, Debug, Default)]
pub(super) struct MetricPlace<'a> {
    /// Name of the family.
    pub(super) name: &'a str,
    /// Type of the family.
    pub(super) kind: MetricType,
    /// The `Metric`.
    pub(super) message: Reader<'a>,
}

/// A series of a metric.
#[derive(Clone, Debug, Default)]
pub(in crate::exposition) struct MetricSource<'a> {
    pub(super) metric: MetricPlace<'a>,
    pub(super) part: Part<'a>,
}

impl MetricSource<'_> {
    /// As [`Series::labels`](crate::exposition::Series::labels); `into` is empty.
    pub(in crate::exposition) fn labels(&self, into: &mut LabelsBuilder) -> Result<(), ParseError> {
        let MetricPlace { name, message, .. } = &self.metric;
        let at = message.pos();
        let mut add = |name: &str, value: &str| {
            put(name, value, into).map_err(|kind| ParseError::at_byte(at, kind))
        };
        match self.part {
            Part::Whole | Part::Native | Part::Quantile(..) => add(METRIC_NAME, name)?,
            Part::Count => add(METRIC_NAME, &format!("{name}_count"))?,
            Part::Sum => add(METRIC_NAME, &format!("{name}_sum"))?,
            Part::Bucket(..) => add(METRIC_NAME, &format!("{name}_bucket"))?,
        }
        let mut labels = message.clone();
        while let Some(label) = next_message(&mut labels, 1)? {
            let (name, value) = label_pair(label)?;
            add(name, value)?;
        }
        match self.part {
            Part::Quantile(quantile, _) => add("quantile", &bound_text(quantile)),
            Part::Bucket(bound, ..) => add("le", &bound_text(bound)),
            _ => Ok(()),
        }
    }

    /// Appends the exemplars. Those of a native histogram without a timestamp are left out, as in
    /// Prometheus; another one gets `timestamp`.
    pub(in crate::exposition) fn exemplars(
        &self,
        timestamp: Timestamp,
        out: &mut Vec<Exemplar>,
    ) -> Result<(), ParseError> {
        let read = match &self.part {
            Part::Whole if self.metric.kind == MetricType::Counter => {
                let mut pieces = self.metric.elements(2);
                TimedExemplar::read(|| pieces.next())?
            }
            Part::Bucket(_, _, bucket) => {
                let mut pieces = bucket.clone();
                TimedExemplar::read(|| next_message(&mut pieces, 3))?
            }
            Part::Native => return self.native_exemplars(out),
            _ => None,
        };
        out.extend(read.map(|exemplar| exemplar.or_at(timestamp)));
        Ok(())
    }

    fn native_exemplars(&self, out: &mut Vec<Exemplar>) -> Result<(), ParseError> {
        let mut take = |read: Option<TimedExemplar>| {
            out.extend(read.and_then(TimedExemplar::timed));
        };
        let (mut own, mut any) = (self.metric.elements(16), false);
        while let Some(message) = own.next()? {
            any = true;
            let mut whole = Some(message);
            take(TimedExemplar::read(|| Ok(whole.take()))?);
        }
        let mut buckets = self.metric.elements(3);
        while !any && let Some(mut bucket) = buckets.next()? {
            take(TimedExemplar::read(|| next_message(&mut bucket, 3))?);
        }
        Ok(())
    }
}

fn label_pair<'a>(mut message: Reader<'a>) -> Result<(&'a str, &'a str), ParseError> {
    let (mut name, mut value): (&[u8], &[u8]) = (b"", b"");
    let at = message.pos();
    while !message.is_done() {
        match message.key()? {
            (1, LEN) => name = message.bytes()?,
            (2, LEN) => value = message.bytes()?,
            (field @ (1 | 2), wire) => {
                return Err(message.wire_error("LabelPair", field, wire).into());
            }
            (field, wire) => message.skip(field, wire)?,
        }
    }
    let text = |bytes| {
        let not_utf8 = |_| ParseError::at_byte(at, Kind::NotUtf8("a label"));
        std::str::from_utf8(bytes).map_err(not_utf8)
    };
    Ok((text(name)?, text(value)?))
}

/// An exemplar that may have a timestamp.
#[derive(Default)]
struct TimedExemplar {
    labels: Vec<(String, String)>,
    value: f64,
    moment: Option<Moment>,
}

impl TimedExemplar {
    /// Reads the pieces of one, which protobuf joins; `None` if there is no piece.
    fn read<'a>(
        mut next: impl FnMut() -> Result<Option<Reader<'a>>, DecodeError>,
    ) -> Result<Option<Self>, ParseError> {
        let mut exemplar: Option<Self> = None;
        while let Some(piece) = next()? {
            exemplar.get_or_insert_default().merge(piece)?;
        }
        Ok(exemplar)
    }

    fn merge(&mut self, mut message: Reader<'_>) -> Result<(), ParseError> {
        while !message.is_done() {
            match message.key()? {
                (1, LEN) => {
                    let (name, value) = label_pair(message.message()?)?;
                    self.labels.push((name.to_owned(), value.to_owned()));
                }
                (2, FIXED64) => self.value = ordinary_nan(message.double()?),
                (3, LEN) => {
                    self.moment.get_or_insert_with(Moment::default).read(message.message()?)?;
                }
                (field @ 1..=3, wire) => {
                    return Err(message.wire_error("Exemplar", field, wire).into());
                }
                (field, wire) => message.skip(field, wire)?,
            }
        }
        Ok(())
    }

    fn or_at(self, timestamp: Timestamp) -> Exemplar {
        let timestamp = self.moment.map_or(timestamp, Moment::millis);
        Exemplar { labels: self.labels, value: self.value, timestamp }
    }

    fn timed(self) -> Option<Exemplar> {
        self.moment.map(|moment| self.or_at(moment.millis()))
    }
}
