//! What a series remembers: its last few samples in the order of their timestamps.
//!
//! The folded ones come first, then those that wait. A sample is folded when the frontier has
//! passed it or when room is needed, always in the order of timestamps, so folding never has to
//! be undone. Invariant: the newest folded number (not NaN) stays, for it is the base of the next
//! increase; where it is that of an HA replica that lags, so does the higher one before it, which still is
//! the base. What is older than the newest folded sample cannot be put in its place any more.

use weir_model::Timestamp;
use weir_model::mutation::{self, Mutation};

/// How many samples a series remembers.
pub const REMEMBERED: usize = 4;

/// How far remembered timestamps may lie apart.
const REACH_MS: i64 = u32::MAX as i64;

/// The sample came behind the frontier: counters carry it, other outputs leave it out.
pub const LATE: u8 = 1;
/// It comes from the HA replica that took over, and that one is still behind what is known. Once it is folded:
/// an older one is the base.
pub const LAGS: u8 = 2;
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
    /// [`LATE`], [`LAGS`], [`BIRTH`], [`OBSERVED`].
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

/// The last samples of a series. Of all timestamps but the newest only the low half is kept: they
/// are within 49 days of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recent {
    newest: Timestamp,
    values: [f64; REMEMBERED],
    low: [u32; REMEMBERED],
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
        Slot { timestamp: self.time(at), value: self.values[at], marks: self.marks[at] }
    }

    /// How many samples are remembered.
    #[inline]
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Reads its first word, for whoever wants it near.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        self.newest as u64
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
        (self.len > 0).then_some(self.newest)
    }

    /// The newest folded timestamp.
    #[inline]
    pub fn folded_through(&self) -> Option<Timestamp> {
        self.folded().checked_sub(1).map(|at| self.time(at))
    }

    /// The newest folded sample.
    #[inline]
    pub fn newest_folded(&self) -> Option<Slot> {
        self.folded().checked_sub(1).map(|at| self.slot(at))
    }

    /// Whether the oldest waiting sample is not past `limit`.
    #[inline]
    pub fn is_due(&self, limit: Timestamp) -> bool {
        let at = self.folded();
        at < self.len() && self.time(at) <= limit
    }

    /// The oldest waiting sample, if it is not past `limit`.
    #[inline]
    pub fn due(&self, limit: Timestamp) -> Option<Slot> {
        let at = self.folded();
        (at < self.len() && self.time(at) <= limit).then(|| self.slot(at))
    }

    /// The number (not NaN) before the oldest waiting sample: what its increase is counted from. Its value
    /// is an older one's where an HA replica lags.
    #[inline]
    pub fn base(&self) -> Option<Slot> {
        let newest = (0..self.folded()).rev().find(|&at| !self.values[at].is_nan())?;
        let base = if self.is_base(newest) { newest } else { self.base_at()? };
        Some(Slot { value: self.values[base], ..self.slot(newest) })
    }

    /// Where the base's value stands: in the newest folded number that does not lag.
    fn base_at(&self) -> Option<usize> {
        (0..self.folded()).rev().find(|&at| self.is_base(at))
    }

    /// Whether a folded sample can be a base.
    #[inline]
    fn is_base(&self, at: usize) -> bool {
        !self.values[at].is_nan() && self.marks[at] & LAGS == 0
    }

    /// The newest sample, folded or not, that is not past `at`.
    pub fn at(&self, at: Timestamp) -> Option<Slot> {
        (0..self.len()).rev().map(|i| self.slot(i)).find(|s| s.timestamp <= at)
    }

    /// Whether a sample with this timestamp is remembered.
    pub fn contains(&self, timestamp: Timestamp) -> bool {
        (0..self.len()).any(|at| self.time(at) == timestamp)
    }

    /// Whether a late sample is newer than the base: than whatever is folded, and than whatever
    /// is not past the frontier.
    pub fn is_newer(&self, timestamp: Timestamp, frontier: Timestamp) -> bool {
        let newest = self.at(frontier).map(|s| s.timestamp);
        newest.max(self.folded_through()).is_none_or(|t| timestamp > t)
    }

    /// Whether a sample would be the series' first: nothing older is remembered or was folded.
    pub fn would_be_first(&self, timestamp: Timestamp) -> bool {
        self.folded == 0 && (self.len == 0 || timestamp < self.time(0))
    }

    /// Whether a sample is newer than what is folded.
    pub fn has_place(&self, timestamp: Timestamp) -> bool {
        self.folded_through().is_none_or(|t| timestamp > t)
    }

    /// Whether a sample would be the oldest that waits.
    pub fn is_next(&self, timestamp: Timestamp) -> bool {
        self.due(Timestamp::MAX).is_none_or(|s| timestamp < s.timestamp)
    }

    /// Whether a sample would be the newest and find room only once another is folded: what most
    /// samples meet where as many wait as there is room for.
    #[inline]
    pub fn is_crowded(&self, timestamp: Timestamp) -> bool {
        self.len() == REMEMBERED && self.folded <= 1 && timestamp > self.newest
    }

    /// Whether a fall in value is the lag of an HA replica that has just taken over (`switched`),
    /// or is still catching up: no larger than the last two increases. It looks when the sample
    /// arrives, for by the time it is folded, what came before may be forgotten.
    pub fn lags(&self, timestamp: Timestamp, value: f64, switched: bool) -> bool {
        let before = (0..self.len()).map(|at| self.slot(at));
        let before = before.filter(|s| s.timestamp < timestamp && !s.value.is_nan());
        let mut known: [Option<Slot>; 3] = [None; 3];
        let (mut base, mut lagging) = (f64::NEG_INFINITY, false);
        for slot in before {
            known = [known[1], known[2], Some(slot)];
            lagging = slot.value < base && slot.marks & LAGS != 0;
            base = if lagging { base } else { slot.value };
        }
        let Some(last) = known[2] else { return false };
        if !(switched || lagging) || value >= base {
            return false;
        }
        let rise = |of: [Option<Slot>; 2]| match of {
            [Some(a), Some(b)] => (b.value - a.value).max(0.0),
            _ => 0.0,
        };
        let risen = rise([known[0], known[1]]) + rise([known[1], known[2]]);
        last.value - value <= risen
    }

    /// Takes a number that was folded past those that wait, without ever waiting itself, in the
    /// place of the oldest folded one that is not needed; where `lags` the base is.
    pub fn fold_past(&mut self, slot: Slot, lags: bool) {
        debug_assert!(self.folded > 0 && self.is_next(slot.timestamp));
        let base = self.base_at().filter(|_| lags);
        let Some(gone) = (0..self.folded()).find(|&at| Some(at) != base) else {
            return;
        };
        let at = self.folded() - 1;
        self.remove(gone);
        self.insert(at, slot);
        self.mark_lag(at, lags);
        self.folded += 1;
    }

    /// Marks the oldest waiting sample as folded; where `lags` it does not become the base.
    #[inline]
    pub fn fold_oldest(&mut self, lags: bool) {
        let at = self.folded();
        debug_assert!(at < self.len(), "nothing waits");
        self.mark_lag(at, lags);
        self.folded += 1;
    }

    #[inline]
    fn mark_lag(&mut self, at: usize, lags: bool) {
        self.marks[at] = self.marks[at] & !LAGS | if lags { LAGS } else { 0 };
    }

    /// Puts a sample behind all others and forgets the oldest, if that is all there is to it: what
    /// most samples come to. `false`, and nothing done, if not.
    #[inline]
    pub fn push(&mut self, slot: Slot) -> bool {
        let simple = self.len() == REMEMBERED
            && self.folded == 2
            && slot.timestamp > self.newest
            && slot.timestamp.saturating_sub(self.time(0)) <= REACH_MS
            && (self.values[0].is_nan() || self.is_base(1));
        if simple {
            let ([_, b, c, d], [_, f, g, h], [_, j, k, l]) = (self.values, self.low, self.marks);
            self.values = [b, c, d, slot.value];
            self.low = [f, g, h, slot.timestamp as u32];
            self.marks = [j, k, l, slot.marks];
            self.newest = slot.timestamp;
            self.folded = 1;
        }
        simple
    }

    /// Puts a sample in its place.
    #[inline]
    pub fn place(&mut self, slot: Slot) -> Placed {
        if let Some(refused) = self.make_reachable(slot.timestamp) {
            return refused;
        }
        let mut at = self.len();
        while at > 0 && self.time(at - 1) > slot.timestamp {
            at -= 1;
        }
        let known = at > 0 && self.time(at - 1) == slot.timestamp;
        if known && !mutation::is(Mutation::DuplicateNotDropped) {
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

    /// The low half of a timestamp tells 49 days apart. Forgets folded samples from before that;
    /// what still waits must be folded first, and a sample that is older than the newest by as
    /// much has no place.
    #[inline]
    fn make_reachable(&mut self, timestamp: Timestamp) -> Option<Placed> {
        while self.len > 0 && timestamp.saturating_sub(self.time(0)) > REACH_MS {
            if self.folded == 0 {
                return Some(Placed::Full);
            }
            self.remove(0);
        }
        let too_old = self.len > 0 && self.newest.saturating_sub(timestamp) > REACH_MS;
        too_old.then_some(Placed::TooOld)
    }

    /// The oldest folded sample that is not the base: one must stay, and so must the newest folded
    /// sample, for it tells whether the series is alive.
    fn forgettable(&self) -> Option<usize> {
        let others = self.folded().checked_sub(1)?;
        let base = self.base_at();
        (0..others).find(|&at| Some(at) != base)
    }

    /// Takes out a folded sample.
    #[inline]
    fn remove(&mut self, gone: usize) {
        for at in gone..REMEMBERED - 1 {
            self.values[at] = self.values[at + 1];
            self.low[at] = self.low[at + 1];
            self.marks[at] = self.marks[at + 1];
        }
        self.len -= 1;
        self.folded -= 1;
    }

    #[inline]
    fn insert(&mut self, at: usize, slot: Slot) {
        for at in (at + 1..REMEMBERED).rev() {
            self.values[at] = self.values[at - 1];
            self.low[at] = self.low[at - 1];
            self.marks[at] = self.marks[at - 1];
        }
        self.values[at] = slot.value;
        self.low[at] = slot.timestamp as u32;
        self.marks[at] = slot.marks;
        if self.len == 0 || slot.timestamp > self.newest {
            self.newest = slot.timestamp;
        }
        self.len += 1;
    }

    #[inline]
    fn time(&self, at: usize) -> Timestamp {
        self.newest - i64::from((self.newest as u32).wrapping_sub(self.low[at]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(timestamp: Timestamp, value: f64) -> Slot {
        Slot { timestamp, value, marks: 0 }
    }

    fn times(recent: &Recent) -> Vec<Timestamp> {
        (0..recent.len()).map(|at| recent.slot(at).timestamp).collect()
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
        recent.fold_oldest(false);
        assert_eq!(recent.place(slot(5, 5.0)), Placed::Full, "the only base must stay");
        recent.fold_oldest(false);
        assert_eq!(recent.place(slot(5, 5.0)), Placed::Waiting);
        assert_eq!(times(&recent), [2, 3, 4, 5]);
        assert_eq!(recent.place(slot(1, 1.0)), Placed::TooOld);
        assert_eq!(recent.base().unwrap().value, 2.0);
    }

    #[test]
    fn the_last_number_survives_markers() {
        let mut recent = Recent::default();
        recent.place(slot(1, 7.0));
        recent.fold_oldest(false);
        for t in 2..=4 {
            recent.place(slot(t, weir_model::STALE_NAN));
            recent.fold_oldest(false);
        }
        assert_eq!(recent.place(slot(9, 8.0)), Placed::Waiting);
        assert_eq!(recent.base().unwrap().value, 7.0);
        assert_eq!(times(&recent), [1, 3, 4, 9]);
    }

    #[test]
    fn offsets_reach_as_far_as_they_must() {
        let month = 30 * 86_400_000;
        let mut recent = Recent::default();
        for t in [1, 2] {
            recent.place(slot(t, t as f64));
            recent.fold_oldest(false);
        }
        assert_eq!(recent.place(slot(month, 3.0)), Placed::Waiting);
        let far = slot(3 * month, 4.0);
        assert_eq!(recent.place(far), Placed::Full, "what waits is folded first");
        recent.fold_oldest(false);
        assert_eq!(recent.place(far), Placed::Waiting);
        assert_eq!(times(&recent), [3 * month], "nothing is remembered as newer than it was");
        assert_eq!(recent.place(slot(month, 3.0)), Placed::TooOld);
    }

    #[test]
    fn a_replica_that_lags_is_told_from_a_reset() {
        let mut recent = Recent::default();
        for (t, value) in [(10, 100.0), (20, 110.0), (30, 125.0)] {
            recent.place(slot(t, value));
        }
        assert!(!recent.lags(40, 120.0, false), "the replica is the same");
        assert!(recent.lags(40, 120.0, true));
        assert!(recent.lags(40, 100.0, true), "as much as the last two increases");
        assert!(!recent.lags(40, 99.0, true));
        assert!(!recent.lags(40, 126.0, true), "no fall at all");
        recent.place(Slot { marks: LAGS, ..slot(40, 105.0) });
        assert!(recent.lags(50, 120.0, false), "still catching up");
        assert!(!recent.lags(50, 125.0, false));
        assert!(!recent.lags(50, 3.0, false), "a reset");
    }

    /// Of a gauge of an HA pair the latest value was the one before the switch, for a lag in a counter left the
    /// higher value in the place of the lower one. And once four of a replica that lagged had been folded,
    /// what came next was a reset.
    #[test]
    fn what_lags_keeps_its_value_and_the_base_stays_however_long_it_lags() {
        let mut recent = Recent::default();
        for (t, value) in [(10, 100.0), (20, 110.0), (30, 125.0)] {
            recent.place(slot(t, value));
            recent.fold_oldest(false);
        }
        for (t, value) in (4..12).zip([115.0, 116.0, 117.0, 119.0, 120.0, 121.0, 122.0, 124.0]) {
            assert!(recent.lags(t * 10, value, t == 4), "{value}");
            assert_eq!(recent.place(Slot { marks: LAGS, ..slot(t * 10, value) }), Placed::Waiting);
            recent.fold_oldest(true);
            assert_eq!(recent.newest_folded().unwrap().value, value);
            let base = recent.base().unwrap();
            assert_eq!((base.timestamp, base.value), (t * 10, 125.0));
        }
        assert!(!recent.lags(120, 126.0, false));
        recent.place(slot(120, 126.0));
        recent.fold_oldest(false);
        assert_eq!(recent.base().unwrap().value, 126.0);
    }

    #[test]
    fn it_stays_small() {
        assert!(size_of::<Recent>() <= 64);
    }
}
