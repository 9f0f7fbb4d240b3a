//! Room in the queue and on the disk, granted before it is needed.
//!
//! Invariant: whatever the order in which the records granted are appended, the files already allocated
//! hold them; so a write never meets a full disk. Deliberately not here: making files.
//!
//! How much do `k` spare segments of `u` usable bytes hold, if records are not split and the largest is
//! `m`? A segment is left when the next record does not fit, so each is filled beyond `u − m`; and any
//! two neighbours hold more than `u` together. So `k (u − m)` bytes always fit, and so do
//! `⌈k/2⌉ u`. What fits into the active segment as a whole fits too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ReserveError;
use crate::journal::Shared;
use crate::segment::Spare;
use crate::stats::set;

/// Who may use the reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Importance {
    /// New work: refused first.
    Ordinary,
    /// What lets a full node drain: may use the reserve, and twice the queue.
    Essential,
}

/// Accounts of one journal; sizes are of whole frames.
#[derive(Debug)]
pub(crate) struct Room {
    /// Reserved or appended, and not durable.
    pub(crate) in_flight: u64,
    /// Of those, what has no place in a segment yet.
    pub(crate) unplaced: u64,
    /// The largest frame ever asked for.
    largest: u64,
    /// Left in the active segment.
    pub(crate) active_left: u64,
    pub(crate) spares: Vec<Spare>,
    /// Segments in use, the active one included.
    pub(crate) live: usize,
    /// When the active one was begun, and whether the one before was full within [`QUICK`] of its
    /// beginning.
    pub(crate) begun: Instant,
    pub(crate) is_quick: bool,
    /// The helper thread shall end.
    pub(crate) closing: bool,
}

/// Bounds that do not change while the journal is open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) usable_bytes: u64,
    pub(crate) reserve_bytes: u64,
    pub(crate) queue_bytes: u64,
    pub(crate) spares_wanted: usize,
    pub(crate) quota_segments: Option<usize>,
}

impl Room {
    pub(crate) fn new(active_left: u64, spares: Vec<Spare>, live: usize) -> Self {
        Self {
            in_flight: 0,
            unplaced: 0,
            largest: 0,
            active_left,
            spares,
            live,
            begun: Instant::now(),
            is_quick: false,
            closing: false,
        }
    }

    /// Takes out spare files beyond `keep`, but for those that what was granted may need. They count as
    /// in use, for the quota, until they are removed.
    pub(crate) fn take_surplus(&mut self, keep: usize, bounds: &Bounds) -> Vec<Spare> {
        let mut surplus = Vec::new();
        while self.spares.len() > keep
            && let Some(spare) = self.spares.pop()
        {
            if !self.holds(self.unplaced + bounds.reserve_bytes, self.largest, bounds.usable_bytes)
            {
                self.spares.push(spare);
                break;
            }
            surplus.push(spare);
            self.live += 1;
        }
        surplus
    }

    /// The file of the segment to come, which counts as in use from now on: while it is on its way the
    /// helper must not take its place in the quota for free.
    pub(crate) fn take_next(&mut self) -> Option<Spare> {
        self.live += 1;
        self.spares.pop()
    }

    /// Another segment is the active one; [`Room::take_next`] has counted it.
    pub(crate) fn begin(&mut self, left: u64) {
        self.active_left = left;
        self.is_quick = self.begun.elapsed() < QUICK;
        self.begun = Instant::now();
    }

    /// Another spare segment is wanted, and allowed.
    pub(crate) fn wants_spare(&self, bounds: &Bounds) -> bool {
        self.spares.len() < bounds.spares_wanted && !self.at_quota(bounds)
    }

    fn at_quota(&self, bounds: &Bounds) -> bool {
        bounds.quota_segments.is_some_and(|quota| self.live + self.spares.len() >= quota)
    }

    fn grant(
        &mut self,
        size: u64,
        importance: Importance,
        bounds: &Bounds,
    ) -> Result<(), ReserveError> {
        let (queue_max, reserve) = match importance {
            Importance::Ordinary => (bounds.queue_bytes, bounds.reserve_bytes),
            Importance::Essential => (bounds.queue_bytes.saturating_mul(2), 0),
        };
        // A single record larger than the bound must pass, or it never would.
        if self.in_flight > 0 && self.in_flight + size > queue_max {
            return Err(ReserveError::Queue { in_flight: self.in_flight, max: queue_max });
        }
        let largest = self.largest.max(size);
        if !self.holds(self.unplaced + size + reserve, largest, bounds.usable_bytes) {
            let full = if self.at_quota(bounds) { ReserveError::Quota } else { ReserveError::Disk };
            return Err(full);
        }
        self.largest = largest;
        self.in_flight += size;
        self.unplaced += size;
        Ok(())
    }

    /// `bytes` in frames of at most `largest` fit, in whatever order they come.
    fn holds(&self, bytes: u64, largest: u64, usable: u64) -> bool {
        let spares = self.spares.len() as u64;
        let by_largest =
            self.active_left.saturating_sub(largest) + spares * usable.saturating_sub(largest);
        let by_pairs = spares.div_ceil(2) * usable;
        bytes <= self.active_left.max(by_largest).max(by_pairs)
    }
}

/// A segment that is full within this time is no sooner filled with zeros than with records.
const QUICK: Duration = Duration::from_secs(10);

/// Room for one record, given back when dropped.
#[derive(Debug)]
#[must_use = "room that is not used is given back at once"]
pub struct Reservation {
    shared: Arc<Shared>,
    payload_bytes: u64,
    size: u64,
}

impl Reservation {
    /// Grants room for a payload of `payload_bytes`.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        payload_bytes: u64,
        size: u64,
        importance: Importance,
    ) -> Result<Self, ReserveError> {
        let mut room = lock(&shared.room);
        room.grant(size, importance, &shared.bounds)?;
        set(&shared.stats.queue_bytes, room.in_flight);
        drop(room);
        Ok(Self { shared: Arc::clone(shared), payload_bytes, size })
    }

    /// The longest payload it is good for.
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// The writer gives the room back when the record is durable.
    pub(crate) fn into_size(mut self) -> u64 {
        std::mem::take(&mut self.size)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.size > 0 {
            let mut room = lock(&self.shared.room);
            room.in_flight -= self.size;
            room.unplaced -= self.size;
            set(&self.shared.stats.queue_bytes, room.in_flight);
        }
    }
}

/// Locks, also after a thread has panicked: the accounts are kept consistent at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::fs::faulty::FaultyFs;
    use crate::segment::create_spare;

    /// A helper that looked while a spare file became a segment once made one more than the quota allows.
    #[test]
    fn a_file_on_its_way_into_use_counts_for_the_quota() {
        let config = Config { segment_bytes: 1024, ..Config::new("/j") };
        let spares = vec![create_spare(&FaultyFs::new(1), &config, 0, false).unwrap()];
        let bounds = Bounds {
            usable_bytes: 1000,
            reserve_bytes: 0,
            queue_bytes: 1000,
            spares_wanted: 1,
            quota_segments: Some(2),
        };
        let mut room = Room::new(0, spares, 1);
        let next = room.take_next();
        assert!(next.is_some() && !room.wants_spare(&bounds));
        room.begin(1000);
        assert!(!room.wants_spare(&bounds));
    }
}
