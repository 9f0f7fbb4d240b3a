//! The series of one target: from the hash of what the page says to labels that stand encoded.
//!
//! No text of the page is kept: an entry has the seeded 128-bit hash of a series' bytes, and the
//! place of its labels in an arena, as remote write 2.0 has them. Pages keep their order, so the
//! entry after the last one met is tried before any table is asked; a target whose pages need none has
//! none.
//!
//! Invariant: after a page that was taken, the entries are exactly the series on it, and the live
//! ones are those whose last sample is no stale marker. A page that fails leaves no new entry.
//! Label sets are unique: another spelling of a known one (other order of labels, relabelling that
//! merges) is an alias of it. Not here: what becomes of samples.

use hashbrown::{HashMap, HashTable};
use weir_model::labels::METRIC_NAME;
use weir_model::{LabelsBuilder, Timestamp};
use weir_wire::encode::cached::{self, SymbolTable};
use xxhash_rust::xxh3::xxh3_64;

/// Has a sample that is no stale marker.
const LIVE: u8 = 1;
/// Has one on the page in hand, by which it stays alive.
const TRACKED: u8 = 2;
/// Relabelling drops it; there are no labels.
const DROPPED: u8 = 4;
/// Another spelling: `at` is the entry that it means.
const ALIAS: u8 = 8;
/// Its newest timestamp is kept, for the page gives some.
const TIMED: u8 = 16;
/// On no page: a report series. It is never forgotten.
const REPORT: u8 = 32;

/// What has gone by the time that places are looked up.
const GONE: u32 = u32::MAX;

/// Growth before anything is cleaned up, bytes.
const SLACK_BYTES: usize = 16 << 10;

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: [u64; 2],
    /// Where its labels begin in the arena.
    at: u32,
    /// The last page that had it.
    seen: u16,
    flags: u8,
}

impl Entry {
    fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// What is known of a series on a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Met {
    /// Nothing: it has to be [born](SeriesCache::birth) or [dropped](SeriesCache::drop_series).
    New,
    /// Relabelling drops it.
    Dropped,
    /// It is this one; `repeated` if the page had it before.
    Series { id: u32, repeated: bool },
}

/// See the module.
#[derive(Debug)]
pub(super) struct SeriesCache {
    entries: Vec<Entry>,
    /// Made when it is first asked, and given up after a page that does not ask.
    by_hash: Option<HashTable<u32>>,
    is_asked: bool,
    /// Entries by their labels: for births, given up when there are none.
    by_labels: Option<HashTable<u32>>,
    arena: Vec<u8>,
    symbols: SymbolTable,
    newest: HashMap<u32, Timestamp>,
    /// What `newest` was before the page in hand.
    newest_before: Vec<(u32, Option<Timestamp>)>,
    page: u16,
    expected: u32,
    reports: usize,
    /// Entries and bytes of the arena before the page in hand.
    before: (usize, usize),
    /// Whether the page in hand lacks a series.
    has_unseen: bool,
    /// Bytes of arena and symbols when all of them were last in use.
    used_bytes: usize,
}

impl SeriesCache {
    /// Of a target whose report series have these labels; they are the first ids.
    pub(super) fn new(reports: impl Iterator<Item = LabelsBuilder>) -> Self {
        let mut cache = Self {
            entries: Vec::new(),
            by_hash: None,
            is_asked: false,
            by_labels: None,
            arena: Vec::new(),
            symbols: SymbolTable::default(),
            newest: HashMap::new(),
            newest_before: Vec::new(),
            page: 1,
            expected: 0,
            reports: 0,
            before: (0, 0),
            has_unseen: false,
            used_bytes: 0,
        };
        for labels in reports {
            let at = cache.put_labels(&labels);
            cache.entries.push(Entry { hash: [0; 2], at, seen: 0, flags: REPORT });
        }
        cache.reports = cache.entries.len();
        cache
    }

    /// Begins a page.
    pub(super) fn begin(&mut self) {
        self.page = self.page.checked_add(1).unwrap_or_else(|| {
            // From the beginning: none has been seen on this one.
            self.entries.iter_mut().for_each(|entry| entry.seen = 0);
            1
        });
        self.is_asked = false;
        self.expected = self.reports as u32;
        self.before = (self.entries.len(), self.arena.len());
        self.newest_before.clear();
        let page = self.page;
        self.entries.iter_mut().take(self.reports).for_each(|e| e.seen = page);
    }

    /// Looks up a series of the page in hand.
    #[inline]
    pub(super) fn meet(&mut self, hash: u128) -> Met {
        let hash = halves(hash);
        let guess = self.expected;
        let found = match self.entries.get(guess as usize) {
            Some(entry) if entry.hash == hash => Some(guess),
            _ => self.look_up(hash),
        };
        match found {
            Some(at) => self.meet_at(at),
            None => Met::New,
        }
    }

    /// The hash of the series that comes next if the page has the order of the one before.
    #[inline]
    pub(super) fn expected(&self) -> Option<u128> {
        let [low, high] = self.entries.get(self.expected as usize)?.hash;
        Some(u128::from(high) << 64 | u128::from(low))
    }

    /// What [`SeriesCache::meet`] says of the series expected, of which there must be one.
    #[inline]
    pub(super) fn meet_expected(&mut self) -> Met {
        self.meet_at(self.expected)
    }

    #[inline]
    fn meet_at(&mut self, at: u32) -> Met {
        self.expected = at + 1;
        let page = self.page;
        let entry = &mut self.entries[at as usize];
        if entry.is(ALIAS | DROPPED) {
            entry.seen = page;
            if entry.is(DROPPED) {
                return Met::Dropped;
            }
            let id = entry.at;
            return self.see(id);
        }
        self.see(at)
    }

    fn look_up(&mut self, hash: [u64; 2]) -> Option<u32> {
        self.is_asked = true;
        let entries = &self.entries;
        let reports = self.reports;
        let by_hash = self.by_hash.get_or_insert_with(|| index_of_hashes(entries, reports));
        by_hash.find(hash[0], |&at| entries[at as usize].hash == hash).copied()
    }

    #[inline]
    fn see(&mut self, id: u32) -> Met {
        let entry = &mut self.entries[id as usize];
        let repeated = entry.seen == self.page;
        if !repeated {
            entry.seen = self.page;
            entry.flags &= !TRACKED;
        }
        Met::Series { id, repeated }
    }

    /// Remembers that relabelling drops a series.
    pub(super) fn drop_series(&mut self, hash: u128) {
        self.add(hash, 0, DROPPED);
    }

    /// Adds a series with its labels, or another spelling of one that there is.
    pub(super) fn birth(&mut self, hash: u128, labels: &LabelsBuilder) -> Met {
        let at = self.put_labels(labels);
        let (entries, arena) = (&self.entries, &self.arena);
        let encoded = cached::labels_at(&arena[at as usize..]);
        let labels_of = |at: u32| cached::labels_at(&arena[entries[at as usize].at as usize..]);
        let labels_hash = xxh3_64(encoded);
        let by_labels = self.by_labels.get_or_insert_with(|| index_of_labels(entries, arena));
        if let Some(&known) = by_labels.find(labels_hash, |&other| labels_of(other) == encoded) {
            self.arena.truncate(at as usize);
            self.add(hash, known, ALIAS);
            return self.see(known);
        }
        let id = entries.len() as u32;
        by_labels.insert_unique(labels_hash, id, |&other| xxh3_64(labels_of(other)));
        self.add(hash, at, 0);
        Met::Series { id, repeated: false }
    }

    fn add(&mut self, hash: u128, at: u32, flags: u8) {
        let hash = halves(hash);
        let id = self.entries.len() as u32;
        let entries = &self.entries;
        if let Some(by_hash) = &mut self.by_hash {
            by_hash.insert_unique(hash[0], id, |&other| entries[other as usize].hash[0]);
        }
        self.entries.push(Entry { hash, at, seen: self.page, flags });
        self.expected = id + 1;
    }

    fn put_labels(&mut self, labels: &LabelsBuilder) -> u32 {
        let symbols = &mut self.symbols;
        let references: Vec<u32> = labels
            .iter()
            .flat_map(|label| [symbols.intern(label.name), symbols.intern(label.value)])
            .collect();
        let at = self.arena.len() as u32;
        cached::put_labels(&mut self.arena, &references);
        at
    }

    /// Whether a sample is newer than what the series has, where that can be otherwise: with
    /// timestamps of the page's own.
    #[inline]
    pub(super) fn is_newer(&mut self, id: u32, timestamp: Timestamp, is_own: bool) -> bool {
        let entry = &mut self.entries[id as usize];
        if !is_own && !entry.is(TIMED) {
            return true;
        }
        entry.flags |= TIMED;
        let newest = self.newest.get(&id).copied();
        if newest.is_some_and(|newest| timestamp <= newest) {
            return false;
        }
        if newest.is_none() && !is_own {
            return true;
        }
        self.newest_before.push((id, newest));
        self.newest.insert(id, timestamp);
        true
    }

    /// A sample was taken by which the series stays alive.
    #[inline]
    pub(super) fn track(&mut self, id: u32) {
        self.entries[id as usize].flags |= TRACKED;
    }

    /// Takes the page: `ended` gets every series that lived and is not kept alive by it.
    pub(super) fn commit(&mut self, mut ended: impl FnMut(u32)) {
        for (id, entry) in self.entries.iter_mut().enumerate().skip(self.reports) {
            let is_seen = entry.seen == self.page;
            let lives = is_seen && entry.is(TRACKED);
            if entry.is(LIVE) && !lives {
                ended(id as u32);
            }
            entry.flags = if lives { entry.flags | LIVE } else { entry.flags & !LIVE };
            self.has_unseen |= !is_seen;
        }
    }

    /// Forgets what the page in hand brought; `ended` gets every series that lived.
    pub(super) fn rollback(&mut self, ended: impl FnMut(u32)) {
        let (entries, arena) = self.before;
        if self.entries.len() > entries {
            if let Some(by_hash) = &mut self.by_hash {
                by_hash.retain(|&mut at| (at as usize) < entries);
            }
            self.by_labels = None;
            self.entries.truncate(entries);
            self.arena.truncate(arena);
            self.entries.shrink_to(2 * entries);
            self.arena.shrink_to(2 * arena);
        }
        for (id, newest) in self.newest_before.drain(..).rev() {
            match newest {
                Some(newest) => self.newest.insert(id, newest),
                None => self.newest.remove(&id),
            };
        }
        self.end(ended);
    }

    /// After what was to be said is written: forgets series that the page did not have, and gives
    /// up memory that is not needed. Where ids change, the new ones by the old ones are returned.
    pub(super) fn tidy(&mut self) -> Option<Vec<u32>> {
        let moved = std::mem::take(&mut self.has_unseen).then(|| self.forget_unseen());
        if !self.is_asked {
            self.by_hash = None;
        }
        let had_births = self.entries.len() > self.before.0;
        if self.used() > 2 * self.used_bytes + SLACK_BYTES {
            self.rebuild();
        } else if !had_births && moved.is_none() && self.by_labels.is_some() {
            self.settle();
        }
        moved
    }

    /// Nothing lives any more; `ended` gets what did.
    pub(super) fn end(&mut self, mut ended: impl FnMut(u32)) {
        for (id, entry) in self.entries.iter_mut().enumerate() {
            if entry.is(LIVE) {
                entry.flags &= !LIVE;
                ended(id as u32);
            }
        }
    }

    /// The labels of a series, encoded.
    #[inline]
    pub(super) fn labels(&self, id: u32) -> &[u8] {
        let at = self.entries[id as usize].at;
        cached::labels_at(&self.arena[at as usize..])
    }

    /// A series' name; slow.
    pub(super) fn metric_name(&mut self, id: u32) -> &str {
        let references: Vec<u32> = cached::references(self.labels(id)).collect();
        let symbols = &mut self.symbols;
        let mut pairs = references.chunks_exact(2);
        let name = pairs.find(|pair| symbols.text(pair[0]) == METRIC_NAME);
        // Symbol 0 is the empty text.
        symbols.text(name.map_or(0, |pair| pair[1]))
    }

    /// The symbols to which they refer.
    pub(super) fn symbols(&self) -> &SymbolTable {
        &self.symbols
    }

    #[cfg(test)]
    fn symbols_mut(&mut self) -> &mut SymbolTable {
        &mut self.symbols
    }

    /// Series and spellings, dropped ones among them.
    pub(super) fn len(&self) -> usize {
        self.entries.len() - self.reports
    }

    /// Bytes of memory that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        let indexes = [&self.by_hash, &self.by_labels].into_iter().flatten();
        self.entries.capacity() * size_of::<Entry>()
            + indexes.map(HashTable::allocation_size).sum::<usize>()
            + self.arena.capacity()
            + self.symbols.held_bytes()
            + self.newest.allocation_size()
    }

    fn used(&self) -> usize {
        self.arena.len() + self.symbols.encoded().len()
    }

    /// Keeps the entries of the page in hand, in their order.
    fn forget_unseen(&mut self) -> Vec<u32> {
        let page = self.page;
        let mut moved = vec![GONE; self.entries.len()];
        let mut kept = 0;
        for (place, entry) in moved.iter_mut().zip(&self.entries) {
            if entry.seen == page {
                *place = kept;
                kept += 1;
            }
        }
        self.entries.retain(|entry| entry.seen == page);
        for entry in self.entries.iter_mut().filter(|e| e.is(ALIAS)) {
            entry.at = moved[entry.at as usize];
        }
        (self.by_hash, self.by_labels) = (None, None);
        self.newest = std::mem::take(&mut self.newest)
            .into_iter()
            .map(|(id, newest)| (moved[id as usize], newest))
            .filter(|&(id, _)| id != GONE)
            .collect();
        moved
    }

    /// Leaves out of arena and symbols what no entry refers to.
    fn rebuild(&mut self) {
        let mut symbols = SymbolTable::default();
        let mut arena = Vec::with_capacity(self.arena.len() / 2);
        let mut numbers = vec![GONE; self.symbols.end() as usize];
        for entry in self.entries.iter_mut().filter(|e| !e.is(ALIAS | DROPPED)) {
            let labels = cached::labels_at(&self.arena[entry.at as usize..]);
            let references: Vec<u32> = cached::references(labels)
                .map(|old| {
                    let number = &mut numbers[old as usize];
                    if *number == GONE {
                        *number = symbols.intern(self.symbols.text(old));
                    }
                    *number
                })
                .collect();
            entry.at = arena.len() as u32;
            cached::put_labels(&mut arena, &references);
        }
        (self.symbols, self.arena, self.by_labels) = (symbols, arena, None);
        self.settle();
        self.used_bytes = self.used();
    }

    /// Gives up what only births need, and spare room.
    fn settle(&mut self) {
        self.by_labels = None;
        self.symbols.settle();
        self.entries.shrink_to_fit();
        self.arena.shrink_to_fit();
        self.newest_before.shrink_to_fit();
        let entries = &self.entries;
        if let Some(by_hash) = &mut self.by_hash {
            by_hash.shrink_to_fit(|&at| entries[at as usize].hash[0]);
        }
    }
}

fn index_of_hashes(entries: &[Entry], reports: usize) -> HashTable<u32> {
    let mut index = HashTable::with_capacity(entries.len());
    let hash = |at: u32| entries[at as usize].hash[0];
    for at in reports as u32..entries.len() as u32 {
        index.insert_unique(hash(at), at, |&other| hash(other));
    }
    index
}

fn index_of_labels(entries: &[Entry], arena: &[u8]) -> HashTable<u32> {
    let mut index = HashTable::with_capacity(entries.len());
    let hash = |at: u32| xxh3_64(cached::labels_at(&arena[entries[at as usize].at as usize..]));
    for (at, entry) in entries.iter().enumerate() {
        if !entry.is(ALIAS | DROPPED) {
            index.insert_unique(hash(at as u32), at as u32, |&other| hash(other));
        }
    }
    index
}

fn halves(hash: u128) -> [u64; 2] {
    [hash as u64, (hash >> 64) as u64]
}

#[cfg(test)]
mod tests;
