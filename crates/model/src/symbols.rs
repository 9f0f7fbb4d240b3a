//! The interner of label pairs: each (name, value) is stored once and known by a number.
//!
//! One table a shard, no lock. A series keeps its labels as a slice of [`PairId`]s in the order of
//! names; equal label sets are then equal slices. Pairs are counted by reference: the last
//! [`PairTable::release`] frees the text at once and the number for reuse, so churn does not leak.
//! Invariant: an id is valid from `intern` to its last `release`, and names the same pair all the
//! while; a pair is in the table once.
//!
//! One allocation a pair, name and value in one text. Bump chunks with compaction would save some
//! 10 of 67 bytes a pair of 30, but there are far fewer pairs than series: under a byte a series.

use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::labels::Label;

/// The number of an interned pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PairId(pub u32);

/// The table.
pub struct PairTable {
    slots: Vec<Slot>,
    /// Slots without references; the last is reused first.
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: RandomState,
    text_bytes: usize,
    freed_since_shrink: usize,
}

/// A pair, or a free place for one (no references, no text).
#[derive(Default)]
struct Slot {
    /// The name, then the value.
    text: Box<str>,
    name_len: u32,
    references: u32,
}

const _: () = assert!(size_of::<Slot>() == 24);

/// Allocators hand out small blocks in steps of this.
const ALLOCATION_STEP: usize = 16;

/// Below this, looking for memory to give back is not worth it.
const SHRINK_FREED_MIN: usize = 1024;

impl std::fmt::Debug for PairTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PairTable({} pairs)", self.len())
    }
}

impl PairTable {
    /// An empty table. The seed should be random for each process: label values are chosen by
    /// strangers, and must not be able to collide.
    pub fn new(seed: u128) -> Self {
        let (low, high) = (seed as u64, (seed >> 64) as u64);
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            hasher: RandomState::with_seeds(low, high, !low, !high),
            text_bytes: 0,
            freed_since_shrink: 0,
        }
    }

    /// The id of a pair, which gains a reference; the pair is added if it is new. Name and value
    /// are shorter than 4 GiB.
    pub fn intern(&mut self, name: &str, value: &str) -> PairId {
        let Self { slots, index, hasher, .. } = self;
        let entry = index.entry(
            hasher.hash_one((name, value)),
            |&id| slots[id as usize].is(name, value),
            |&id| slots[id as usize].hash(hasher),
        );
        let vacant = match entry {
            Entry::Occupied(found) => {
                let id = *found.get();
                slots[id as usize].references += 1;
                return PairId(id);
            }
            Entry::Vacant(vacant) => vacant,
        };
        let slot = Slot::new(name, value);
        self.text_bytes += slot.text_bytes();
        let id = match self.free.pop() {
            Some(id) => {
                slots[id as usize] = slot;
                id
            }
            None => {
                slots.push(slot);
                slots.len() as u32 - 1
            }
        };
        vacant.insert(id);
        PairId(id)
    }

    /// As [`PairTable::intern`], after a look at a pair that it may well be: any number will do.
    pub fn intern_near(&mut self, name: &str, value: &str, guess: PairId) -> PairId {
        match self.slots.get_mut(guess.0 as usize) {
            Some(slot) if slot.references > 0 && slot.is(name, value) => {
                slot.references += 1;
                guess
            }
            _ => self.intern(name, value),
        }
    }

    /// The id of a pair that is in the table, without a reference for the caller.
    pub fn find(&self, name: &str, value: &str) -> Option<PairId> {
        let hash = self.hasher.hash_one((name, value));
        let same = |&id: &u32| self.slots[id as usize].is(name, value);
        self.index.find(hash, same).map(|&id| PairId(id))
    }

    /// The pair of an id that is referenced.
    pub fn get(&self, id: PairId) -> Label<'_> {
        let slot = &self.slots[id.0 as usize];
        debug_assert!(slot.references > 0, "{id:?} was released");
        slot.label()
    }

    /// Adds a reference to an id that has one (a label set that is copied).
    pub fn acquire(&mut self, id: PairId) {
        let slot = &mut self.slots[id.0 as usize];
        debug_assert!(slot.references > 0, "{id:?} was released");
        slot.references += 1;
    }

    /// Takes back one reference; with the last one the pair leaves the table.
    pub fn release(&mut self, id: PairId) {
        let slot = &mut self.slots[id.0 as usize];
        debug_assert!(slot.references > 0, "{id:?} was released before");
        slot.references = slot.references.saturating_sub(1);
        if slot.references > 0 {
            return;
        }
        let hash = slot.hash(&self.hasher);
        if let Ok(entry) = self.index.find_entry(hash, |&other| other == id.0) {
            entry.remove();
            let slot = std::mem::take(&mut self.slots[id.0 as usize]);
            self.text_bytes -= slot.text_bytes();
            self.free.push(id.0);
            self.freed_since_shrink += 1;
            self.shrink_if_worthwhile();
        }
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Bytes that it occupies, texts as an allocator rounds them.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.slots.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.allocation_size()
            + self.text_bytes
    }

    /// Gives back places at the end, and reuses the lowest ids first so that the end empties.
    /// Done once in as many releases as there are places, so its cost is spread.
    fn shrink_if_worthwhile(&mut self) {
        let worthwhile = self.freed_since_shrink >= SHRINK_FREED_MIN.max(self.slots.len() / 2);
        if !worthwhile || self.len() > self.slots.len() / 2 {
            return;
        }
        self.freed_since_shrink = 0;
        while self.slots.last().is_some_and(|slot| slot.references == 0) {
            self.slots.pop();
        }
        let end = self.slots.len() as u32;
        self.free.retain(|&id| id < end);
        self.free.sort_unstable_by(|a, b| b.cmp(a));
        self.slots.shrink_to(self.slots.len() + SHRINK_FREED_MIN);
        self.free.shrink_to(self.free.len() + SHRINK_FREED_MIN);
        let Self { slots, index, hasher, .. } = self;
        index.shrink_to(index.len(), |&id| slots[id as usize].hash(hasher));
    }
}

impl Slot {
    fn new(name: &str, value: &str) -> Self {
        let mut text = String::with_capacity(name.len() + value.len());
        text.push_str(name);
        text.push_str(value);
        Self { text: text.into_boxed_str(), name_len: name.len() as u32, references: 1 }
    }

    fn label(&self) -> Label<'_> {
        let (name, value) = self.text.split_at(self.name_len as usize);
        Label { name, value }
    }

    fn is(&self, name: &str, value: &str) -> bool {
        let (text, name_len) = (self.text.as_bytes(), name.len());
        self.name_len as usize == name_len
            && text.len() == name_len + value.len()
            && text[name_len..] == *value.as_bytes()
            && text[..name_len] == *name.as_bytes()
    }

    fn hash(&self, hasher: &RandomState) -> u64 {
        let label = self.label();
        hasher.hash_one((label.name, label.value))
    }

    fn text_bytes(&self) -> usize {
        self.text.len().next_multiple_of(ALLOCATION_STEP)
    }
}

#[cfg(test)]
mod tests;
