//! Numbers found by what they stand for: a hash index of four bytes a place.
//!
//! What a number stands for is kept elsewhere, so the owner brings hashes and comparisons. Open
//! addressing; a place holds a number and, in the bits that numbers do not need yet, a part of its
//! hash, so that few comparisons are in vain. It grows by half and not by doubling: there are two
//! in each of thousands of virtual shards. While numbers are small, the part that is kept is also
//! what places are chosen by, so growing asks for no hash. Invariant: a number is in it once.

use crate::arena::size_class;

/// The bits of numbers up to which those that are left of a hash suffice to choose places by.
const NARROW: u32 = (1 << 14) - 1;

/// The index.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// One more than a number, with a part of the hash above [`Index::mask`]; 0 where nothing ever
    /// was, the mask where a number was taken out.
    slots: Vec<u32>,
    /// The bits of numbers.
    mask: u32,
    len: usize,
    /// Places that are not 0.
    used: usize,
}

impl Index {
    /// The number with this hash for which `is` holds.
    #[inline]
    pub fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let at = self.position(hash, is)?;
        Some((self.slots[at] & self.mask) - 1)
    }

    /// Adds a number that is not in it; `hash_of` tells the hashes of those that are. The low half
    /// of a hash must be as good as the high one.
    pub fn insert(&mut self, hash: u64, number: u32, hash_of: impl Fn(u32) -> u64) {
        let is_full = (self.used + 1) * 20 > self.slots.len() * 17;
        if is_full || number >= self.mask - 1 {
            self.rebuild(number, hash_of);
        }
        self.put(hash, number);
    }

    /// Takes a number out.
    pub fn remove(&mut self, hash: u64, number: u32) {
        if let Some(at) = self.position(hash, |other| other == number) {
            self.slots[at] = self.mask;
            self.len -= 1;
        }
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        size_class(self.slots.capacity() * size_of::<u32>())
    }

    /// What decides about a number's place.
    #[inline]
    fn deciding(&self, hash: u64) -> u64 {
        if self.mask <= NARROW { u64::from(hash as u32 & !self.mask) << 32 } else { hash }
    }

    #[inline]
    fn position(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let (mask, part) = (self.mask, hash as u32 & !self.mask);
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            if slot & !mask == part && slot & mask != mask && is((slot & mask) - 1) {
                return Some(at);
            }
            at = self.after(at);
        }
    }

    fn put(&mut self, hash: u64, number: u32) {
        let mut at = self.home(hash);
        while self.slots[at] != 0 {
            at = self.after(at);
        }
        self.slots[at] = (hash as u32 & !self.mask) | (number + 1);
        self.len += 1;
        self.used += 1;
    }

    /// Makes room for one more, `number`, and leaves out what was taken out.
    fn rebuild(&mut self, number: u32, hash_of: impl Fn(u32) -> u64) {
        let mask = self.mask;
        let mut old = std::mem::take(&mut self.slots);
        old.retain(|slot| slot & mask != 0 && slot & mask != mask);
        let highest = old.iter().map(|slot| (slot & mask) - 1).max().unwrap_or(0).max(number);
        // Twice as many numbers, and some more for the first ones.
        self.mask = mask.max(u32::MAX >> (highest | 15).leading_zeros().saturating_sub(1));
        self.slots = vec![0; (old.len() + 1) * 20 / 17 * 3 / 2 + 8];
        (self.len, self.used) = (0, 0);
        for slot in old {
            let number = (slot & mask) - 1;
            let is_kept = self.mask <= NARROW;
            self.put(if is_kept { u64::from(slot & !mask) } else { hash_of(number) }, number);
        }
    }

    /// Lemire's multiply-shift in the place of a modulo.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u128::from(self.deciding(hash)) * self.slots.len() as u128) >> 64) as usize
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn hash(key: u64) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&key.to_le_bytes())
    }

    #[test]
    fn it_takes_six_bytes_a_number() {
        for count in [1000u32, 5000, 70_000] {
            let mut index = Index::default();
            for n in 0..count {
                index.insert(hash(n.into()), n, |n| hash(n.into()));
            }
            assert!((0..count).all(|n| index.find(hash(n.into()), |m| m == n) == Some(n)));
            assert_eq!(index.find(hash(u64::from(count)), |_| false), None);
            let each = index.memory_bytes() as f64 / f64::from(count);
            assert!(each < 8.5, "{each} bytes for each of {count}");
        }
    }

    #[test]
    fn numbers_up_to_the_highest_have_their_place() {
        let mut index = Index::default();
        for (key, number) in [3, 0, 1 << 20, 7, 1 << 30, u32::MAX - 2, 9].into_iter().enumerate() {
            index.insert(hash(key as u64), number, |n| {
                let all = [3, 0, 1 << 20, 7, 1 << 30, u32::MAX - 2, 9];
                hash(all.iter().position(|&m| m == n).unwrap() as u64)
            });
            assert_eq!(index.find(hash(key as u64), |n| n == number), Some(number));
        }
        assert_eq!(index.len(), 7);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn it_finds_what_a_map_finds(
            steps in prop::collection::vec((any::<bool>(), 0u64..40), 1..400),
            colliding in any::<bool>(),
        ) {
            let hash = |key: u64| if colliding { key % 3 } else { hash(key) };
            let (mut index, mut twin) = (Index::default(), BTreeMap::new());
            let mut keys = Vec::new();
            for (add, key) in steps {
                match twin.get(&key) {
                    None if add => {
                        let number = keys.len() as u32;
                        keys.push(key);
                        index.insert(hash(key), number, |n| hash(keys[n as usize]));
                        twin.insert(key, number);
                    }
                    Some(&number) if !add => {
                        index.remove(hash(key), number);
                        twin.remove(&key);
                    }
                    _ => {}
                }
                for key in 0..40 {
                    let found = index.find(hash(key), |n| keys[n as usize] == key);
                    prop_assert_eq!(found, twin.get(&key).copied());
                }
                prop_assert_eq!(index.len(), twin.len());
            }
        }
    }
}
