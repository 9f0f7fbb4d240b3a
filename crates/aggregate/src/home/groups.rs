//! One rule's output groups: admitted up to `max_groups`, the rest folded into the overflow.
//!
//! Invariant: a key is either a group of its own or folded, from its first worker to its last, so
//! that a restart in between decides the same.

use ahash::AHashMap;
use weir_model::mutation::{self, Mutation};
use weir_model::{LabelsBuilder, Timestamp};

use super::{HomeGroup, OVERFLOW};
use crate::group::GroupKey;
use crate::output::Totals;

/// What a rule's windows have come to, for its metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleCounts {
    /// Samples folded into closed windows.
    pub samples_in: u64,
    /// Output samples, markers included.
    pub samples_out: u64,
    /// Groups that were folded into the overflow.
    pub overflowed: u64,
    /// End of the last window that closed.
    pub last_end: Timestamp,
}

/// One rule's groups.
#[derive(Clone, Debug, Default)]
pub(crate) struct HomeRule {
    pub(super) groups: Vec<Option<HomeGroup>>,
    pub(super) counts: RuleCounts,
    by_key: AHashMap<GroupKey, u32>,
    /// Groups that live elsewhere and that no worker has any more: their home is to be told.
    pub(super) left: Vec<GroupKey>,
    /// Groups that live elsewhere and that a worker has now.
    pub(super) joined: Vec<GroupKey>,
    /// Groups past the limit, with the number of workers that have them.
    folded: AHashMap<GroupKey, u32>,
    /// How many of `by_key` do not count toward the limit: overflow groups, and those that only other
    /// nodes have series of.
    uncounted: usize,
    free: Vec<u32>,
}

/// What a worker's group number stands for.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// Place in [`HomeRule::groups`].
    pub(super) at: u32,
    /// The group's own key, where it is folded into the overflow.
    pub(super) folded: Option<Box<GroupKey>>,
    /// The worker has given the number up; it still stands for the group until the next close.
    pub(super) gone: bool,
}

impl Member {
    fn new(at: u32, folded: Option<Box<GroupKey>>) -> Self {
        let gone = false;
        Self { at, folded, gone }
    }
}

impl HomeRule {
    /// Where some output series has had no marker since its last value: no group with one says anything of
    /// windows that end by then.
    pub(super) fn speaks_past(&self) -> Option<Timestamp> {
        let speaking = self.groups.iter().flatten().filter(|group| !group.speaking.is_empty());
        speaking.map(|group| group.spoken_through).min()
    }

    /// How many groups there are, overflow groups included.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is nothing to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.folded.is_empty()
    }

    /// All groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &HomeGroup> {
        self.groups.iter().flatten()
    }

    /// The home of a group that one more worker has, new if need be; past `max` the overflow's.
    pub(super) fn admit(&mut self, key: GroupKey, max: u32, lives: Lives<'_>) -> Member {
        let known_to_be_folded = self.folded.contains_key(&key);
        let room = self.len() - self.uncounted < max as usize || is_overflow(&key);
        if self.by_key.contains_key(&key) || (room && !known_to_be_folded) {
            let at = self.join(key, lives);
            return Member::new(at, None);
        }
        self.counts.overflowed += u64::from(!known_to_be_folded);
        *self.folded.entry(key.clone()).or_default() += 1;
        let mut labels = LabelsBuilder::default();
        labels.set(weir_model::labels::METRIC_NAME, key.labels.metric_name());
        labels.set(OVERFLOW, "true");
        let overflow = GroupKey { tenant: key.tenant, labels: labels.build() };
        let at = self.join(overflow, lives);
        Member::new(at, Some(Box::new(key)))
    }

    /// A worker has no series of the group any more. The group stays until its marker is out.
    pub(super) fn leave(&mut self, member: &Member) {
        if let Some(key) = &member.folded
            && let Some(workers) = self.folded.get_mut(key)
        {
            *workers = workers.saturating_sub(1);
            if *workers == 0 {
                self.folded.remove(key);
            }
        }
        if let Some(Some(group)) = self.groups.get_mut(member.at as usize) {
            group.workers = group.workers.saturating_sub(1);
        }
        self.forget_if_idle(member.at);
    }

    /// Forgets a group that nobody has and that has said its last word.
    pub(super) fn forget_if_idle(&mut self, at: u32) {
        let Some(slot) = self.groups.get_mut(at as usize) else {
            return;
        };
        if let Some(group) = slot.take_if(|group| group.is_idle()) {
            self.uncounted -= usize::from(!group.is_counted());
            self.by_key.remove(&group.key);
            self.free.push(at);
            if !group.lives_here {
                self.left.push(group.key);
            }
        }
    }

    /// Takes a group out that lives elsewhere from now on; what workers have of it stays.
    pub(super) fn part_with(&mut self, at: u32) {
        let Some(Some(group)) = self.groups.get_mut(at as usize) else {
            return;
        };
        group.lives_here = false;
        group.origins.clear();
        group.speaking.clear();
        group.totals = Totals::default();
        group.started = 0;
        if group.workers > 0 {
            self.joined.push(group.key.clone());
        }
        self.forget_if_idle(at);
    }

    /// All groups with their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (u32, &HomeGroup)> {
        (0..).zip(&self.groups).filter_map(|(at, group)| Some((at, group.as_ref()?)))
    }

    /// Takes a group over from where it lived; what workers here have of it stays.
    pub(super) fn take_over(&mut self, from: HomeGroup, lives: Lives<'_>) -> u32 {
        let at = self.place_of(from.key.clone(), lives);
        if let Some(Some(group)) = self.groups.get_mut(at as usize) {
            let HomeGroup { totals, started, speaking, spoken_through, .. } = from;
            group.totals = totals;
            (group.started, group.speaking) = (started, speaking);
            group.spoken_through = spoken_through;
            group.lives_here = lives(&group.key);
        }
        self.joined.retain(|key| *key != from.key);
        at
    }

    /// The place of a group that another node has series of, new if need be.
    pub(super) fn join_from(&mut self, origin: u32, key: GroupKey, lives: Lives<'_>) -> u32 {
        let at = self.place_of(key, lives);
        if let Some(group) = &mut self.groups[at as usize]
            && !group.origins.contains(&origin)
        {
            group.origins.push(origin);
            group.origins.sort_unstable();
        }
        at
    }

    /// Whether a group speaks on this node.
    pub(super) fn lives_here(&self, at: u32) -> bool {
        self.groups.get(at as usize).and_then(Option::as_ref).is_some_and(|group| group.lives_here)
    }

    /// Another node has lost what it knew: it tells anew which groups it has series of.
    pub(super) fn forget_origin(&mut self, origin: u32) {
        for group in self.groups.iter_mut().flatten() {
            group.origins.retain(|&other| other != origin);
        }
    }

    /// Up to where a group has spoken where it lived before.
    pub(super) fn spoken_through(&self, at: u32) -> Timestamp {
        let group = self.groups.get(at as usize).and_then(Option::as_ref);
        group.map_or(Timestamp::MIN / 2, |group| group.spoken_through)
    }

    /// A group has spoken up to here, and may be forgotten if nobody has it.
    pub(super) fn has_spoken(&mut self, at: u32, through: Timestamp) {
        if let Some(Some(group)) = self.groups.get_mut(at as usize) {
            group.spoken_through = group.spoken_through.max(through);
        }
        self.forget_if_idle(at);
    }

    /// Something waits for a window of this group, which is not forgotten meanwhile.
    pub(super) fn begin_to_wait(&mut self, at: u32) {
        if let Some(Some(group)) = self.groups.get_mut(at as usize) {
            group.pending += 1;
        }
    }

    /// Another node has no series of a group any more.
    pub(super) fn leave_from(&mut self, origin: u32, key: &GroupKey) {
        let Some(&at) = self.by_key.get(key) else {
            return;
        };
        if let Some(group) = &mut self.groups[at as usize] {
            group.origins.retain(|&other| other != origin);
        }
        // Not forgotten before its next window closes: who has taken its series over tells so first.
    }

    /// Puts back a group that a checkpoint kept; workers will refer to it again.
    pub(super) fn restore(&mut self, mut group: HomeGroup, lives: Lives<'_>) -> u32 {
        group.workers = 0;
        if mutation::is(Mutation::TotalNotRestored) {
            group.totals = Totals::default();
        }
        match self.by_key.get(&group.key) {
            Some(&at) => {
                group.lives_here = lives(&group.key);
                self.uncounted += usize::from(!group.is_counted());
                let before = self.groups[at as usize].replace(group);
                self.uncounted -= before.map_or(0, |before| usize::from(!before.is_counted()));
                at
            }
            None => self.add(group, lives),
        }
    }

    /// Keys that are folded, in an order that depends on nothing but them.
    pub(crate) fn folded(&self) -> Vec<&GroupKey> {
        let mut keys: Vec<&GroupKey> = self.folded.keys().collect();
        keys.sort_unstable_by(|a, b| (a.tenant, &a.labels).cmp(&(b.tenant, &b.labels)));
        keys
    }

    /// Remembers that a key is folded; workers will refer to it again.
    pub(super) fn restore_folded(&mut self, key: GroupKey) {
        self.folded.entry(key).or_default();
    }

    /// No worker has any group for now: all will be told anew.
    pub(super) fn workers_are_gone(&mut self) {
        let groups = self.groups.iter_mut().flatten();
        groups.for_each(|g| g.workers = 0);
        self.folded.values_mut().for_each(|workers| *workers = 0);
    }

    /// Forgets folded keys that no worker came back with.
    pub(super) fn forget_idle_folded(&mut self) {
        self.folded.retain(|_, workers| *workers > 0);
    }

    /// The place of a group, new if need be.
    pub(super) fn place_of(&mut self, key: GroupKey, lives: Lives<'_>) -> u32 {
        match self.by_key.get(&key) {
            Some(&at) => at,
            None => self.add(HomeGroup::restored(key, Totals::default(), 0, Vec::new()), lives),
        }
    }

    fn join(&mut self, key: GroupKey, lives: Lives<'_>) -> u32 {
        let at = self.place_of(key, lives);
        if let Some(group) = &mut self.groups[at as usize] {
            group.workers += 1;
            if group.workers == 1 && !group.lives_here {
                self.joined.push(group.key.clone());
            }
            self.uncounted -= usize::from(!group.is_counted() && !is_overflow(&group.key));
            group.was_admitted = true;
        }
        at
    }

    fn add(&mut self, mut group: HomeGroup, lives: Lives<'_>) -> u32 {
        group.lives_here = lives(&group.key);
        let at = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() as u32 - 1
        });
        self.uncounted += usize::from(!group.is_counted());
        self.by_key.insert(group.key.clone(), at);
        self.groups[at as usize] = Some(group);
        at
    }
}

/// Whether a group lives on this node.
pub(super) type Lives<'a> = &'a dyn Fn(&GroupKey) -> bool;

pub(super) fn is_overflow(key: &GroupKey) -> bool {
    key.labels.get(OVERFLOW) == Some("true")
}
