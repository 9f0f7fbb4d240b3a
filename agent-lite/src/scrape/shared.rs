//! What the tasks of all targets share: one set of buffers for the work on pages, a few page
//! buffers, a bound on scrapes at one time, and where bodies go.
//!
//! Invariant: between scrapes a target holds its series and a connection, no buffer; what its scrapes
//! say reaches the sink in the order in which they ended.

use std::fmt;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::Semaphore;
use weir_model::{BlockHasher, Timestamp};

use super::counters::ScrapeCounters;
use super::gather::Body;
use super::horizon::Horizons;
use super::scraper::Scratch;
use crate::draft::Part;

/// Scrapes at one time.
const CONCURRENT_MAX: usize = 256;

/// Page buffers kept (few scrapes meet), and the most that one may hold to be kept.
const PAGES_KEPT: usize = 1;
const PAGE_BYTES_KEPT: usize = 1 << 20;

/// The lane of all scrapes, for they share bodies: any number.
pub const LANE: u64 = 0x7363_7261_7065_7300;

/// Takes what is to be sent.
pub trait Sink: Send + Sync + 'static {
    /// Takes bodies, in order, all or none. Must not block for long.
    fn take(&self, lane: u64, now: Timestamp, bodies: Vec<Body>) -> Result<(), SinkError>;

    /// Keeps what a body has got, until it is taken, over the end of the process; or does not.
    fn keep(&self, _part: &Part<'_>) {}
}

/// Why bodies were not taken; they are lost.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the buffer takes nothing: {0}")]
pub struct SinkError(pub String);

pub(super) struct Shared {
    scratch: Mutex<Scratch>,
    pages: Mutex<Vec<Vec<u8>>>,
    pub(super) places: Semaphore,
    pub(super) sink: Box<dyn Sink>,
    pub(super) counters: ScrapeCounters,
    pub(super) horizons: Horizons,
    /// What makes this host's offsets its own.
    pub(super) host_seed: u64,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("counters", &self.counters).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(sink: Box<dyn Sink>, hash_seed: u128, host_seed: u64) -> Self {
        Self {
            scratch: Mutex::new(Scratch::new(BlockHasher::new(hash_seed))),
            pages: Mutex::default(),
            places: Semaphore::new(CONCURRENT_MAX),
            sink,
            counters: ScrapeCounters::default(),
            horizons: Horizons::default(),
            host_seed,
        }
    }

    /// Works with the buffers, one at a time. Bodies that the work has filled are handed over.
    pub(super) fn with_scratch<T>(
        &self,
        work: impl FnOnce(&mut Scratch, &mut Vec<Body>) -> T,
    ) -> T {
        let mut scratch = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bodies = Vec::new();
        let done = work(&mut scratch, &mut bodies);
        // With the lock: bodies share a lane, and leave in the order of their scrapes.
        self.send(bodies);
        scratch.drafts(|part| self.sink.keep(part));
        done
    }

    /// Hands over what waits for more scrapes.
    pub(super) fn flush(&self) {
        self.with_scratch(|scratch, bodies| {
            let samples = scratch.waiting();
            if let Err(error) = scratch.flush(bodies) {
                tracing::error!(samples, %error, "samples of scrapes cannot be written");
                self.counters.samples_refused.fetch_add(samples, Ordering::Relaxed);
            }
        });
    }

    /// A buffer for a page.
    pub(super) fn page(&self) -> Vec<u8> {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub(super) fn return_page(&self, page: Vec<u8>) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        if pages.len() < PAGES_KEPT && page.capacity() <= PAGE_BYTES_KEPT {
            pages.push(page);
        }
    }

    /// Hands bodies over; what is not taken is counted.
    fn send(&self, bodies: Vec<Body>) {
        let samples: u64 = bodies.iter().map(|body| body.summary.samples).sum();
        if samples == 0 {
            return;
        }
        let counters = &self.counters;
        match self.sink.take(LANE, now_ms(), bodies) {
            Ok(()) => counters.samples_buffered.fetch_add(samples, Ordering::Relaxed),
            Err(error) => {
                tracing::warn!(samples, %error, "samples of scrapes are lost");
                counters.samples_refused.fetch_add(samples, Ordering::Relaxed)
            }
        };
    }
}

/// Milliseconds since the epoch.
pub(super) fn now_ms() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::try_from(since.as_millis()).unwrap_or(Timestamp::MAX)
}
