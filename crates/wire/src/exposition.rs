//! Reads exposition formats, as scraped from targets: a pull parser without a copy.
//!
//! [`Parser::next`] gives the entries of a page in their order. A series comes with its bytes, its
//! value and its timestamp; its labels are read only when they are asked for, because a scraper
//! that knows the bytes already needs none. What is accepted and what is refused is what
//! Prometheus 3 accepts and refuses; the first error ends the page.
//!
//! Invariant: no input makes a parser panic, and what it allocates stays below a small multiple of
//! one family's bytes; the text formats allocate nothing at all but the start timestamps of an
//! OpenMetrics family. It bounds neither the page nor the number or size of labels: that is the scraper's part.

pub mod protocol;

mod created;
mod error;
mod labels;
mod last;
mod lexer;
mod number;
mod openmetrics;
mod protobuf;
mod series;
mod text;

use std::borrow::Cow;

use weir_model::MetricType;

#[cfg(any(test, feature = "oracle"))]
pub(crate) use self::labels::bound_text;
pub use error::{ParseError, ParseErrorKind, Place};
use openmetrics::OpenMetrics;
use protobuf::Protobuf;
pub use protocol::ScrapeProtocol;
pub use series::{Histogram, Series};
use text::Text;

/// Which exposition format a page is in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// Prometheus text 0.0.4 and 1.0.0.
    Text,
    /// OpenMetrics text 0.0.1 and 1.0.0.
    OpenMetrics,
    /// Length-delimited `io.prometheus.client.MetricFamily` messages.
    Protobuf,
}

/// What is asked of a parser.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// OpenMetrics: take `_created` lines of counters, histograms and summaries as start
    /// timestamps. Otherwise they are series like any other, as in Prometheus.
    pub created_as_start: bool,
    /// Protobuf: give the classic buckets of a native histogram as well
    /// (`always_scrape_classic_histograms`).
    pub classic_too: bool,
    /// Protobuf: give all histograms as classic ones (no `scrape_native_histograms`).
    pub ignore_native: bool,
}

/// One entry of a page.
#[derive(Clone, Debug)]
pub enum Entry<'p> {
    /// A family's type.
    Type {
        /// The family's name.
        family: Cow<'p, str>,
        /// Its type.
        kind: MetricType,
    },
    /// A family's help text.
    Help {
        /// The family's name.
        family: Cow<'p, str>,
        /// Its text; may be empty.
        text: Cow<'p, str>,
    },
    /// A family's unit.
    Unit {
        /// The family's name.
        family: Cow<'p, str>,
        /// Its unit.
        unit: Cow<'p, str>,
    },
    /// A series with a float.
    Series(Series<'p>),
    /// A series with a native histogram.
    Histogram(Histogram<'p>),
}

/// Goes through a page.
///
/// ```
/// use weir_model::LabelsBuilder;
/// use weir_wire::exposition::{Entry, Format, Options, Parser};
///
/// let page = b"# TYPE up gauge\nup{job=\"node\"} 1\n";
/// let mut parser = Parser::new(page, Format::Text, Options::default());
/// let mut labels = LabelsBuilder::default();
/// while let Some(entry) = parser.next()? {
///     if let Entry::Series(series) = entry {
///         assert_eq!(series.raw, br#"up{job="node"}"#);
///         assert_eq!(series.value, 1.0);
///         series.labels(&mut labels)?;
///     }
/// }
/// assert_eq!(labels.build().to_string(), r#"up{job="node"}"#);
/// # Ok::<(), weir_wire::exposition::ParseError>(())
/// ```
#[derive(Debug)]
pub struct Parser<'a> {
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Text(Text<'a>),
    OpenMetrics(OpenMetrics<'a>),
    Protobuf(Box<Protobuf<'a>>),
}

impl<'a> Parser<'a> {
    /// At the beginning of a page.
    pub fn new(page: &'a [u8], format: Format, options: Options) -> Self {
        let source = match format {
            Format::Text => Source::Text(Text::new(page)),
            Format::OpenMetrics => {
                Source::OpenMetrics(OpenMetrics::new(page, options.created_as_start))
            }
            Format::Protobuf => Source::Protobuf(Box::new(Protobuf::new(page, options))),
        };
        Self { source }
    }

    /// Takes the next line if it says no more than the value of a series whose bytes `known`
    /// recognises. `None` takes nothing, and [`Parser::next`] goes on from the same place.
    ///
    /// For whoever remembers what [`Series::raw`] was on this page or another one: such bytes need not
    /// be read again, they are a series. `known` must hold for nothing else.
    #[inline]
    pub fn next_known(&mut self, known: impl FnOnce(&[u8]) -> bool) -> Option<f64> {
        match &mut self.source {
            Source::Text(page) => page.next_known(known),
            Source::OpenMetrics(page) => page.next_known(known),
            Source::Protobuf(_) => None,
        }
    }

    /// The next line of a text page, if it is one of metadata or a comment.
    #[inline]
    pub fn comment(&self) -> Option<&[u8]> {
        match &self.source {
            Source::Text(page) => page.comment(),
            Source::OpenMetrics(page) => page.comment(),
            Source::Protobuf(_) => None,
        }
    }

    /// Passes over [`Parser::comment`], which must have stood on a page before that was good to its end.
    /// False takes nothing: its content matters here.
    #[inline]
    pub fn pass_comment(&mut self) -> Result<bool, ParseError> {
        match &mut self.source {
            Source::Text(page) => page.pass_comment(),
            Source::OpenMetrics(page) => page.pass_comment(),
            Source::Protobuf(_) => Ok(false),
        }
    }

    /// The next entry; `None` at the end. Comments and blank lines are passed over. After an error
    /// nothing more of the page is to be used.
    #[expect(clippy::should_implement_trait, reason = "an entry borrows from the parser")]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        match &mut self.source {
            Source::Text(page) => page.next(),
            Source::OpenMetrics(page) => page.next(),
            Source::Protobuf(page) => page.next(),
        }
    }
}

#[cfg(test)]
mod tests;
