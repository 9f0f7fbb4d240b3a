//! Increases: resets, births, start timestamps, pauses.

use super::*;

#[test]
fn counters_grow_by_differences_and_whole_values_after_resets() {
    // a: 5 is the baseline, +3 in the first window, +2 and a reset to 4 in the second.
    // b: first seen in the second window, a baseline.
    let arrivals = history(&[
        ("a", &[(1_000, 5.0), (10_000, 8.0), (12_000, 10.0), (20_000, 4.0)]),
        ("b", &[(15_000, 100.0)]),
    ]);
    let all = "total, total_prometheus, increase, increase_prometheus, rate_sum, rate_avg";
    let outputs = oracle(all, "").expected(&arrivals, 20_000);
    for total in ["total", "total_prometheus"] {
        assert_eq!(says(&outputs, total), values([(1, 0.0), (10_000, 3.0), (20_000, 9.0)]));
    }
    for increase in ["increase", "increase_prometheus"] {
        assert_eq!(says(&outputs, increase), values([(10_000, 3.0), (20_000, 6.0)]));
    }
    // 3 in the 9 s between the first window's samples, then 6 in the 10 s from its last one to the
    // second's. b has one sample, and no rate.
    for rate in ["rate_sum", "rate_avg"] {
        let wanted = values([(10_000, 3000.0 / 9000.0), (20_000, 0.6)]);
        assert_eq!(says(&outputs, rate), wanted);
    }
}

#[test]
fn rates_of_several_series_are_summed_or_averaged() {
    // a: 30 in 10 s, b: 10 in 5 s: 3 + 2.
    let arrivals =
        history(&[("a", &[(5_000, 0.0), (15_000, 30.0)]), ("b", &[(12_000, 0.0), (17_000, 10.0)])]);
    let outputs = oracle("rate_sum, rate_avg", "").expected(&arrivals, 20_000);
    assert_eq!(says(&outputs, "rate_sum"), values([(20_000, 5.0)]));
    assert_eq!(says(&outputs, "rate_avg"), values([(20_000, 2.5)]));
}

/// One target, scraped every 5 s; at 10 s it begins `m{path="new"}` with 7.
fn birth(start: i64) -> Vec<Arrival> {
    let series = |path: &str| labels("m", &[("instance", "i"), ("job", "j"), ("path", path)]);
    let (old, new) = (series("old"), series("new"));
    let at = |labels: &Arc<Labels>, t, v, start| {
        Arrival::in_time(&Sample { start, ..Sample::new(labels, t, v) })
    };
    vec![
        at(&old, 2_000, 1.0, 0),
        at(&old, 6_000, 1.0, 0),
        at(&old, 10_000, 1.0, 0),
        at(&new, 10_000, 7.0, start),
        at(&new, 14_000, 9.0, start),
    ]
}

#[test]
fn a_birth_counts_in_full_where_its_start_is_past_the_scrape_before() {
    let rule = |births: &str| oracle("increase, increase_prometheus", births);
    let increase = |births: &str, start: i64| {
        let outputs = rule(births).expected(&birth(start), 20_000);
        let of_new = outputs.into_iter().filter(|(l, _)| l.get("path").is_some_and(|p| p == "new"));
        let increases = of_new.filter(|(l, _)| name(l).ends_with("_increase"));
        increases.map(|(_, s)| s.into_values().collect::<Vec<_>>()).next().unwrap_or_default()
    };
    let (in_full, baseline) = (Expected::Value(7.0), Expected::Value(0.0));
    let then = Expected::Value(2.0);
    // The target was scraped at 6 s: the series began after that, or not.
    assert_eq!(increase("", 6_001), [in_full, then]);
    assert_eq!(increase("", 6_000), [baseline, then]);
    assert_eq!(increase("", 0), [baseline, then]);
    assert_eq!(increase("births: observed", 0), [in_full, then]);
    let outputs = rule("").expected(&birth(6_001), 20_000);
    let prometheus = outputs.iter().find(|(l, _)| {
        name(l).ends_with("increase_prometheus") && l.get("path").is_some_and(|p| p == "new")
    });
    assert_eq!(prometheus.unwrap().1[&10_000], baseline, "never in full");
}

#[test]
fn a_start_timestamp_past_the_sample_before_is_a_reset_though_the_value_grew() {
    let series = labels("m", &[("instance", "a")]);
    let at = |t, v, start| Arrival::in_time(&Sample { start, ..Sample::new(&series, t, v) });
    // From 5 to 8 with a restart in between: 8, not 3.
    let arrivals = [at(2_000, 5.0, 1_000), at(7_000, 8.0, 6_000)];
    let outputs = oracle("increase", "").expected(&arrivals, 10_000);
    assert_eq!(says(&outputs, "increase"), values([(10_000, 8.0)]));
}

#[test]
fn a_counter_is_remembered_beyond_its_liveness_and_not_for_ever() {
    let settings = Settings { counter_memory_ms: 100_000, grace_ms: 1_000, ..Settings::default() };
    let grown = |silence: i64| {
        let back = 5_000 + silence;
        let arrivals = history(&[("a", &[(5_000, 10.0), (back, 12.0), (back + 1_000, 13.0)])]);
        let oracle = oracle("increase", "").with(settings.clone());
        let outputs = oracle.expected(&arrivals, 1_000_000);
        let said = outputs.into_values().next().unwrap();
        said[&oracle.rules()[0].window_end(back + 1_000)]
    };
    assert_eq!(grown(100_000), Expected::Value(3.0), "12 − 10 + 1");
    assert_eq!(grown(170_000), Expected::Value(1.0), "12 is a baseline again");
    assert_eq!(grown(130_000), Expected::Between(1.0, 3.0), "nobody saw when it was forgotten");
}
