//! What each output says of a window, and what goes on from window to window.

use std::collections::BTreeMap;

use super::Expected;
use super::window::{Window, mean, vmrange};

/// What goes on from window to window.
#[derive(Default)]
pub(super) struct Running {
    /// Whether the group has said anything.
    pub(super) started: bool,
    total: f64,
    total_prometheus: f64,
    sum: f64,
    ranges: BTreeMap<String, f64>,
}

/// Values, each with the label that tells it from the output's others.
pub(super) type Says = Vec<(Option<(&'static str, String)>, Expected)>;

/// Up to so many distinct values are counted exactly.
const DISTINCT_EXACT: f64 = 4096.0;

impl Running {
    /// Adds a window.
    pub(super) fn add(&mut self, window: &Window) {
        self.total += window.increase;
        self.total_prometheus += window.increase_prometheus;
        self.sum += window.samples.iter().map(|s| s.1).sum::<f64>();
        for (_, value) in &window.samples {
            if let Some(range) = vmrange(*value) {
                *self.ranges.entry(range).or_default() += 1.0;
            }
        }
    }

    /// What an output says of the window that was added last. Histograms are looked at elsewhere.
    pub(super) fn says(&self, output: &str, window: &Window) -> Says {
        let living = !window.live.is_empty();
        let going = window.touched || living;
        if let Some(phis) = output.strip_prefix("quantiles(") {
            let phis = phis.trim_end_matches(')').split(',').filter_map(|p| p.trim().parse().ok());
            let says =
                |phi: f64| Some((Some(("quantile", phi.to_string())), window.quantile(phi)?));
            return phis.filter_map(says).collect();
        }
        if output == "histogram_bucket" {
            let ranges = self.ranges.iter().filter(|_| going);
            let says =
                |(r, &n): (&String, &f64)| (Some(("vmrange", r.clone())), Expected::Value(n));
            return ranges.map(says).collect();
        }
        let live = &window.live;
        let (speaks, value) = match output {
            "total" => (going, self.total),
            "total_prometheus" => (going, self.total_prometheus),
            "sum_samples_total" => (going, self.sum),
            "increase" => (window.touched, window.increase),
            "increase_prometheus" => (window.touched, window.increase_prometheus),
            "rate_sum" => (!window.rates.is_empty(), window.rates.iter().sum()),
            "rate_avg" => (!window.rates.is_empty(), mean(&window.rates)),
            "count_series" => (living, live.len() as f64),
            "sum_last" => (living, live.iter().sum()),
            "avg_last" => (living, mean(live)),
            "min_last" => (living, live.iter().copied().fold(f64::INFINITY, f64::min)),
            "max_last" => (living, live.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
            _ => match window.over_samples(output) {
                Some(value) => (!window.samples.is_empty(), value),
                None => (false, 0.0),
            },
        };
        let expected = match output {
            // HyperLogLog: five times its standard error of 0.81 %.
            "unique_samples" if value > DISTINCT_EXACT => {
                Expected::Between(value * 0.96, value * 1.04)
            }
            _ => Expected::Value(value),
        };
        speaks.then_some((None, expected)).into_iter().collect()
    }
}
