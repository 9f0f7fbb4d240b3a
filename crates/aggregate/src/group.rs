//! Output groups as one worker knows them: rule and group labels ↔ a small number.
//!
//! Virtual shards refer to groups by number; the home of the groups is told of each number once,
//! when it appears and when it is gone. A worker's group is its tenant and its label pairs, whose
//! texts are the worker's interner's. Invariant: a number is in use while any cell refers to it,
//! and refers to its pairs as long.

use hashbrown::HashTable;
use weir_model::symbols::{PairId, PairTable};
use weir_model::{Label, Labels, TenantId};

use crate::arena::{Arena, reserve, size_class};
use crate::label_sets::PairsHasher;

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

#[derive(Clone, Copy, Debug)]
struct Group {
    tenant: TenantId,
    /// Cells that refer to it; 0 in a free slot.
    cells: u32,
    /// Where its pairs stand.
    pairs: u32,
    len: u32,
}

/// One rule's groups.
#[derive(Clone, Debug, Default)]
pub struct Groups {
    groups: Vec<Group>,
    /// Their label pairs, in the order of names.
    pairs: Arena,
    numbers: HashTable<u32>,
    free: Vec<u32>,
    hasher: PairsHasher,
}

impl Groups {
    /// The number of a group, referred to once more; `true` if it is new.
    pub fn refer(&mut self, tenant: TenantId, pairs: &[u32], table: &mut PairTable) -> (u32, bool) {
        let hash = self.hasher.hash(tenant, pairs.iter().copied());
        if let Some(number) = self.find(hash, tenant, pairs) {
            self.groups[number as usize].cells += 1;
            return (number, false);
        }
        pairs.iter().for_each(|&id| table.acquire(PairId(id)));
        let (at, len) = (self.pairs.alloc(pairs), pairs.len() as u32);
        let group = Group { tenant, cells: 1, pairs: at, len };
        let number = match self.free.pop() {
            Some(number) => {
                self.groups[number as usize] = group;
                number
            }
            None => {
                reserve(&mut self.groups, 1);
                self.groups.push(group);
                self.groups.len() as u32 - 1
            }
        };
        let Self { groups, pairs, numbers, hasher, .. } = self;
        numbers.insert_unique(hash, number, |&number| {
            let group = &groups[number as usize];
            let pairs = pairs.get(group.pairs, group.len as usize);
            hasher.hash(group.tenant, pairs.iter().copied())
        });
        (number, true)
    }

    /// Refers to a group once less; `true` if its number is free now.
    pub fn release(&mut self, number: u32, table: &mut PairTable) -> bool {
        let group = &mut self.groups[number as usize];
        group.cells -= 1;
        if group.cells > 0 {
            return false;
        }
        let Group { tenant, pairs: at, len, .. } = *group;
        let pairs = self.pairs.get(at, len as usize);
        let hash = self.hasher.hash(tenant, pairs.iter().copied());
        if let Ok(entry) = self.numbers.find_entry(hash, |&other| other == number) {
            entry.remove();
        }
        pairs.iter().for_each(|&id| table.release(PairId(id)));
        self.pairs.free(at, len as usize);
        self.free.push(number);
        true
    }

    /// The number of a group in use.
    pub fn number(&self, tenant: TenantId, pairs: &[u32]) -> Option<u32> {
        self.find(self.hasher.hash(tenant, pairs.iter().copied()), tenant, pairs)
    }

    /// Whose a group is, and its labels in the order of names.
    pub fn labels<'a>(
        &'a self,
        number: u32,
        table: &'a PairTable,
    ) -> Option<(TenantId, impl Iterator<Item = Label<'a>>)> {
        let group = self.groups.get(number as usize).filter(|g| g.cells > 0)?;
        let pairs = self.pairs.get(group.pairs, group.len as usize).iter();
        Some((group.tenant, pairs.map(|&id| table.get(PairId(id)))))
    }

    /// What a number stands for.
    pub fn key(&self, number: u32, table: &PairTable) -> Option<GroupKey> {
        let (tenant, labels) = self.labels(number, table)?;
        Some(GroupKey { tenant, labels: Labels::from_sorted(&labels.collect::<Vec<_>>()) })
    }

    /// What the home must know of all groups in use, under this rule's number.
    pub fn news<'a>(
        &'a self,
        rule: u16,
        table: &'a PairTable,
    ) -> impl Iterator<Item = GroupNews> + 'a {
        (0..self.groups.len() as u32).filter_map(move |group| {
            let key = self.key(group, table)?;
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

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        size_class(self.groups.capacity() * size_of::<Group>())
            + self.pairs.memory_bytes()
            + size_class(self.numbers.allocation_size())
            + self.free.capacity() * size_of::<u32>()
    }

    fn find(&self, hash: u64, tenant: TenantId, pairs: &[u32]) -> Option<u32> {
        let same = |&number: &u32| {
            let group = &self.groups[number as usize];
            group.tenant == tenant && self.pairs.get(group.pairs, group.len as usize) == pairs
        };
        self.numbers.find(hash, same).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_keeps_its_labels_until_its_last_cell_is_gone() {
        let mut table = PairTable::new(1);
        let mut groups = Groups::default();
        let (job, zone) = (table.intern("job", "a"), table.intern("zone", "z"));
        let tenant = TenantId(3);
        let (group, new) = groups.refer(tenant, &[job.0, zone.0], &mut table);
        assert!(new);
        assert_eq!(groups.refer(tenant, &[job.0, zone.0], &mut table), (group, false));
        let (whole, _) = groups.refer(tenant, &[], &mut table);
        let (other, _) = groups.refer(TenantId(4), &[job.0, zone.0], &mut table);
        assert!(group != whole && group != other && whole != other);
        [job, zone].into_iter().for_each(|id| table.release(id));
        let key = groups.key(group, &table).unwrap();
        assert_eq!(
            (key.tenant, key.labels.to_string().as_str()),
            (tenant, r#"{job="a",zone="z"}"#)
        );
        assert!(groups.key(whole, &table).unwrap().labels.is_empty());

        assert!(!groups.release(group, &mut table));
        assert!(groups.release(group, &mut table));
        assert_eq!(groups.number(tenant, &[job.0, zone.0]), None);
        assert_eq!(groups.key(group, &table), None);
        assert!(groups.release(whole, &mut table) && groups.release(other, &mut table));
        assert!(table.is_empty() && groups.is_empty());
    }
}
