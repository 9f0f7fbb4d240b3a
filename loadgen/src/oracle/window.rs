//! One window of one group, looked at afresh.

use std::collections::{BTreeMap, BTreeSet};

use super::{Expected, Says};
use crate::samples::is_stale;

/// What there is to see in a window.
pub(super) struct Window {
    /// Timestamps and values of its samples that are numbers.
    pub(super) samples: Vec<(i64, f64)>,
    /// By how much counters grew.
    pub(super) increase: f64,
    /// Each series' increase a second, where it has one.
    pub(super) rates: Vec<f64>,
    /// The latest value of each series that is alive at the end.
    pub(super) live: Vec<f64>,
}

impl Window {
    pub(super) fn look(
        members: &[&BTreeMap<i64, f64>],
        end: i64,
        interval: i64,
        staleness: i64,
    ) -> Self {
        let start = end - interval;
        let mut window =
            Self { samples: Vec::new(), increase: 0.0, rates: Vec::new(), live: Vec::new() };
        for series in members {
            let numbers = |(&t, &v): (&i64, &f64)| (!v.is_nan()).then_some((t, v));
            let before = series.range(..=start).rev().find_map(numbers);
            let inside: Vec<(i64, f64)> =
                series.range(start + 1..=end).filter_map(numbers).collect();
            let mut increase = 0.0;
            let mut last = before;
            for &(timestamp, value) in &inside {
                if let Some((_, base)) = last {
                    increase += if value >= base { value - base } else { value };
                }
                last = Some((timestamp, value));
            }
            window.increase += increase;
            // From the last sample before the window; a new series' from its first one inside, as
            // the recording of vmagent 1.150 shows for its first window.
            if let (Some((from, _)), Some((to, _))) =
                (before.or(inside.first().copied()), inside.last())
                && *to > from
            {
                window.rates.push(increase * 1000.0 / (to - from) as f64);
            }
            window.samples.extend(inside);
            if let Some((&timestamp, &value)) = series.range(..=end).next_back()
                && end - timestamp < staleness
                && !is_stale(value)
            {
                window.live.push(value);
            }
        }
        window
    }

    /// Outputs over the samples of a window that has some.
    pub(super) fn over_samples(&self, output: &str) -> f64 {
        let values: Vec<f64> = self.samples.iter().map(|s| s.1).collect();
        let variance = || {
            let mean = mean(&values);
            let squares: Vec<f64> = values.iter().map(|v| (v - mean).powi(2)).collect();
            self::mean(&squares)
        };
        match output {
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
            "last" => self.samples.iter().max_by_key(|s| s.0).map_or(f64::NAN, |s| s.1),
            other => panic!("the oracle does not know the output {other}"),
        }
    }

    /// `quantiles`: within 1 % of the samples around the rank.
    pub(super) fn quantiles(&self, phis: &str) -> Says {
        let mut values: Vec<f64> = self.samples.iter().map(|s| s.1).collect();
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            return Vec::new();
        }
        let says = |phi: &str| {
            let rank = phi.parse::<f64>().expect("a quantile") * (values.len() - 1) as f64;
            let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
            let error = |v: f64| 0.01 * v.abs() + 1e-12;
            let expected = Expected::Between(low - error(low), high + error(high));
            (Some(("quantile", phi.to_owned())), expected)
        };
        phis.split(',').map(str::trim).map(says).collect()
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
