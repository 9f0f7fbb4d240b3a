//! What each output says of a window, and what goes on from window to window.

use std::collections::BTreeMap;

use super::timeline::Grown;
use super::window::{Window, mean, vmrange};
use super::{Expected, ExpectedHistogram};

/// What goes on from window to window.
#[derive(Default)]
pub(super) struct Running {
    /// Whether the group has said anything.
    pub(super) started: bool,
    total: f64,
    total_prometheus: f64,
    sum: f64,
    ranges: BTreeMap<String, f64>,
    histograms: Option<Grown>,
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
        if let Some(grown) = &window.histograms {
            match &mut self.histograms {
                Some(sum) => sum.add(grown),
                none => *none = Some(grown.clone()),
            }
        }
        self.sum += window.samples.iter().map(|s| s.1).sum::<f64>();
        for (_, value) in &window.samples {
            if let Some(range) = vmrange(*value) {
                *self.ranges.entry(range).or_default() += 1.0;
            }
        }
    }

    /// The native histogram that an output says of the window that was added last.
    pub(super) fn says_histogram(
        &self,
        output: &str,
        window: &Window,
    ) -> Option<ExpectedHistogram> {
        let total = self.histograms.as_ref().filter(|_| window.touched || window.living > 0);
        let of_window = window.histograms.as_ref();
        let histogram = match output {
            "native_histogram" if !window.samples.is_empty() => {
                let values = window.samples.iter().map(|s| s.1).collect();
                return Some(ExpectedHistogram::Of(values));
            }
            "total" => &total?.full,
            "total_prometheus" => &total?.prometheus,
            "increase" => &of_window?.full,
            "increase_prometheus" => &of_window?.prometheus,
            _ => return None,
        };
        Some(ExpectedHistogram::Is(histogram.clone()))
    }

    /// What an output says of the window that was added last, where it says floats.
    pub(super) fn says(&self, output: &str, window: &Window) -> Says {
        let living = window.living > 0;
        let has_live = !window.live.is_empty();
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
            "count_series" => (living, window.living as f64),
            "sum_last" => (has_live, live.iter().sum()),
            "avg_last" => (has_live, mean(live)),
            "min_last" => (has_live, live.iter().copied().fold(f64::INFINITY, f64::min)),
            "max_last" => (has_live, live.iter().copied().fold(f64::NEG_INFINITY, f64::max)),
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
