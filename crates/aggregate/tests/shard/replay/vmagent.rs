//! What vmagent 1.150 makes of the recorded input, by its documented meaning of each output, with
//! each of its peculiarities as a switch. With all of them it must say what was recorded; with
//! none, what Weir says. What lies between explains every difference.

use std::collections::{BTreeMap, BTreeSet};

use super::Values;

/// A peculiarity of vmagent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Peculiarity {
    /// A repeat (same series, same timestamp) counts again.
    Repeats = 1,
    /// A series' first sample counts in full in `total` and `increase`.
    Births = 2,
    /// A counter that pauses for a window is forgotten: it comes back as a new one.
    Pauses = 4,
    /// A series without samples in a window is not there (`count_series`), and a group without
    /// samples says nothing. Weir goes by liveness.
    Silence = 8,
    /// Among samples of one timestamp `last` takes the one that came last, Weir the largest.
    Ties = 16,
    /// A new counter's first value has no 0 before it.
    NoZero = 32,
    /// `sum_samples` says 0 once after its last sample.
    ExtraZero = 64,
}

pub(super) const ALL: [Peculiarity; 7] = [
    Peculiarity::Repeats,
    Peculiarity::Births,
    Peculiarity::Pauses,
    Peculiarity::Silence,
    Peculiarity::Ties,
    Peculiarity::NoZero,
    Peculiarity::ExtraZero,
];

/// A recorded sample.
pub(super) struct Recorded {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) t: i64,
    pub(super) value: f64,
}

struct Rule {
    metric: &'static str,
    interval: i64,
    keep: Option<&'static [&'static str]>,
    suffix: &'static str,
    dedup: Option<i64>,
    outputs: &'static [&'static str],
}

/// `rules.yml`.
const RULES: [Rule; 6] = [
    Rule {
        metric: "rec_total",
        interval: 10_000,
        keep: Some(&["job", "zone"]),
        suffix: ":10s_without_pod_",
        dedup: None,
        outputs: &[
            "total",
            "total_prometheus",
            "increase",
            "increase_prometheus",
            "rate_sum",
            "rate_avg",
            "sum_samples",
            "sum_samples_total",
            "count_samples",
            "count_series",
            "unique_samples",
            "last",
            "min",
            "max",
            "avg",
            "stddev",
            "stdvar",
            "quantiles",
            "histogram_bucket",
        ],
    },
    Rule {
        metric: "rec_total",
        interval: 10_000,
        keep: Some(&["zone"]),
        suffix: ":10s_by_zone_",
        dedup: None,
        outputs: &["total", "count_samples"],
    },
    Rule {
        metric: "rec_total",
        interval: 20_000,
        keep: None,
        suffix: ":20s_",
        dedup: None,
        outputs: &["last", "count_samples"],
    },
    Rule {
        metric: "rec_gauge",
        interval: 20_000,
        keep: None,
        suffix: ":20s_",
        dedup: None,
        outputs: &["last", "count_samples"],
    },
    Rule {
        metric: "rec_gauge",
        interval: 10_000,
        keep: Some(&["zone"]),
        suffix: "",
        dedup: None,
        outputs: &["sum_samples"],
    },
    Rule {
        metric: "rec_gauge",
        interval: 10_000,
        keep: Some(&["job", "zone"]),
        suffix: ":10s_without_pod_",
        dedup: Some(5000),
        outputs: &["sum_samples", "count_samples"],
    },
];

/// What a group's window holds.
#[derive(Default)]
struct Window {
    /// Series, timestamp and value, in the order of arrival.
    samples: Vec<(usize, i64, f64)>,
    increase: f64,
    increase_prometheus: f64,
    rates: Vec<f64>,
    alive: BTreeSet<usize>,
}

/// All outputs with these peculiarities, up to the window that ends at `until`.
pub(super) fn outputs(input: &[Recorded], mask: u8, until: i64) -> Values {
    let has = |p: Peculiarity| mask & p as u8 != 0;
    let mut known = BTreeSet::new();
    let fresh = |r: &&Recorded| known.insert((r.labels.clone(), r.t)) || has(Peculiarity::Repeats);
    let input: Vec<&Recorded> = input.iter().filter(fresh).collect();
    let mut values = Values::new();
    for rule in &RULES {
        let mut groups: BTreeMap<Vec<(String, String)>, Vec<&Recorded>> = BTreeMap::new();
        for &recorded in input.iter().filter(|r| r.labels["__name__"] == rule.metric) {
            let kept = recorded.labels.iter().filter(|(n, _)| *n != "__name__");
            let kept = kept.filter(|(n, _)| rule.keep.is_none_or(|k| k.contains(&n.as_str())));
            let group = kept.map(|(n, v)| (n.clone(), v.clone())).collect();
            groups.entry(group).or_default().push(recorded);
        }
        for (group, samples) in groups {
            speak(rule, &group, &windows(rule, &samples, mask, until), mask, &mut values);
        }
    }
    values
}

fn align(t: i64, interval: i64) -> i64 {
    (t + interval - 1).div_euclid(interval) * interval
}

fn windows(rule: &Rule, samples: &[&Recorded], mask: u8, until: i64) -> BTreeMap<i64, Window> {
    let has = |p: Peculiarity| mask & p as u8 != 0;
    let mut numbers: BTreeMap<&BTreeMap<String, String>, usize> = BTreeMap::new();
    let mut windows: BTreeMap<i64, Window> = BTreeMap::new();
    // Of each series: last value, timestamp, window; the last timestamp of the window before.
    let mut last: BTreeMap<usize, (f64, i64, i64)> = BTreeMap::new();
    let mut rates: BTreeMap<(i64, usize), (f64, i64, i64)> = BTreeMap::new();
    let mut slots: BTreeMap<(usize, i64), (i64, f64)> = BTreeMap::new();
    for recorded in samples {
        let next = numbers.len();
        let series = *numbers.entry(&recorded.labels).or_insert(next);
        let (t, value, end) = (recorded.t, recorded.value, align(recorded.t, rule.interval));
        let window = windows.entry(end).or_default();
        match rule.dedup {
            Some(dedup) => {
                slots.insert((series, align(t, dedup)), (t, value));
            }
            None => window.samples.push((series, t, value)),
        }
        let forgotten =
            |&(_, _, w): &(f64, i64, i64)| has(Peculiarity::Pauses) && w < end - rule.interval;
        let before = last.get(&series).copied().filter(|l| !forgotten(l));
        let increase = match before {
            Some((v, ..)) if value >= v => value - v,
            Some(_) => value,
            None => 0.0,
        };
        let full = if before.is_none() && has(Peculiarity::Births) { value } else { 0.0 };
        window.increase += increase + full;
        window.increase_prometheus += increase;
        let since = match before {
            Some((_, at, w)) if w < end => at,
            _ => t,
        };
        let rate = rates.entry((end, series)).or_insert((0.0, since, t));
        *rate = (rate.0 + increase, rate.1, t);
        last.insert(series, (value, t, end));
        window.alive.insert(series);
    }
    for ((end, _), (increase, from, to)) in rates {
        if to > from {
            let rate = increase * 1000.0 / (to - from) as f64;
            windows.entry(end).or_default().rates.push(rate);
        }
    }
    for ((series, _), (t, value)) in slots {
        let window = windows.entry(align(t, rule.interval)).or_default();
        window.samples.push((series, t, value));
    }
    if !has(Peculiarity::Silence) {
        // Five minutes are longer than the recording: what was there once is there to its end.
        let mut end = windows.keys().next().copied().unwrap_or(until);
        let mut alive = BTreeSet::new();
        while end <= until {
            let window = windows.entry(end).or_default();
            alive.extend(window.alive.iter().copied());
            window.alive.clone_from(&alive);
            end += rule.interval;
        }
    }
    windows
}

#[derive(Default)]
struct Totals {
    total: f64,
    total_prometheus: f64,
    sum: f64,
    ranges: BTreeMap<&'static str, f64>,
}

impl Totals {
    fn add(&mut self, window: &Window) {
        self.total += window.increase;
        self.total_prometheus += window.increase_prometheus;
        for &(_, _, value) in &window.samples {
            self.sum += value;
            if let Some(range) = weir_model::vmrange::range_of(value) {
                *self.ranges.entry(weir_model::vmrange::label(range)).or_default() += 1.0;
            }
        }
    }
}

fn speak(
    rule: &Rule,
    group: &[(String, String)],
    windows: &BTreeMap<i64, Window>,
    mask: u8,
    values: &mut Values,
) {
    let has = |p: Peculiarity| mask & p as u8 != 0;
    let mut add = |output: &str, more: Option<(&str, String)>, t: i64, value: f64| {
        let name = match rule.suffix {
            "" => rule.metric.to_owned(),
            suffix => format!("{}{suffix}{output}", rule.metric),
        };
        let mut labels = group.to_vec();
        labels.push(("__name__".into(), name));
        labels.extend(more.map(|(n, v)| (n.to_owned(), v)));
        values.insert((super::canonical(&labels), t), value);
    };
    let mut totals = Totals::default();
    let sampled = windows.iter().filter(|(_, w)| !w.samples.is_empty());
    let last_sampled = sampled.map(|(&end, _)| end).max();
    for (at, (&end, window)) in windows.iter().enumerate() {
        totals.add(window);
        for &output in rule.outputs {
            if output == "histogram_bucket" {
                for (range, count) in &totals.ranges {
                    add(output, Some(("vmrange", (*range).to_owned())), end, *count);
                }
            }
            if output == "quantiles" {
                for phi in [0.0, 0.5, 0.9, 1.0] {
                    if let Some(value) = quantile(window, phi) {
                        add(output, Some(("quantile", phi.to_string())), end, value);
                    }
                }
            }
            let Some(value) = value_of(output, window, &totals, mask) else { continue };
            if at == 0 && output.starts_with("total") && !has(Peculiarity::NoZero) {
                add(output, None, end - rule.interval + 1, 0.0);
            }
            add(output, None, end, value);
            // Recorded of the rule with a dedup interval alone: it was the last to be stopped.
            let ends = Some(end) == last_sampled && output == "sum_samples";
            if ends && rule.dedup.is_some() && has(Peculiarity::ExtraZero) {
                add(output, None, end + rule.interval, 0.0);
            }
        }
    }
}

fn value_of(output: &str, window: &Window, totals: &Totals, mask: u8) -> Option<f64> {
    let values: Vec<f64> = window.samples.iter().map(|s| s.2).collect();
    let (count, sum) = (values.len() as f64, values.iter().sum::<f64>());
    let rates: f64 = window.rates.iter().sum();
    let squares = || values.iter().map(|v| (v - sum / count) * (v - sum / count)).sum::<f64>();
    match output {
        "total" => Some(totals.total),
        "total_prometheus" => Some(totals.total_prometheus),
        "sum_samples_total" => Some(totals.sum),
        "count_series" => Some(window.alive.len() as f64),
        "quantiles" | "histogram_bucket" => None,
        _ if values.is_empty() => None,
        "increase" => Some(window.increase),
        "increase_prometheus" => Some(window.increase_prometheus),
        "rate_sum" => (!window.rates.is_empty()).then_some(rates),
        "rate_avg" => (!window.rates.is_empty()).then_some(rates / window.rates.len() as f64),
        "sum_samples" => Some(sum),
        "count_samples" => Some(count),
        "unique_samples" => {
            let distinct: BTreeSet<u64> = values.iter().map(|v| v.to_bits()).collect();
            Some(distinct.len() as f64)
        }
        "last" => last(window, mask & Peculiarity::Ties as u8 != 0),
        "min" => values.iter().copied().reduce(f64::min),
        "max" => values.iter().copied().reduce(f64::max),
        "avg" => Some(sum / count),
        "stddev" => Some((squares() / count).sqrt()),
        "stdvar" => Some(squares() / count),
        _ => panic!("{output}"),
    }
}

fn last(window: &Window, last_to_come: bool) -> Option<f64> {
    let newest = window.samples.iter().map(|s| s.1).max()?;
    let mut values = window.samples.iter().filter(|s| s.1 == newest).map(|s| s.2);
    if last_to_come { values.next_back() } else { values.reduce(f64::max) }
}

/// With the rank of valyala/histogram, vmagent's estimator.
fn quantile(window: &Window, phi: f64) -> Option<f64> {
    let mut sorted: Vec<f64> = window.samples.iter().map(|s| s.2).collect();
    sorted.sort_by(f64::total_cmp);
    let rank = (phi * (sorted.len() as f64 - 1.0) + 0.5) as usize;
    sorted.get(rank).copied()
}
