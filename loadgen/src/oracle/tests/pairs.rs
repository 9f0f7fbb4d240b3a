//! HA pairs.

use super::*;

fn of(replica: &str, at: i64, value: f64) -> Arrival {
    let pairs = [("__replica__", replica), ("cluster", "c"), ("instance", "i:1"), ("job", "j")];
    Arrival::in_time(&Sample::new(&labels("m", &pairs), at, value))
}

#[test]
fn one_replica_counts_until_it_misses_a_scrape() {
    // a every 4 s, b one second later with the same counter; a is gone after 8 s. Δ is 4 s: b takes
    // over with its first sample more than 5 s past 8 s, which is the one at 17 s.
    let arrivals = [
        of("a", 4_000, 10.0),
        of("b", 5_000, 11.0),
        of("a", 8_000, 14.0),
        of("b", 9_000, 15.0),
        of("b", 13_000, 19.0),
        of("b", 17_000, 23.0),
        of("a", 18_000, 24.0),
    ];
    let outputs = oracle("increase, count_samples, count_series", "").expected(&arrivals, 20_000);
    // 13 s is 5 s past 8 s, and not more.
    assert_eq!(says(&outputs, "increase"), values([(10_000, 4.0), (20_000, 9.0)]));
    assert_eq!(says(&outputs, "count_samples"), values([(10_000, 2.0), (20_000, 1.0)]));
    assert_eq!(says(&outputs, "count_series"), values([(10_000, 1.0), (20_000, 1.0)]));
    let labels = outputs.keys().next().unwrap();
    assert!(!labels.contains_key("__replica__"));
}

#[test]
fn a_replica_that_lags_at_the_switch_has_not_reset() {
    let arrivals = [
        of("a", 1_000, 100.0),
        of("a", 3_000, 110.0),
        of("a", 5_000, 120.0),
        // 115 is less by 5, within the last two increases: lag. Then 5 above 120.
        of("b", 8_000, 115.0),
        of("b", 10_000, 125.0),
    ];
    let outputs = oracle("increase", "").expected(&arrivals, 10_000);
    assert_eq!(says(&outputs, "increase"), values([(10_000, 25.0)]));
    let mut reset = arrivals.to_vec();
    reset[3] = of("b", 8_000, 50.0);
    reset[4] = of("b", 10_000, 60.0);
    // 20, then all 50 after a reset, then 10.
    let outputs = oracle("increase", "").expected(&reset, 10_000);
    assert_eq!(says(&outputs, "increase"), values([(10_000, 80.0)]));
}

#[test]
fn an_elected_replica_is_waited_for_until_the_failover_time() {
    let arrivals = [
        of("a", 1_000, 10.0),
        of("a", 5_000, 14.0),
        of("b", 20_000, 29.0),
        // 30 s past 5 s, and not more.
        of("b", 35_000, 44.0),
        of("b", 36_000, 45.0),
        of("a", 37_000, 46.0),
    ];
    let settings = Settings { elects: true, ..Settings::default() };
    let oracle = oracle("increase, count_samples", "").with(settings);
    let outputs = oracle.expected(&arrivals, 40_000);
    // Nothing counts for 25 s, which is how long a series is alive here: the group ends in between.
    let with_end = |first: f64, last: f64| {
        [
            (10_000, Expected::Value(first)),
            (30_000, Expected::Marker),
            (40_000, Expected::Value(last)),
        ]
    };
    assert_eq!(says(&outputs, "count_samples"), with_end(2.0, 1.0));
    assert_eq!(says(&outputs, "increase"), with_end(4.0, 31.0));
}
