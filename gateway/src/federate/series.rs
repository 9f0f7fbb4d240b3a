//! The floats of one tenant's series that a scraper may want, and what its frames say of metrics.
//!
//! That is the newest of each series, and those before it until every scraper has seen them, for
//! five minutes at most. Both are bounded, by number. Time is the tenant's own: the newest timestamp of its samples, as far as it is not ahead of the
//! clock that wrote the frame, so that one sender from the future does not make the others vanish.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::AHashMap;
use weir_model::{Labels, LabelsError, Metadata, Sample, Timestamp, is_stale};
use weir_wire::DecodeError;
use weir_wire::negotiate::Version;
use weir_wire::records::{SeriesView, decode_series};

use super::line::Line;
use super::scrapers::Scrapers;

/// Series that are kept for all tenants together; some 350 MB of them.
const SERIES_MAX: u64 = 1_000_000;
/// Samples besides the newest of each series that are kept for all tenants together; some 32 MB.
const EARLIER_MAX: u64 = 1_000_000;
/// A series that is silent for so long has gone: PromQL's lookback.
pub(super) const SILENCE_MS: Timestamp = 300_000;
/// How far time goes on between two sweeps.
const SWEEP_MS: Timestamp = 30_000;

/// What is counted, for all tenants together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Gauge: series that are kept.
    pub(super) series: AtomicU64,
    /// Gauge: samples besides the newest of each series.
    pub(super) earlier: AtomicU64,
    /// Samples that were forgotten before every scraper had seen them, for want of room.
    pub(super) forgotten: AtomicU64,
    /// Samples of series beyond the bound.
    pub(super) over_limit: AtomicU64,
    /// Samples whose labels are no label set.
    pub(super) mislabelled: AtomicU64,
    /// Native histograms.
    pub(super) histograms: AtomicU64,
}

/// One tenant's series.
#[derive(Debug, Default)]
pub(super) struct Series {
    metrics: BTreeMap<String, Metric>,
    now: Timestamp,
    swept: Timestamp,
    written_ms: Timestamp,
    /// The queue's position of its last frame.
    position: u64,
    scrapers: Scrapers,
}

/// All series of one name.
#[derive(Debug, Default)]
pub(super) struct Metric {
    /// What is said of it, if anything.
    pub(super) metadata: Option<Metadata>,
    /// Its samples.
    pub(super) lines: AHashMap<Labels, Line>,
}

impl Series {
    /// Takes a frame's body. Nothing is taken of one that cannot be read.
    pub(super) fn take(
        &mut self,
        position: u64,
        body: &[u8],
        written_ms: Timestamp,
        counts: &Counts,
    ) -> Result<(), DecodeError> {
        let mut newest = Timestamp::MIN;
        self.position = position;
        let seen = self.scrapers.all_have_seen(self.now);
        decode_series(Version::V2, body, &mut |view| {
            newest = view.samples.iter().map(|s| s.timestamp).fold(newest, Timestamp::max);
            if self.take_series(&view, seen, counts).is_err() {
                add(&counts.mislabelled, view.samples.len());
            }
        })?;
        self.written_ms = self.written_ms.max(written_ms);
        self.now = self.now.max(newest.min(written_ms));
        if self.now >= self.swept.saturating_add(SWEEP_MS) {
            self.sweep(counts);
        }
        Ok(())
    }

    /// When its last frame was written.
    pub(super) fn written_ms(&self) -> Timestamp {
        self.written_ms
    }

    /// Metrics by name.
    pub(super) fn metrics(&self) -> impl Iterator<Item = (&str, &Metric)> {
        self.metrics.iter().map(|(name, metric)| (name.as_str(), metric))
    }

    /// Whether a sample is recent enough to be shown.
    pub(super) fn is_recent(&self, sample: &Sample) -> bool {
        sample.timestamp > self.now.saturating_sub(SILENCE_MS)
    }

    /// The position through which a scraper has seen everything.
    pub(super) fn seen_through(&self, scraper: &str) -> u64 {
        self.scrapers.seen_through(scraper)
    }

    /// A scraper has been shown all there is.
    pub(super) fn note_seen(&mut self, scraper: &str, counts: &Counts) {
        self.scrapers.note(scraper, self.position, self.now);
        self.trim(counts);
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, counts: &Counts) {
        for line in self.metrics.values().flat_map(|m| m.lines.values()) {
            counts.series.fetch_sub(1, Ordering::Relaxed);
            counts.earlier.fetch_sub(line.earlier() as u64, Ordering::Relaxed);
        }
        self.metrics.clear();
    }

    fn take_series(
        &mut self,
        view: &SeriesView<'_>,
        seen: u64,
        counts: &Counts,
    ) -> Result<(), LabelsError> {
        add(&counts.histograms, view.histograms.len());
        let labels = Labels::from_pairs(view.labels.iter().copied())?;
        let mut samples = view.samples.to_vec();
        samples.retain(|sample| self.is_recent(sample));
        samples.sort_by_key(|sample| sample.timestamp);
        for sample in samples {
            self.take_sample(&labels, sample, seen, counts);
        }
        let metric = self.metrics.get_mut(labels.metric_name());
        if let (Some(metric), Some(said)) = (metric, view.metadata)
            && metric.metadata.as_ref() != Some(said)
        {
            metric.metadata = Some(said.clone());
        }
        Ok(())
    }

    /// Takes a sample that is not older than what is known of its series.
    fn take_sample(&mut self, labels: &Labels, sample: Sample, seen: u64, counts: &Counts) {
        let name = labels.metric_name();
        let metric = self.metrics.get_mut(name);
        let Some(line) = metric.and_then(|metric| metric.lines.get_mut(labels)) else {
            if is_stale(sample.value) {
                return;
            }
            if counts.series.load(Ordering::Relaxed) >= SERIES_MAX {
                return add(&counts.over_limit, 1);
            }
            add(&counts.series, 1);
            let line = Line::new(self.position, sample);
            let metric = self.metrics.entry(name.to_owned()).or_default();
            metric.lines.insert(labels.clone(), line);
            return;
        };
        if line.newest().timestamp > sample.timestamp {
            return;
        }
        if is_stale(sample.value) {
            line.ended = true;
            return;
        }
        let has_room = counts.earlier.load(Ordering::Relaxed) < EARLIER_MAX;
        let before = line.earlier();
        let forgotten = line.push(self.position, sample, seen, has_room);
        add(&counts.earlier, line.earlier() - before);
        add(&counts.forgotten, usize::from(forgotten));
    }

    fn sweep(&mut self, counts: &Counts) {
        self.scrapers.forget_silent(self.now);
        self.trim(counts);
        self.swept = self.now;
    }

    /// Forgets what nobody will be shown again.
    fn trim(&mut self, counts: &Counts) {
        let bound = self.now.saturating_sub(SILENCE_MS);
        let seen = self.scrapers.all_have_seen(self.now);
        self.metrics.retain(|_, metric| {
            metric.lines.retain(|_, line| {
                let before = line.earlier();
                let stays = line.trim(seen, bound);
                let left = if stays { line.earlier() } else { 0 };
                counts.earlier.fetch_sub((before - left) as u64, Ordering::Relaxed);
                counts.series.fetch_sub(u64::from(!stays), Ordering::Relaxed);
                stays
            });
            !metric.lines.is_empty()
        });
    }
}

fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
