//! An independent twin of the state machine: it keeps every accepted sample and, at the end,
//! computes each window of each rule from all of them. Slow, plain, straight from the design.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{Sample, Timestamp, is_stale};

use crate::harness::{Said, Sent};

/// How a rule groups.
#[derive(Clone, Debug)]
pub(crate) enum Grouped {
    Series,
    By(Vec<&'static str>),
    Without(Vec<&'static str>),
}

/// A rule, for both sides.
#[derive(Clone, Debug)]
pub(crate) struct TwinRule {
    pub(crate) metric: &'static str,
    pub(crate) interval_s: i64,
    pub(crate) staleness_s: Option<i64>,
    pub(crate) dedup_s: Option<i64>,
    pub(crate) by: Grouped,
    pub(crate) outputs: Vec<&'static str>,
    pub(crate) keep_input: bool,
    pub(crate) late_drop: bool,
    pub(crate) observed: bool,
}

impl TwinRule {
    pub(crate) fn yaml(&self) -> String {
        let mut text = format!("- match: '{}'\n  interval: {}s\n", self.metric, self.interval_s);
        let mut add = |line: String| text.push_str(&format!("  {line}\n"));
        match &self.by {
            Grouped::Series => {}
            Grouped::By(labels) => add(format!("by: [{}]", labels.join(", "))),
            Grouped::Without(labels) => add(format!("without: [{}]", labels.join(", "))),
        }
        if let Some(s) = self.staleness_s {
            add(format!("staleness_interval: {s}s"));
        }
        if let Some(s) = self.dedup_s {
            add(format!("dedup_interval: {s}s"));
        }
        let outputs: Vec<String> = self.outputs.iter().map(|o| format!("{o:?}")).collect();
        add(format!("outputs: [{}]", outputs.join(", ")));
        add(format!("keep_input: {}", self.keep_input));
        if self.late_drop {
            add("late: drop".into());
        }
        if self.observed {
            add("births: observed".into());
        }
        text
    }

    fn interval(&self) -> i64 {
        self.interval_s * 1000
    }

    fn matches(&self, labels: &Labels) -> bool {
        labels.get("__name__").is_some_and(|n| n == self.metric)
    }

    fn carries(&self) -> bool {
        let counts = |o: &&str| o.starts_with("total") || o.starts_with("increase");
        !self.late_drop && self.outputs.iter().any(counts)
    }

    fn group(&self, labels: &Labels) -> Labels {
        let keep = |name: &str| match &self.by {
            Grouped::Series => true,
            Grouped::By(by) => name == "__name__" || by.contains(&name),
            Grouped::Without(without) => !without.contains(&name),
        };
        let kept = labels.iter().filter(|(n, _)| keep(n));
        kept.map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    fn output_series(&self, group: &Labels, output: &str) -> String {
        let name = group.get("__name__").cloned().unwrap_or_default();
        let grouping = match &self.by {
            Grouped::Series => String::new(),
            Grouped::By(by) => format!("_by_{}", by.join("_")),
            Grouped::Without(without) => format!("_without_{}", without.join("_")),
        };
        let others = group.iter().filter(|(n, _)| *n != "__name__");
        let others: Vec<String> = others.map(|(n, v)| format!("{n}={v:?}")).collect();
        let interval = self.interval_s;
        format!("{name}:{interval}s{grouping}_{output}{{{}}}", others.join(","))
    }
}

type Labels = BTreeMap<String, String>;

#[derive(Clone, Copy, Debug)]
struct Accepted {
    value: f64,
    start: Timestamp,
    /// The frontier when it came.
    frontier: Timestamp,
    /// It came without an older one: proven by its start timestamp, by observation.
    born: (bool, bool),
}

#[derive(Clone, Debug, Default)]
struct TwinSeries {
    accepted: BTreeMap<Timestamp, Accepted>,
}

/// Samples by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TwinCounts {
    pub(crate) folded: u64,
    pub(crate) marker: u64,
    /// Of series that no rule takes.
    pub(crate) raw_only: u64,
    pub(crate) raw_markers: u64,
    /// A repeat that is remembered no more is late: which of both is not told apart here.
    pub(crate) repeated_or_late: u64,
}

/// The twin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Twin {
    rules: Vec<TwinRule>,
    series: BTreeMap<(String, Labels), TwinSeries>,
    targets: BTreeMap<(String, String, String), Vec<Timestamp>>,
    pub(crate) frontier: Timestamp,
    pub(crate) counts: TwinCounts,
    begun: Timestamp,
}

/// How many samples a series remembers: an older one than all of them has no place.
const REMEMBERED: usize = 4;

impl Twin {
    pub(crate) fn new(rules: Vec<TwinRule>, frontier: Timestamp) -> Self {
        Self { rules, frontier, begun: frontier, ..Self::default() }
    }

    pub(crate) fn advance(&mut self, to: Timestamp) {
        self.frontier = self.frontier.max(to);
    }

    /// Another configuration: of each target only the newest scrape is remembered.
    pub(crate) fn reload(&mut self) {
        for scrapes in self.targets.values_mut() {
            scrapes.drain(..scrapes.len().saturating_sub(1));
        }
    }

    pub(crate) fn send(&mut self, tenant: &str, sent: &[Sent]) {
        for series in sent {
            let labels: Labels = series.labels.iter().cloned().collect();
            for &sample in &series.samples {
                self.take(tenant, &labels, sample);
            }
        }
    }

    fn take(&mut self, tenant: &str, labels: &Labels, sample: Sample) {
        let Sample { timestamp, value, start } = sample;
        let frontier = self.frontier;
        let part = |name: &str| labels.get(name).cloned();
        let mut scrapes = None;
        if let (Some(job), Some(instance)) = (part("job"), part("instance")) {
            let known = self.targets.entry((tenant.into(), job, instance)).or_default();
            if known.last().is_none_or(|&newest| timestamp > newest) {
                known.push(timestamp);
            }
            // A target's last three scrapes are remembered.
            known.drain(..known.len().saturating_sub(3));
            scrapes = Some(known);
        }
        let matching: Vec<&TwinRule> = self.rules.iter().filter(|r| r.matches(labels)).collect();
        let series = self.series.entry((tenant.into(), labels.clone())).or_default();
        if matching.is_empty() {
            self.counts.raw_only += 1;
            self.counts.raw_markers += u64::from(is_stale(value));
            return;
        }
        let newer = series.accepted.range(timestamp + 1..).count();
        let known = series.accepted.contains_key(&timestamp);
        let late = timestamp <= frontier;
        let behind = late && series.accepted.range(timestamp..=frontier).next().is_some();
        let carried = !late || is_stale(value) || matching.iter().any(|r| r.carries());
        if known || newer >= REMEMBERED || behind || !carried {
            self.counts.repeated_or_late += 1;
            return;
        }
        let mut born = (false, false);
        let first = series.accepted.range(..timestamp).next().is_none();
        if let Some(scrapes) = scrapes.filter(|_| first) {
            let before: Vec<i64> = scrapes.iter().copied().filter(|&t| t < timestamp).collect();
            let last = before.last().copied();
            born.0 = start != 0 && last.is_some_and(|t| start > t);
            if let [.., earlier, last] = before[..] {
                born.1 = (timestamp - last) * 2 < (last - earlier) * 3;
            }
        }
        series.accepted.insert(timestamp, Accepted { value, start, frontier, born });
        if is_stale(value) {
            self.counts.marker += 1;
        } else {
            self.counts.folded += 1;
        }
    }

    /// Everything that must have been said by now.
    pub(crate) fn said(&self) -> Said {
        let mut said = Said::new();
        for rule in &self.rules {
            let mut groups: BTreeMap<(String, Labels), Vec<&TwinSeries>> = BTreeMap::new();
            for ((tenant, labels), series) in &self.series {
                if rule.matches(labels) {
                    let group = (tenant.clone(), rule.group(labels));
                    groups.entry(group).or_default().push(series);
                }
            }
            for ((tenant, group), members) in groups {
                let parts: Vec<Parts> = members.iter().map(|s| parts(s, rule)).collect();
                self.speak(rule, &tenant, &group, &members, &parts, &mut said);
            }
        }
        said
    }

    fn speak(
        &self,
        rule: &TwinRule,
        tenant: &str,
        group: &Labels,
        members: &[&TwinSeries],
        parts: &[Parts],
        said: &mut Said,
    ) {
        let interval = rule.interval();
        let (mut running, mut began) = (Running::default(), false);
        let mut speaking: BTreeSet<String> = BTreeSet::new();
        let mut end = self.begun - self.begun.rem_euclid(interval) + interval;
        while end <= self.frontier {
            let of = |p: &Parts| p.windows.get(&end).cloned().unwrap_or_default();
            let windows: Vec<Part> = parts.iter().map(of).collect();
            let alive: Vec<f64> = members.iter().filter_map(|s| live(s, rule, end)).collect();
            running.add(&windows);
            let mut now = BTreeSet::new();
            let outputs = rule.outputs.iter();
            for (&output, name) in outputs.map(|o| (o, rule.output_series(group, o))) {
                let Some(value) = evaluate(output, &windows, &alive, &running) else { continue };
                let series = said.entry((tenant.into(), name.clone())).or_default();
                if output.starts_with("total") && !began {
                    series.entry(end - interval + 1).or_default().push(0.0);
                }
                series.entry(end).or_default().push(value);
                now.insert(name);
            }
            began |= !now.is_empty();
            if alive.is_empty() {
                for name in speaking.difference(&now) {
                    let series = said.entry((tenant.into(), name.clone())).or_default();
                    series.entry(end).or_default().push(f64::NAN);
                }
                speaking.clear();
            }
            speaking.extend(now);
            end += interval;
        }
    }
}

/// What a series gives to one window of a rule.
#[derive(Clone, Debug, Default)]
struct Part {
    touched: bool,
    increase: f64,
    increase_prometheus: f64,
    samples: Vec<(Timestamp, f64)>,
    rate: Option<f64>,
}

#[derive(Debug, Default)]
struct Parts {
    windows: BTreeMap<Timestamp, Part>,
}

fn align(t: Timestamp, interval: i64) -> Timestamp {
    t.div_euclid(interval) * interval + if t.rem_euclid(interval) == 0 { 0 } else { interval }
}

fn parts(series: &TwinSeries, rule: &TwinRule) -> Parts {
    let mut parts = Parts::default();
    let interval = rule.interval();
    let mut base: Option<(Timestamp, f64)> = None;
    // Rates reach back to the number before the rule's first, or to that one itself.
    let mut from = None;
    let mut rates: BTreeMap<Timestamp, (f64, Timestamp)> = BTreeMap::new();
    let mut slots: BTreeMap<Timestamp, (Timestamp, f64)> = BTreeMap::new();
    for (&t, accepted) in &series.accepted {
        let Accepted { value, start, frontier, born } = *accepted;
        if value.is_nan() {
            continue;
        }
        let (mut increase, mut full) = (0.0, 0.0);
        let since = base.map_or(t, |(before, _)| before);
        match base {
            None if born.0 || (rule.observed && born.1) => full = value,
            None => {}
            Some((before, last)) => {
                let restarted = start > before;
                increase = if value < last || restarted { value } else { value - last };
            }
        }
        base = Some((t, value));
        let late = t <= frontier;
        if late && !rule.carries() {
            continue;
        }
        let oldest_open = frontier.div_euclid(interval) * interval + interval;
        let end = align(t, interval).max(if late { oldest_open } else { i64::MIN });
        let part = parts.windows.entry(end).or_default();
        part.touched = true;
        part.increase += increase + full;
        part.increase_prometheus += increase;
        from = from.or(Some(since));
        let rate = rates.entry(end).or_insert((0.0, t));
        *rate = (rate.0 + increase, t);
        if !late {
            match rule.dedup_s {
                Some(s) => {
                    slots.insert(align(t, s * 1000), (t, value));
                }
                None => part.samples.push((t, value)),
            }
        }
    }
    for (_, (t, value)) in slots {
        let part = parts.windows.entry(align(t, interval)).or_default();
        part.samples.push((t, value));
    }
    for (end, (increase, last)) in rates {
        if let Some(from) = from.filter(|&f| last > f) {
            let part = parts.windows.entry(end).or_default();
            part.rate = Some(increase * 1000.0 / (last - from) as f64);
        }
        from = Some(last);
    }
    parts
}

/// The latest value at a window's end, if the series is alive there.
fn live(series: &TwinSeries, rule: &TwinRule, end: Timestamp) -> Option<f64> {
    let known = series.accepted.range(..=end).rev();
    let (&t, latest) = known.into_iter().find(|(_, a)| a.frontier < end)?;
    let staleness = rule.staleness_s.unwrap_or(300) * 1000;
    (!is_stale(latest.value) && end - t < staleness).then_some(latest.value)
}

#[derive(Debug, Default)]
struct Running {
    total: f64,
    total_prometheus: f64,
    sum: f64,
}

impl Running {
    fn add(&mut self, windows: &[Part]) {
        for part in windows {
            self.total += part.increase;
            self.total_prometheus += part.increase_prometheus;
            self.sum += part.samples.iter().map(|s| s.1).sum::<f64>();
        }
    }
}

fn evaluate(output: &str, windows: &[Part], alive: &[f64], running: &Running) -> Option<f64> {
    let touched = windows.iter().any(|w| w.touched);
    let going = touched || !alive.is_empty();
    let sum_of = |f: &dyn Fn(&Part) -> f64| windows.iter().map(f).sum::<f64>();
    let samples: Vec<(i64, f64)> = windows.iter().flat_map(|w| w.samples.clone()).collect();
    let values: Vec<f64> = samples.iter().map(|s| s.1).collect();
    let rates: Vec<f64> = windows.iter().filter_map(|w| w.rate).collect();
    let count = values.len() as f64;
    let some = |when: bool, value: f64| when.then_some(value);
    let least = |of: &[f64]| of.iter().copied().fold(f64::NAN, f64::min);
    let greatest = |of: &[f64]| of.iter().copied().fold(f64::NAN, f64::max);
    let sampled = !values.is_empty();
    match output {
        "total" => some(going, running.total),
        "total_prometheus" => some(going, running.total_prometheus),
        "increase" => some(touched, sum_of(&|w| w.increase)),
        "increase_prometheus" => some(touched, sum_of(&|w| w.increase_prometheus)),
        "rate_sum" => some(!rates.is_empty(), rates.iter().sum()),
        "rate_avg" => some(!rates.is_empty(), rates.iter().sum::<f64>() / rates.len() as f64),
        "sum_samples" => some(sampled, values.iter().sum()),
        "sum_samples_total" => some(going, running.sum),
        "count_samples" => some(sampled, count),
        "unique_samples" => {
            let distinct: BTreeSet<u64> = values.iter().map(|v| v.to_bits()).collect();
            some(sampled, distinct.len() as f64)
        }
        "avg" => some(sampled, values.iter().sum::<f64>() / count),
        "min" => some(sampled, least(&values)),
        "max" => some(sampled, greatest(&values)),
        "stddev" => some(sampled, variance(&values).sqrt()),
        "stdvar" => some(sampled, variance(&values)),
        "last" => samples
            .into_iter()
            .max_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal))
            .map(|s| s.1),
        "count_series" => some(!alive.is_empty(), alive.len() as f64),
        "sum_last" => some(!alive.is_empty(), alive.iter().sum()),
        "avg_last" => some(!alive.is_empty(), alive.iter().sum::<f64>() / alive.len() as f64),
        "min_last" => some(!alive.is_empty(), least(alive)),
        "max_last" => some(!alive.is_empty(), greatest(alive)),
        _ => panic!("the twin does not know {output}"),
    }
}

fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / values.len() as f64
}
