//! The oracle against numbers worked out by hand.

use std::sync::Arc;

use super::*;
use crate::samples::{Sample, labels, stale_marker};

fn rule(outputs: &[&'static str]) -> Rule {
    Rule {
        metrics: vec!["m"],
        interval: "10s".into(),
        interval_ms: 10_000,
        staleness_ms: 25_000,
        grouping: Grouping::Without(vec!["instance"]),
        outputs: outputs.to_vec(),
    }
}

fn history(series: &[(&str, &[(i64, f64)])]) -> History {
    let mut history = History::default();
    for (instance, samples) in series {
        let labels: Arc<Labels> = labels("m", &[("instance", instance)]);
        let samples = samples.iter().map(|&(t, v)| Sample::new(&labels, t, v));
        history.add(&samples.collect::<Vec<_>>());
    }
    history
}

fn values(outputs: &Outputs, name: &str) -> Vec<(i64, Expected)> {
    let found = outputs.iter().find(|(l, _)| super::name(l) == name);
    found.map(|(_, s)| s.iter().map(|(&t, &e)| (t, e)).collect()).unwrap_or_default()
}

#[test]
fn counters_grow_by_differences_and_whole_values_after_resets() {
    // a: 5 is the baseline, +3 in the first window, +2 and a reset to 4 in the second.
    // b: first seen in the second window, a baseline.
    let history = history(&[
        ("a", &[(1_000, 5.0), (10_000, 8.0), (12_000, 10.0), (20_000, 4.0)]),
        ("b", &[(15_000, 100.0)]),
    ]);
    let outputs = rule(&["total", "increase", "rate_sum"]).outputs(&history, 20_000);
    assert_eq!(
        values(&outputs, "m:10s_without_instance_total"),
        [(1, Expected::Value(0.0)), (10_000, Expected::Value(3.0)), (20_000, Expected::Value(9.0))]
    );
    assert_eq!(
        values(&outputs, "m:10s_without_instance_increase"),
        [(10_000, Expected::Value(3.0)), (20_000, Expected::Value(6.0))]
    );
    // 3 in the 9 s between the first window's samples, then 6 in the 10 s from its last one to the
    // second's.
    assert_eq!(
        values(&outputs, "m:10s_without_instance_rate_sum"),
        [(10_000, Expected::Value(3000.0 / 9000.0)), (20_000, Expected::Value(0.6))]
    );
}

#[test]
fn gauges_live_until_a_marker_or_staleness_and_end_with_one_marker() {
    let history = history(&[
        ("a", &[(5_000, 1.0), (15_000, 2.0)]),
        ("b", &[(5_000, 10.0), (16_000, stale_marker())]),
    ]);
    let outputs = rule(&["sum_last", "count_series"]).outputs(&history, 60_000);
    // a is alive at 30,000 (15 s old) and no longer at 40,000 (25 s old).
    let sums = [(10_000, 11.0), (20_000, 2.0), (30_000, 2.0)];
    let mut expected: Vec<_> = sums.map(|(t, v)| (t, Expected::Value(v))).to_vec();
    expected.push((40_000, Expected::Marker));
    assert_eq!(values(&outputs, "m:10s_without_instance_sum_last"), expected);
    let counts = values(&outputs, "m:10s_without_instance_count_series");
    assert_eq!(counts[..2], [(10_000, Expected::Value(2.0)), (20_000, Expected::Value(1.0))]);
}

#[test]
fn samples_are_counted_summed_and_spread() {
    let history = history(&[("a", &[(1, 2.0), (2, 4.0)]), ("b", &[(3, 4.0), (4, 6.0)])]);
    let spread = ["sum_samples", "count_samples", "unique_samples", "avg", "stdvar", "last", "max"];
    let outputs = rule(&spread).outputs(&history, 10_000);
    for (output, value) in spread.iter().zip([16.0, 4.0, 3.0, 4.0, 2.0, 6.0, 6.0]) {
        let name = format!("m:10s_without_instance_{output}");
        assert_eq!(values(&outputs, &name), [(10_000, Expected::Value(value))], "{output}");
    }
}

#[test]
fn ranges_are_victoriametrics_own() {
    // From github.com/VictoriaMetrics/metrics, histogram_test.go.
    for (value, range) in [
        (0.0, "0...1.000e-09"),
        (1.0, "8.799e-01...1.000e+00"),
        (1.1, "1.000e+00...1.136e+00"),
        (980.0, "8.799e+02...1.000e+03"),
        (2e18, "1.000e+18...+Inf"),
    ] {
        assert_eq!(window::vmrange(value).as_deref(), Some(range), "{value}");
    }
}

#[test]
fn differences_are_told_apart() {
    let wanted = labels("x", &[]);
    let mut expected = Outputs::new();
    let series = expected.entry((*wanted).clone()).or_default();
    series.extend([(1, Expected::Value(1.0)), (2, Expected::Value(2.0)), (3, Expected::Marker)]);
    let received = [(2, 2.0), (2, 2.0), (1, 1.5), (2, 2.5), (4, 4.0)];
    let received: Vec<_> = received.iter().map(|&(t, v)| Sample::new(&wanted, t, v)).collect();
    let found = compare(&expected, &received, |_, _| true);
    let counts = [&found.lost, &found.doubled, &found.wrong, &found.unexpected, &found.disordered];
    assert_eq!(counts.map(Vec::len), [1, 1, 2, 1, 1], "{found}");
    assert_eq!(found.resent, 1);
}
