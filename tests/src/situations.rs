//! A load with rules that meets, tick by tick, every situation in which a mistake of
//! `crates/model/src/mutation.rs` would show.
//!
//! Timestamps lie on a grid of half seconds, so that some are window ends. Values are whole
//! numbers, so that sums are exact in any order.

use std::sync::Arc;

use crate::samples::{Labels, Sample, labels, stale_marker};

/// Milliseconds between ticks: the scrape interval of all targets.
pub const TICK_MS: i64 = 500;
/// The grid on which the windows of most rules end.
pub const WINDOW_MS: i64 = 2_000;
/// The windows of the longest rule, a multiple: one is open at the kill.
pub const LONG_MS: i64 = 6_000;

/// The rules, with every output of the ones that the mistakes are about.
pub const RULES: &str = r#"
- match: '{__name__=~"c_.*"}'
  interval: 2s
  staleness_interval: 4s
  without: [instance, n]
  outputs: [total, total_prometheus, increase, increase_prometheus, rate_sum, rate_avg]
- match: '{__name__=~"g_.*"}'
  interval: 2s
  staleness_interval: 4s
  without: [instance, n]
  outputs: [sum_last, avg_last, min_last, max_last, count_series, sum_samples, sum_samples_total,
    count_samples, unique_samples, last, min, max, avg, stddev, stdvar, "quantiles(0.5, 0.9)",
    histogram_bucket, native_histogram]
- {match: d_gauge, interval: 2s, dedup_interval: 1s, by: [zone], outputs: [sum_samples, count_samples]}
- {match: o_count, interval: 2s, by: [n], max_groups: 2, outputs: [sum_samples]}
- {match: g_level, interval: 6s, by: [zone], outputs: [sum_samples, count_samples]}
- {match: k_level, interval: 2s, keep_metric_names: true, by: [job], outputs: [max]}
- {match: i_level, interval: 2s, keep_input: true, by: [job], outputs: [max]}
"#;

/// What all targets say at a tick.
pub fn samples_at(tick: i64, now: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for target in 0..6 {
        of_target(target, tick, now, &mut samples);
    }
    samples.extend(births(tick, now));
    samples.extend(pair(tick, now));
    samples
}

fn series(name: &str, target: i64, more: &[(&str, &str)]) -> Arc<Labels> {
    let instance = format!("host-{target}:9100");
    let zone = if target % 2 == 0 { "even" } else { "odd" };
    let pairs = [("instance", instance.as_str()), ("job", "load"), ("zone", zone)];
    labels(name, &[&pairs, more].concat())
}

fn of_target(target: i64, tick: i64, now: i64, samples: &mut Vec<Sample>) {
    let mut say = |name: &str, more: &[(&str, &str)], at: i64, value: f64| {
        samples.push(Sample::new(&series(name, target, more), at, value));
    };
    // Resets at its own pace.
    say("c_requests_total", &[], now, ((tick % (9 + target)) * (3 + target)) as f64);
    say("g_level", &[], now, ((tick * 31 + target * 170) % 1009) as f64);
    say("d_gauge", &[], now, (tick + target) as f64);
    say("k_level", &[], now, (tick % 7) as f64);
    say("i_level", &[], now, (tick % 5) as f64);
    for n in 0..5 {
        let count = (n + 1) as f64;
        say("o_count", &[("n", &n.to_string())], now, count);
    }
    // Goes with a marker, comes back two windows later and has counted on.
    match tick % 20 {
        7 => {
            for name in ["c_pause_total", "g_brief", "raw_brief"] {
                say(name, &[], now, stale_marker());
            }
        }
        8..16 => {}
        _ => {
            say("c_pause_total", &[], now, (tick * 10) as f64);
            say("g_brief", &[], now, tick as f64);
            say("raw_brief", &[], now, tick as f64);
        }
    }
    // Falls silent without a word, half of the targets sooner.
    if tick < 14 + 3 * (target % 2) {
        say("g_silent", &[], now, (tick + 1) as f64);
    }
    // Every other sample comes after the one that follows it.
    if tick % 2 == 1 {
        say("g_order", &[], now, (2 * tick) as f64);
        say("g_order", &[], now - TICK_MS, tick as f64);
        say("c_order_total", &[], now, (tick * 5) as f64);
        say("c_order_total", &[], now - TICK_MS, (tick * 5 - 3) as f64);
    }
    say("raw", &[], now, (tick * 100 + target) as f64);
}

/// Series that appear while their target is being scraped, with a proof or without; and one that
/// restarts though its value grows.
fn births(tick: i64, now: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for n in 0..40 {
        let age = tick - n;
        if (0..6).contains(&age) && n > 1 {
            let labels = series("c_born_total", n % 6, &[("n", &n.to_string())]);
            // Half of them tell that they began after the scrape before.
            let start = if n % 2 == 0 { now - age * TICK_MS - 200 } else { 0 };
            samples.push(Sample { start, ..Sample::new(&labels, now, (7 + age) as f64) });
        }
    }
    let restarts = series("c_restart_total", 0, &[]);
    let generation = tick / 10;
    let start = now - (tick % 10) * TICK_MS - 100;
    let value = (generation * 50 + tick % 10) as f64;
    samples.push(Sample { start, ..Sample::new(&restarts, now, value) });
    samples
}

/// A pair of replicas; the second is behind by more than a scrape, and is alone from tick 12 on.
fn pair(tick: i64, now: i64) -> Vec<Sample> {
    let of = |replica: &str, at: i64, value: i64| {
        let pairs =
            [("__replica__", replica), ("cluster", "c"), ("instance", "pair:1"), ("job", "load")];
        Sample::new(&labels("c_pair_total", &pairs), at, value as f64)
    };
    let mut samples = Vec::new();
    if tick < 12 {
        samples.push(of("a", now, 100 + 10 * tick));
    }
    samples.push(of("b", now + 150, 100 + 10 * tick - 25));
    samples
}
