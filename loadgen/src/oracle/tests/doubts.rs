//! What may have been taken or not: neither world is held against a gateway, and all else is.

use super::*;

/// `m` of host `a`, and of a series that no rule takes, of zone `z`.
fn series(metric: &str, zone: &str) -> Arc<Labels> {
    labels(metric, &[("instance", "a"), ("job", "j"), ("zone", zone)])
}

fn sample(metric: &str, zone: &str, at: i64, value: f64) -> Sample {
    Sample::new(&series(metric, zone), at, value)
}

/// A counter of 1 at 5 s, which two zones have, each a target of its own.
fn known() -> Vec<Arrival> {
    let of = |zone: &str, at, value| {
        let pairs = [("instance", zone), ("job", "j"), ("zone", zone)];
        Arrival::in_time(&Sample::new(&labels("m", &pairs), at, value))
    };
    let times = [(5_000, 1.0), (15_000, 4.0), (35_000, 10.0)];
    times.iter().flat_map(|&(t, v)| [of("a", t, v), of("b", t, v)]).collect()
}

/// What a gateway says of a zone: total and increase of some windows.
fn said(zone: &str, total: &[(i64, f64)], increase: &[(i64, f64)]) -> Vec<Sample> {
    let of = |output: &str, said: &[(i64, f64)]| -> Vec<Sample> {
        let series = labels(&format!("m:10s_by_zone_{output}"), &[("zone", zone)]);
        said.iter().map(|&(t, v)| Sample::new(&series, t, v)).collect()
    };
    [of("total", total), of("increase", increase)].concat()
}

/// Zone `b` in all worlds: 0 before its first window, a birth that counts for nothing, then 3 and 6.
fn of_b() -> Vec<Sample> {
    said(
        "b",
        &[(1, 0.0), (10_000, 0.0), (20_000, 3.0), (30_000, 3.0), (40_000, 9.0)],
        &[(10_000, 0.0), (20_000, 3.0), (40_000, 6.0)],
    )
}

#[test]
fn either_world_is_right_from_the_window_of_what_may_have_been_taken_on() {
    let oracle = oracle_of("by: [zone], outputs: [total, increase]");
    let known = known();
    // 6 at 25 s was sent to host `a`, and nobody knows whether it is there.
    let pairs = [("instance", "a"), ("job", "j"), ("zone", "a")];
    let perhaps = [Sample::new(&labels("m", &pairs), 25_000, 6.0)];
    let doubts = oracle.doubts(&known, &perhaps);
    // Not there: 35 s brings 6. There: 25 s brings 2, 35 s brings 4.
    let absent = said(
        "a",
        &[(1, 0.0), (10_000, 0.0), (20_000, 3.0), (30_000, 3.0), (40_000, 9.0)],
        &[(10_000, 0.0), (20_000, 3.0), (40_000, 6.0)],
    );
    let taken = said(
        "a",
        &[(1, 0.0), (10_000, 0.0), (20_000, 3.0), (30_000, 5.0), (40_000, 9.0)],
        &[(10_000, 0.0), (20_000, 3.0), (30_000, 2.0), (40_000, 4.0)],
    );
    let judge = |received: &[Sample]| oracle.judge_but(&doubts, &known, received, 40_000);
    for world in [&absent, &taken] {
        let found = judge(&[&world[..], &of_b()].concat());
        assert!(found.is_empty(), "{found}");
        // Of `a`: totals at 30 and 40 s, the increase at 40 s; all eight of `b` and five of `a` are judged.
        assert_eq!((found.unjudged, found.compared), (3, 13), "{found}");
    }
    let strict = oracle.judge(&known, &[&taken[..], &of_b()].concat(), 40_000);
    assert!(!strict.is_empty(), "that is what the doubt is for");
    // What was said before, and what others say, is judged still.
    let mut wrong = taken.clone();
    wrong[2].value = 2.0;
    assert_eq!(judge(&[&wrong[..], &of_b()].concat()).wrong.len(), 1);
    let mut wrong = of_b();
    wrong[4].value = 8.0;
    assert_eq!(judge(&[&taken[..], &wrong].concat()).wrong.len(), 1);
}

#[test]
fn a_targets_other_series_and_what_passes_are_in_doubt_too() {
    let oracle = oracle_of("by: [zone], outputs: [sum_last, 'quantiles(0.5)']");
    let known = [sample("m", "z", 5_000, 1.0), sample("raw", "z", 5_000, 2.0)];
    let known = known.map(|sample| Arrival::in_time(&sample));
    let doubts = oracle.doubts(&known, &[sample("raw", "z", 15_000, 3.0)]);
    let raw = series("raw", "z");
    assert!(!doubts.cover(&raw, 5_000) && doubts.cover(&raw, 15_000));
    let sum = labels("m:10s_by_zone_sum_last", &[("zone", "z")]);
    let median = labels("m:10s_by_zone_quantiles", &[("quantile", "0.5"), ("zone", "z")]);
    assert!(!doubts.cover(&sum, 10_000) && doubts.cover(&sum, 20_000));
    assert!(!doubts.cover(&median, 10_000) && doubts.cover(&median, 20_000));
    assert!(!doubts.cover(&labels("m:10s_by_zone_sum_last", &[("zone", "y")]), 20_000));
    assert!(!oracle.doubts(&known, &[]).cover(&sum, 20_000), "no doubt, no doubts");
}

#[test]
fn where_groups_are_folded_one_that_may_not_be_there_puts_all_in_doubt() {
    let oracle = oracle_of("by: [zone], max_groups: 1, outputs: [sum_last]");
    let known = [Arrival::in_time(&sample("m", "z", 5_000, 1.0))];
    let pairs = [("instance", "b"), ("job", "j"), ("zone", "y")];
    let doubts = oracle.doubts(&known, &[Sample::new(&labels("m", &pairs), 12_000, 1.0)]);
    for pairs in [("zone", "z"), ("zone", "y"), ("__overflow__", "true")] {
        let output = labels("m:10s_by_zone_sum_last", &[pairs]);
        assert!(!doubts.cover(&output, 10_000) && doubts.cover(&output, 20_000), "{pairs:?}");
    }
}
