//! One window of one group, looked at afresh.

use std::collections::{BTreeMap, BTreeSet};

use super::timeline::{Grown, Member, Step};
use super::{Expected, Rule};
use crate::samples::is_stale;

/// A group's series with their samples by the end of the window to which they belong.
pub(super) struct Sorted<'a> {
    member: &'a Member,
    by_end: BTreeMap<i64, Vec<&'a Step>>,
}

impl<'a> Sorted<'a> {
    /// Sorts a series' samples into a rule's windows.
    pub(super) fn new(rule: &Rule, member: &'a Member) -> Self {
        let mut by_end: BTreeMap<i64, Vec<&Step>> = BTreeMap::new();
        for step in &member.steps {
            let is_number = !step.value.is_nan() || step.histogram.is_some();
            if is_number && (step.late.is_none() || rule.carries()) {
                by_end.entry(end_of(rule, step)).or_default().push(step);
            }
        }
        Self { member, by_end }
    }

    /// The end of the first window with a sample of any kind.
    pub(super) fn first_end(&self, rule: &Rule) -> Option<i64> {
        self.member.steps.iter().map(|step| end_of(rule, step)).min()
    }

    /// Whether the series is forgotten at a time.
    pub(super) fn is_forgotten(&self, at: i64) -> bool {
        let seen = self.member.steps.partition_point(|step| step.at <= at);
        seen.checked_sub(1)
            .is_none_or(|last| at - self.member.steps[last].at > self.member.memory_ms)
    }

    /// The latest sample at a window's end, if the series is alive there.
    fn live_at(&self, rule: &Rule, end: i64) -> Option<&'a Step> {
        let steps = &self.member.steps;
        let seen = &steps[..steps.partition_point(|step| step.at <= end)];
        let visible = |step: &&Step| step.late.is_none() || end_of(rule, step) <= end;
        let latest = seen.iter().rev().find(visible)?;
        let alive = end - latest.at < rule.staleness_ms && !is_stale(latest.value);
        alive.then_some(latest)
    }
}

/// The end of the window of a sample: its own, or the oldest that was open when it came.
fn end_of(rule: &Rule, step: &Step) -> i64 {
    let own = rule.window_end(step.at);
    step.late.map_or(own, |frontier| own.max(rule.window_end(frontier + 1)))
}

/// What there is to see in a window.
#[derive(Default)]
pub(super) struct Window {
    /// Whether any number belongs to it, late ones too.
    pub(super) touched: bool,
    /// Timestamps and values of the samples that came in time and are numbers.
    pub(super) samples: Vec<(i64, f64)>,
    /// By how much counters grew, births in full.
    pub(super) increase: f64,
    /// The same with first samples never.
    pub(super) increase_prometheus: f64,
    /// Each series' increase a second, where it has one.
    pub(super) rates: Vec<f64>,
    /// How many series are alive at the end.
    pub(super) living: usize,
    /// The latest value of each of them that has values.
    pub(super) live: Vec<f64>,
    /// By how much native histograms grew.
    pub(super) histograms: Option<Grown>,
}

impl Window {
    pub(super) fn look(rule: &Rule, members: &[Sorted<'_>], end: i64) -> Self {
        let mut window = Self::default();
        for member in members {
            if let Some(inside) = member.by_end.get(&end) {
                window.add(rule, inside);
            }
            if let Some(latest) = member.live_at(rule, end) {
                window.living += 1;
                window.live.extend(latest.histogram.is_none().then_some(latest.value));
            }
        }
        window
    }

    /// Adds a series' samples.
    fn add(&mut self, rule: &Rule, inside: &[&Step]) {
        self.touched = true;
        let mut grown = 0.0;
        for grown in inside.iter().filter_map(|step| step.histogram.as_ref()) {
            match &mut self.histograms {
                Some(sum) => sum.add(grown),
                none => *none = Some(grown.clone()),
            }
        }
        let numbers: Vec<&Step> =
            inside.iter().copied().filter(|step| step.histogram.is_none()).collect();
        let inside = &numbers[..];
        for step in inside {
            grown += step.increase;
            if step.born || (step.observed && rule.observes_births) {
                self.increase += step.first.unwrap_or(0.0);
            }
        }
        self.increase += grown;
        self.increase_prometheus += grown;
        // From the last sample before the window; a new series' from its first one inside.
        if let (Some(first), Some(last)) = (inside.first(), inside.last()) {
            let from = first.since.unwrap_or(first.at);
            if last.at > from {
                self.rates.push(grown * 1000.0 / (last.at - from) as f64);
            }
        }
        let in_time = inside.iter().filter(|step| step.late.is_none());
        let samples: Vec<(i64, f64)> = in_time.map(|step| (step.at, step.value)).collect();
        let Some(slot_ms) = rule.dedup_ms else {
            return self.samples.extend(samples);
        };
        let slot = |at: i64| (at + slot_ms - 1).div_euclid(slot_ms);
        let last_of: BTreeMap<i64, (i64, f64)> =
            samples.into_iter().map(|(at, value)| (slot(at), (at, value))).collect();
        self.samples.extend(last_of.into_values());
    }

    /// Outputs over the samples of a window that has some.
    pub(super) fn over_samples(&self, output: &str) -> Option<f64> {
        let values: Vec<f64> = self.samples.iter().map(|s| s.1).collect();
        let variance = || {
            let mean = mean(&values);
            let squares: Vec<f64> = values.iter().map(|v| (v - mean).powi(2)).collect();
            self::mean(&squares)
        };
        Some(match output {
            "sum_samples" => values.iter().sum(),
            "count_samples" => values.len() as f64,
            "unique_samples" => {
                let distinct: BTreeSet<u64> = values.iter().map(|v| v.to_bits()).collect();
                distinct.len() as f64
            }
            "min" => values.iter().copied().fold(f64::INFINITY, f64::min),
            "max" => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            "avg" => mean(&values),
            "stddev" => variance().sqrt(),
            "stdvar" => variance(),
            "last" => {
                let latest =
                    self.samples.iter().max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
                latest.map_or(f64::NAN, |s| s.1)
            }
            _ => return None,
        })
    }

    /// A quantile: within 1 % of the samples around the rank.
    pub(super) fn quantile(&self, phi: f64) -> Option<Expected> {
        let mut values: Vec<f64> = self.samples.iter().map(|s| s.1).collect();
        values.sort_by(f64::total_cmp);
        let rank = phi * (values.len().checked_sub(1)?) as f64;
        let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
        let error = |v: f64| 0.01 * v.abs() + 1e-12;
        Some(Expected::Between(low - error(low), high + error(high)))
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// VictoriaMetrics's range of a value: 18 for each power of ten from 1e-9 to 1e18.
pub(super) fn vmrange(value: f64) -> Option<String> {
    let text = |v: f64| {
        let text = format!("{v:.3e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, digits) = match exponent.strip_prefix('-') {
            Some(digits) => ('-', digits),
            None => ('+', exponent),
        };
        format!("{mantissa}e{sign}{digits:0>2}")
    };
    if value.is_nan() || value < 0.0 {
        return None;
    }
    if value <= 1e-9 {
        return Some("0...1.000e-09".into());
    }
    if value > 1e18 {
        return Some("1.000e+18...+Inf".into());
    }
    let bound = |at: i32| 10f64.powf(f64::from(at) / 18.0 - 9.0);
    let above = (1..=27 * 18).find(|&at| value <= bound(at) * (1.0 + 1e-15))?;
    Some(format!("{}...{}", text(bound(above - 1)), text(bound(above))))
}
