//! One target's scrapes as a state machine: a page and a time in, request bodies out.
//!
//! Invariant: a scrape is taken as a whole or not at all, and each one, good or bad, says its
//! report series. Every series that was said is ended with a stale marker, once: when a page lacks
//! it, when a scrape fails, or by [`Scraper::end`]. No clock, no socket: time is an argument.

use std::sync::Arc;
use std::time::Duration;

use weir_model::{BlockHasher, Exemplar, Labels, LabelsBuilder, STALE_NAN, Timestamp};
use weir_wire::exposition::{Format, Parser};

use super::exemplars::NewestExemplars;
use super::gather::{Body, Gather};
use super::labels;
use super::limits::ScrapeError;
use super::metadata::MetadataState;
use super::page::Page;
use super::placement::{Placed, Placement};
use super::report::{self, Report};
use super::rows::Rows;
use super::series::SeriesCache;
use super::settings::Settings;
use crate::draft::Part;

/// How far ahead of now a page's timestamps may lie, as in Prometheus.
const AHEAD_MAX_MS: i64 = 10 * 60_000;

/// When a scrape takes place.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The timestamp of its samples.
    pub time: Timestamp,
    /// The time that it has taken so far; asked once, at its end.
    pub elapsed: &'a dyn Fn() -> Duration,
    /// The time that it may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Attempt at {}, {:?} at most", self.time, self.timeout)
    }
}

/// What came of a scrape.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// Why it failed, if it did.
    pub error: Option<ScrapeError>,
    /// What it counted.
    pub counts: Counts,
    /// How long it took.
    pub duration: Duration,
}

/// What a page counted, up to its end or to the error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Samples on the page.
    pub scraped: usize,
    /// Samples that relabelling left.
    pub post_relabel: usize,
    /// Series that were new.
    pub series_added: usize,
    /// Samples with timestamps of their own.
    pub own_timestamps: usize,
    /// Samples dropped because the page had the series twice.
    pub duplicates: usize,
    /// Samples dropped because they are not newer than the series'.
    pub out_of_order: usize,
    /// Samples dropped because they lie in the future.
    pub out_of_bounds: usize,
}

/// What a scrape needs while it runs and no target has to keep, and the body that scrapes fill.
#[derive(Debug)]
pub struct Scratch {
    pub(super) hasher: BlockHasher,
    pub(super) rows: Rows,
    pub(super) labels: LabelsBuilder,
    pub(super) exemplars: Vec<Exemplar>,
    pub(super) placement: Arc<Placement>,
    gather: Gather,
}

impl Scratch {
    /// With the seed of the process' hashes: all scratches of a process need the same.
    pub fn new(hasher: BlockHasher) -> Self {
        Self {
            hasher,
            rows: Rows::default(),
            labels: LabelsBuilder::default(),
            exemplars: Vec::new(),
            placement: Arc::default(),
            gather: Gather::default(),
        }
    }

    /// Ends the body that waits for more scrapes, if there is one, and appends it to `out`.
    pub fn flush(&mut self, out: &mut Vec<Body>) -> std::io::Result<()> {
        self.gather.flush(out)
    }

    /// What the bodies that wait have got since the last time.
    pub(super) fn drafts(&mut self, keep: impl FnMut(&Part<'_>)) {
        self.gather.drafts(keep);
    }

    /// Samples that wait for it.
    pub fn waiting(&self) -> u64 {
        self.gather.waiting()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Scraper {
    settings: Arc<Settings>,
    labels: Labels,
    cache: SeriesCache,
    metadata: MetadataState,
    exemplars: NewestExemplars,
    /// Of the last page that was taken: what was read there need not be read again in this format.
    format: Option<Format>,
    /// Whether the report series have been said and not ended.
    is_reporting: bool,
    placed: Placed,
}

impl Scraper {
    /// Of a target with these labels.
    pub fn new(settings: Arc<Settings>, labels: Labels) -> Self {
        let names = report::NAMES.iter().take(report::count(settings.extra_metrics));
        let cache = SeriesCache::new(names.map(|name| labels::of_report(name, &labels, &settings)));
        Self {
            settings,
            labels,
            cache,
            metadata: MetadataState::default(),
            exemplars: NewestExemplars::default(),
            format: None,
            is_reporting: false,
            placed: Placed::default(),
        }
    }

    /// Takes a page. Bodies that it fills are appended to `out`; the rest waits for [`Scratch::flush`].
    pub fn page(
        &mut self,
        attempt: &Attempt<'_>,
        format: Format,
        page: &[u8],
        scratch: &mut Scratch,
        out: &mut Vec<Body>,
    ) -> std::io::Result<Outcome> {
        if page.is_empty() {
            // As in Prometheus: no samples, but no failure, and what is known stays known.
            return self.nothing(attempt, None, 0, scratch, out);
        }
        scratch.rows.clear();
        self.cache.begin();
        let is_known = self.format == Some(format);
        let metadata = self.metadata.begin(attempt.time, is_known);
        let mut reading = Page {
            settings: &self.settings,
            target: &self.labels,
            cache: &mut self.cache,
            exemplars: &mut self.exemplars,
            scratch,
            time: attempt.time,
            latest: attempt.time.saturating_add(AHEAD_MAX_MS),
            is_known,
            has_exemplars: format != Format::Text,
            metadata,
            counts: Counts::default(),
            over: None,
            limited: 0,
        };
        let read = reading.read(Parser::new(page, format, self.settings.parser));
        let (counts, metadata) = (reading.counts, reading.metadata);
        let rows = &mut scratch.rows;
        match &read {
            Ok(()) => {
                self.format = Some(format);
                self.cache.commit(|id| rows.push(id, STALE_NAN));
                self.metadata.taken(metadata, attempt.time);
            }
            Err(_) => {
                rows.clear();
                self.cache.rollback(|id| rows.push(id, STALE_NAN));
            }
        }
        let body_bytes = page.len() as i64;
        let outcome = self.report(attempt, read.err(), counts, body_bytes, rows);
        self.write(attempt.time, scratch, out)?;
        Ok(outcome)
    }

    /// There is no page.
    pub fn failure(
        &mut self,
        attempt: &Attempt<'_>,
        error: ScrapeError,
        scratch: &mut Scratch,
        out: &mut Vec<Body>,
    ) -> std::io::Result<Outcome> {
        let is_too_large = matches!(&error, ScrapeError::Fetch(e) if e.is_body_limit());
        let body_bytes = if is_too_large { -1 } else { 0 };
        self.nothing(attempt, Some(error), body_bytes, scratch, out)
    }

    /// Ends all series of the target, the report series among them.
    pub fn end(
        &mut self,
        time: Timestamp,
        scratch: &mut Scratch,
        out: &mut Vec<Body>,
    ) -> std::io::Result<()> {
        let rows = &mut scratch.rows;
        rows.clear();
        self.cache.end(|id| rows.push(id, STALE_NAN));
        if std::mem::take(&mut self.is_reporting) {
            let count = report::count(self.settings.extra_metrics);
            (0..count as u32).for_each(|id| rows.push(id, STALE_NAN));
        }
        self.write(time, scratch, out)
    }

    /// Whether something has been said that [`Scraper::end`] would end.
    pub fn has_spoken(&self) -> bool {
        self.is_reporting
    }

    /// Series that the target has, dropped ones among them.
    pub fn series_count(&self) -> usize {
        self.cache.len()
    }

    /// Bytes of memory held for the target's series.
    pub fn held_bytes(&self) -> usize {
        self.cache.held_bytes() + self.exemplars.held_bytes() + self.metadata.held_bytes()
    }

    fn nothing(
        &mut self,
        attempt: &Attempt<'_>,
        error: Option<ScrapeError>,
        body_bytes: i64,
        scratch: &mut Scratch,
        out: &mut Vec<Body>,
    ) -> std::io::Result<Outcome> {
        let rows = &mut scratch.rows;
        rows.clear();
        self.cache.begin();
        self.cache.end(|id| rows.push(id, STALE_NAN));
        let outcome = self.report(attempt, error, Counts::default(), body_bytes, rows);
        self.write(attempt.time, scratch, out)?;
        Ok(outcome)
    }

    fn report(
        &mut self,
        attempt: &Attempt<'_>,
        error: Option<ScrapeError>,
        counts: Counts,
        body_bytes: i64,
        rows: &mut Rows,
    ) -> Outcome {
        let report = Report {
            is_up: error.is_none(),
            duration: (attempt.elapsed)(),
            scraped: counts.scraped,
            post_relabel: counts.post_relabel,
            series_added: counts.series_added,
            timeout: attempt.timeout,
            sample_limit: self.settings.limits.samples,
            body_bytes,
        };
        let count = report::count(self.settings.extra_metrics);
        for (id, value) in (0u32..).zip(report.values()).take(count) {
            rows.push(id, value);
        }
        self.is_reporting = true;
        Outcome { error, counts, duration: report.duration }
    }

    fn write(
        &mut self,
        time: Timestamp,
        scratch: &mut Scratch,
        out: &mut Vec<Body>,
    ) -> std::io::Result<()> {
        let (target, settings) = (&self.labels, &self.settings);
        let owner =
            scratch.placement.owner(&mut self.placed, || labels::of_target(target, settings));
        let written = scratch.gather.add(owner, (&scratch.rows, &self.cache), time, out);
        scratch.rows.clear();
        if let Some(moved) = self.cache.tidy() {
            self.exemplars.renumber(&moved);
        }
        written
    }
}
