//! Where output groups live: partials of all workers are merged, totals go on, outputs are made.
//!
//! Partials are set, not added, by whoever sends them; here they meet once for each window. What
//! an output series has said so far (its totals, whether it is alive) is kept here and nowhere
//! else. Invariant: between two windows a group has either nothing pending or all of it.

use std::sync::Arc;

use ahash::AHashMap;
use weir_model::{Labels, LabelsBuilder, NativeHistogram, STALE_NAN, Sample, TenantId, Timestamp};

use crate::accumulator::Complex;
use crate::decisions::{ActiveRule, Decisions};
use crate::group::{GroupKey, GroupNews};
use crate::output::{Closed, Totals, Value, values};
use crate::rule::OutputKind;
use crate::sweep::Closing;

/// The label of the group that takes what is past `max_groups`.
pub const OVERFLOW: &str = "__overflow__";

/// An output series' part of an EMIT.
#[derive(Clone, Debug)]
pub struct Emission {
    /// Whose it is.
    pub tenant: TenantId,
    /// The output series.
    pub labels: Labels,
    /// Its samples, oldest first: the value, before it a 0 where a counter begins.
    pub samples: Vec<Sample>,
    /// Its histogram, where it is one.
    pub histogram: Option<Box<NativeHistogram>>,
    /// Which of the group's outputs this is, for [`Home::adopt`].
    pub source: EmissionSource,
}

/// Where an emission came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmissionSource {
    rule: u16,
    group: u32,
    output: u16,
}

/// An output group at home.
#[derive(Clone, Debug)]
pub struct HomeGroup {
    /// What it is.
    pub key: GroupKey,
    /// Running totals.
    pub totals: Totals,
    /// The start of its first window; 0 before that.
    pub started: Timestamp,
    /// Its series that have said something since their last marker.
    pub speaking: Vec<Labels>,
    /// Numbers of workers that stand for it.
    workers: u32,
}

/// What a rule's windows have come to, for its metrics.
#[derive(Clone, Copy, Debug, Default)]
pub struct RuleCounts {
    /// Samples folded into closed windows.
    pub samples_in: u64,
    /// Output samples, markers included.
    pub samples_out: u64,
    /// Groups that were folded into the overflow.
    pub overflowed: u64,
    /// End of the last window that closed.
    pub last_end: Timestamp,
}

#[derive(Clone, Debug, Default)]
struct HomeRule {
    groups: Vec<Option<HomeGroup>>,
    by_key: AHashMap<GroupKey, u32>,
    free: Vec<u32>,
    counts: RuleCounts,
}

#[derive(Default)]
struct Pending {
    rows: AHashMap<u32, PendingRow>,
}

struct PendingRow {
    alive: bool,
    row: Vec<f64>,
    complex: Complex,
}

/// All output groups of a node.
pub struct Home {
    config: Arc<Decisions>,
    rules: Vec<HomeRule>,
    numbers: AHashMap<(usize, u16, u32), u32>,
    pending: std::collections::BTreeMap<(Timestamp, u16), Pending>,
}

impl Home {
    /// A home without groups.
    pub fn new(config: Arc<Decisions>) -> Self {
        let rules = vec![HomeRule::default(); config.rules.len()];
        Self {
            config,
            rules,
            numbers: AHashMap::new(),
            pending: Default::default(),
        }
    }

    /// Learns what a worker's group numbers stand for.
    pub fn handle_news(&mut self, worker: usize, news: GroupNews) {
        match news {
            GroupNews::Added { rule, group, key } => {
                let max = self.config.rules[usize::from(rule)].rule.max_groups();
                let at = self.rules[usize::from(rule)].admit(key, max);
                self.numbers.insert((worker, rule, group), at);
            }
            GroupNews::Gone { rule, group } => {
                if let Some(at) = self.numbers.remove(&(worker, rule, group)) {
                    self.rules[usize::from(rule)].leave(at);
                }
            }
        }
    }

    /// Takes a worker's partial of a window.
    pub fn handle_closing(&mut self, worker: usize, closing: Closing) {
        let layout = &self.config.rules[usize::from(closing.rule)].layout;
        let pending = self.pending.entry((closing.end, closing.rule)).or_default();
        let mut complex = closing.complex;
        for (at, &group) in closing.groups.iter().enumerate() {
            let Some(&home) = self.numbers.get(&(worker, closing.rule, group)) else {
                continue;
            };
            let entry = pending.rows.entry(home).or_insert_with(|| {
                let mut row = vec![0.0; layout.stride()];
                layout.reset(&mut row);
                PendingRow {
                    alive: false,
                    row,
                    complex: Complex::default(),
                }
            });
            entry.alive |= closing.alive[at];
            let stride = layout.stride();
            layout.merge(
                &mut entry.row,
                &closing.rows[at * stride..(at + 1) * stride],
            );
            if let Some(complex) = complex.remove(&(at as u32)) {
                entry.complex.merge(*complex);
            }
        }
    }

    /// The frontier has passed from `from` to `to` everywhere: every window that ends in between
    /// is complete. What its outputs say, window by window, in the order of their ends.
    pub fn close(&mut self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Vec<Emission>)> {
        let mut closed = Vec::new();
        let ends = self.ends_between(from, to);
        for end in ends {
            let mut emissions = Vec::new();
            for rule in 0..self.rules.len() as u16 {
                if end % self.config.rules[usize::from(rule)].rule.interval().0 == 0 {
                    let pending = self.pending.remove(&(end, rule)).unwrap_or_default();
                    self.close_rule(rule, end, pending, &mut emissions);
                }
            }
            if !emissions.is_empty() {
                closed.push((end, emissions));
            }
        }
        closed
    }

    /// Sets what an emission said to what was durably said before a crash: the same bits go on.
    pub fn adopt(
        &mut self,
        source: EmissionSource,
        said: Option<f64>,
        histogram: Option<&NativeHistogram>,
    ) {
        let rule = usize::from(source.rule);
        let outputs = self.config.rules[rule].rule.outputs();
        let Some(Some(group)) = self.rules[rule].groups.get_mut(source.group as usize) else {
            return;
        };
        let said = said.filter(|v| !v.is_nan());
        match (&outputs[usize::from(source.output)], said) {
            (OutputKind::Total, Some(value)) => group.totals.total = value,
            (OutputKind::TotalPrometheus, Some(value)) => group.totals.total_prometheus = value,
            (OutputKind::SumSamplesTotal, Some(value)) => group.totals.sum = value,
            (OutputKind::Total, None) if histogram.is_some() => {
                group.totals.histogram = histogram.cloned().map(Box::new);
            }
            (OutputKind::TotalPrometheus, None) if histogram.is_some() => {
                group.totals.histogram_prometheus = histogram.cloned().map(Box::new);
            }
            _ => {}
        }
    }

    /// What each rule's windows have come to.
    pub fn counts(&self) -> impl Iterator<Item = (&ActiveRule, RuleCounts, usize)> {
        let rules = self.config.rules.iter().zip(&self.rules);
        rules.map(|(active, rule)| (active, rule.counts, rule.by_key.len()))
    }

    /// Every group, with its rule's place: what a checkpoint keeps.
    pub fn groups(&self) -> impl Iterator<Item = (u16, &HomeGroup)> {
        let each = self.rules.iter().enumerate();
        each.flat_map(|(rule, r)| r.groups.iter().flatten().map(move |g| (rule as u16, g)))
    }

    /// Puts back a group that a checkpoint kept. Workers will refer to it again.
    pub fn restore(&mut self, rule: u16, mut group: HomeGroup) {
        group.workers = 0;
        let home = &mut self.rules[usize::from(rule)];
        let at = home.groups.len() as u32;
        home.by_key.insert(group.key.clone(), at);
        home.groups.push(Some(group));
    }

    /// Goes over to another configuration: rules that mean the same keep their groups. The
    /// workers' news of the new numbers must follow. Returns the last words of the rules that
    /// are gone: a marker for each series that was speaking, at `at`.
    pub fn reconfigure(&mut self, config: Arc<Decisions>, at: Timestamp) -> Vec<Emission> {
        let old = std::mem::replace(&mut self.config, config);
        let mut states: AHashMap<u128, HomeRule> = AHashMap::new();
        for (active, rule) in old.rules.iter().zip(std::mem::take(&mut self.rules)) {
            states.insert(active.rule.identity(), rule);
        }
        self.numbers.clear();
        self.pending.clear();
        for active in &self.config.rules {
            let mut rule = states.remove(&active.rule.identity()).unwrap_or_default();
            rule.groups.iter_mut().flatten().for_each(|g| g.workers = 0);
            self.rules.push(rule);
        }
        let gone = states
            .into_values()
            .flat_map(|rule| rule.groups.into_iter().flatten());
        let mut last_words = Vec::new();
        for group in gone {
            for labels in group.speaking {
                let source = EmissionSource {
                    rule: 0,
                    group: 0,
                    output: 0,
                };
                let samples = vec![Sample::new(at, STALE_NAN)];
                let tenant = group.key.tenant;
                last_words.push(Emission {
                    tenant,
                    labels,
                    samples,
                    histogram: None,
                    source,
                });
            }
        }
        last_words
    }

    fn ends_between(&self, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut ends = std::collections::BTreeSet::new();
        for (active, rule) in self.config.rules.iter().zip(&self.rules) {
            if rule.groups.iter().flatten().any(|g| !g.speaking.is_empty()) {
                let interval = active.rule.interval().0;
                let mut end = crate::window::next_end(from, interval);
                // After a long pause only the first silent window has something to say.
                for _ in 0..2 {
                    if end <= to {
                        ends.insert(end);
                        end += interval;
                    }
                }
            }
        }
        ends.extend(
            self.pending
                .keys()
                .map(|(end, _)| *end)
                .filter(|&end| end <= to),
        );
        ends.into_iter().collect()
    }

    fn close_rule(
        &mut self,
        rule: u16,
        end: Timestamp,
        mut pending: Pending,
        out: &mut Vec<Emission>,
    ) {
        let active = &self.config.rules[usize::from(rule)];
        let home = &mut self.rules[usize::from(rule)];
        home.counts.last_end = end;
        let before = out.len();
        for at in 0..home.groups.len() {
            let Some(group) = &mut home.groups[at] else {
                continue;
            };
            let part = pending.rows.remove(&(at as u32));
            home.counts.samples_in += part.as_ref().map_or(0, |p| p.row[0] as u64);
            if part.is_some() || !group.speaking.is_empty() {
                group.speak(active, (rule, at as u32), end, part, out);
            }
            if group.workers == 0 && group.speaking.is_empty() {
                home.by_key.remove(&group.key);
                home.groups[at] = None;
                home.free.push(at as u32);
            }
        }
        home.counts.samples_out += (out.len() - before) as u64;
    }
}

impl HomeRule {
    /// The home of a group, new if need be; past `max` the overflow's.
    fn admit(&mut self, key: GroupKey, max: u32) -> u32 {
        if let Some(&at) = self.by_key.get(&key) {
            self.join(at);
            return at;
        }
        if self.by_key.len() < max as usize {
            return self.add(key);
        }
        self.counts.overflowed += 1;
        let mut labels = LabelsBuilder::default();
        labels.set(weir_model::labels::METRIC_NAME, key.labels.metric_name());
        labels.set(OVERFLOW, "true");
        let key = GroupKey {
            tenant: key.tenant,
            labels: labels.build(),
        };
        match self.by_key.get(&key).copied() {
            Some(at) => {
                self.join(at);
                at
            }
            None => self.add(key),
        }
    }

    fn add(&mut self, key: GroupKey) -> u32 {
        let group = HomeGroup {
            key: key.clone(),
            totals: Totals::default(),
            started: 0,
            speaking: Vec::new(),
            workers: 1,
        };
        let at = self.free.pop().unwrap_or_else(|| {
            self.groups.push(None);
            self.groups.len() as u32 - 1
        });
        self.groups[at as usize] = Some(group);
        self.by_key.insert(key, at);
        at
    }

    fn join(&mut self, at: u32) {
        if let Some(group) = &mut self.groups[at as usize] {
            group.workers += 1;
        }
    }

    /// A worker has no series of the group any more. The group stays until its marker is out.
    fn leave(&mut self, at: u32) {
        if let Some(group) = &mut self.groups[at as usize] {
            group.workers -= 1;
        }
    }
}

impl HomeGroup {
    /// A group as a checkpoint kept it.
    pub fn restored(
        key: GroupKey,
        totals: Totals,
        started: Timestamp,
        speaking: Vec<Labels>,
    ) -> Self {
        Self {
            key,
            totals,
            started,
            speaking,
            workers: 0,
        }
    }

    /// What the group's outputs say at a window's end: values, and markers for those that end.
    fn speak(
        &mut self,
        active: &ActiveRule,
        (rule, number): (u16, u32),
        end: Timestamp,
        part: Option<PendingRow>,
        out: &mut Vec<Emission>,
    ) {
        let layout = &active.layout;
        let alive = part.as_ref().is_some_and(|p| p.alive);
        let mut said = Vec::new();
        if let Some(part) = &part {
            let complex = Some(&part.complex);
            let closed = Closed {
                layout,
                row: &part.row,
                complex,
                alive,
                end,
            };
            self.totals.add(&closed);
            let start = end - active.rule.interval().0;
            for (at, output) in active.rule.outputs().iter().enumerate() {
                for value in values(output, &closed, &self.totals) {
                    let source = EmissionSource {
                        rule,
                        group: number,
                        output: at as u16,
                    };
                    let emission = self.emission(active, output, value, (start, end), source);
                    said.extend(emission);
                }
            }
            if self.started == 0 && !said.is_empty() {
                self.started = start;
            }
        }
        self.end_the_silent(alive, end, (rule, number), &said, out);
        out.append(&mut said);
    }

    /// Markers for the series that spoke before, do not now, and have nothing alive behind them.
    fn end_the_silent(
        &mut self,
        alive: bool,
        end: Timestamp,
        (rule, group): (u16, u32),
        said: &[Emission],
        out: &mut Vec<Emission>,
    ) {
        if !alive {
            let speaks = |labels: &Labels| said.iter().any(|e| &e.labels == labels);
            for labels in self.speaking.extract_if(.., |l| !speaks(l)) {
                let source = EmissionSource {
                    rule,
                    group,
                    output: 0,
                };
                let samples = vec![Sample::new(end, STALE_NAN)];
                let tenant = self.key.tenant;
                out.push(Emission {
                    tenant,
                    labels,
                    samples,
                    histogram: None,
                    source,
                });
            }
        }
        for emission in said {
            if !self.speaking.contains(&emission.labels) {
                self.speaking.push(emission.labels.clone());
            }
        }
    }

    fn emission(
        &self,
        active: &ActiveRule,
        output: &OutputKind,
        value: Value,
        (start, end): (Timestamp, Timestamp),
        source: EmissionSource,
    ) -> Option<Emission> {
        let rule = &active.rule;
        let mut labels = LabelsBuilder::from_labels(self.key.labels.iter());
        let name = rule.output_name(self.key.labels.metric_name(), output);
        labels.set(weir_model::labels::METRIC_NAME, &name);
        if let Value::Labelled(label, text, _) = &value {
            labels.set(label, text);
        }
        if let Some(relabel) = rule.output_relabel()
            && (!relabel.apply(&mut labels) || labels.is_empty())
        {
            return None;
        }
        let began = if self.started == 0 {
            start
        } else {
            self.started
        };
        let counts_up = matches!(output, OutputKind::Total | OutputKind::TotalPrometheus);
        let stamp = if counts_up { began } else { 0 };
        let mut samples = Vec::new();
        let mut histogram = None;
        match value {
            Value::Float(value) | Value::Labelled(_, _, value) => {
                if counts_up && self.started == 0 {
                    samples.push(Sample {
                        timestamp: start + 1,
                        value: 0.0,
                        start: stamp,
                    });
                }
                samples.push(Sample {
                    timestamp: end,
                    value,
                    start: stamp,
                });
            }
            Value::Histogram(mut value) => {
                value.start = stamp;
                histogram = Some(value);
            }
        }
        let tenant = self.key.tenant;
        Some(Emission {
            tenant,
            labels: labels.build(),
            samples,
            histogram,
            source,
        })
    }
}
