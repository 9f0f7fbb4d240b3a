//! The fast path: the hash of a label block as it stood on the wire → the series that it names.
//!
//! One small table for each virtual shard, so that a host's series lie together in the cache and
//! growing never stops the world. Aliases stand in the order in which their blocks were first
//! seen; senders send a target's series in one order, so the next block is most often the next
//! alias, and an index finds the others. Invariant: an alias is only as good as its generation;
//! whoever follows it compares that with the series' own, so a freed series' slot never answers
//! for its next tenant.

use crate::arena::size_class;
use crate::segments::Segments;

/// What a known block stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Alias {
    /// The series' place, or [`DROPPED`].
    pub series: u32,
    /// The series' generation when the alias was recorded.
    pub generation: u16,
    /// The HA replica in the block, 0 if none.
    pub replica: u16,
}

/// Stands in [`Alias::series`] where relabelling dropped the series.
pub const DROPPED: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    /// See [`tag`].
    tag: u64,
    series: u32,
    generation: u16,
    replica: u16,
}

/// Block hash → series, for one virtual shard.
#[derive(Clone, Debug, Default)]
pub struct AliasTable {
    /// In the order in which the blocks were first seen.
    slots: Segments<Slot>,
    /// One more than a place in `slots`, or 0, by hash: open addressing.
    index: Vec<u32>,
}

impl AliasTable {
    /// The alias of this block and its place. `guess` is a place to look at first: the one behind
    /// that of the series before.
    #[inline]
    pub fn get(&self, hash: u128, guess: usize) -> Option<(usize, Alias)> {
        let tag = tag(hash);
        let at = match self.slots.get(guess) {
            Some(slot) if slot.tag == tag => guess,
            _ => self.find(tag)?,
        };
        let Slot { series, generation, replica, .. } = self.slots[at];
        Some((at, Alias { series, generation, replica }))
    }

    /// Records an alias, in the place of an older one of the same block. `alive` tells which
    /// aliases still lead to their series; the others are left behind when the table grows.
    pub fn insert(&mut self, hash: u128, alias: Alias, alive: impl Fn(&Alias) -> bool) {
        let Alias { series, generation, replica } = alias;
        let slot = Slot { tag: tag(hash), series, generation, replica };
        if let Some(at) = self.find(slot.tag) {
            self.slots[at] = slot;
            return;
        }
        if (self.slots.len() + 1) * 4 > self.index.len() * 3 {
            self.grow(alive);
        }
        self.slots.push(slot);
        self.enter(self.slots.len() - 1);
    }

    /// Forgets everything: what blocks mean has changed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.slots.memory_bytes() + size_class(self.index.capacity() * size_of::<u32>())
    }

    fn find(&self, tag: u64) -> Option<usize> {
        let mut at = home_of(tag, self.index.len());
        loop {
            let place = (*self.index.get(at)? as usize).checked_sub(1)?;
            if self.slots[place].tag == tag {
                return Some(place);
            }
            at = if at + 1 == self.index.len() { 0 } else { at + 1 };
        }
    }

    /// Enters a slot into the index, which has room.
    fn enter(&mut self, place: usize) {
        let mut at = home_of(self.slots[place].tag, self.index.len());
        while self.index[at] != 0 {
            at = if at + 1 == self.index.len() { 0 } else { at + 1 };
        }
        self.index[at] = place as u32 + 1;
    }

    fn grow(&mut self, alive: impl Fn(&Alias) -> bool) {
        let leads = |slot: &Slot| {
            let Slot { series, generation, replica, .. } = *slot;
            alive(&Alias { series, generation, replica })
        };
        let kept = self.slots.iter().filter(|slot| leads(slot)).count();
        if kept < self.slots.len() {
            let old = std::mem::take(&mut self.slots);
            old.iter().filter(|slot| leads(slot)).for_each(|slot| self.slots.push(*slot));
        }
        // Three quarters full after growing by half.
        self.index = vec![0; kept * 2 + 8];
        for place in 0..kept {
            self.enter(place);
        }
    }
}

/// 64 of the hash's 128 bits, folded, so that both halves decide.
#[inline]
fn tag(hash: u128) -> u64 {
    hash as u64 ^ ((hash >> 64) as u64).rotate_left(1)
}

/// Lemire's multiply-shift in the place of a modulo.
#[inline]
fn home_of(tag: u64, capacity: usize) -> usize {
    ((u128::from(tag) * capacity as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u64) -> u128 {
        xxhash_rust::xxh3::xxh3_128(&n.to_le_bytes())
    }

    #[test]
    fn aliases_come_back_and_are_replaced() {
        let mut table = AliasTable::default();
        for n in 0..10_000u64 {
            let alias = Alias { series: n as u32, generation: 1, replica: 0 };
            table.insert(hash(n), alias, |_| true);
        }
        for n in 0..10_000u64 {
            for guess in [n as usize, 0, 20_000] {
                let (at, alias) = table.get(hash(n), guess).unwrap();
                assert_eq!((at, alias.series), (n as usize, n as u32));
            }
        }
        table.insert(hash(5), Alias { series: 77, generation: 2, replica: 3 }, |_| true);
        let replaced = Alias { series: 77, generation: 2, replica: 3 };
        assert_eq!(table.get(hash(5), 5), Some((5, replaced)));
        assert_eq!(table.get(hash(10_001), 7), None);
        assert_eq!(AliasTable::default().get(hash(5), 0), None);
    }

    #[test]
    fn dead_aliases_give_their_room_back() {
        let mut table = AliasTable::default();
        for n in 0..100_000u64 {
            let alias = Alias { series: n as u32, generation: 0, replica: 0 };
            table.insert(hash(n), alias, |a| u64::from(a.series) + 1000 > n);
        }
        assert!(table.memory_bytes() < 100_000, "{}", table.memory_bytes());
    }
}
