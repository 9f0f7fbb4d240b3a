//! One virtual shard's state: its series, their targets and cells, and its frontier.
//!
//! This is the unit that is checkpointed, restored and moved. Invariant: nothing in it refers to
//! another virtual shard; what it shares with the worker's others (label pairs, group numbers,
//! plans) is counted by reference and rebuilt when the state comes from bytes.

use ahash::AHashMap;
use weir_model::mutation::{self, Mutation};
use weir_model::{NativeHistogram, TenantId, Timestamp};

use crate::alias::{Alias, AliasTable};
use crate::arena::{Arena, size_class};
use crate::cells::Cells;
use crate::index::Index;
use crate::label_sets::{LabelSets, Pairs, PairsHasher};
use crate::recent::{REMEMBERED, Recent};
use crate::segments::Segments;
use crate::target::Target;

/// No target.
pub const NO_TARGET: u16 = u16::MAX;

/// A series' hot state. Rarer things stand in [`Vshard`]'s side tables.
#[derive(Clone, Copy, Debug, Default)]
pub struct Series {
    /// The samples it remembers.
    pub recent: Recent,
    /// Where its label pairs stand in [`Vshard::labels`].
    pub labels: u32,
    /// Its cell, or where its cells stand in [`Vshard::cell_lists`] if its plan has several rules.
    pub cells: u32,
    /// Its plan's number.
    pub plan: u16,
    /// Counts up when the slot is freed, so that old aliases miss.
    pub generation: u16,
    /// Its target's place in [`Vshard::targets`], or [`NO_TARGET`].
    pub target: u16,
    /// Number of label pairs; 0 in a free slot.
    pub pairs: u8,
    /// It has an entry in a side table.
    pub rare: bool,
}

/// Start timestamps that came with the samples which a series remembers: (sample, start), newest
/// sample first; (0, 0) for none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Starts(pub [(Timestamp, Timestamp); REMEMBERED]);

impl Starts {
    /// Notes the start timestamp of a sample.
    pub fn note(&mut self, timestamp: Timestamp, start: Timestamp) {
        let place = self.0.iter().position(|&(known, _)| known < timestamp);
        if let Some(at) = place {
            self.0.copy_within(at..REMEMBERED - 1, at + 1);
            self.0[at] = (timestamp, start);
        }
    }

    /// The start timestamp of a sample; 0 if unknown.
    pub fn of(&self, timestamp: Timestamp) -> Timestamp {
        let found = self.0.iter().find(|&&(known, _)| known == timestamp);
        found.map_or(0, |&(_, start)| start)
    }
}

/// What a rule with rates or its own dedup remembers of a series.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Binding {
    /// The window in which `increase` gathers; 0 if none.
    pub end: Timestamp,
    /// The increase in that window so far.
    pub increase: f64,
    /// Timestamp of the last number of the window before; 0 if unknown.
    pub from: Timestamp,
    /// Timestamp of the last number.
    pub last: Timestamp,
    /// The sample that stands for the current dedup slot, if `dedup_at` is not 0.
    pub dedup_value: f64,
    /// Its timestamp.
    pub dedup_at: Timestamp,
}

/// What a series of native histograms remembers.
#[derive(Clone, Debug, Default)]
pub struct HistogramState {
    /// The newest folded histogram: the base of the next increase.
    pub base: Option<NativeHistogram>,
    /// Those that wait, in the order of timestamps.
    pub waiting: Vec<NativeHistogram>,
    /// Newest folded timestamp, markers included.
    pub folded_through: Timestamp,
    /// Whether the newest folded one was a stale marker.
    pub ended: bool,
    /// Timestamp of a first histogram that counts in full; 0 if none does.
    pub born: Timestamp,
}

impl HistogramState {
    /// The newest timestamp, waiting or folded.
    pub fn newest(&self) -> Timestamp {
        self.waiting.last().map_or(self.folded_through, |h| h.timestamp)
    }
}

/// A virtual shard.
#[derive(Clone, Default)]
pub struct Vshard {
    /// Samples at or before it are late.
    pub frontier: Timestamp,
    /// Label blocks seen on the wire.
    pub aliases: AliasTable,
    /// Series by number; free slots have no label pairs.
    pub series: Segments<Series>,
    /// Their label sets.
    pub labels: LabelSets,
    /// Cells of series whose plan has several rules.
    pub cell_lists: Arena,
    /// Cells by the rule's place in the rule set; absent until a series matches.
    pub cells: Vec<Option<Box<Cells>>>,
    /// Scrape targets.
    pub targets: Vec<Target>,
    /// Start timestamps of series whose sender gives them.
    pub starts: AHashMap<u32, Starts>,
    /// By series and rule.
    pub bindings: AHashMap<(u32, u16), Binding>,
    /// By series.
    pub histograms: AHashMap<u32, Box<HistogramState>>,
    by_labels: Index,
    by_target: AHashMap<u64, u16>,
    free_targets: Vec<u16>,
    free: Vec<u32>,
    /// What label sets are hashed with here.
    hasher: PairsHasher,
}

impl Vshard {
    /// One without series.
    pub fn new(frontier: Timestamp) -> Self {
        Self { frontier, ..Self::default() }
    }

    /// The series of this tenant and these label pairs. Plans tell the tenant of a series.
    pub fn find(
        &self,
        tenant: TenantId,
        pairs: &[u32],
        tenant_of: impl Fn(u16) -> TenantId,
    ) -> Option<u32> {
        let hash = self.hasher.hash(tenant, pairs.iter().copied());
        let same = |at: u32| {
            let series = &self.series[at as usize];
            usize::from(series.pairs) == pairs.len()
                && tenant_of(series.plan) == tenant
                && self.pairs(series).eq(pairs.iter().copied())
        };
        self.by_labels.find(hash, same)
    }

    /// Adds a series.
    pub fn add(
        &mut self,
        tenant: TenantId,
        pairs: &[u32],
        mut series: Series,
        tenant_of: impl Fn(u16) -> TenantId,
    ) -> u32 {
        series.labels = self.labels.add(pairs);
        series.pairs = pairs.len() as u8;
        let at = match self.free.pop() {
            Some(at) => {
                series.generation = self.series[at as usize].generation;
                self.series[at as usize] = series;
                at
            }
            None => {
                self.series.push(series);
                self.series.len() as u32 - 1
            }
        };
        let Self { by_labels, series, labels, hasher, .. } = self;
        let hash = hasher.hash(tenant, pairs.iter().copied());
        by_labels.insert(hash, at, |at| {
            let series = &series[at as usize];
            let pairs = labels.get(series.labels, usize::from(series.pairs));
            hasher.hash(tenant_of(series.plan), pairs)
        });
        at
    }

    /// Takes a series out and frees its slot; its label pairs are still to be released.
    pub fn remove(&mut self, at: u32, tenant: TenantId) -> Option<(Series, Vec<u32>)> {
        let series = *self.series.get(at as usize).filter(|s| s.pairs != 0)?;
        let pairs: Vec<u32> = self.pairs(&series).collect();
        let hash = self.hasher.hash(tenant, pairs.iter().copied());
        self.by_labels.remove(hash, at);
        self.labels.remove(series.labels, pairs.len());
        let generation = series.generation.wrapping_add(1);
        self.series[at as usize] = Series { generation, ..Series::default() };
        self.free.push(at);
        if series.rare {
            self.starts.remove(&at);
            self.histograms.remove(&at);
        }
        Some((series, pairs))
    }

    /// A series' label pairs.
    pub fn pairs(&self, series: &Series) -> Pairs<'_> {
        self.labels.get(series.labels, usize::from(series.pairs))
    }

    /// Reads a series' state from end to end and decides nothing on it: such reads do not wait for
    /// each other, and what they fetch is near when it is needed.
    #[inline]
    pub fn touch(&self, series: u32) -> u64 {
        let series = self.series.get(series as usize);
        series.map_or(0, |s| s.recent.touch() ^ u64::from(s.plan))
    }

    /// Whether an alias still leads to the series that it was recorded for.
    pub fn is_alive(&self, alias: &Alias) -> bool {
        let series = self.series.get(alias.series as usize);
        let same = |generation| generation == alias.generation;
        let stale = mutation::is(Mutation::AliasOfFreed);
        series.is_some_and(|s| s.pairs != 0 && (same(s.generation) || stale))
    }

    /// Numbers of all series, in their order.
    pub fn live_series(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.series.len() as u32).filter(|&at| self.series[at as usize].pairs != 0)
    }

    /// How many series there are.
    pub fn series_count(&self) -> usize {
        self.by_labels.len()
    }

    /// Whether there is nothing to remember but the frontier.
    pub fn is_empty(&self) -> bool {
        let open = |c: &Cells| c.windows().next().is_some();
        self.by_labels.is_empty()
            && self.by_target.is_empty()
            && !self.cells.iter().flatten().any(|c| open(c))
    }

    /// The target of this identity, known from now on. Past 65,534 targets new ones have none:
    /// their births are baselines and their frontier is not waited for.
    pub fn target(&mut self, key: u64) -> u16 {
        if let Some(&at) = self.by_target.get(&key) {
            return at;
        }
        let fresh = Target { key, ..Target::default() };
        let at = match self.free_targets.pop() {
            Some(at) => {
                self.targets[usize::from(at)] = fresh;
                at
            }
            None => match u16::try_from(self.targets.len()) {
                Ok(at) if at != NO_TARGET => {
                    self.targets.push(fresh);
                    at
                }
                _ => return NO_TARGET,
            },
        };
        self.by_target.insert(key, at);
        at
    }

    /// Forgets targets without series that have been silent since `before`.
    pub fn forget_targets(&mut self, before: Timestamp) {
        let mut used = vec![false; self.targets.len()];
        for series in self.series.iter().filter(|s| s.pairs != 0) {
            if let Some(used) = used.get_mut(usize::from(series.target)) {
                *used = true;
            }
        }
        for (at, used) in used.into_iter().enumerate() {
            let target = &mut self.targets[at];
            if !used && target.newest <= before && self.by_target.remove(&target.key).is_some() {
                *target = Target::default();
                self.free_targets.push(at as u16);
            }
        }
    }

    /// Puts back the targets that a snapshot held, each in its place.
    pub fn restore_targets(&mut self, targets: Vec<Target>) {
        for (target, at) in targets.iter().zip(0u16..) {
            if target.key == 0 {
                self.free_targets.push(at);
            } else {
                self.by_target.insert(target.key, at);
            }
        }
        self.targets = targets;
    }

    /// The cells of a rule, made when they are first needed.
    #[inline]
    pub fn cells_of(&mut self, rule: u16) -> &mut Cells {
        let rule = usize::from(rule);
        if self.cells.len() <= rule {
            self.cells.resize(rule + 1, None);
        }
        self.cells[rule].get_or_insert_default()
    }

    /// What a series keeps of its cells: the only one, or where the list of them stands.
    pub fn cell_list(&mut self, cells: &[u32]) -> u32 {
        match cells {
            [] => 0,
            [one] => *one,
            several => self.cell_lists.alloc(several),
        }
    }

    /// Bytes of memory as an allocator rounds them, but for what hangs on native histograms and
    /// sketches.
    pub fn memory_bytes(&self) -> usize {
        let cells = self.cells.iter().flatten();
        let cells: usize = cells.map(|c| c.memory_bytes() + size_of::<Cells>()).sum();
        let free = (self.free.capacity() * 2 + self.free_targets.capacity()) * size_of::<u16>();
        size_of::<Self>()
            + self.series.memory_bytes()
            + self.aliases.memory_bytes()
            + self.labels.memory_bytes()
            + self.cell_lists.memory_bytes()
            + cells
            + free
            + size_class(self.targets.capacity() * size_of::<Target>())
            + self.by_labels.memory_bytes()
            + map_bytes(&self.by_target)
            + map_bytes(&self.bindings)
            + map_bytes(&self.starts)
            + map_bytes(&self.histograms)
    }
}

/// Bytes of a map's table: seven of eight places are usable, each has a byte of its own.
fn map_bytes<K, V>(map: &AHashMap<K, V>) -> usize {
    size_class(map.capacity() * 8 / 7 * (size_of::<(K, V)>() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freed_slot_has_a_new_generation() {
        let mut shard = Vshard::new(0);
        let tenant = TenantId(0);
        let a = shard.add(tenant, &[1, 2], Series::default(), |_| tenant);
        assert_eq!(shard.find(tenant, &[1, 2], |_| tenant), Some(a));
        let alias = Alias { series: a, generation: 0, replica: 0 };
        assert!(shard.is_alive(&alias));
        shard.remove(a, tenant);
        assert!(!shard.is_alive(&alias));
        let b = shard.add(tenant, &[3], Series::default(), |_| tenant);
        assert_eq!(a, b);
        assert!(!shard.is_alive(&alias));
        assert_eq!(shard.find(tenant, &[1, 2], |_| tenant), None);
        assert_eq!(shard.series_count(), 1);
    }

    #[test]
    fn starts_are_kept_for_the_newest_samples() {
        let mut starts = Starts::default();
        for at in [10, 30, 20, 50, 40, 5] {
            starts.note(at, at - 1);
        }
        assert_eq!(starts, Starts([(50, 49), (40, 39), (30, 29), (20, 19)]));
        assert_eq!((starts.of(40), starts.of(45)), (39, 0));
    }

    #[test]
    fn a_series_is_small() {
        assert!(size_of::<Series>() <= 80, "{}", size_of::<Series>());
    }
}
