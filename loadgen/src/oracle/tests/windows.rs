//! Outputs over samples and over live series, groups, names, and what passes through.

use super::*;
use crate::oracle::window::vmrange;
use crate::samples::stale_marker;

#[test]
fn gauges_live_until_a_marker_or_staleness_and_end_with_one_marker() {
    let arrivals = history(&[
        ("a", &[(5_000, 1.0), (15_000, 2.0)]),
        ("b", &[(5_000, 10.0), (16_000, stale_marker())]),
    ]);
    let all = "sum_last, avg_last, min_last, max_last, count_series";
    let outputs = oracle(all, "").expected(&arrivals, 60_000);
    // a is alive at 30,000 (15 s old) and no longer at 40,000 (25 s old).
    for (output, first, then) in [
        ("sum_last", 11.0, 2.0),
        ("avg_last", 5.5, 2.0),
        ("min_last", 1.0, 2.0),
        ("max_last", 10.0, 2.0),
        ("count_series", 2.0, 1.0),
    ] {
        let mut wanted = values([(10_000, first), (20_000, then), (30_000, then)]).to_vec();
        wanted.push((40_000, Expected::Marker));
        assert_eq!(says(&outputs, output), wanted, "{output}");
    }
}

#[test]
fn samples_are_counted_summed_and_spread() {
    // 2 4 4 6: mean 4, squares 4 0 0 4.
    let arrivals = history(&[("a", &[(1, 2.0), (2, 4.0)]), ("b", &[(3, 4.0), (4, 6.0)])]);
    let spread = [
        ("sum_samples", 16.0),
        ("sum_samples_total", 16.0),
        ("count_samples", 4.0),
        ("unique_samples", 3.0),
        ("avg", 4.0),
        ("stdvar", 2.0),
        ("stddev", 2f64.sqrt()),
        ("last", 6.0),
        ("min", 2.0),
        ("max", 6.0),
    ];
    let all: Vec<&str> = spread.iter().map(|(output, _)| *output).collect();
    let outputs = oracle(&all.join(", "), "").expected(&arrivals, 10_000);
    for (output, value) in spread {
        assert_eq!(says(&outputs, output), values([(10_000, value)]), "{output}");
    }
}

#[test]
fn running_sums_and_ranges_go_on_while_the_group_is_alive() {
    // 2 and 4, then 4; alive at 30,000, gone at 40,000.
    let arrivals = history(&[("a", &[(1_000, 2.0), (2_000, 4.0), (12_000, 4.0)])]);
    let outputs = oracle("sum_samples_total, histogram_bucket", "").expected(&arrivals, 60_000);
    let mut sums = values([(10_000, 6.0), (20_000, 10.0), (30_000, 10.0)]).to_vec();
    sums.push((40_000, Expected::Marker));
    assert_eq!(says(&outputs, "sum_samples_total"), sums);
    // 4 lies between 10^(10/18) = 3.594 and 10^(11/18) = 4.084.
    let range = outputs
        .iter()
        .find(|(l, _)| l.get("vmrange").is_some_and(|range| range == "3.594e+00...4.084e+00"));
    let counts: Vec<Expected> = range.unwrap().1.values().copied().collect();
    let [one, two] = [1.0, 2.0].map(Expected::Value);
    assert_eq!(counts, [one, two, two, Expected::Marker]);
}

#[test]
fn quantiles_are_the_value_at_the_rank_within_one_percent() {
    // 10 20 30 40 50: rank 0.5 × 4 = 2 is 30; rank 0.9 × 4 = 3.6 lies between 40 and 50.
    let samples: Vec<(i64, f64)> = (1..=5).map(|n| (n * 1000, n as f64 * 10.0)).collect();
    let outputs = oracle_of("without: [instance], outputs: ['quantiles(0.5, 0.9)']")
        .expected(&history(&[("a", &samples)]), 10_000);
    let of = |phi: &str| {
        let series = outputs.iter().find(|(l, _)| l.get("quantile").is_some_and(|q| q == phi));
        series.unwrap().1[&10_000]
    };
    for (phi, met, missed) in [("0.5", 30.2, 30.4), ("0.9", 45.0, 50.6)] {
        assert!(of(phi).is_met(met) && !of(phi).is_met(missed), "{phi}: {:?}", of(phi));
    }
}

#[test]
fn of_a_dedup_slot_the_last_sample_counts() {
    // Slots of 5 s: 1 and 2, then 4; of b all three stand alone.
    let arrivals =
        history(&[("a", &[(1_000, 1.0), (5_000, 2.0), (9_000, 4.0)]), ("b", &[(5_001, 10.0)])]);
    let outputs = oracle("sum_samples", "dedup_interval: 5s").expected(&arrivals, 10_000);
    assert_eq!(says(&outputs, "sum_samples"), values([(10_000, 16.0)]));
}

#[test]
fn names_tell_the_grouping_and_may_stay() {
    let series = labels("m", &[("a", "1"), ("b", "2"), ("c", "3")]);
    let arrivals = [Arrival::in_time(&Sample::new(&series, 1, 4.0))];
    for (rule, wanted) in [
        ("by: [b, a], outputs: [max]", labels("m:10s_by_a_b_max", &[("a", "1"), ("b", "2")])),
        ("without: [c, b], outputs: [max]", labels("m:10s_without_b_c_max", &[("a", "1")])),
        ("drop_input_labels: [c], outputs: [max]", labels("m:10s_max", &[("a", "1"), ("b", "2")])),
        ("by: [a], outputs: [max], keep_metric_names: true", labels("m", &[("a", "1")])),
    ] {
        let outputs = oracle_of(rule).expected(&arrivals, 10_000);
        assert_eq!(outputs.keys().next(), Some(&*wanted), "{rule}");
    }
}

#[test]
fn what_no_rule_takes_passes_and_inputs_where_they_are_kept() {
    let (taken, other) = (labels("m", &[("instance", "a")]), labels("other", &[]));
    let arrivals = [
        Arrival::in_time(&Sample::new(&taken, 1_000, 1.0)),
        Arrival::in_time(&Sample::new(&other, 2_000, 2.0)),
        Arrival::in_time(&Sample::new(&other, 2_000, 2.0)),
    ];
    let outputs = oracle("max", "").expected(&arrivals, 10_000);
    assert_eq!(said(&outputs, "other"), values([(2_000, 2.0)]), "a repeat counts once");
    assert!(said(&outputs, "m").is_empty());
    let outputs = oracle("max", "keep_input: true").expected(&arrivals, 10_000);
    assert_eq!(said(&outputs, "m"), values([(1_000, 1.0)]));
    assert_eq!(says(&outputs, "max"), values([(10_000, 1.0)]));
}

#[test]
fn past_max_groups_sums_go_into_the_overflow() {
    let series = |zone: &str| labels("m", &[("zone", zone)]);
    let at = |zone: &str, v| Arrival::in_time(&Sample::new(&series(zone), 1_000, v));
    let arrivals = [at("a", 1.0), at("b", 2.0), at("c", 4.0)];
    let oracle = oracle_of("by: [zone], outputs: [sum_samples], max_groups: 1");
    let spoken = labels("m:10s_by_zone_sum_samples", &[("zone", "b")]);
    let outputs = oracle.expected_beside(&arrivals, 10_000, &BTreeSet::from([&*spoken]));
    let overflow = labels("m:10s_by_zone_sum_samples", &[("__overflow__", "true")]);
    assert_eq!(outputs.len(), 2);
    assert_eq!(outputs[&*spoken][&10_000], Expected::Value(2.0), "it came first");
    assert_eq!(outputs[&*overflow][&10_000], Expected::Value(5.0), "1 + 4");
}

#[test]
fn a_native_histogram_holds_the_windows_values() {
    let arrivals = history(&[("a", &[(1_000, 1.5), (2_000, 3.0), (3_000, 3.5), (12_000, 0.0)])]);
    let expected = oracle("native_histogram", "").expected_histograms(&arrivals, 20_000);
    let (labels, series) = expected.iter().next().unwrap();
    assert_eq!(name(labels), "m:10s_without_instance_native_histogram");
    assert_eq!(series[&10_000], ExpectedHistogram::Of(vec![1.5, 3.0, 3.5]));
    // Schema 0: 1.5 is in (1, 2], bucket 1; 3 and 3.5 in (2, 4], bucket 2.
    let first = NativeHistogram {
        timestamp: 10_000,
        count: 3.0,
        sum: 8.0,
        positive: [(1, 1.0), (2, 2.0)].into(),
        ..NativeHistogram::default()
    };
    let second =
        NativeHistogram { timestamp: 20_000, count: 1.0, zero_count: 1.0, ..Default::default() };
    let all = [(labels, &first), (labels, &second)];
    let found = compare_histograms(&expected, all.into_iter(), 20_000);
    assert!(found.is_empty(), "{found}");
    let lacking = NativeHistogram { positive: [(1, 1.0), (2, 1.0)].into(), ..first.clone() };
    let found = compare_histograms(&expected, [(labels, &lacking)].into_iter(), 20_000);
    assert_eq!((found.wrong.len(), found.lost.len()), (1, 1));
}

#[test]
fn a_histogram_ends_with_a_marker_like_any_other_output() {
    let arrivals = history(&[("a", &[(5_000, 1.0), (12_000, stale_marker())])]);
    let outputs = oracle("native_histogram", "").expected(&arrivals, 30_000);
    assert_eq!(says(&outputs, "native_histogram"), [(20_000, Expected::Marker)]);
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
        assert_eq!(vmrange(value).as_deref(), Some(range), "{value}");
    }
}
