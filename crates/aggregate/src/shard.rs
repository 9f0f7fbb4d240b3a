//! The state machine: batches and frontier marks in, verdicts, passed samples and partials out.
//!
//! One worker thread owns one `Shard`, which holds any number of virtual shards. Inputs are
//! `handle_*`; what they give is returned at once or taken with `take_*`. Invariant: state after
//! a log position is a function of the log up to it; nothing here asks a clock or a socket.

mod taking;

use std::sync::Arc;

use ahash::AHashMap;
use weir_model::symbols::{PairId, PairTable};
use weir_model::{
    Batch, Class, ClassCounts, Columns, Entry, Label, NativeHistogram, Sample, TenantId, Timestamp,
    VSHARDS, VShard,
};

use crate::alias::{Alias, DROPPED};
use crate::bind::Bound;
use crate::birth::Refusal;
use crate::decisions::Decisions;
use crate::group::{GroupNews, Groups};
use crate::met::LastMet;
use crate::plan::Plans;
use crate::sweep::{Closings, Swept, advance};
use crate::target::{Progress, Target};
use crate::vshard::Vshard;

use taking::Taking;

/// A batch's part for one worker.
pub struct Work<'a> {
    /// The batch.
    pub batch: &'a Batch,
    /// The tenant's name, which selectors may ask for.
    pub tenant: &'a Arc<str>,
    /// Places of this worker's entries in the batch.
    pub entries: &'a [u32],
    /// Places of samples that were refused before logging, ascending; histograms are numbered
    /// after the floats.
    pub refused: &'a [u32],
    /// The tenant was at its limit: series that are not known are refused.
    pub no_new_series: bool,
}

/// A series' samples that leave as they came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// Where the series lives.
    pub vshard: VShard,
    /// Its number there.
    pub series: u32,
    /// The entry of the batch.
    pub entry: u32,
    /// How many of [`Outcome::passed`] are its float samples.
    pub floats: u32,
    /// How many of [`Outcome::passed_histograms`] are its histograms.
    pub histograms: u32,
}

/// What became of a batch.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Samples by class; their sum is the number of samples in the entries.
    pub counts: ClassCounts,
    /// Why series or samples were refused: the first of each entry, with the number of samples.
    pub refusals: Vec<(u32, Refusal, u32)>,
    /// Series whose samples leave as they came.
    pub passes: Vec<Pass>,
    /// Places of passed float samples in the batch's columns, in the order of `passes`.
    pub passed: Vec<u32>,
    /// Places of passed histograms in the batch's columns, in the order of `passes`.
    pub passed_histograms: Vec<u32>,
    /// Native histograms with a verdict other than refused.
    pub histograms_written: u64,
}

impl Outcome {
    /// Gives each pass with its samples, oldest first, and its histograms, out of the columns of
    /// the batch that this is the outcome of.
    pub fn each_pass(
        &self,
        columns: &Columns,
        mut take: impl FnMut(&Pass, &[Sample], &[NativeHistogram]),
    ) {
        let (mut samples, mut native) = (Vec::new(), Vec::new());
        let (mut floats, mut histograms) = (self.passed.iter(), self.passed_histograms.iter());
        for pass in &self.passes {
            let places = floats.by_ref().take(pass.floats as usize);
            samples.clear();
            samples.extend(places.map(|&at| columns.sample(at as usize)));
            samples.sort_by_key(|s| s.timestamp);
            let places = histograms.by_ref().take(pass.histograms as usize);
            native.clear();
            native.extend(places.filter_map(|&at| columns.histograms.get(at as usize).cloned()));
            take(pass, &samples, &native);
        }
    }
}

/// Late samples of one rule.
#[derive(Clone, Copy, Debug, Default)]
pub struct LateCounts {
    /// Increases that joined the oldest open window.
    pub carried: u64,
    /// Samples left out.
    pub dropped: u64,
}

/// A worker's virtual shards and what they share.
pub struct Shard {
    pub(crate) config: Arc<Decisions>,
    pub(crate) pairs: PairTable,
    pub(crate) plans: Plans,
    pub(crate) groups: Vec<Groups>,
    pub(crate) vshards: Vec<Option<Box<Vshard>>>,
    pub(crate) frontiers: Vec<Timestamp>,
    pub(crate) tenants: AHashMap<TenantId, Arc<str>>,
    pub(crate) replicas: Vec<String>,
    pub(crate) replica_numbers: AHashMap<String, u16>,
    pub(crate) series_by_tenant: AHashMap<TenantId, u64>,
    pub(crate) births: u64,
    pub(crate) late: Vec<LateCounts>,
    pub(crate) news: Vec<GroupNews>,
    /// Memory that births use again and again.
    pub(crate) bound: Bound,
    pub(crate) last_pairs: Vec<u32>,
    pub(crate) target_bytes: Vec<u8>,
    closings: Closings,
}

impl Shard {
    /// A worker without series. `seed` scatters its hash tables; nothing depends on it.
    pub fn new(config: Arc<Decisions>, seed: u128) -> Self {
        let rules = config.rules.len();
        Self {
            config,
            pairs: PairTable::new(seed),
            plans: Plans::default(),
            groups: vec![Groups::default(); rules],
            vshards: (0..VSHARDS).map(|_| None).collect(),
            frontiers: vec![FRONTIER_BEGIN; usize::from(VSHARDS)],
            tenants: AHashMap::new(),
            replicas: Vec::new(),
            replica_numbers: AHashMap::new(),
            series_by_tenant: AHashMap::new(),
            births: 0,
            late: vec![LateCounts::default(); rules],
            news: Vec::new(),
            bound: Bound::default(),
            last_pairs: Vec::new(),
            target_bytes: Vec::new(),
            closings: Closings::new(),
        }
    }

    /// Takes a worker's part of a batch.
    pub fn handle_batch(&mut self, work: &Work<'_>) -> Outcome {
        if !self.tenants.contains_key(&work.batch.tenant) {
            self.tenants.insert(work.batch.tenant, Arc::clone(work.tenant));
        }
        let mut outcome = Outcome::default();
        let (mut next, mut last) = (NextAlias::default(), LastMet::default());
        for entries in work.entries.chunks(AHEAD) {
            let mut known = [None; AHEAD];
            self.look_up(work, entries, &mut next, &mut known);
            for (&entry, alias) in entries.iter().zip(known) {
                self.handle_entry(work, (entry, alias), &mut last, &mut outcome);
            }
        }
        outcome
    }

    /// The frontier of these virtual shards is now `to`; windows that end by then close.
    pub fn handle_frontier(&mut self, vshards: impl Iterator<Item = VShard>, to: Timestamp) {
        let config = Arc::clone(&self.config);
        for vshard in vshards {
            let at = usize::from(vshard.0);
            let from = self.frontiers[at];
            if to <= from {
                continue;
            }
            self.frontiers[at] = to;
            if let Some(shard) = &mut self.vshards[at] {
                let mut swept = Swept { closings: &mut self.closings, freed: Vec::new() };
                advance(shard, to, &self.plans, &config, &mut swept);
                for (rule, group) in swept.freed {
                    self.release_group(rule, group);
                }
                if to.div_euclid(EXPIRY_EVERY_MS) != from.div_euclid(EXPIRY_EVERY_MS) {
                    self.expire(vshard, to);
                }
            }
        }
    }

    /// Groups that appeared or went since the last call. Take them before the closings.
    pub fn take_news(&mut self) -> Vec<GroupNews> {
        std::mem::take(&mut self.news)
    }

    /// Partials of the windows that closed since the last call.
    pub fn take_closings(&mut self) -> Closings {
        std::mem::take(&mut self.closings)
    }

    /// The configuration in force.
    pub fn config(&self) -> &Arc<Decisions> {
        &self.config
    }

    /// A series' labels, in the order of names.
    pub fn labels(&self, vshard: VShard, series: u32) -> impl Iterator<Item = Label<'_>> + Clone {
        let shard = self.vshards[usize::from(vshard.0)].as_deref();
        let pairs = shard.map(|s| s.pairs(&s.series[series as usize])).unwrap_or_default();
        pairs.map(|id| self.pairs.get(PairId(id)))
    }

    /// Series by tenant.
    pub fn series_by_tenant(&self) -> &AHashMap<TenantId, u64> {
        &self.series_by_tenant
    }

    /// Series that were born, ever.
    pub fn births(&self) -> u64 {
        self.births
    }

    /// Late samples by rule.
    pub fn late(&self) -> &[LateCounts] {
        &self.late
    }

    /// Bytes of memory: series with their aliases, windows and groups, and interned labels.
    pub fn memory_bytes(&self) -> (usize, usize) {
        let shards: usize = self.vshards.iter().flatten().map(|s| s.memory_bytes()).sum();
        let groups: usize = self.groups.iter().map(Groups::memory_bytes).sum();
        (shards + groups, self.pairs.memory_bytes())
    }

    /// Label pairs that some series or group refers to.
    pub fn label_pairs(&self) -> usize {
        self.pairs.len()
    }

    /// How far the targets have come that have sent anything past `since`, for the frontier's
    /// catching up after a pause.
    pub fn target_progress(&self, since: Timestamp, out: &mut Vec<Progress>) {
        for (shard, vshard) in self.vshards.iter().zip(0..) {
            let targets = shard.iter().flat_map(|shard| &shard.targets);
            let of = |t: &Target| Progress { target: (VShard(vshard), t.key), newest: t.newest };
            out.extend(targets.map(of).filter(|progress| progress.newest > since));
        }
    }

    pub(crate) fn vshard_mut(&mut self, vshard: VShard) -> &mut Vshard {
        let frontier = self.frontiers[usize::from(vshard.0)];
        let fresh = || Box::new(Vshard::new(frontier));
        self.vshards[usize::from(vshard.0)].get_or_insert_with(fresh)
    }

    /// Finds the series of some entries. Their memory is read ahead of every decision on it, for
    /// all entries at once, so that its latency is waited for once and not for each.
    fn look_up(
        &self,
        work: &Work<'_>,
        entries: &[u32],
        next: &mut NextAlias,
        known: &mut [Option<Alias>; AHEAD],
    ) {
        let columns = &work.batch.columns;
        let mut touched = 0;
        for (&number, known) in entries.iter().zip(known) {
            let Some(entry) = columns.entries.get(number as usize) else { continue };
            let Some(shard) = self.vshards[usize::from(entry.vshard.0)].as_deref() else {
                continue;
            };
            let guess = if next.vshard == entry.vshard { next.place } else { 0 };
            let Some((place, alias)) = shard.aliases.get(entry.hash, guess) else { continue };
            *next = NextAlias { vshard: entry.vshard, place: place + 1 };
            touched ^= shard.touch(alias.series);
            // Nothing is freed while a batch is in hand.
            *known = Some(alias).filter(|a| a.series == DROPPED || shard.is_alive(a));
        }
        std::hint::black_box(touched);
    }

    fn handle_entry<'a>(
        &mut self,
        work: &Work<'a>,
        (number, known): (u32, Option<Alias>),
        last: &mut LastMet<'a>,
        outcome: &mut Outcome,
    ) {
        let columns = &work.batch.columns;
        let Some(entry) = columns.entries.get(number as usize) else {
            return;
        };
        let histograms = columns.histograms_of(entry);
        let samples = u64::from(entry.samples_len) + histograms.len() as u64;
        let alias = match known {
            Some(alias) => alias,
            None => match self.meet(work, entry, last) {
                Ok(alias) => alias,
                Err(refusal) => {
                    outcome.counts.add(Class::Refused, samples);
                    outcome.refusals.push((number, refusal, samples as u32));
                    return;
                }
            },
        };
        if alias.series == DROPPED {
            outcome.counts.add(Class::Dropped, samples);
            outcome.histograms_written += histograms.len() as u64;
            return;
        }
        let before = (outcome.passed.len(), outcome.passed_histograms.len());
        self.take_floats(work, entry, alias, outcome);
        if !histograms.is_empty() {
            self.take_histograms(work, (number, entry), alias, outcome);
        }
        let floats = (outcome.passed.len() - before.0) as u32;
        let histograms = (outcome.passed_histograms.len() - before.1) as u32;
        if floats + histograms > 0 {
            let (vshard, series) = (entry.vshard, alias.series);
            outcome.passes.push(Pass { vshard, series, entry: number, floats, histograms });
        }
    }

    fn take_floats(&mut self, work: &Work<'_>, entry: &Entry, alias: Alias, outcome: &mut Outcome) {
        let Self { config, plans, vshards, late, .. } = self;
        let Some(shard) = &mut vshards[usize::from(entry.vshard.0)] else {
            return;
        };
        let plan = plans.get(shard.series[alias.series as usize].plan);
        for place in entry.samples() {
            let at = place as u32;
            if !work.refused.is_empty() && work.refused.binary_search(&at).is_ok() {
                outcome.counts.add(Class::Refused, 1);
                continue;
            }
            let sample = work.batch.columns.sample(place);
            let mut taking = Taking { shard, plan, config, late };
            let (class, pass) = taking.float(alias, sample);
            outcome.counts.add(class, 1);
            if pass {
                outcome.passed.push(at);
            }
        }
    }

    fn take_histograms(
        &mut self,
        work: &Work<'_>,
        (number, entry): (u32, &Entry),
        alias: Alias,
        outcome: &mut Outcome,
    ) {
        let columns = &work.batch.columns;
        let Some(first) = columns.extra(entry).map(|e| e.histograms.start) else {
            return;
        };
        let Self { config, plans, vshards, late, .. } = self;
        let Some(shard) = &mut vshards[usize::from(entry.vshard.0)] else {
            return;
        };
        let plan = plans.get(shard.series[alias.series as usize].plan);
        for (offset, histogram) in columns.histograms_of(entry).iter().enumerate() {
            let place = columns.timestamps.len() as u32 + first + offset as u32;
            if work.refused.binary_search(&place).is_ok() {
                outcome.counts.add(Class::Refused, 1);
                continue;
            }
            if let Err(wrong) = histogram.validate() {
                outcome.counts.add(Class::Refused, 1);
                outcome.refusals.push((number, Refusal::Histogram(wrong.to_string()), 1));
                continue;
            }
            let mut taking = Taking { shard, plan, config, late };
            let (class, pass) = taking.histogram(alias, histogram);
            outcome.counts.add(class, 1);
            outcome.histograms_written += 1;
            if pass {
                outcome.passed_histograms.push(first + offset as u32);
            }
        }
    }
}

/// Where the alias of the next entry is looked for first.
#[derive(Default)]
struct NextAlias {
    vshard: VShard,
    place: usize,
}

/// Before the first FRONTIER record nothing is late.
pub(crate) const FRONTIER_BEGIN: Timestamp = Timestamp::MIN / 2;

/// Entries that are looked up together.
const AHEAD: usize = 32;

/// How often virtual shards look for series to forget.
const EXPIRY_EVERY_MS: i64 = 60_000;
