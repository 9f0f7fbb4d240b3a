//! The fast path: the hash of a label block as it stood on the wire → the series that it names.
//!
//! One small table for each virtual shard, so that a host's series lie together in the cache and
//! growing never stops the world. Open addressing, 16 bytes a slot. Invariant: an alias is only
//! as good as its generation; whoever follows it compares that with the series' own, so a freed
//! series' slot never answers for its next tenant.

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
    /// Low half of the hash, never 0 in a slot that is taken.
    tag: u64,
    series: u32,
    generation: u16,
    replica: u16,
}

/// Block hash → series, for one virtual shard.
#[derive(Clone, Debug, Default)]
pub struct AliasTable {
    slots: Vec<Slot>,
    used: usize,
}

impl AliasTable {
    /// The alias of this block.
    #[inline]
    pub fn get(&self, hash: u128) -> Option<Alias> {
        if self.slots.is_empty() {
            return None;
        }
        let tag = tag(hash);
        let mut at = self.home(hash);
        loop {
            let slot = &self.slots[at];
            if slot.tag == tag {
                let Slot { series, generation, replica, .. } = *slot;
                return Some(Alias { series, generation, replica });
            }
            if slot.tag == 0 {
                return None;
            }
            at += 1;
            if at == self.slots.len() {
                at = 0;
            }
        }
    }

    /// Reads where an alias would be and decides nothing on it: such reads do not wait for each
    /// other, and what they fetched is near when [`AliasTable::get`] comes.
    #[inline]
    pub fn touch(&self, hash: u128) -> u64 {
        if self.slots.is_empty() { 0 } else { self.slots[self.home(hash)].tag }
    }

    /// Records an alias, in the place of an older one of the same block. `alive` tells which
    /// aliases still lead to their series; the others are left behind when the table grows.
    pub fn insert(&mut self, hash: u128, alias: Alias, alive: impl Fn(&Alias) -> bool) {
        if (self.used + 1) * 20 > self.slots.len() * 17 {
            self.grow(alive);
        }
        self.put(tag(hash), self.home(hash), alias);
    }

    /// Forgets everything: what blocks mean has changed.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>()
    }

    fn put(&mut self, tag: u64, home: usize, alias: Alias) {
        let mut at = home;
        while self.slots[at].tag != 0 && self.slots[at].tag != tag {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        self.used += usize::from(self.slots[at].tag == 0);
        let Alias { series, generation, replica } = alias;
        self.slots[at] = Slot { tag, series, generation, replica };
    }

    fn home(&self, hash: u128) -> usize {
        home_of(tag(hash), self.slots.len())
    }

    fn grow(&mut self, alive: impl Fn(&Alias) -> bool) {
        let old = std::mem::take(&mut self.slots);
        let kept: Vec<Slot> = old
            .into_iter()
            .filter(|s| {
                let Slot { series, generation, replica, .. } = *s;
                s.tag != 0 && alive(&Alias { series, generation, replica })
            })
            .collect();
        let capacity = (kept.len() + 1) * 20 / 17 * 5 / 4 + 8;
        self.slots = vec![Slot::default(); capacity];
        self.used = 0;
        for Slot { tag, series, generation, replica } in kept {
            self.put(tag, home_of(tag, capacity), Alias { series, generation, replica });
        }
    }
}

/// 64 of the hash's 128 bits, folded, so that both halves decide.
#[inline]
fn tag(hash: u128) -> u64 {
    (hash as u64 ^ ((hash >> 64) as u64).rotate_left(1)) | 1
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
            assert_eq!(table.get(hash(n)).unwrap().series, n as u32);
        }
        table.insert(hash(5), Alias { series: 77, generation: 2, replica: 3 }, |_| true);
        assert_eq!(table.get(hash(5)), Some(Alias { series: 77, generation: 2, replica: 3 }));
        assert_eq!(table.get(hash(10_001)), None);
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
