//! Output groups as one worker knows them: rule and group labels ↔ a small number.
//!
//! Virtual shards refer to groups by number; the home of the groups is told of each number once,
//! when it appears and when it is gone. Invariant: a number is in use while any cell refers to it.

use ahash::AHashMap;
use weir_model::{Labels, TenantId};

/// What makes a group: whose it is and which labels it keeps.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct GroupKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The labels that grouping leaves, the input's metric name included.
    pub labels: Labels,
}

/// Something the home of the groups must know before the next partials.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupNews {
    /// This number now stands for this group.
    Added {
        /// Rule's place in the rule set.
        rule: u16,
        /// The group's number.
        group: u32,
        /// What it is.
        key: GroupKey,
    },
    /// This number is free.
    Gone {
        /// Rule's place in the rule set.
        rule: u16,
        /// The group's number.
        group: u32,
    },
}

/// One rule's groups.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    numbers: AHashMap<GroupKey, u32>,
    /// Cells that refer to each number, and the key to find it by.
    entries: Vec<(u32, Option<GroupKey>)>,
    free: Vec<u32>,
}

impl Groups {
    /// The number of a group, referred to once more; `true` if it is new.
    pub fn refer(&mut self, key: GroupKey) -> (u32, bool) {
        if let Some(&number) = self.numbers.get(&key) {
            self.entries[number as usize].0 += 1;
            return (number, false);
        }
        let number = self.free.pop().unwrap_or_else(|| {
            self.entries.push((0, None));
            self.entries.len() as u32 - 1
        });
        self.entries[number as usize] = (1, Some(key.clone()));
        self.numbers.insert(key, number);
        (number, true)
    }

    /// Refers to a group once less; `true` if its number is free now.
    pub fn release(&mut self, number: u32) -> bool {
        let entry = &mut self.entries[number as usize];
        entry.0 -= 1;
        if entry.0 > 0 {
            return false;
        }
        if let Some(key) = entry.1.take() {
            self.numbers.remove(&key);
        }
        self.free.push(number);
        true
    }

    /// The number of a group in use.
    pub fn number(&self, key: &GroupKey) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    /// What a number stands for.
    pub fn key(&self, number: u32) -> Option<&GroupKey> {
        self.entries.get(number as usize)?.1.as_ref()
    }

    /// What the home must know of all groups in use, under this rule's number.
    pub fn news(&self, rule: u16) -> impl Iterator<Item = GroupNews> + '_ {
        let each = self.entries.iter().zip(0..);
        each.filter_map(move |((_, key), group)| {
            let key = key.clone()?;
            Some(GroupNews::Added { rule, group, key })
        })
    }

    /// Groups in use.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether no group is in use.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }
}
