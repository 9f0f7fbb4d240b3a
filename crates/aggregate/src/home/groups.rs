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
    /// Groups past the limit, with the number of workers that have them.
    folded: AHashMap<GroupKey, u32>,
    /// How many of `by_key` are overflow groups, which do not count toward the limit.
    overflows: usize,
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
    /// Whether some output series has had no marker since its last value.
    pub(super) fn speaks(&self) -> bool {
        let mut groups = self.groups.iter().flatten();
        groups.any(|g| !g.speaking.is_empty())
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
    pub(super) fn admit(&mut self, key: GroupKey, max: u32) -> Member {
        let known_to_be_folded = self.folded.contains_key(&key);
        let room = self.len() - self.overflows < max as usize || is_overflow(&key);
        if self.by_key.contains_key(&key) || (room && !known_to_be_folded) {
            let at = self.join(key);
            return Member::new(at, None);
        }
        self.counts.overflowed += u64::from(!known_to_be_folded);
        *self.folded.entry(key.clone()).or_default() += 1;
        let mut labels = LabelsBuilder::default();
        labels.set(weir_model::labels::METRIC_NAME, key.labels.metric_name());
        labels.set(OVERFLOW, "true");
        let overflow = GroupKey { tenant: key.tenant, labels: labels.build() };
        let at = self.join(overflow);
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

    /// Forgets a group that no worker has and that has said its last word.
    pub(super) fn forget_if_idle(&mut self, at: u32) {
        let Some(slot) = self.groups.get_mut(at as usize) else {
            return;
        };
        if let Some(group) = slot.take_if(|g| g.workers == 0 && g.speaking.is_empty()) {
            self.overflows -= usize::from(is_overflow(&group.key));
            self.by_key.remove(&group.key);
            self.free.push(at);
        }
    }

    /// Puts back a group that a checkpoint kept; workers will refer to it again.
    pub(super) fn restore(&mut self, mut group: HomeGroup) {
        group.workers = 0;
        if mutation::is(Mutation::TotalNotRestored) {
            group.totals = Totals::default();
        }
        match self.by_key.get(&group.key) {
            Some(&at) => self.groups[at as usize] = Some(group),
            None => {
                self.add(group);
            }
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

    fn join(&mut self, key: GroupKey) -> u32 {
        let at = match self.by_key.get(&key) {
            Some(&at) => at,
            None => self.add(HomeGroup::restored(key, Totals::default(), 0, Vec::new())),
        };
        if let Some(group) = &mut self.groups[at as usize] {
            group.workers += 1;
        }
        at
    }

    fn add(&mut self, group: HomeGroup) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() as u32 - 1
        });
        self.overflows += usize::from(is_overflow(&group.key));
        self.by_key.insert(group.key.clone(), at);
        self.groups[at as usize] = Some(group);
        at
    }
}

fn is_overflow(key: &GroupKey) -> bool {
    key.labels.get(OVERFLOW) == Some("true")
}
