//! What must come out: every output of every window, computed anew from the samples that were sent
//! and acknowledged.
//!
//! Deliberately naive and deliberately apart: it shares no code with the gateway, looks at whole
//! histories instead of streams, and knows nothing of arrival, restarts or shards. The rules of the
//! game are the documentation's: a sample belongs to the window with start < timestamp ≤ end; an
//! increase to the window of its later sample; a first sample is a baseline; a stale marker or
//! `staleness` without samples ends liveness; a group's first total is preceded by a 0.
//!
//! It does not know start timestamps, native histograms, HA pairs or samples that came too late;
//! tests that use those say themselves what they expect.

mod compare;
mod window;

use std::collections::{BTreeMap, BTreeSet};

use crate::samples::{History, Labels, name};

pub use compare::{Differences, compare, compare_values};
use window::Window;

/// A rule as the oracle sees it.
#[derive(Clone)]
pub struct Rule {
    /// The metrics that it takes.
    pub metrics: Vec<&'static str>,
    /// As it stands in the rule file, for names.
    pub interval: String,
    /// The same in milliseconds.
    pub interval_ms: i64,
    /// `staleness_interval`.
    pub staleness_ms: i64,
    /// `by` or `without`.
    pub grouping: Grouping,
    /// `outputs`, as in the file.
    pub outputs: Vec<&'static str>,
}

/// Which labels stay.
#[derive(Clone, Debug)]
pub enum Grouping {
    /// These and the name (sorted).
    By(Vec<&'static str>),
    /// All but these (sorted).
    Without(Vec<&'static str>),
}

/// What a sample of an output must be.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Expected {
    /// This, but for rounding.
    Value(f64),
    /// Something from here to there: sketches have an error.
    Between(f64, f64),
    /// A stale marker.
    Marker,
}

/// Output samples by series and timestamp.
pub type Outputs = BTreeMap<Labels, BTreeMap<i64, Expected>>;

impl Rule {
    /// Everything that the rule must have said by the time `through` (milliseconds) was closed.
    pub fn outputs(&self, history: &History, through: i64) -> Outputs {
        let mut groups: BTreeMap<Labels, Vec<&BTreeMap<i64, f64>>> = BTreeMap::new();
        for (labels, samples) in &history.0 {
            if self.metrics.contains(&name(labels)) {
                groups.entry(self.group(labels)).or_default().push(samples);
            }
        }
        let mut outputs = Outputs::new();
        for (group, members) in groups {
            self.follow(&group, &members, through, &mut outputs);
        }
        outputs
    }

    fn group(&self, labels: &Labels) -> Labels {
        let stays = |name: &str| match &self.grouping {
            Grouping::By(by) => name == "__name__" || by.contains(&name),
            Grouping::Without(without) => !without.contains(&name),
        };
        let kept = labels.iter().filter(|(name, _)| stays(name));
        kept.map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// A group's life, window by window.
    fn follow(
        &self,
        group: &Labels,
        members: &[&BTreeMap<i64, f64>],
        through: i64,
        out: &mut Outputs,
    ) {
        let Some(first) = members.iter().filter_map(|m| m.keys().next()).min() else {
            return;
        };
        let mut running = Running::default();
        let mut speaking: BTreeSet<Labels> = BTreeSet::new();
        let mut end = self.window_end(*first);
        while end <= through {
            let window = Window::look(members, end, self.interval_ms, self.staleness_ms);
            running.add(&window);
            let mut said = BTreeSet::new();
            for output in &self.outputs {
                for (extra, expected) in running.says(output, &window) {
                    let labels = self.output_labels(group, output, extra);
                    let series = out.entry(labels.clone()).or_default();
                    let begins = matches!(*output, "total" | "total_prometheus");
                    if begins && !running.started {
                        series.insert(end - self.interval_ms + 1, Expected::Value(0.0));
                    }
                    series.insert(end, expected);
                    said.insert(labels);
                }
            }
            running.started |= !said.is_empty();
            if window.live.is_empty() {
                for labels in speaking.difference(&said) {
                    out.entry(labels.clone()).or_default().insert(end, Expected::Marker);
                }
                speaking.clear();
            }
            speaking.extend(said);
            end += self.interval_ms;
        }
    }

    fn window_end(&self, timestamp: i64) -> i64 {
        (timestamp + self.interval_ms - 1).div_euclid(self.interval_ms) * self.interval_ms
    }

    fn output_labels(&self, group: &Labels, output: &str, extra: Option<(&str, String)>) -> Labels {
        let grouped = match &self.grouping {
            Grouping::By(by) if by.is_empty() => String::new(),
            Grouping::By(by) => format!("_by_{}", by.join("_")),
            Grouping::Without(without) => format!("_without_{}", without.join("_")),
        };
        let output = output.split('(').next().unwrap_or(output);
        let mut labels = group.clone();
        let name = format!("{}:{}{grouped}_{output}", name(group), self.interval);
        labels.insert("__name__".to_owned(), name);
        labels.extend(extra.map(|(label, value)| (label.to_owned(), value)));
        labels
    }
}

/// What goes on from window to window.
#[derive(Default)]
struct Running {
    started: bool,
    total: f64,
    sum: f64,
    ranges: BTreeMap<String, f64>,
}

type Says = Vec<(Option<(&'static str, String)>, Expected)>;

impl Running {
    fn add(&mut self, window: &Window) {
        self.total += window.increase;
        self.sum += window.samples.iter().map(|s| s.1).sum::<f64>();
        for (_, value) in &window.samples {
            if let Some(range) = window::vmrange(*value) {
                *self.ranges.entry(range).or_default() += 1.0;
            }
        }
    }

    fn says(&self, output: &str, window: &Window) -> Says {
        let sampled = !window.samples.is_empty();
        let living = !window.live.is_empty();
        let going = sampled || living;
        if let Some(phis) = output.strip_prefix("quantiles(") {
            return window.quantiles(phis.trim_end_matches(')'));
        }
        if output == "histogram_bucket" {
            let ranges = self.ranges.iter().filter(|_| going);
            let says =
                |(r, &n): (&String, &f64)| (Some(("vmrange", r.clone())), Expected::Value(n));
            return ranges.map(says).collect();
        }
        let live = &window.live;
        let (speaks, value) = match output {
            "total" | "total_prometheus" => (going, self.total),
            "sum_samples_total" => (going, self.sum),
            "increase" | "increase_prometheus" => (sampled, window.increase),
            "rate_sum" => (!window.rates.is_empty(), window.rates.iter().sum()),
            "rate_avg" => (!window.rates.is_empty(), window::mean(&window.rates)),
            "count_series" => (living, live.len() as f64),
            "sum_last" => (living, live.iter().sum()),
            "avg_last" => (living, window::mean(live)),
            "min_last" => (living, live.iter().copied().fold(f64::INFINITY, f64::min)),
            "max_last" => (living, live.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            _ => (sampled, window.over_samples(output)),
        };
        speaks.then_some((None, Expected::Value(value))).into_iter().collect()
    }
}

#[cfg(test)]
mod tests;
