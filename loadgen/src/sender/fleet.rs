//! All connections: made once, driven by one schedule after the other, looked at while they run.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::routes::Routes;
use super::worker::Worker;
use super::{Endpoint, Observer, Tally};
use crate::pacing::Schedule;
use crate::source::Source;

/// Between looks at whether a thread was lost.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a fleet sends, and where.
#[derive(Clone)]
pub struct FleetConfig {
    /// What.
    pub source: Arc<Source>,
    /// Where.
    pub endpoint: Endpoint,
    /// How many at once, at most one for each slot.
    pub connections: usize,
    /// 429 is tried again, not dropped.
    pub retries_429: bool,
    /// Who hears of what was acknowledged.
    pub observer: Arc<dyn Observer>,
}

/// One schedule, from one moment on.
#[derive(Clone, Debug)]
pub struct Drive {
    /// When what is due.
    pub schedule: Arc<Schedule>,
    /// Number of the first request.
    pub first: u64,
    /// When it begins.
    pub begin: Instant,
    /// The same in milliseconds since the epoch: timestamps count from here.
    pub begin_ms: i64,
}

/// What a connection shows while it runs.
#[derive(Debug, Default)]
pub(super) struct Seat {
    pub(super) tally: Mutex<Tally>,
    /// Microseconds into the drive at which the request in hand was due, and 1; 0 is none.
    pub(super) due: AtomicU64,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) config: FleetConfig,
    pub(super) seats: Vec<Seat>,
    pub(super) stopping: AtomicBool,
    /// Bytes of all bodies that are kept.
    pub(super) memory: AtomicU64,
}

/// Connections that wait for a drive, or are on one. Dropped, they end.
pub struct Fleet {
    shared: Arc<Shared>,
    drives: Vec<SyncSender<Drive>>,
    done: Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

impl Fleet {
    /// Makes connections and writes their bodies as of this time (milliseconds since the epoch);
    /// comes back when all are ready.
    pub fn new(config: FleetConfig, now_ms: i64) -> Result<Self, String> {
        let slots = usize::try_from(config.source.slots()).unwrap_or(usize::MAX);
        let count = config.connections.clamp(1, slots);
        let seats = (0..count).map(|_| Seat::default()).collect();
        let (stopping, memory) = (AtomicBool::new(false), AtomicU64::new(0));
        let shared = Arc::new(Shared { config, seats, stopping, memory });
        let (tell, done) = sync_channel(count);
        let (mut drives, mut threads) = (Vec::new(), Vec::new());
        for number in 0..count {
            let routes = Routes::new(&shared.config.endpoint, number)?;
            let mut worker = Worker::new(Arc::clone(&shared), number, routes);
            let (drive, orders) = sync_channel::<Drive>(1);
            let tell = tell.clone();
            let work = move || {
                worker.prepare(now_ms);
                // Whoever hears no more has gone, and so does this.
                while tell.send(()).is_ok() {
                    let Ok(drive) = orders.recv() else { return };
                    worker.drive(&drive);
                }
            };
            let thread = std::thread::Builder::new().name(format!("connection-{number}"));
            threads.push(thread.spawn(work).map_err(|e| format!("no thread: {e}"))?);
            drives.push(drive);
        }
        let fleet = Self { shared, drives, done, threads };
        let mut ready = 0;
        while ready < count {
            match fleet.done.recv_timeout(PATIENCE) {
                Ok(()) => ready += 1,
                Err(_) if fleet.has_lost_one() => {
                    return Err("a connection's thread has ended".to_owned());
                }
                Err(_) => {}
            }
        }
        Ok(fleet)
    }

    /// Connections.
    pub fn connections(&self) -> usize {
        self.shared.seats.len()
    }

    /// Bytes of memory that bodies take.
    pub fn memory(&self) -> u64 {
        self.shared.memory.load(Ordering::Relaxed)
    }

    /// Samples of a round.
    pub fn samples(&self) -> u64 {
        self.shared.config.source.samples()
    }

    /// Samples of a request, on average.
    pub fn samples_per_request(&self) -> f64 {
        let source = &self.shared.config.source;
        source.samples() as f64 / source.slots() as f64
    }

    /// Sets off. `watch` is called about every `every` until all connections are back, and once
    /// more then. Gives the number of the first request of the next drive, or none if a connection's
    /// thread has ended in a panic.
    pub fn drive(
        &self,
        drive: &Drive,
        every: Duration,
        mut watch: impl FnMut(&Self),
    ) -> Option<u64> {
        let mut out = 0;
        for order in &self.drives {
            out += usize::from(order.send(drive.clone()).is_ok());
        }
        let mut next = drive.begin + every;
        while out > 0 {
            match self.done.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(()) => out -= 1,
                Err(_) if self.has_lost_one() => return None,
                Err(_) => {
                    watch(self);
                    next += every;
                }
            }
        }
        watch(self);
        Some(drive.first + (drive.schedule.samples() / self.samples_per_request()).ceil() as u64)
    }

    /// Takes what was counted since the last time.
    pub fn take(&self) -> Tally {
        let mut all = Tally::default();
        for seat in &self.shared.seats {
            let mut tally = seat.tally.lock().unwrap_or_else(PoisonError::into_inner);
            all.merge(&std::mem::take(&mut *tally));
        }
        all
    }

    /// How long ago the oldest request in hand was due, in seconds.
    pub fn lag(&self, begin: Instant) -> f64 {
        let now = begin.elapsed().as_secs_f64();
        let dues = self.shared.seats.iter().map(|seat| seat.due.load(Ordering::Relaxed));
        let lags = dues.filter(|due| *due > 0).map(|due| now - (due - 1) as f64 / 1e6);
        lags.fold(0.0, f64::max)
    }

    /// Whether a thread has ended, which none does before the fleet is dropped but by a panic.
    fn has_lost_one(&self) -> bool {
        self.threads.iter().any(JoinHandle::is_finished)
    }

    /// Ends the drive early: nothing more is sent.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.stop();
        self.drives.clear();
        for thread in self.threads.drain(..) {
            // One that panicked has said so itself.
            thread.join().ok();
        }
    }
}
