//! A label block that is not known yet: the slow path, and the end of a series.
//!
//! Parse, validate, sort, strip the replica label, relabel, look up by canonical labels, and only
//! then make a new series: match rules, find groups, record the alias. Invariant: each label pair,
//! cell and group is referred to once by each series, and released when the series is forgotten.

use std::sync::Arc;

use weir_model::labels::{METRIC_NAME, normalize, value_of};
use weir_model::symbols::PairId;
use weir_model::{Entry, Label, Labels, LabelsBuilder, LabelsError, TenantId, Timestamp, VShard};
use xxhash_rust::xxh3::xxh3_64;

use crate::alias::{Alias, DROPPED};
use crate::bind::Bound;
use crate::decisions::{HaLabels, SeriesLimits};
use crate::met::{Forms, LastMet};
use crate::shard::{Shard, Work};
use crate::vshard::{NO_TARGET, Series, Vshard};

/// Why a series (or a histogram) is refused.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// Labels that are no label set.
    #[error("{0}")]
    Labels(#[from] LabelsError),
    /// No metric name.
    #[error("series {0} has no __name__")]
    NoMetricName(String),
    /// More labels than allowed.
    #[error("series {series} has {count} labels, at most {max} are allowed")]
    TooManyLabels {
        /// The series' metric name.
        series: String,
        /// Its labels.
        count: usize,
        /// The limit.
        max: usize,
    },
    /// A label name or value that is too long.
    #[error("label {label} of series {series} has {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// The series' metric name.
        series: String,
        /// The label's name, shortened.
        label: String,
        /// Length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The tenant is at its limit of series.
    #[error("series {0} is new, and the tenant is at its limit of active series")]
    NoNewSeries(String),
    /// A native histogram that contradicts itself.
    #[error("native histogram: {0}")]
    Histogram(String),
    /// Too many different sets of rules match.
    #[error("series {0} matches a set of rules beyond the 65,536 that can be told apart")]
    TooManyPlans(String),
}

impl Refusal {
    /// The value of the `reason` label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Labels(LabelsError::Duplicate(_)) => "duplicate_label",
            Self::Labels(LabelsError::EmptyName) => "empty_label_name",
            Self::Labels(LabelsError::NotUtf8) => "not_utf8",
            Self::Labels(LabelsError::Malformed) => "malformed_labels",
            Self::NoMetricName(_) => "no_metric_name",
            Self::TooManyLabels { .. } => "too_many_labels",
            Self::TooLong { .. } => "label_too_long",
            Self::NoNewSeries(_) => "series_limit",
            Self::Histogram(_) => "invalid_histogram",
            Self::TooManyPlans(_) => "too_many_rule_sets",
        }
    }
}

impl Shard {
    /// Meets a label block for the first time (or again, after its series was forgotten). `last`
    /// is the one that was met before it in this batch.
    pub(crate) fn meet<'a>(
        &mut self,
        work: &Work<'a>,
        entry: &Entry,
        last: &mut LastMet<'a>,
    ) -> Result<Alias, Refusal> {
        let config = Arc::clone(&self.config);
        let source = &*work.batch.source;
        if !last.follow(source, entry.block, &config) {
            return self.meet_anew(work, entry, last);
        }
        let pairs = self.intern_changed(last);
        let LastMet { block, labels, target, forms, .. } = last;
        let target = *target.get_or_insert_with(|| self.target_key(work.tenant, labels, ""));
        let series = self.find_or_add(work, entry.vshard, (labels, pairs), target, forms)?;
        *block = Some(entry.block);
        Ok(self.alias(entry, series, 0))
    }

    /// Meets a label block that has to be read whole.
    fn meet_anew<'a>(
        &mut self,
        work: &Work<'a>,
        entry: &Entry,
        last: &mut LastMet<'a>,
    ) -> Result<Alias, Refusal> {
        let config = Arc::clone(&self.config);
        let LastMet { block, labels, target, forms, .. } = last;
        (*block, *target) = (None, None);
        forms.clear();
        labels.clear();
        work.batch.source.labels(entry.block, labels)?;
        let (sent, in_order) = (labels.len(), labels.is_sorted_by(|a, b| a.name < b.name));
        normalize(labels)?;
        check(labels, &config.limits)?;
        let (replica, cluster) = take_replica(labels, &config.ha);
        let replica = replica.map_or(0, |name| self.replica_number(name));
        let key = self.target_key(work.tenant, labels, cluster);
        if let Some(relabel) = &config.relabel {
            let mut builder = LabelsBuilder::from_labels(labels.iter().copied());
            if !relabel.apply(&mut builder) || builder.is_empty() {
                let alias = Alias { series: DROPPED, generation: 0, replica };
                self.record(entry, alias);
                return Ok(alias);
            }
            let labels: Vec<Label<'_>> = builder.iter().collect();
            let name = value_of(&labels, METRIC_NAME);
            check_count(name, labels.len(), usize::from(u8::MAX))?;
            let pairs = self.intern(&labels);
            let series = self.find_or_add(work, entry.vshard, (&labels, pairs), key, forms)?;
            return Ok(self.alias(entry, series, replica));
        }
        let pairs = self.intern(labels);
        let series = self.find_or_add(work, entry.vshard, (labels, pairs), key, forms)?;
        if in_order && labels.len() == sent {
            (*block, *target) = (Some(entry.block), Some(key));
        }
        Ok(self.alias(entry, series, replica))
    }

    /// Records what an entry's block stands for.
    fn alias(&mut self, entry: &Entry, series: u32, replica: u16) -> Alias {
        let generation = self.vshard_mut(entry.vshard).series[series as usize].generation;
        let alias = Alias { series, generation, replica };
        self.record(entry, alias);
        alias
    }

    fn record(&mut self, entry: &Entry, alias: Alias) {
        let shard = self.vshard_mut(entry.vshard);
        let mut aliases = std::mem::take(&mut shard.aliases);
        aliases.insert(entry.hash, alias, |a| a.series == DROPPED || shard.is_alive(a));
        shard.aliases = aliases;
    }

    /// The series of these labels and pairs, which have been interned for it.
    fn find_or_add(
        &mut self,
        work: &Work<'_>,
        vshard: VShard,
        (labels, pairs): (&[Label<'_>], Vec<u32>),
        target: Option<u64>,
        forms: &mut Forms,
    ) -> Result<u32, Refusal> {
        let tenant = work.batch.tenant;
        let shard = self.vshards[usize::from(vshard.0)].as_deref();
        let known = shard.and_then(|s| s.find(tenant, &pairs, |plan| self.plans.get(plan).tenant));
        let name = || Labels::from_sorted(labels).to_string();
        let found = match known {
            Some(series) => Ok(series),
            None if work.no_new_series => Err(Refusal::NoNewSeries(name())),
            None => self
                .add_series((work.tenant, tenant), vshard, (labels, &pairs), target, forms)
                .ok_or_else(|| Refusal::TooManyPlans(name())),
        };
        if known.is_none() && found.is_ok() {
            self.births += 1;
        } else {
            self.release_pairs(&pairs);
        }
        self.last_pairs = pairs;
        found
    }

    /// The pairs of a series' labels, each referred to once more. Series come in runs that have
    /// most labels in common, so each is first compared with the last series' in its place. Give
    /// the answer back as `last_pairs`.
    pub(crate) fn intern(&mut self, labels: &[Label<'_>]) -> Vec<u32> {
        let mut pairs = std::mem::take(&mut self.last_pairs);
        pairs.resize(labels.len(), u32::MAX);
        for (label, pair) in labels.iter().zip(&mut pairs) {
            *pair = self.pairs.intern_near(label.name, label.value, PairId(*pair)).0;
        }
        pairs
    }

    /// As [`Shard::intern`], where most labels are known to be the last series'.
    fn intern_changed(&mut self, last: &LastMet<'_>) -> Vec<u32> {
        let mut pairs = std::mem::take(&mut self.last_pairs);
        let mut changed = last.changed.iter().peekable();
        for (place, (label, pair)) in last.labels.iter().zip(&mut pairs).enumerate() {
            if changed.next_if(|(at, _)| *at == place).is_some() {
                *pair = self.pairs.intern(label.name, label.value).0;
            } else {
                self.pairs.acquire(PairId(*pair));
            }
        }
        pairs
    }

    /// Adds a series whose pairs have been interned for it; also how snapshots come back. `None`
    /// if too many different sets of rules match.
    pub(crate) fn add_series(
        &mut self,
        (tenant_name, tenant): (&str, TenantId),
        vshard: VShard,
        (labels, pairs): (&[Label<'_>], &[u32]),
        target: Option<u64>,
        forms: &mut Forms,
    ) -> Option<u32> {
        let bound = self.matching(tenant_name, labels, pairs, forms);
        let plan = self.plans.number(tenant, &bound.rules, &self.config);
        let added = plan.and_then(|plan| {
            self.vshard_mut(vshard);
            let mut shard = self.vshards[usize::from(vshard.0)].take()?;
            let target = target.map_or(NO_TARGET, |key| shard.target(key));
            let cells = self.cells_for(&mut shard, tenant, &bound);
            let series = Series { plan, cells, target, ..Series::default() };
            let at = shard.add(tenant, pairs, series, |plan| self.plans.get(plan).tenant);
            self.vshards[usize::from(vshard.0)] = Some(shard);
            *self.series_by_tenant.entry(tenant).or_default() += 1;
            Some(at)
        });
        self.settle(bound);
        added
    }

    /// What a series keeps of its cells, each referred to once more.
    fn cells_for(&mut self, shard: &mut Vshard, tenant: TenantId, bound: &Bound) -> u32 {
        let mut groups = bound.groups();
        match (groups.next(), bound.rules.len()) {
            (Some((rule, pairs)), 1) => self.refer(shard, tenant, rule, pairs),
            (first, _) => {
                let all = first.into_iter().chain(groups);
                let refer = |(rule, pairs)| self.refer(shard, tenant, rule, pairs);
                let cells: Vec<u32> = all.map(refer).collect();
                shard.cell_list(&cells)
            }
        }
    }

    /// The identity of a series' target: tenant, the pair's cluster, and the shard key's values. An
    /// HA series without a target is judged with all others of its cluster; any other has none.
    fn target_key(&mut self, tenant: &str, sorted: &[Label<'_>], cluster: &str) -> Option<u64> {
        let Self { target_bytes: bytes, config, .. } = self;
        bytes.clear();
        let mut write = |text: &str| {
            bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
            bytes.extend_from_slice(text.as_bytes());
        };
        write(tenant);
        write(cluster);
        let begin = 16 + tenant.len() + cluster.len();
        for name in &config.shard_key.labels {
            match sorted.iter().find(|l| l.name == name) {
                Some(label) => write(label.value),
                None if cluster.is_empty() => return None,
                None => {
                    bytes.truncate(begin);
                    break;
                }
            }
        }
        // 0 marks a free slot.
        Some(xxh3_64(bytes).max(1))
    }

    /// Forgets series that have been silent for as long as their plan remembers them.
    pub(crate) fn expire(&mut self, vshard: VShard, frontier: Timestamp) {
        let plans = &self.plans;
        let Some(shard) = self.vshards[usize::from(vshard.0)].as_deref() else {
            return;
        };
        let newest = |at: u32| {
            let histogram = shard.histograms.get(&at).map(|h| h.newest());
            shard.series[at as usize].recent.newest().max(histogram)
        };
        let is_silent = |&at: &u32| {
            let before = frontier - plans.get(shard.series[at as usize].plan).memory_ms;
            newest(at).is_none_or(|t| t <= before)
        };
        let silent: Vec<u32> = shard.live_series().filter(is_silent).collect();
        for at in silent {
            self.forget(vshard, at);
        }
        let before = frontier - self.config.counter_memory.0;
        let shard = self.vshard_mut(vshard);
        shard.forget_targets(before);
        if shard.is_empty() {
            self.vshards[usize::from(vshard.0)] = None;
        }
    }

    pub(crate) fn forget(&mut self, vshard: VShard, at: u32) {
        let Some(mut shard) = self.vshards[usize::from(vshard.0)].take() else {
            return;
        };
        let series = shard.series[at as usize];
        let plan = self.plans.get(series.plan);
        let (tenant, rules) = (plan.tenant, plan.rules.clone());
        let cells = match rules.len() {
            0 => Vec::new(),
            1 => vec![series.cells],
            len => shard.cell_lists.get(series.cells, len).to_vec(),
        };
        if rules.len() > 1 {
            shard.cell_lists.free(series.cells, rules.len());
        }
        for (&rule, cell) in rules.iter().zip(cells) {
            shard.bindings.remove(&(at, rule));
            self.release_cell(&mut shard, rule, cell);
        }
        self.drop_series(&mut shard, at, tenant);
        self.vshards[usize::from(vshard.0)] = Some(shard);
    }

    /// Takes out a series whose cells have been released.
    pub(crate) fn drop_series(&mut self, shard: &mut Vshard, at: u32, tenant: TenantId) {
        let Some((_, pairs)) = shard.remove(at, tenant) else {
            return;
        };
        self.release_pairs(&pairs);
        if let Some(count) = self.series_by_tenant.get_mut(&tenant) {
            *count -= 1;
        }
    }

    /// A replica's number, from 1; past 65,534 names they share the last.
    pub(crate) fn replica_number(&mut self, name: &str) -> u16 {
        if let Some(&number) = self.replica_numbers.get(name) {
            return number;
        }
        if self.replicas.len() < usize::from(u16::MAX) - 1 {
            self.replicas.push(name.to_owned());
        }
        let number = self.replicas.len() as u16;
        if self.replicas.last().is_some_and(|last| last == name) {
            self.replica_numbers.insert(name.to_owned(), number);
        }
        number
    }
}

fn check(labels: &[Label<'_>], limits: &SeriesLimits) -> Result<(), Refusal> {
    let name = labels.iter().find(|l| l.name == METRIC_NAME).map(|l| l.value);
    let Some(name) = name else {
        return Err(Refusal::NoMetricName(Labels::from_sorted(labels).to_string()));
    };
    check_count(name, labels.len(), limits.labels.min(usize::from(u8::MAX)))?;
    for label in labels {
        for (bytes, max) in
            [(label.name.len(), limits.name_bytes), (label.value.len(), limits.value_bytes)]
        {
            if bytes > max {
                let (series, label) = (shorten(name), shorten(label.name));
                return Err(Refusal::TooLong { series, label, bytes, max });
            }
        }
    }
    Ok(())
}

fn check_count(name: &str, count: usize, max: usize) -> Result<(), Refusal> {
    let refusal = || Refusal::TooManyLabels { series: shorten(name), count, max };
    if count > max { Err(refusal()) } else { Ok(()) }
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Takes the replica label out of an HA series; without both labels it is none.
fn take_replica<'a>(labels: &mut Vec<Label<'a>>, ha: &HaLabels) -> (Option<&'a str>, &'a str) {
    let value = |name: &str| labels.iter().find(|l| l.name == name).map(|l| l.value);
    match (value(&ha.cluster), value(&ha.replica)) {
        (Some(cluster), Some(replica)) => {
            labels.retain(|l| l.name != ha.replica);
            (Some(replica), cluster)
        }
        _ => (None, ""),
    }
}
