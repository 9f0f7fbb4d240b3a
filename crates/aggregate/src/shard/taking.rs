//! One series takes a sample: its class, its place among the series' samples, what it proves.
//!
//! The order of the questions is the order of the verdicts: the other replica's, a repeat, late,
//! and only then something to fold. Invariant: each sample gets exactly one class.

use weir_model::mutation::{self, Mutation};
use weir_model::{Class, NativeHistogram, Sample, Timestamp, is_stale};

use super::LateCounts;
use crate::alias::Alias;
use crate::decisions::Decisions;
use crate::fold::{fold_oldest, fold_past};
use crate::ha::Verdict;
use crate::histogram_fold;
use crate::plan::Plan;
use crate::recent::{BIRTH, LAGS, LATE, OBSERVED, Placed, Slot};
use crate::vshard::{NO_TARGET, Vshard};

/// A series, its plan, and who counts what came too late.
pub(super) struct Taking<'a> {
    pub(super) shard: &'a mut Vshard,
    pub(super) plan: &'a Plan,
    pub(super) config: &'a Decisions,
    pub(super) late: &'a mut Vec<LateCounts>,
}

impl Taking<'_> {
    /// Takes one float sample: its class, and whether it leaves as it came.
    pub(super) fn float(&mut self, alias: Alias, sample: Sample) -> (Class, bool) {
        let at = alias.series;
        let Sample { timestamp, value, .. } = sample;
        let marker = is_stale(value);
        let Some(switched) = self.admit(alias, timestamp, marker) else {
            return (Class::HaLoser, false);
        };
        let passes = self.plan.pass || timestamp <= self.plan.pass_until;
        let mut marks = 0;
        if timestamp <= self.shard.frontier && !self.plan.rules.is_empty() {
            let recent = &self.shard.series[at as usize].recent;
            if recent.contains(timestamp) {
                return (Class::Duplicate, false);
            }
            // Not newer than the base: the next increase covers it.
            let newer = recent.is_newer(timestamp, self.shard.frontier);
            if !newer || !(marker || self.plan.carries) {
                self.count_late(false);
                return (Class::Late, passes);
            }
            if !marker {
                self.count_late(true);
            }
            marks |= LATE;
        }
        if sample.start != 0 {
            let series = &mut self.shard.series[at as usize];
            if !series.recent.contains(timestamp) && series.recent.has_place(timestamp) {
                series.rare = true;
                self.shard.starts.entry(at).or_default().note(timestamp, sample.start);
            }
        }
        let recent = &self.shard.series[at as usize].recent;
        if recent.would_be_first(timestamp) {
            marks |= self.birth(at, timestamp, sample.start);
        } else if alias.replica != 0 && recent.lags(timestamp, value, switched) {
            marks |= LAGS;
        }
        if marker && mutation::is(Mutation::MarkerIgnored) {
            return (Class::Marker, passes);
        }
        let slot = Slot { timestamp, value, marks };
        let recent = &self.shard.series[at as usize].recent;
        let early = recent.newest().is_some_and(|newest| timestamp < newest);
        if mutation::is(Mutation::OutOfOrderTwice) && early {
            self.place(at, Slot { timestamp: timestamp - 1, ..slot });
        }
        match self.place(at, slot) {
            Placed::Duplicate => (Class::Duplicate, false),
            Placed::TooOld | Placed::Full if !self.plan.rules.is_empty() => {
                self.count_late(false);
                (Class::Late, passes)
            }
            _ if marker => (Class::Marker, passes && !mutation::is(Mutation::PassedMarkerLost)),
            _ if timestamp <= self.plan.pass_until => (Class::Passed, true),
            _ => (Class::Folded, passes),
        }
    }

    /// Takes one native histogram.
    pub(super) fn histogram(&mut self, alias: Alias, histogram: &NativeHistogram) -> (Class, bool) {
        let at = alias.series;
        let timestamp = histogram.timestamp;
        let marker = histogram.is_stale();
        if self.admit(alias, timestamp, marker).is_none() {
            return (Class::HaLoser, false);
        }
        let passes = self.plan.pass || timestamp <= self.plan.pass_until;
        let late = timestamp <= self.shard.frontier && !self.plan.rules.is_empty();
        let known = histogram_fold::knows(self.shard, at, timestamp);
        if late && !known && !marker && !self.plan.carries {
            self.count_late(false);
            return (Class::Late, passes);
        }
        let birth = self.birth(at, timestamp, histogram.start) & BIRTH != 0;
        let mut placed = histogram_fold::place(self.shard, at, histogram, birth);
        if placed == Placed::Full {
            histogram_fold::fold_oldest(self.shard, at, self.plan, self.config);
            placed = histogram_fold::place(self.shard, at, histogram, birth);
        }
        if self.plan.rules.is_empty() {
            histogram_fold::fold_due(self.shard, at, self.plan, self.config, Timestamp::MAX);
        }
        match placed {
            Placed::Duplicate => (Class::Duplicate, false),
            Placed::TooOld if !self.plan.rules.is_empty() => {
                self.count_late(false);
                (Class::Late, passes)
            }
            _ if marker => (Class::Marker, passes),
            _ if timestamp <= self.plan.pass_until => (Class::Passed, true),
            _ => {
                if late {
                    self.count_late(true);
                }
                (Class::Folded, passes)
            }
        }
    }

    /// Asks the HA pair and notes the target's scrape. `None` if the other replica is believed,
    /// else whether this is the series' first sample of its replica.
    #[inline]
    fn admit(&mut self, alias: Alias, at: Timestamp, marker: bool) -> Option<bool> {
        let series = &mut self.shard.series[alias.series as usize];
        let mut switched = false;
        if series.target != NO_TARGET {
            let target = &mut self.shard.targets[usize::from(series.target)];
            if alias.replica != 0 {
                let mode = self.config.ha.mode;
                if target.replicas.judge(mode, alias.replica, at, marker) == Verdict::Lose {
                    return None;
                }
                let before = series.recent.replica;
                switched = before != 0 && before != alias.replica;
                series.recent.replica = alias.replica;
            }
            target.observe(at, self.config.version);
        }
        Some(switched)
    }

    fn count_late(&mut self, carried: bool) {
        for &number in &self.plan.rules {
            let counts = &mut self.late[usize::from(number)];
            if carried && self.config.rules[usize::from(number)].carries() {
                counts.carried += 1;
            } else {
                counts.dropped += 1;
            }
        }
    }

    /// What proves that a series' first sample counts in full.
    fn birth(&self, at: u32, timestamp: Timestamp, start: Timestamp) -> u8 {
        let series = &self.shard.series[at as usize];
        if series.target == NO_TARGET {
            return 0;
        }
        let target = &self.shard.targets[usize::from(series.target)];
        let mut marks = 0;
        let before = target.scrape_before(timestamp);
        if start != 0 && start <= timestamp && before.is_some_and(|t| start > t) {
            marks |= BIRTH;
        }
        if target.was_watched(timestamp, self.config.version) {
            marks |= OBSERVED;
        }
        marks
    }

    /// Puts a sample in its place, folding what must make room.
    #[inline]
    fn place(&mut self, at: u32, slot: Slot) -> Placed {
        if self.shard.series[at as usize].recent.is_crowded(slot.timestamp) {
            fold_oldest(self.shard, at, self.plan, self.config);
            if !self.plan.rules.is_empty() && self.shard.series[at as usize].recent.push(slot) {
                return Placed::Waiting;
            }
        }
        for _ in 0..=crate::recent::REMEMBERED {
            let recent = &mut self.shard.series[at as usize].recent;
            let placed = recent.place(slot);
            if placed != Placed::Full {
                if self.plan.rules.is_empty() && placed == Placed::Waiting {
                    recent.fold_oldest(false);
                }
                return placed;
            }
            if recent.is_next(slot.timestamp) {
                return fold_past(self.shard, at, slot, self.plan, self.config);
            }
            fold_oldest(self.shard, at, self.plan, self.config);
        }
        Placed::Full
    }
}
