//! The journal: what its owner holds, and the state that its threads share.
//!
//! Invariant: positions are given out in the order of [`Journal::append`] calls, without gaps, and
//! [`Journal::durable`] only grows, past what a completed sync covers. Deliberately not here: tokio,
//! and any notion of what a record means.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use bytes::Bytes;

use crate::config::Config;
use crate::error::{AppendError, At, CutError, IoError, OpenError, Poisoned, ReserveError};
use crate::frame::frame_bytes;
use crate::fs::{Fs, Lock};
use crate::reader::Reader;
use crate::recover::{Recovered, Recovery, recover};
use crate::room::{Bounds, Importance, Reservation, Room, lock};
use crate::segment::{Catalog, Segment, Spare, spare_name};
use crate::spare;
use crate::stats::{Stats, add, get};
use crate::writer::{Entry, Writer};

/// One log in one directory.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Cutting is one caller's at a time. Segments begun before the last time that some were cut.
    cutting: Mutex<u64>,
    _lock: Box<dyn Lock>,
}

/// What the threads, the readers and the reservations of one journal share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) config: Config,
    pub(crate) bounds: Bounds,
    pub(crate) queue: Mutex<Queue>,
    /// There is something in the queue, or it is closing.
    pub(crate) work: Condvar,
    pub(crate) room: Mutex<Room>,
    pub(crate) spare_wanted: Condvar,
    pub(crate) catalog: Mutex<Catalog>,
    pub(crate) stats: Stats,
    durable: AtomicU64,
    stopped: OnceLock<Poisoned>,
    waiting: Mutex<()>,
    durable_changed: Condvar,
    spare_number: AtomicU64,
}

/// Appended, and not yet taken by the writer. Bounded by the reservations.
#[derive(Debug)]
pub(crate) struct Queue {
    pub(crate) entries: VecDeque<Entry>,
    /// The next record's position.
    next: u64,
    pub(crate) closing: bool,
}

impl Journal {
    /// Opens the journal in `config.dir`, or begins one there; repairs what the last stop left.
    pub fn open(fs: Arc<dyn Fs>, config: Config) -> Result<(Self, Recovery), OpenError> {
        config.check()?;
        let Recovered { lock: dir_lock, segments, spares, spare_number, next, report } =
            recover(&fs, &config)?;
        let Some(active) = segments.last().cloned() else {
            return Err(OpenError::Config("recovery left no segment"));
        };
        let bounds = Bounds {
            usable_bytes: config.usable_bytes(),
            reserve_bytes: config.reserve_bytes,
            queue_bytes: config.queue_bytes,
            spares_wanted: config.spares_wanted(),
            quota_segments: config.quota_segments(),
        };
        let active_left = crate::config::usable_bytes(active.len)
            .saturating_sub(active.end().saturating_sub(crate::frame::HEADER_BYTES as u64));
        let shared = Arc::new(Shared {
            fs,
            config,
            bounds,
            queue: Mutex::new(Queue { entries: VecDeque::new(), next, closing: false }),
            work: Condvar::new(),
            room: Mutex::new(Room::new(active_left, spares, segments.len())),
            spare_wanted: Condvar::new(),
            catalog: Mutex::new(Catalog::new(segments)),
            stats: Stats::default(),
            durable: AtomicU64::new(next - 1),
            stopped: OnceLock::new(),
            waiting: Mutex::new(()),
            durable_changed: Condvar::new(),
            spare_number: AtomicU64::new(spare_number),
        });
        let journal = Self {
            shared: Arc::clone(&shared),
            threads: Mutex::new(Vec::new()),
            cutting: Mutex::new(0),
            _lock: dir_lock,
        };
        journal.start(active, next)?;
        Ok((journal, report))
    }

    fn start(&self, active: Arc<Segment>, next: u64) -> Result<(), OpenError> {
        let dir = &self.shared.config.dir;
        let spawn = |name: &str, body: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.to_owned()).spawn(body);
            let thread = thread.at("start a thread for", dir)?;
            lock(&self.threads).push(thread);
            Ok::<_, IoError>(())
        };
        let shared = Arc::clone(&self.shared);
        spawn("journal-spare", Box::new(move || spare::run(&shared)))?;
        let writer = Writer::new(Arc::clone(&self.shared), active, next);
        spawn("journal-write", Box::new(move || writer.run()))?;
        Ok(())
    }

    /// Room for a record with `payload_bytes`, in the queue and on the disk. Never waits; call it before
    /// the critical section that appends.
    pub fn reserve(
        &self,
        payload_bytes: u64,
        importance: Importance,
    ) -> Result<Reservation, ReserveError> {
        self.reserve_room(payload_bytes, importance).inspect_err(|_| {
            add(&self.shared.stats.refused, 1);
        })
    }

    fn reserve_room(
        &self,
        payload_bytes: u64,
        importance: Importance,
    ) -> Result<Reservation, ReserveError> {
        self.shared.check_running()?;
        let max = self.shared.config.payload_bytes_max();
        if payload_bytes > max {
            return Err(ReserveError::TooLarge { bytes: payload_bytes, max });
        }
        let size = frame_bytes(payload_bytes as usize) as u64;
        Reservation::new(&self.shared, payload_bytes, size, importance)
    }

    /// Appends a record whose payload is `pieces` joined, and returns its position. Takes a short lock
    /// and copies nothing; checksum, write and sync are the writer thread's.
    pub fn append(
        &self,
        reservation: Reservation,
        kind: u8,
        pieces: Vec<Bytes>,
    ) -> Result<u64, AppendError> {
        self.shared.check_running()?;
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let reserved = reservation.payload_bytes();
        if bytes > reserved {
            return Err(AppendError::LargerThanReserved { bytes, reserved });
        }
        let mut queue = lock(&self.shared.queue);
        if queue.closing {
            return Err(Poisoned { reason: "it is being closed".into() }.into());
        }
        let position = queue.next;
        queue.next += 1;
        let reserved = reservation.into_size();
        queue.entries.push_back(Entry { kind, pieces, len: bytes as u32, reserved });
        let was_empty = queue.entries.len() == 1;
        drop(queue);
        if was_empty {
            self.shared.work.notify_one();
        }
        Ok(position)
    }

    /// The position that the next [`Journal::append`] will return, if nobody else comes first.
    pub fn next_position(&self) -> u64 {
        lock(&self.shared.queue).next
    }

    /// All records up to this position are on disk; one less than the first position if there is none.
    pub fn durable(&self) -> u64 {
        self.shared.durable()
    }

    /// Waits until `position` is durable. A position that is never appended is waited for until the
    /// journal stops.
    pub fn wait_durable(&self, position: u64) -> Result<(), Poisoned> {
        let mut waiting = lock(&self.shared.waiting);
        while self.durable() < position {
            self.shared.check_running()?;
            waiting = wait(&self.shared.durable_changed, waiting);
        }
        Ok(())
    }

    /// A reader that begins at position `from`.
    pub fn reader(&self, from: u64) -> Reader {
        Reader::new(Arc::clone(&self.shared), from)
    }

    /// Gives up whole segments whose records are all below `position`. As many as were begun since the
    /// last ones were cut are kept to be used again, the others removed; readers that are in one may
    /// finish it.
    pub fn cut_below(&self, position: u64) -> Result<(), CutError> {
        let mut begun_before = lock(&self.cutting);
        let begun = get(&self.shared.stats.segments_started);
        let config = &self.shared.config;
        let again = usize::try_from(begun - *begun_before).unwrap_or(usize::MAX);
        let keep = config.spares_wanted() + again.min(config.recycled_segments);
        let mut is_idle = true;
        loop {
            let Some(segment) = lock(&self.shared.catalog).pop_below(position) else {
                break;
            };
            let spare = self.shared.retire(segment, keep)?;
            let mut room = lock(&self.shared.room);
            room.live -= 1;
            room.spares.extend(spare);
            self.shared.spare_wanted.notify_one();
            is_idle = false;
        }
        if !is_idle {
            *begun_before = begun;
            self.shared.shed(keep)?;
        }
        Ok(())
    }

    /// The oldest position that may still be there; the next one to come if there is none.
    pub fn first(&self) -> u64 {
        lock(&self.shared.catalog).first()
    }

    /// Bytes of the longest payload that fits into a segment.
    pub fn payload_bytes_max(&self) -> u64 {
        self.shared.config.payload_bytes_max()
    }

    /// Bytes of the segments in use, up to their last durable record.
    pub fn bytes(&self) -> u64 {
        lock(&self.shared.catalog).iter().map(|segment| segment.end()).sum()
    }

    /// Bytes of all segment files, what is allocated ahead included: what the quota bounds.
    pub fn disk_bytes(&self) -> u64 {
        let live: u64 = lock(&self.shared.catalog).iter().map(|segment| segment.len).sum();
        let spares = lock(&self.shared.room).spares.len() as u64;
        live + spares * self.shared.config.segment_bytes
    }

    /// Bytes that the file system under the journal has left.
    pub fn disk_free_bytes(&self) -> io::Result<u64> {
        self.shared.fs.free_bytes(&self.shared.config.dir)
    }

    /// What it counts.
    pub fn stats(&self) -> &Stats {
        &self.shared.stats
    }

    /// Why it takes no more records; `None` while it does.
    pub fn poisoned(&self) -> Option<Poisoned> {
        self.shared.stopped.get().cloned()
    }

    /// Writes and syncs what was appended, marks the orderly end and stops. Durable records can still be
    /// read. An error says that the journal had stopped before, or could not end well.
    pub fn close(&self) -> Result<(), Poisoned> {
        if let Some(poisoned) = self.poisoned() {
            self.join();
            return Err(poisoned);
        }
        self.join();
        match self.poisoned() {
            Some(stopped) if &*stopped.reason != CLOSED => Err(stopped),
            _ => Ok(()),
        }
    }

    fn join(&self) {
        lock(&self.shared.queue).closing = true;
        self.shared.work.notify_all();
        lock(&self.shared.room).closing = true;
        self.shared.spare_wanted.notify_all();
        for thread in std::mem::take(&mut *lock(&self.threads)) {
            // A thread that panicked has stopped the journal with that reason.
            drop(thread.join());
        }
    }
}

/// Dropping closes: a journal that nobody holds cannot be waited for.
impl Drop for Journal {
    fn drop(&mut self) {
        self.join();
    }
}

/// The reason of an orderly stop.
pub(crate) const CLOSED: &str = "it was closed";

impl Shared {
    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    pub(crate) fn publish_durable(&self, position: u64) {
        self.durable.store(position, Ordering::Release);
        self.wake_waiters();
        if let Some(on_durable) = &self.config.on_durable {
            on_durable(Ok(position));
        }
    }

    /// Nothing becomes durable any more. Only the first reason counts.
    pub(crate) fn stop(&self, reason: &str) {
        let poisoned = Poisoned { reason: reason.into() };
        if self.stopped.set(poisoned.clone()).is_err() {
            return;
        }
        self.wake_waiters();
        if let Some(on_durable) = &self.config.on_durable {
            on_durable(Err(poisoned));
        }
    }

    fn wake_waiters(&self) {
        // With the lock: a waiter has either seen the change or waits already.
        drop(lock(&self.waiting));
        self.durable_changed.notify_all();
    }

    fn check_running(&self) -> Result<(), Poisoned> {
        self.stopped.get().map_or(Ok(()), |stopped| Err(stopped.clone()))
    }

    pub(crate) fn next_spare_number(&self) -> u64 {
        self.spare_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a spare file of a segment that is no longer in the catalog, or removes it. Each is synced, so
    /// that a crash never leaves an older segment without a younger one.
    fn retire(&self, segment: Arc<Segment>, keep: usize) -> Result<Option<Spare>, CutError> {
        let dir = &self.config.dir;
        let enough = lock(&self.room).spares.len() >= keep;
        let path = segment.path.clone();
        // A reader that holds it must not see another segment's bytes in it.
        let unused = Arc::try_unwrap(segment).ok();
        let recyclable =
            unused.filter(|segment| !enough && segment.len == self.config.segment_bytes);
        let spare = match recyclable {
            Some(segment) => {
                let spare_path = dir.join(spare_name(self.next_spare_number()));
                self.fs.rename(&path, &spare_path).at("rename to a spare file", &path)?;
                Some(Spare { path: spare_path, file: segment.file, recycled: true })
            }
            None => {
                self.fs.remove(&path).at("remove", &path)?;
                None
            }
        };
        self.fs.sync_dir(dir).at("sync", dir)?;
        Ok(spare)
    }

    /// Removes spare files beyond `keep`: what a burst has left.
    fn shed(&self, keep: usize) -> Result<(), CutError> {
        let surplus = lock(&self.room).take_surplus(keep, &self.bounds);
        for spare in surplus {
            self.fs.remove(&spare.path).at("remove", &spare.path)?;
            lock(&self.room).live -= 1;
        }
        Ok(())
    }
}

/// Waits, also after a thread has panicked.
pub(crate) fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap_or_else(PoisonError::into_inner)
}
