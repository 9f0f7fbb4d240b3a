//! Arrivals become series: the replica label goes, repeats and the other replica's samples go, what
//! came too late is told from what did not.
//!
//! Invariant: a series' samples are kept by timestamp, each once, whatever the order of arrival;
//! only lateness, births and the choice between replicas look at the order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::doubts::Reached;
use super::replicas::Pair;
use super::timeline::{Member, Raw, member};
use super::{Arrival, Rule, Said, Settings, World};
use crate::samples::{Labels, Sample, is_stale};

/// What has arrived, by series.
pub(super) struct Intake<'a> {
    rules: &'a [Rule],
    settings: &'a Settings,
    world: World,
    series: BTreeMap<Arc<Labels>, Series>,
    targets: BTreeMap<Vec<String>, Target>,
    passed: Said,
    unsure: bool,
}

#[derive(Default)]
struct Series {
    rules: Vec<usize>,
    carries: bool,
    passes: bool,
    target: Option<Vec<String>>,
    replica: Option<String>,
    raw: BTreeMap<i64, Raw>,
}

#[derive(Default)]
struct Target {
    scrapes: BTreeSet<i64>,
    pair: Pair,
}

impl<'a> Intake<'a> {
    pub(super) fn new(rules: &'a [Rule], settings: &'a Settings, world: World) -> Self {
        let (series, targets) = (BTreeMap::new(), BTreeMap::new());
        Self { rules, settings, world, series, targets, passed: Said::default(), unsure: false }
    }

    /// Whether some sample may have been late or not.
    pub(super) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// What has passed through raw.
    pub(super) fn passed(&self) -> Said {
        self.passed.clone()
    }

    /// The series with what each sample brings.
    pub(super) fn members(&self) -> Vec<Member> {
        let each = self.series.iter().map(|(labels, series)| {
            let rules = series.rules.iter().map(|&number| &self.rules[number]);
            let silence = rules.map(|r| r.staleness_ms.max(r.interval_ms)).max().unwrap_or(0);
            let memory = silence.max(self.settings.counter_memory_ms);
            // It is forgotten when the frontier next passes a minute.
            let slack = self.settings.grace_ms + 61_000;
            let numbers = series.rules.clone();
            member(Arc::clone(labels), numbers, &series.raw, (memory, slack), self.world)
        });
        each.collect()
    }

    /// The series that these samples reach, all of their targets' among them, each from the first of them
    /// on.
    pub(super) fn reached(&self, samples: &[Sample]) -> Vec<Reached> {
        let (mut series, mut targets) = (BTreeMap::new(), BTreeMap::new());
        let keep = |from: &mut i64, at: i64| *from = at.min(*from);
        for sample in samples {
            let (labels, _) = self.without_replica(&sample.labels);
            let Some((labels, known)) = self.series.get_key_value(&labels) else { continue };
            let at = sample.timestamp;
            keep(series.entry(labels).or_insert(at), at);
            if let Some(target) = &known.target {
                keep(targets.entry(target).or_insert(at), at);
            }
        }
        let reached = |(labels, known): (&Arc<Labels>, &Series)| {
            let of_target = known.target.as_ref().and_then(|target| targets.get(target));
            let from = series.get(labels).into_iter().chain(of_target).min();
            let (rules, passes) = (known.rules.clone(), known.passes);
            from.map(|&from| Reached { labels: Arc::clone(labels), rules, passes, from })
        };
        self.series.iter().filter_map(reached).collect()
    }

    pub(super) fn take(&mut self, arrival: &Arrival) {
        let sample = &arrival.sample;
        let (labels, replica) = self.without_replica(&sample.labels);
        self.meet(&labels, replica.is_some());
        let Some(series) = self.series.get_mut(&labels) else { return };
        let marker = is_stale(sample.value);
        let histogram = sample.histogram.clone();
        let mut raw = Raw { value: sample.value, start: sample.start, histogram, ..Raw::default() };
        if let Some(key) = &series.target {
            let target = self.targets.entry(key.clone()).or_default();
            if let Some(replica) = replica {
                let elects = self.settings.elects;
                if !target.pair.takes(&replica, sample.timestamp, marker, elects) {
                    return;
                }
                raw.switched = series.replica.as_ref().is_some_and(|before| *before != replica);
                series.replica = Some(replica);
            }
            target.scrapes.insert(sample.timestamp);
            raw.born = target.saw_birth(sample.timestamp, sample.start);
            raw.observed = target.watched(sample.timestamp);
        }
        if series.raw.contains_key(&sample.timestamp) {
            return;
        }
        if series.passes {
            self.passed.add(&labels, sample);
        }
        if !series.rules.is_empty() {
            self.unsure |= arrival.behind < sample.timestamp && sample.timestamp <= arrival.before;
            let frontier = if self.world == World::Early { arrival.behind } else { arrival.before };
            if sample.timestamp <= frontier {
                // The increase of what is not newer than the base is the next one's.
                let base = series.raw.range(..=frontier).next_back().map(|(&t, _)| t);
                let newer = base.is_none_or(|t| sample.timestamp > t);
                if !newer || !(marker || series.carries) {
                    return;
                }
                raw.late = Some(frontier);
            }
        }
        series.raw.insert(sample.timestamp, raw);
    }

    fn without_replica(&self, labels: &Arc<Labels>) -> (Arc<Labels>, Option<String>) {
        let Settings { cluster_label, replica_label, .. } = self.settings;
        match labels.get(replica_label) {
            Some(replica) if labels.contains_key(cluster_label) => {
                let mut rest = (**labels).clone();
                rest.remove(replica_label);
                (Arc::new(rest), Some(replica.clone()))
            }
            _ => (Arc::clone(labels), None),
        }
    }

    fn meet(&mut self, labels: &Arc<Labels>, replicated: bool) {
        if self.series.contains_key(labels) {
            return;
        }
        let Settings { tenant, cluster_label, target_labels, .. } = self.settings;
        let taking = |(_, rule): &(usize, &Rule)| rule.takes(tenant, labels);
        let rules: Vec<(usize, &Rule)> = self.rules.iter().enumerate().filter(taking).collect();
        let mut target = Vec::new();
        if replicated {
            target.push(labels.get(cluster_label).cloned().unwrap_or_default());
        } else {
            target.push(String::new());
        }
        let values: Option<Vec<String>> =
            target_labels.iter().map(|label| labels.get(label).cloned()).collect();
        let target = match values {
            Some(values) => Some([target, values].concat()),
            None => replicated.then_some(target),
        };
        let series = Series {
            passes: rules.is_empty() || rules.iter().any(|(_, rule)| rule.keep_input),
            carries: rules.iter().any(|(_, rule)| rule.carries()),
            rules: rules.into_iter().map(|(number, _)| number).collect(),
            target,
            ..Series::default()
        };
        self.series.insert(Arc::clone(labels), series);
    }
}

impl Target {
    /// Whether a series that began at `start` was not there yet at the scrape before.
    fn saw_birth(&self, at: i64, start: i64) -> bool {
        let before = self.scrapes.range(..at).next_back();
        start != 0 && start <= at && before.is_some_and(|&before| start > before)
    }

    /// Whether the last two scrapes were seen, and none is missing since.
    fn watched(&self, at: i64) -> bool {
        let mut before = self.scrapes.range(..at).rev();
        let (Some(last), Some(earlier)) = (before.next(), before.next()) else {
            return false;
        };
        2 * (at - last) < 3 * (last - earlier)
    }
}
