//! The label sets of a virtual shard's series, each kept as what sets it apart from another one.
//!
//! Series of a target have most of their labels in common. So a set is kept as the set that it is
//! likened to (its base, shared and counted by reference), a bit for each place in which it
//! differs, and its own pairs there: half the bytes, where three of eleven labels differ.
//!
//! Invariant: what is read back is what was added, pair by pair. A base is only a list of numbers:
//! it holds no pair in the interner, for every series counts all pairs of its own.

use ahash::RandomState;
use weir_model::TenantId;

use crate::arena::Arena;

/// No base.
const NONE: u32 = u32::MAX;

/// Label sets as pairs' numbers. A set is known by where it stands and its number of pairs; the
/// owner keeps both.
#[derive(Clone, Debug, Default)]
pub struct LabelSets {
    /// Of a set: its base's place, bits of the places where it differs, its own pairs there. Of a
    /// base: the number of sets that refer to it, its pairs.
    runs: Arena,
    /// The newest base by number of pairs.
    newest: Vec<u32>,
    /// A run in the making.
    run: Vec<u32>,
}

impl LabelSets {
    /// Keeps a set and returns where it stands.
    pub fn add(&mut self, pairs: &[u32]) -> u32 {
        let place = self.base_for(pairs);
        let Self { runs, run, .. } = self;
        let base = &runs.get(place, 1 + pairs.len())[1..];
        run.clear();
        run.push(place);
        run.resize(own_begin(pairs.len()), 0);
        for (at, (&pair, &common)) in pairs.iter().zip(base).enumerate() {
            if pair != common {
                run[1 + at / 32] |= 1 << (at % 32);
                run.push(pair);
            }
        }
        runs.alloc(run)
    }

    /// The pairs of a set.
    #[inline]
    pub fn get(&self, place: u32, len: usize) -> Pairs<'_> {
        if len == 0 {
            return Pairs::default();
        }
        let (head, own) = self.run(place, len).split_at(own_begin(len));
        let base = &self.runs.get(head[0], 1 + len)[1..];
        Pairs { base, differs: &head[1..], own, at: 0 }
    }

    /// Forgets a set.
    pub fn remove(&mut self, place: u32, len: usize) {
        let run = self.run(place, len);
        let (base, run_len) = (run[0], run.len());
        self.runs.free(place, run_len);
        let references = &mut self.runs.get_mut(base, 1 + len)[0];
        *references -= 1;
        if *references == 0 {
            self.runs.free(base, 1 + len);
            if self.newest[len] == base {
                self.newest[len] = NONE;
            }
        }
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.runs.memory_bytes() + (self.newest.capacity() + self.run.capacity()) * size_of::<u32>()
    }

    /// The base that a set is likened to, referred to once more: the newest, if the set has half
    /// of its pairs in common with it, else its own.
    fn base_for(&mut self, pairs: &[u32]) -> u32 {
        let len = pairs.len();
        if self.newest.len() <= len {
            self.newest.resize(len + 1, NONE);
        }
        let newest = self.newest[len];
        if newest != NONE {
            let base = self.runs.get_mut(newest, 1 + len);
            let differing = pairs.iter().zip(&base[1..]).filter(|(a, b)| a != b).count();
            if differing <= len / 2 {
                base[0] += 1;
                return newest;
            }
        }
        self.run.clear();
        self.run.push(1);
        self.run.extend_from_slice(pairs);
        let place = self.runs.alloc(&self.run);
        self.newest[len] = place;
        place
    }

    fn run(&self, place: u32, len: usize) -> &[u32] {
        let head = self.runs.get(place, own_begin(len));
        let own: u32 = head[1..].iter().map(|word| word.count_ones()).sum();
        self.runs.get(place, head.len() + own as usize)
    }
}

/// Where a set's own pairs begin in its run.
fn own_begin(len: usize) -> usize {
    1 + len.div_ceil(32)
}

/// The pairs of a set, in their order.
#[derive(Clone, Debug, Default)]
pub struct Pairs<'a> {
    base: &'a [u32],
    differs: &'a [u32],
    own: &'a [u32],
    at: usize,
}

impl Iterator for Pairs<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let mut pair = *self.base.get(self.at)?;
        if self.differs[self.at / 32] >> (self.at % 32) & 1 != 0 {
            (pair, self.own) = self.own.split_first().map(|(&own, rest)| (own, rest))?;
        }
        self.at += 1;
        Some(pair)
    }
}

/// Hashes lists of pairs: a polynomial over their numbers, which nobody chooses, at a point that
/// nobody knows.
#[derive(Clone, Copy, Debug)]
pub struct PairsHasher {
    /// Odd.
    factor: u64,
}

impl Default for PairsHasher {
    fn default() -> Self {
        Self { factor: RandomState::new().hash_one(0) | 1 }
    }
}

impl PairsHasher {
    /// The hash of a tenant's pairs.
    #[inline]
    pub fn hash(&self, tenant: TenantId, pairs: impl Iterator<Item = u32>) -> u64 {
        let factor = self.factor;
        let add = |hash: u64, number: u32| (hash ^ u64::from(number)).wrapping_mul(factor);
        let hash = pairs.fold(add(!0, tenant.0), add);
        let wide = u128::from(hash) * u128::from(factor.rotate_left(32));
        (wide as u64) ^ ((wide >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A target's series: three of eleven labels differ.
    fn set(target: u32, series: u32) -> [u32; 11] {
        let common = |at: u32| 1_000_000 + target * 16 + at;
        let own = [series / 40, 25 + series % 97, 200 + series % 4];
        let pairs = [own[0], 0, 1, own[1], 2, 3, own[2], 4, 5, 6, 7];
        pairs.map(|pair| if pair < 8 { common(pair) } else { pair })
    }

    #[test]
    fn sets_of_a_target_take_half_of_their_pairs_bytes() {
        let mut sets = LabelSets::default();
        let all: Vec<[u32; 11]> = (0..3000).map(|n| set(n / 1000, 320 + n % 1000)).collect();
        let places: Vec<u32> = all.iter().map(|pairs| sets.add(pairs)).collect();
        for (&place, pairs) in places.iter().zip(&all) {
            assert!(sets.get(place, 11).eq(pairs.iter().copied()));
        }
        let full = sets.memory_bytes();
        assert!(full < 3000 * 22, "{full}");
        places.iter().for_each(|&place| sets.remove(place, 11));
        for pairs in &all {
            sets.add(pairs);
        }
        assert!(sets.memory_bytes() <= full + 1024, "removed sets leave their room");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn what_is_read_is_what_was_added(
            steps in prop::collection::vec(
                (any::<bool>(), any::<prop::sample::Index>(),
                 prop_oneof![prop::collection::vec(0u32..3, 1..8), prop::collection::vec(0u32..3, 30..70)]),
                1..120,
            ),
        ) {
            let mut sets = LabelSets::default();
            let mut twin: Vec<(u32, Vec<u32>)> = Vec::new();
            for (remove, which, pairs) in steps {
                if remove && !twin.is_empty() {
                    let (place, pairs) = twin.swap_remove(which.index(twin.len()));
                    sets.remove(place, pairs.len());
                } else {
                    twin.push((sets.add(&pairs), pairs));
                }
                for (place, pairs) in &twin {
                    prop_assert!(sets.get(*place, pairs.len()).eq(pairs.iter().copied()));
                }
            }
        }
    }
}
