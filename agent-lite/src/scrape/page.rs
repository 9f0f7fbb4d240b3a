//! Going through a page: every sample is judged in Prometheus's order and becomes a row, or is
//! counted.
//!
//! Invariant: nothing here reaches a request; rows and new entries are only good once the page has
//! been read to its end. A page over its sample limit is read on, so that the report is right, but
//! nothing more of it is remembered.

use weir_model::{Labels, LabelsBuilder, Timestamp, is_stale};
use weir_wire::exposition::{Entry, Histogram, ParseError, Parser, Series};

use super::exemplars::NewestExemplars;
use super::labels;
use super::limits::ScrapeError;
use super::metadata::{PageMetadata, belongs};
use super::rows::Extra;
use super::scraper::{Counts, Scratch};
use super::series::{Met, SeriesCache};
use super::settings::Settings;

/// A page in hand.
pub(super) struct Page<'a> {
    pub(super) settings: &'a Settings,
    pub(super) target: &'a Labels,
    pub(super) cache: &'a mut SeriesCache,
    pub(super) exemplars: &'a mut NewestExemplars,
    pub(super) scratch: &'a mut Scratch,
    pub(super) time: Timestamp,
    /// No sample may be later.
    pub(super) latest: Timestamp,
    /// Whether the page before had this format.
    pub(super) is_known: bool,
    pub(super) has_exemplars: bool,
    pub(super) metadata: PageMetadata,
    pub(super) counts: Counts,
    /// The limit that was passed.
    pub(super) over: Option<ScrapeError>,
    /// Samples that count for the limit.
    pub(super) limited: usize,
}

/// A series, found or new.
struct Found {
    id: u32,
    repeated: bool,
    is_new: bool,
}

impl Page<'_> {
    /// Reads it to its end.
    pub(super) fn read(&mut self, mut parser: Parser<'_>) -> Result<(), ScrapeError> {
        loop {
            if let Some(line) = parser.comment() {
                if self.metadata.meet(line) && parser.pass_comment()? {
                    continue;
                }
            } else if let Some(value) = self.next_expected(&mut parser) {
                self.expected(value);
                continue;
            }
            let Some(entry) = parser.next()? else {
                break;
            };
            match entry {
                Entry::Series(series) => self.series(&series)?,
                Entry::Histogram(histogram) => self.histogram(histogram)?,
                other => self.metadata.take(other, &mut self.scratch.rows.families),
            }
        }
        self.over.take().map_or(Ok(()), Err)
    }

    /// The value of the series that should come next, if it does, and without more to it.
    #[inline]
    fn next_expected(&self, parser: &mut Parser<'_>) -> Option<f64> {
        let expected = self.cache.expected().filter(|_| self.is_known)?;
        parser.next_known(|raw| self.scratch.hasher.bytes(raw) == expected)
    }

    /// Takes the series that was expected.
    #[inline]
    fn expected(&mut self, value: f64) {
        self.counts.scraped += 1;
        if let Met::Series { id, repeated } = self.cache.meet_expected() {
            self.counts.post_relabel += 1;
            let found = Found { id, repeated, is_new: false };
            if self.admit(&found, None, is_stale(value)) {
                self.scratch.rows.push(id, value);
                self.taken(&found, None);
            }
        }
    }

    #[inline]
    fn series(&mut self, series: &Series<'_>) -> Result<(), ScrapeError> {
        let Some(found) = self.find(series.raw, |labels| series.labels(labels))? else {
            return Ok(());
        };
        let own = series.timestamp.filter(|_| self.settings.honor_timestamps);
        if !self.admit(&found, own, is_stale(series.value)) {
            return Ok(());
        }
        if own.is_none() && series.start.is_none() && !self.has_exemplars {
            self.scratch.rows.push(found.id, series.value);
        } else {
            self.push_with(found.id, own.unwrap_or(self.time), series)?;
        }
        self.taken(&found, own);
        Ok(())
    }

    fn histogram(&mut self, histogram: Histogram<'_>) -> Result<(), ScrapeError> {
        let Some(found) = self.find(histogram.raw, |labels| histogram.labels(labels))? else {
            return Ok(());
        };
        let own = histogram.timestamp.filter(|_| self.settings.honor_timestamps);
        if !self.admit(&found, own, is_stale(histogram.value.sum)) {
            return Ok(());
        }
        let mut exemplars = Vec::new();
        histogram.exemplars(&mut exemplars)?;
        self.exemplars.keep_newer(found.id, &mut exemplars);
        let (timestamp, start) = (own.unwrap_or(self.time), histogram.start.unwrap_or_default());
        let mut value = histogram.value;
        (value.timestamp, value.start) = (timestamp, start);
        if let Err(error) = self.settings.limits.reduce(&mut value) {
            self.over = Some(error);
            return Ok(());
        }
        let extra = Extra { timestamp, start, exemplars, histogram: Some(value) };
        self.scratch.rows.push_with(found.id, 0.0, extra);
        self.taken(&found, own);
        Ok(())
    }

    /// Finds a series, or makes it out of its labels. `None` if nothing is to be said of it.
    #[inline]
    fn find(
        &mut self,
        raw: &[u8],
        labels: impl FnOnce(&mut LabelsBuilder) -> Result<(), ParseError>,
    ) -> Result<Option<Found>, ScrapeError> {
        self.counts.scraped += 1;
        let hash = self.scratch.hasher.bytes(raw);
        let found = match self.cache.meet(hash) {
            Met::Series { id, repeated } => Found { id, repeated, is_new: false },
            Met::Dropped => return Ok(None),
            Met::New => {
                labels(&mut self.scratch.labels)?;
                match self.birth(hash, raw)? {
                    Some(found) => found,
                    None => return Ok(None),
                }
            }
        };
        self.counts.post_relabel += 1;
        Ok(Some(found))
    }

    /// A series that is new, and whose labels have been read. `None` if it is not to be remembered.
    #[cold]
    fn birth(&mut self, hash: u128, raw: &[u8]) -> Result<Option<Found>, ScrapeError> {
        let labels = &mut self.scratch.labels;
        let says_empty = |name: &str| says_empty(raw, name);
        if !labels::finish(labels, self.target, self.settings, &says_empty)? {
            if self.over.is_none() {
                self.cache.drop_series(hash);
            }
            return Ok(None);
        }
        if self.over.is_some() {
            self.counts.post_relabel += 1;
            return Ok(None);
        }
        Ok(match self.cache.birth(hash, labels) {
            Met::Series { id, repeated } => Some(Found { id, repeated, is_new: true }),
            Met::New | Met::Dropped => None,
        })
    }

    /// After a sample was pushed.
    #[inline]
    fn taken(&mut self, found: &Found, own: Option<Timestamp>) {
        if own.is_none() || self.settings.track_timestamps_staleness {
            self.cache.track(found.id);
        }
        self.counts.series_added += usize::from(found.is_new);
        if self.metadata.is_due {
            self.describe(found.id);
        }
    }

    /// Whether a sample is taken; if not, it is counted.
    #[inline]
    fn admit(&mut self, found: &Found, own: Option<Timestamp>, is_stale: bool) -> bool {
        if found.repeated && own.is_none() {
            self.counts.duplicates += 1;
            return false;
        }
        let limit = self.settings.limits.samples;
        if found.is_new || !is_stale {
            self.limited += 1;
            if limit != 0 && self.limited > limit {
                self.over = Some(ScrapeError::SampleLimit);
            }
        }
        if self.over.is_some() {
            return false;
        }
        self.counts.own_timestamps += usize::from(own.is_some());
        let timestamp = own.unwrap_or(self.time);
        if timestamp > self.latest {
            self.counts.out_of_bounds += 1;
            return false;
        }
        let is_newer = self.cache.is_newer(found.id, timestamp, own.is_some());
        self.counts.out_of_order += usize::from(!is_newer);
        is_newer
    }

    /// A sample with a timestamp, a start or exemplars of its own.
    fn push_with(
        &mut self,
        id: u32,
        timestamp: Timestamp,
        series: &Series<'_>,
    ) -> Result<(), ScrapeError> {
        let exemplars = &mut self.scratch.exemplars;
        exemplars.clear();
        series.exemplars(timestamp, exemplars)?;
        self.exemplars.keep_newer(id, exemplars);
        let start = series.start.unwrap_or_default();
        if timestamp == self.time && start == 0 && exemplars.is_empty() {
            self.scratch.rows.push(id, series.value);
        } else {
            let exemplars = std::mem::take(exemplars);
            let extra = Extra { timestamp, start, exemplars, histogram: None };
            self.scratch.rows.push_with(id, series.value, extra);
        }
        Ok(())
    }

    /// Notes which family the sample pushed last belongs to.
    fn describe(&mut self, id: u32) {
        let rows = &mut self.scratch.rows;
        let name = self.cache.metric_name(id);
        let family = rows.families.last().filter(|family| belongs(name, family));
        let place = if family.is_some() { rows.families.len() as u32 } else { 0 };
        rows.families_of.push(place);
    }
}

/// Whether a series as a text page has it says `name=""`. A value has no bare quote in it, so this
/// cannot be part of one.
fn says_empty(raw: &[u8], name: &str) -> bool {
    let quoted = [name, "=\"\""].concat();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':';
    raw.windows(quoted.len()).enumerate().any(|(at, window)| {
        window == quoted.as_bytes() && at > 0 && raw.get(at - 1).is_some_and(|&b| !is_name(b))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_labels_are_found_in_what_the_page_says() {
        let raw = br#"m{a="instance=\"\"",job=""}"#;
        assert!(says_empty(raw, "job"));
        assert!(!says_empty(raw, "instance") && !says_empty(raw, "ob"));
        assert!(says_empty(br#"m{instance=""}"#, "instance"));
        assert!(!says_empty(br#"m{the_instance="",x="instance="}"#, "instance"));
        assert!(!says_empty(b"", "a"));
    }
}
