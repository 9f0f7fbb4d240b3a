//! What a series remembers: its last few samples in the order of their timestamps.
//!
//! The folded ones come first, then those that wait. A sample is folded when the frontier has
//! passed it or when room is needed, always in the order of timestamps, so folding never has to
//! be undone. Invariant: the newest folded number (not NaN) stays, for it is the base of the next
//! increase. What is older than the newest folded sample cannot be put in its place any more.

use weir_model::Timestamp;

/// How many samples a series remembers.
pub const REMEMBERED: usize = 4;

/// The sample came behind the frontier: counters carry it, other outputs leave it out.
pub const LATE: u8 = 1;
/// The first sample after the other HA replica took over.
pub const SWITCHED: u8 = 2;
/// The series began after its target's previous scrape: its first value counts in full.
pub const BIRTH: u8 = 4;
/// The series appeared in a scrape of a target that was watched all along.
pub const OBSERVED: u8 = 8;

/// A remembered sample.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// When.
    pub timestamp: Timestamp,
    /// What.
    pub value: f64,
    /// [`LATE`], [`SWITCHED`], [`BIRTH`].
    pub marks: u8,
}

/// What putting a sample in its place came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Placed {
    /// It waits to be folded.
    Waiting,
    /// Its timestamp is known already.
    Duplicate,
    /// It is older than what has been folded.
    TooOld,
    /// There is no room: fold the oldest that waits, then try again.
    Full,
}

/// The last samples of a series. Timestamps are kept as offsets from the oldest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recent {
    base: Timestamp,
    values: [f64; REMEMBERED],
    offsets: [u32; REMEMBERED],
    marks: [u8; REMEMBERED],
    len: u8,
    folded: u8,
    /// The HA replica that the newest sample came from, 0 if none.
    pub replica: u16,
}

impl Recent {
    /// The sample at this place, oldest first.
    #[inline]
    pub fn slot(&self, at: usize) -> Slot {
        Slot {
            timestamp: self.time(at),
            value: self.values[at],
            marks: self.marks[at],
        }
    }

    /// How many samples are remembered.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many of them have been folded.
    #[inline]
    pub fn folded(&self) -> usize {
        usize::from(self.folded)
    }

    /// The newest remembered timestamp.
    #[inline]
    pub fn newest(&self) -> Option<Timestamp> {
        self.len().checked_sub(1).map(|at| self.time(at))
    }

    /// The newest folded timestamp.
    #[inline]
    pub fn folded_through(&self) -> Option<Timestamp> {
        self.folded().checked_sub(1).map(|at| self.time(at))
    }

    /// The oldest waiting sample, if it is not past `limit`.
    #[inline]
    pub fn due(&self, limit: Timestamp) -> Option<Slot> {
        let at = self.folded();
        (at < self.len() && self.time(at) <= limit).then(|| self.slot(at))
    }

    /// The number (not NaN) before the oldest waiting sample: what its increase is counted from.
    #[inline]
    pub fn base(&self) -> Option<Slot> {
        (0..self.folded())
            .rev()
            .map(|at| self.slot(at))
            .find(|s| !s.value.is_nan())
    }

    /// The newest sample, folded or not, that is not past `at`.
    pub fn at(&self, at: Timestamp) -> Option<Slot> {
        (0..self.len())
            .rev()
            .map(|i| self.slot(i))
            .find(|s| s.timestamp <= at)
    }

    /// Marks the oldest waiting sample as folded; `value` replaces it where an HA switch kept the
    /// higher one as the base.
    #[inline]
    pub fn fold_oldest(&mut self, value: f64) {
        let at = self.folded();
        debug_assert!(at < self.len(), "nothing waits");
        self.values[at] = value;
        self.folded += 1;
    }

    /// Puts a sample in its place.
    #[inline]
    pub fn place(&mut self, slot: Slot) -> Placed {
        let mut at = self.len();
        while at > 0 && self.time(at - 1) > slot.timestamp {
            at -= 1;
        }
        if at > 0 && self.time(at - 1) == slot.timestamp {
            return Placed::Duplicate;
        }
        if at < self.folded() {
            return Placed::TooOld;
        }
        if self.len() == REMEMBERED {
            let Some(gone) = self.forgettable() else {
                return Placed::Full;
            };
            self.remove(gone);
            at -= 1;
        }
        self.insert(at, slot);
        Placed::Waiting
    }

    /// The oldest folded sample, unless it is the only folded number; one must stay.
    fn forgettable(&self) -> Option<usize> {
        let folded = self.folded();
        if folded < 2 {
            return None;
        }
        let others_have_number = (1..folded).any(|at| !self.values[at].is_nan());
        if self.values[0].is_nan() || others_have_number {
            Some(0)
        } else {
            Some(1)
        }
    }

    fn remove(&mut self, gone: usize) {
        let times: [Timestamp; REMEMBERED] = std::array::from_fn(|at| self.time(at));
        let len = self.len();
        self.values.copy_within(gone + 1..len, gone);
        self.marks.copy_within(gone + 1..len, gone);
        self.offsets.copy_within(gone + 1..len, gone);
        self.len -= 1;
        self.folded -= 1;
        if gone == 0 {
            self.rebase(times[1]);
        }
    }

    fn insert(&mut self, at: usize, slot: Slot) {
        let len = self.len();
        if len == 0 {
            self.base = slot.timestamp;
        } else if slot.timestamp < self.base {
            self.rebase(slot.timestamp);
        }
        self.values.copy_within(at..len, at + 1);
        self.marks.copy_within(at..len, at + 1);
        self.offsets.copy_within(at..len, at + 1);
        self.values[at] = slot.value;
        self.marks[at] = slot.marks;
        // Past 49 days the oldest sample is long forgotten (counter_memory is capped below).
        self.offsets[at] = u32::try_from(slot.timestamp - self.base).unwrap_or(u32::MAX);
        self.len += 1;
    }

    fn rebase(&mut self, base: Timestamp) {
        let shift = self.base - base;
        for at in 0..self.len() {
            self.offsets[at] =
                u32::try_from(i64::from(self.offsets[at]) + shift).unwrap_or(u32::MAX);
        }
        self.base = base;
    }

    #[inline]
    fn time(&self, at: usize) -> Timestamp {
        self.base + i64::from(self.offsets[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(timestamp: Timestamp, value: f64) -> Slot {
        Slot {
            timestamp,
            value,
            marks: 0,
        }
    }

    fn times(recent: &Recent) -> Vec<Timestamp> {
        (0..recent.len())
            .map(|at| recent.slot(at).timestamp)
            .collect()
    }

    #[test]
    fn samples_are_kept_in_order_and_repeats_known() {
        let mut recent = Recent::default();
        for t in [30, 10, 20] {
            assert_eq!(recent.place(slot(t, 0.0)), Placed::Waiting);
        }
        assert_eq!(times(&recent), [10, 20, 30]);
        assert_eq!(recent.place(slot(20, 1.0)), Placed::Duplicate);
    }

    #[test]
    fn what_waits_is_never_forgotten() {
        let mut recent = Recent::default();
        for t in 1..=4 {
            recent.place(slot(t, t as f64));
        }
        assert_eq!(recent.place(slot(5, 5.0)), Placed::Full);
        recent.fold_oldest(1.0);
        assert_eq!(
            recent.place(slot(5, 5.0)),
            Placed::Full,
            "the only base must stay"
        );
        recent.fold_oldest(2.0);
        assert_eq!(recent.place(slot(5, 5.0)), Placed::Waiting);
        assert_eq!(times(&recent), [2, 3, 4, 5]);
        assert_eq!(recent.place(slot(1, 1.0)), Placed::TooOld);
        assert_eq!(recent.base().unwrap().value, 2.0);
    }

    #[test]
    fn the_last_number_survives_markers() {
        let mut recent = Recent::default();
        recent.place(slot(1, 7.0));
        recent.fold_oldest(7.0);
        for t in 2..=4 {
            recent.place(slot(t, weir_model::STALE_NAN));
            recent.fold_oldest(weir_model::STALE_NAN);
        }
        assert_eq!(recent.place(slot(9, 8.0)), Placed::Waiting);
        assert_eq!(recent.base().unwrap().value, 7.0);
        assert_eq!(times(&recent), [1, 3, 4, 9]);
    }

    #[test]
    fn it_stays_small() {
        assert!(size_of::<Recent>() <= 64);
    }
}
