//! Outputs without a destination: a page by tenant, for whoever scrapes `/federate`.
//!
//! A task reads the send queue's durable frames and keeps the newest float of each series, and
//! those before it that a scraper has not seen: one that comes every minute is shown all windows of
//! ten seconds. Invariant: what a page shows is durable, and memory is bounded by numbers of series
//! and samples. Not durable itself: a restart reads what the queue still holds, so the queue is kept
//! for as long as a series may be silent, and every scraper is a new one. Whether a page arrives it
//! does not know. Native histograms cannot be said in either format and are counted.

mod line;
mod page;
mod scrapers;
mod series;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use ahash::AHashMap;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_aggregate::matcher::Selector;
use weir_journal::{Item, Journal, ReadError, Reader};
use weir_model::Timestamp;
use weir_remote::frame;
use weir_telemetry::Scrape;
use weir_wire::Decompressor;
use weir_wire::text::Format;

use series::{Counts, SILENCE_MS, Series};

/// Frames read before it is looked whether to stop.
const FRAMES_A_TURN: usize = 256;
/// A frame's body after decompression; the gateway writes far smaller ones.
const BODY_BYTES_MAX: usize = 256 << 20;
/// Distance in time between positions that are remembered for [`Federate::needed_from`].
const MARK_MS: Timestamp = 5_000;

/// The pages.
#[derive(Debug)]
pub struct Federate {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    queue: Arc<Journal>,
    keep_bytes_max: u64,
    tenants: RwLock<AHashMap<Arc<str>, Arc<Mutex<Series>>>>,
    counts: Counts,
    frames_missing: AtomicU64,
    frames_undecodable: AtomicU64,
    read_through: AtomicU64,
    marks: Mutex<Marks>,
}

/// When frames were written, roughly: the first position of every few seconds.
#[derive(Debug, Default)]
struct Marks(VecDeque<(u64, Timestamp)>);

impl Federate {
    /// Starts reading at the queue's beginning, on the current runtime. `durable` follows the
    /// queue's durable position. Past `keep_bytes_max` of queue nothing is kept for a restart.
    pub fn start(queue: Arc<Journal>, durable: watch::Receiver<u64>, keep_bytes_max: u64) -> Self {
        let first = queue.first();
        let reader = queue.reader(first);
        let shared = Arc::new(Shared {
            queue,
            keep_bytes_max,
            tenants: RwLock::default(),
            counts: Counts::default(),
            frames_missing: AtomicU64::new(0),
            frames_undecodable: AtomicU64::new(0),
            read_through: AtomicU64::new(first.saturating_sub(1)),
            marks: Mutex::default(),
        });
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(Arc::clone(&shared), reader, durable, stopped));
        Self { shared, stop, task }
    }

    /// A tenant's page in the format that an `Accept` header prefers, and its content type: what
    /// came since this scraper's last page, and else the newest of each series. No selector selects
    /// everything. Takes a second for a million series: not for a runtime's thread.
    pub fn page(
        &self,
        tenant: &str,
        scraper: &str,
        selectors: &[Selector],
        accept: &str,
    ) -> (&'static str, String) {
        let format = Format::from_accept(accept);
        let Some(series) = self.shared.tenant(tenant) else {
            let nothing = page::render(&Series::default(), 0, selectors, format);
            return (format.content_type(), nothing);
        };
        let mut series = lock(&series);
        let text = page::render(&series, series.seen_through(scraper), selectors, format);
        series.note_seen(scraper, &self.shared.counts);
        (format.content_type(), text)
    }

    /// Pages hold what the queue holds up to this position.
    pub fn read_through(&self) -> u64 {
        self.shared.read_through.load(Ordering::Acquire)
    }

    /// The queue is not to be cut at this position or after it, for a restart reads the rest again.
    pub fn needed_from(&self) -> u64 {
        let unread = self.read_through() + 1;
        let keeps = self.shared.queue.bytes() <= self.shared.keep_bytes_max;
        let oldest = lock(&self.shared.marks).0.front().map(|&(position, _)| position);
        oldest.filter(|_| keeps).unwrap_or(unread).min(unread)
    }

    /// Adds its metrics to a scrape.
    pub fn metrics(&self, scrape: &mut Scrape) {
        let shared = &self.shared;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let help = "Series that /federate can show.";
        scrape.gauge("weir_federate_series", help, &[], read(&shared.counts.series) as f64);
        let help = "Samples besides the newest of each series that a scraper has not seen yet.";
        scrape.gauge(
            "weir_federate_unseen_samples",
            help,
            &[],
            read(&shared.counts.earlier) as f64,
        );
        let lag = shared.queue.durable().saturating_sub(self.read_through());
        let help = "Frames of the queue that /federate does not show yet.";
        scrape.gauge("weir_federate_lag_frames", help, &[], lag as f64);
        let name = "weir_federate_rejected_samples_total";
        let help = "Samples that /federate cannot show.";
        let rejected = [
            ("series_limit", &shared.counts.over_limit),
            ("unseen_limit", &shared.counts.forgotten),
            ("labels", &shared.counts.mislabelled),
            ("native_histogram", &shared.counts.histograms),
        ];
        for (reason, samples) in rejected {
            scrape.counter(name, help, &[("reason", reason)], read(samples));
        }
        let name = "weir_federate_lost_frames_total";
        let help = "Frames of the queue that could not be read.";
        let lost = [("missing", &shared.frames_missing), ("damaged", &shared.frames_undecodable)];
        for (reason, frames) in lost {
            scrape.counter(name, help, &[("reason", reason)], read(frames));
        }
    }

    /// Ends the reading.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the reader for /federate ended badly");
        }
    }
}

/// Reads whenever more is durable, off the runtime's threads.
async fn run(
    shared: Arc<Shared>,
    mut reader: Reader,
    mut durable: watch::Receiver<u64>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut failed = false;
    loop {
        durable.mark_unchanged();
        let reading = Arc::clone(&shared);
        let turn = tokio::task::spawn_blocking(move || {
            let read = reading.read_frames(&mut reader);
            (reader, read)
        });
        let read = match turn.await {
            Ok((back, read)) => {
                reader = back;
                read
            }
            Err(error) => return tracing::error!(%error, "/federate reads no more"),
        };
        if let (Err(error), false) = (&read, failed) {
            tracing::error!(%error, "/federate cannot read the queue");
        }
        failed = read.is_err();
        let more = read.unwrap_or(false);
        tokio::select! {
            // Also when its sender is gone: then there is no `Federate` any more.
            _ = stopped.changed() => return,
            changed = durable.changed(), if !more => {
                if changed.is_err() {
                    return;
                }
            }
            () = std::future::ready(()), if more => {}
        }
    }
}

impl Shared {
    /// Reads some frames; says whether there may be more.
    fn read_frames(&self, reader: &mut Reader) -> Result<bool, ReadError> {
        let mut decompressor = Decompressor::default();
        for _ in 0..FRAMES_A_TURN {
            let through = match reader.next()? {
                None => return Ok(false),
                Some(Item::Gap { from, to, .. }) => {
                    self.frames_missing.fetch_add(to.saturating_sub(from), Ordering::Relaxed);
                    to.saturating_sub(1)
                }
                Some(Item::Record(record)) => {
                    self.take(record.position, &record.payload, &mut decompressor);
                    record.position
                }
            };
            self.read_through.store(through, Ordering::Release);
        }
        Ok(true)
    }

    fn take(&self, position: u64, payload: &[u8], decompressor: &mut Decompressor) {
        let mut unpacked = Vec::new();
        let taken = frame::read(payload).map_err(|e| e.to_string()).and_then(|(header, body)| {
            let (written_ms, cap) = (header.written_ms, BODY_BYTES_MAX);
            let body = match header.encoding {
                Some(encoding) => {
                    let done = decompressor.decompress(encoding, body, cap, &mut unpacked);
                    done.map_err(|e| e.to_string())?;
                    unpacked.as_slice()
                }
                None => body,
            };
            let series = self.meet(header.tenant);
            lock(&series)
                .take(position, body, written_ms, &self.counts)
                .map_err(|e| e.to_string())?;
            Ok(written_ms)
        });
        match taken {
            Ok(written_ms) => {
                if lock(&self.marks).add(position, written_ms) {
                    self.forget_silent(written_ms);
                }
            }
            Err(error) => {
                self.frames_undecodable.fetch_add(1, Ordering::Relaxed);
                tracing::error!(position, error, "a frame of the send queue cannot be read");
            }
        }
    }

    /// Drops tenants who have said nothing for so long.
    fn forget_silent(&self, now_ms: Timestamp) {
        let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
        tenants.retain(|_, series| {
            // A page that is being written must not hold up the others.
            let Ok(mut series) = series.try_lock() else {
                return true;
            };
            let speaks = series.written_ms() > now_ms.saturating_sub(SILENCE_MS);
            if !speaks {
                series.clear(&self.counts);
            }
            speaks
        });
    }

    fn tenant(&self, name: &str) -> Option<Arc<Mutex<Series>>> {
        let tenants = self.tenants.read().unwrap_or_else(PoisonError::into_inner);
        tenants.get(name).cloned()
    }

    fn meet(&self, name: &str) -> Arc<Mutex<Series>> {
        self.tenant(name).unwrap_or_else(|| {
            let mut tenants = self.tenants.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(tenants.entry(name.into()).or_default())
        })
    }
}

impl Marks {
    /// Notes a frame, and forgets what is too old to matter; says whether it was worth a note.
    fn add(&mut self, position: u64, written_ms: Timestamp) -> bool {
        let last = self.0.back().map(|&(_, written)| written);
        if last.is_some_and(|last| written_ms < last.saturating_add(MARK_MS)) {
            return false;
        }
        self.0.push_back((position, written_ms));
        let bound = written_ms.saturating_sub(SILENCE_MS);
        while self.0.get(1).is_some_and(|&(_, written)| written <= bound) {
            self.0.pop_front();
        }
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
