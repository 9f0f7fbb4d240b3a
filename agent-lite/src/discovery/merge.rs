//! The groups of all mechanisms of a job, in one list.
//!
//! Invariant: a group is known by its mechanism and source. What does not change anything is not
//! published, so that an answer which says the same every minute costs nothing downstream.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Facts, Group, Groups, Update};

/// Groups by mechanism and source.
#[derive(Debug, Default)]
pub(super) struct Merge {
    groups: BTreeMap<(usize, String), Arc<Group>>,
}

impl Merge {
    /// Takes an update of the mechanism at this place; whether it changes anything.
    pub(super) fn take(&mut self, place: usize, update: Update) -> bool {
        match update {
            Update::Changed(groups) => {
                let mut changed = false;
                for group in groups {
                    changed |= self.set(place, group);
                }
                changed
            }
            Update::All(groups) => {
                let mut gone: Vec<String> = self.sources(place);
                gone.retain(|source| !groups.iter().any(|group| group.source == *source));
                let mut changed = !gone.is_empty();
                for source in gone {
                    self.groups.remove(&(place, source));
                }
                for group in groups {
                    changed |= self.set(place, group);
                }
                changed
            }
        }
    }

    /// The list, up to [`TARGETS_MAX`] targets: a group that would be too many is left out whole.
    pub(super) fn publish(&self, facts: &Facts) -> Groups {
        let (mut taken, mut refused) = (0, 0);
        let mut list = Vec::with_capacity(self.groups.len());
        for group in self.groups.values() {
            if taken + group.targets.len() > TARGETS_MAX {
                refused += group.targets.len();
            } else {
                taken += group.targets.len();
                list.push(Arc::clone(group));
            }
        }
        facts.targets.store(taken as u64, Ordering::Relaxed);
        facts.targets_refused.store(refused as u64, Ordering::Relaxed);
        Arc::new(list)
    }

    fn set(&mut self, place: usize, group: Group) -> bool {
        let key = (place, group.source.clone());
        if group.targets.is_empty() {
            return self.groups.remove(&key).is_some();
        }
        if self.groups.get(&key).is_some_and(|known| **known == group) {
            return false;
        }
        self.groups.insert(key, Arc::new(group));
        true
    }

    fn sources(&self, place: usize) -> Vec<String> {
        let range = (place, String::new())..(place + 1, String::new());
        self.groups.range(range).map(|((_, source), _)| source.clone()).collect()
    }
}

/// Targets of one job; an agent is for a host, and a mistake in a selector must not fill its memory.
pub const TARGETS_MAX: usize = 100_000;
