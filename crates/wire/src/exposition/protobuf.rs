//! Protobuf exposition: `io.prometheus.client.MetricFamily` messages, each behind its length.
//!
//! A page looks as its text would: help, unit and type of a family, then its series. Summaries and
//! classic histograms become `_count`, `_sum`, quantiles and `_bucket`, with a bucket `+Inf` where
//! there is none; native histograms stay whole. Any order of fields is read, and unknown fields
//! are passed over. What a family's type makes no use of is not looked at.

mod elements;
mod metric;
mod native;
mod parts;
mod source;

use weir_model::MetricType;

use self::elements::next_message;
use self::metric::Metric;
use self::parts::{Part, Parts};
pub(super) use self::source::MetricSource;
use super::error::{ParseError, ParseErrorKind as Kind};
use super::labels::ordinary_nan;
use super::series::Source;
use super::{Entry, Histogram, Options, Series};
use crate::error::DecodeError;
use crate::varint::{LEN, Reader, VARINT};

/// A page on its way through.
#[derive(Debug)]
pub(super) struct Protobuf<'a> {
    page: Reader<'a>,
    options: Options,
    family: Family<'a>,
    stage: Stage,
    metric: Metric<'a>,
    /// The series at hand.
    source: MetricSource<'a>,
    /// The series that are left of the metric.
    parts: Parts<'a>,
    /// Bytes that name the series at hand; its memory is used again.
    key: Vec<u8>,
    /// How many of them all series of the metric share.
    shared: usize,
}

/// A family without its metrics.
#[derive(Debug, Default)]
struct Family<'a> {
    name: &'a str,
    help: &'a str,
    unit: &'a str,
    kind: MetricType,
    /// The family's message, from the next metric on.
    metrics: Reader<'a>,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Family,
    Help,
    Unit,
    Type,
    Metric,
    Part,
}

impl<'a> Protobuf<'a> {
    pub(super) fn new(page: &'a [u8], options: Options) -> Self {
        Self {
            page: Reader::new(page),
            options,
            family: Family::default(),
            stage: Stage::Family,
            metric: Metric::default(),
            source: MetricSource::default(),
            parts: Parts::default(),
            key: Vec::new(),
            shared: 0,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        loop {
            match self.stage {
                Stage::Family if self.page.is_done() => return Ok(None),
                Stage::Family => {
                    if let Some(family) = Family::read(self.page.message()?)? {
                        (self.family, self.stage) = (family, Stage::Help);
                    }
                }
                Stage::Help => {
                    let Family { name, help, unit, .. } = self.family;
                    self.stage = if unit.is_empty() { Stage::Type } else { Stage::Unit };
                    return Ok(Some(Entry::Help { family: name.into(), text: help.into() }));
                }
                Stage::Unit => {
                    let Family { name, unit, .. } = self.family;
                    self.stage = Stage::Type;
                    return Ok(Some(Entry::Unit { family: name.into(), unit: unit.into() }));
                }
                Stage::Type => {
                    let Family { name, kind, .. } = self.family;
                    self.stage = Stage::Metric;
                    return Ok(Some(Entry::Type { family: name.into(), kind }));
                }
                Stage::Metric => {
                    self.stage = if self.next_metric()? { Stage::Part } else { Stage::Family };
                }
                Stage::Part => match self.parts.next()? {
                    Some(part) => return self.entry(part).map(Some),
                    None => self.stage = Stage::Metric,
                },
            }
        }
    }

    /// Goes to the family's next metric; whether there is one.
    fn next_metric(&mut self) -> Result<bool, ParseError> {
        let Some(message) = self.family.next_metric()? else {
            return Ok(false);
        };
        let Family { name, kind, .. } = self.family;
        self.key.clear();
        self.key.extend_from_slice(name.as_bytes());
        // No byte of UTF-8, so that no name runs into the labels.
        self.key.push(0xff);
        self.metric = Metric::read(message, name, kind, &mut self.key)?;
        self.parts = self.metric.parts(self.options);
        self.shared = self.key.len();
        Ok(true)
    }

    /// The entry of a part of the metric at hand.
    fn entry(&mut self, part: Part<'a>) -> Result<Entry<'_>, ParseError> {
        self.key.truncate(self.shared);
        part.write_key(&mut self.key);
        let metric = &self.metric;
        let (raw, timestamp, start) = (&self.key[..], metric.timestamp(), metric.start());
        self.source = MetricSource { metric: metric.place().clone(), part };
        let (part, source) = (&self.source.part, Source::Metric(&self.source));
        if matches!(part, Part::Native) {
            let value = Box::new(native::read(metric)?);
            return Ok(Entry::Histogram(Histogram { raw, value, timestamp, start, source }));
        }
        let value = ordinary_nan(metric.value_of(part));
        Ok(Entry::Series(Series { raw, value, timestamp, start, source }))
    }
}

impl<'a> Family<'a> {
    /// Reads a family; `None` if it has no metrics, for then it says nothing.
    fn read(message: Reader<'a>) -> Result<Option<Self>, ParseError> {
        let at = message.pos();
        let mut rest = message.clone();
        let (mut name, mut help, mut unit): (&[u8], &[u8], &[u8]) = (b"", b"", b"");
        let (mut kind, mut empty) = (0, true);
        while !rest.is_done() {
            match rest.key()? {
                (1, LEN) => name = rest.bytes()?,
                (2, LEN) => help = rest.bytes()?,
                (3, VARINT) => kind = rest.varint()? as i32,
                (4, LEN) => {
                    rest.message()?;
                    empty = false;
                }
                (5, LEN) => unit = rest.bytes()?,
                (field @ 1..=5, wire) => {
                    return Err(rest.wire_error("MetricFamily", field, wire).into());
                }
                (field, wire) => rest.skip(field, wire)?,
            }
        }
        if empty {
            return Ok(None);
        }
        let error = |kind| ParseError::at_byte(at, kind);
        if name.is_empty() {
            return Err(error(Kind::EmptyName));
        }
        let text = |bytes, what| std::str::from_utf8(bytes).map_err(|_| error(Kind::NotUtf8(what)));
        Ok(Some(Self {
            name: text(name, "a metric name")?,
            help: text(help, "a help text")?,
            unit: text(unit, "a unit")?,
            kind: metric_type(kind).ok_or_else(|| error(Kind::Type(kind.to_string())))?,
            metrics: message,
        }))
    }

    fn next_metric(&mut self) -> Result<Option<Reader<'a>>, DecodeError> {
        next_message(&mut self.metrics, 4)
    }
}

fn metric_type(number: i32) -> Option<MetricType> {
    let types = [
        MetricType::Counter,
        MetricType::Gauge,
        MetricType::Summary,
        MetricType::Unknown,
        MetricType::Histogram,
        MetricType::GaugeHistogram,
    ];
    types.get(usize::try_from(number).ok()?).copied()
}
