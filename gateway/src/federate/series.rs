//! The newest float of each series of one tenant, and what its frames say of metrics.
//!
//! Time is the tenant's own: the newest timestamp of its samples, as far as it is not ahead of the
//! clock that wrote the frame, so that one sender from the future does not make the others vanish.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::AHashMap;
use weir_model::{Labels, LabelsError, Metadata, Sample, Timestamp, is_stale};
use weir_wire::DecodeError;
use weir_wire::negotiate::Version;
use weir_wire::records::{SeriesView, decode_series};

/// Series that are kept for all tenants together; some 300 MB of them.
const SERIES_MAX: u64 = 1_000_000;
/// A series that is silent for so long has gone: PromQL's lookback.
pub(super) const SILENCE_MS: Timestamp = 300_000;
/// How far time goes on between two sweeps.
const SWEEP_MS: Timestamp = 30_000;

/// What is counted, for all tenants together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Gauge: series that are kept.
    pub(super) series: AtomicU64,
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
}

/// All series of one name.
#[derive(Debug, Default)]
pub(super) struct Metric {
    /// What is said of it, if anything.
    pub(super) metadata: Option<Metadata>,
    /// Newest samples.
    pub(super) newest: AHashMap<Labels, Sample>,
}

impl Series {
    /// Takes a frame's body. Nothing is taken of one that cannot be read.
    pub(super) fn take(
        &mut self,
        body: &[u8],
        written_ms: Timestamp,
        counts: &Counts,
    ) -> Result<(), DecodeError> {
        let mut newest = Timestamp::MIN;
        decode_series(Version::V2, body, &mut |view| {
            newest = view.samples.iter().map(|s| s.timestamp).fold(newest, Timestamp::max);
            if self.take_series(&view, counts).is_err() {
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

    /// Drops everything.
    pub(super) fn clear(&mut self, counts: &Counts) {
        let dropped: usize = self.metrics.values().map(|m| m.newest.len()).sum();
        counts.series.fetch_sub(dropped as u64, Ordering::Relaxed);
        self.metrics.clear();
    }

    fn take_series(&mut self, view: &SeriesView<'_>, counts: &Counts) -> Result<(), LabelsError> {
        add(&counts.histograms, view.histograms.len());
        let labels = Labels::from_pairs(view.labels.iter().copied())?;
        let Some(last) = view.samples.iter().max_by_key(|s| s.timestamp).copied() else {
            return Ok(());
        };
        if !self.is_recent(&last) {
            return Ok(());
        }
        let name = labels.metric_name();
        let metric = self.metrics.get_mut(name);
        let known = metric.as_ref().and_then(|metric| metric.newest.get(&labels));
        match known.map(|known| known.timestamp) {
            Some(known) if known > last.timestamp => return Ok(()),
            None if is_stale(last.value) => return Ok(()),
            None if counts.series.load(Ordering::Relaxed) >= SERIES_MAX => {
                add(&counts.over_limit, view.samples.len());
                return Ok(());
            }
            None => add(&counts.series, 1),
            Some(_) => {}
        }
        let metric = match metric {
            Some(metric) => metric,
            None => self.metrics.entry(name.to_owned()).or_default(),
        };
        if view.metadata.is_some_and(|m| metric.metadata.as_ref() != Some(m)) {
            metric.metadata = view.metadata.cloned();
        }
        if is_stale(last.value) {
            metric.newest.remove(&labels);
            counts.series.fetch_sub(1, Ordering::Relaxed);
        } else {
            metric.newest.insert(labels, last);
        }
        Ok(())
    }

    fn sweep(&mut self, counts: &Counts) {
        let bound = self.now.saturating_sub(SILENCE_MS);
        let mut dropped = 0;
        self.metrics.retain(|_, metric| {
            let before = metric.newest.len();
            metric.newest.retain(|_, sample| sample.timestamp > bound);
            dropped += before - metric.newest.len();
            !metric.newest.is_empty()
        });
        counts.series.fetch_sub(dropped as u64, Ordering::Relaxed);
        self.swept = self.now;
    }
}

fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}
