//! A series on a page: its bytes and value at once, its labels when they are asked for.

use weir_model::{Exemplar, LabelsBuilder, MetricType, NativeHistogram, Timestamp};

use super::error::ParseError;
use super::labels;
use super::protobuf::MetricSource;

/// One float sample of one series.
///
/// Borrowed from the parser: it is gone when the next entry is asked for.
#[derive(Clone, Debug)]
pub struct Series<'p> {
    /// What names the series within its page, alike from scrape to scrape: in the text formats the
    /// name and label block as they stand there, in protobuf their encoded bytes. A cache's key,
    /// not to be read.
    pub raw: &'p [u8],
    /// Value. NaN has the bits of Prometheus's ordinary one, so that none passes for a stale
    /// marker.
    pub value: f64,
    /// The page's own timestamp in milliseconds, if it has one.
    pub timestamp: Option<Timestamp>,
    /// When the counter, histogram or summary began, if the page says so.
    pub start: Option<Timestamp>,
    pub(super) source: Source<'p>,
}

/// One native histogram of one series; protobuf alone has them.
///
/// Borrowed from the parser: it is gone when the next entry is asked for.
#[derive(Clone, Debug)]
pub struct Histogram<'p> {
    /// As [`Series::raw`].
    pub raw: &'p [u8],
    /// The histogram: sound, without empty buckets, `timestamp` and `start` 0 where the page has
    /// none.
    pub value: Box<NativeHistogram>,
    /// The page's own timestamp in milliseconds, if it has one.
    pub timestamp: Option<Timestamp>,
    /// When the histogram began, if the page says so.
    pub start: Option<Timestamp>,
    pub(super) source: Source<'p>,
}

/// Where labels and exemplars are to be found; lent by the parser, so that an entry stays small.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'p> {
    Line(&'p LineSource<'p>),
    Metric(&'p MetricSource<'p>),
}

/// A line of a text page.
#[derive(Clone, Debug)]
pub(super) struct LineSource<'p> {
    pub(super) page: &'p [u8],
    /// Where the line begins.
    pub(super) at: usize,
    /// What the last `TYPE` said.
    pub(super) kind: MetricType,
    /// From behind the exemplar's opening brace to the end of the line; empty without one.
    pub(super) exemplar: &'p [u8],
}

impl Series<'_> {
    /// Writes the labels, `__name__` among them, over what is in `into`.
    ///
    /// Bounds (`le`) and quantiles are brought to the one form that Prometheus 3 gives them,
    /// `1.0`. Labels with an empty value are left out. An error ends the page as one of
    /// [`Parser::next`](super::Parser::next) does.
    pub fn labels(&self, into: &mut LabelsBuilder) -> Result<(), ParseError> {
        self.source.labels(self.raw, into)
    }

    /// Appends the exemplars, at most one; where it has no timestamp it gets `timestamp`, as the
    /// sample does.
    pub fn exemplars(
        &self,
        timestamp: Timestamp,
        out: &mut Vec<Exemplar>,
    ) -> Result<(), ParseError> {
        self.source.exemplars(timestamp, out)
    }
}

impl Histogram<'_> {
    /// As [`Series::labels`].
    pub fn labels(&self, into: &mut LabelsBuilder) -> Result<(), ParseError> {
        self.source.labels(self.raw, into)
    }

    /// Appends the exemplars that have a timestamp: the histogram's own, or else those of its
    /// classic buckets.
    pub fn exemplars(&self, out: &mut Vec<Exemplar>) -> Result<(), ParseError> {
        self.source.exemplars(0, out)
    }
}

impl Source<'_> {
    fn labels(&self, raw: &[u8], into: &mut LabelsBuilder) -> Result<(), ParseError> {
        into.clear();
        match self {
            Self::Line(line) => labels::read(raw, line.kind, into).map_err(|kind| line.error(kind)),
            Self::Metric(metric) => metric.labels(into),
        }
    }

    fn exemplars(&self, timestamp: Timestamp, out: &mut Vec<Exemplar>) -> Result<(), ParseError> {
        match self {
            Self::Line(line) if line.exemplar.is_empty() => Ok(()),
            Self::Line(line) => {
                let exemplar = labels::read_exemplar(line.exemplar, timestamp);
                out.push(exemplar.map_err(|kind| line.error(kind))?);
                Ok(())
            }
            Self::Metric(metric) => metric.exemplars(timestamp, out),
        }
    }
}

impl LineSource<'_> {
    /// An error in this line.
    #[cold]
    pub(super) fn error(&self, kind: super::ParseErrorKind) -> ParseError {
        ParseError::in_line(self.page, self.at, kind)
    }
}
