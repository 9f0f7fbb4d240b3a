//! Late samples: carried, covered by the next increase, dropped, or nobody knows.

use super::*;

/// A counter of 0 at 5 s, 10 at 12 s, which comes at the frontier that is given, and 11 at 25 s.
fn late(frontier: Option<(i64, i64)>) -> Vec<Arrival> {
    let series = labels("m", &[("instance", "a")]);
    let sample = |t, v| Sample::new(&series, t, v);
    let second = match frontier {
        None => Arrival::in_time(&sample(12_000, 10.0)),
        Some((behind, before)) => Arrival::between(&sample(12_000, 10.0), behind, before),
    };
    vec![Arrival::in_time(&sample(5_000, 0.0)), second, Arrival::in_time(&sample(25_000, 11.0))]
}

fn increases(more: &str, arrivals: &[Arrival]) -> Vec<(i64, Expected)> {
    says(&oracle("increase, sum_samples", more).expected(arrivals, 40_000), "increase")
}

#[test]
fn a_late_increase_joins_the_oldest_open_window_or_goes_with_the_next() {
    assert_eq!(increases("", &late(None)), values([(10_000, 0.0), (20_000, 10.0), (30_000, 1.0)]));
    // The frontier is at 21 s: its window has closed, the next one takes it.
    let came_late = late(Some((21_000, 21_000)));
    assert_eq!(increases("", &came_late), values([(10_000, 0.0), (30_000, 11.0)]));
    // Left out, and 25 s brings all 11.
    assert_eq!(increases("late: drop", &came_late), values([(10_000, 0.0), (30_000, 11.0)]));
    let outputs = oracle("increase, sum_samples", "").expected(&came_late, 40_000);
    assert_eq!(says(&outputs, "sum_samples"), values([(10_000, 0.0), (30_000, 11.0)]), "not 21");
}

#[test]
fn what_is_late_but_not_newer_than_the_base_is_left_out() {
    let series = labels("m", &[("instance", "a")]);
    let sample = |t, v| Sample::new(&series, t, v);
    let arrivals = [
        Arrival::in_time(&sample(5_000, 0.0)),
        Arrival::in_time(&sample(14_000, 3.0)),
        Arrival::at(&sample(12_000, 2.0), 15_000),
        Arrival::in_time(&sample(19_000, 4.0)),
    ];
    assert_eq!(increases("", &arrivals), values([(10_000, 0.0), (20_000, 4.0)]));
    // Past the frontier it has its place, whatever came before it.
    let mut in_time = arrivals.to_vec();
    in_time[2] = Arrival::at(&sample(12_000, 5.0), 11_000);
    // 5, a fall to 3 that is a reset, 1.
    assert_eq!(increases("", &in_time), values([(10_000, 0.0), (20_000, 9.0)]));
}

#[test]
fn where_nobody_saw_the_frontier_either_side_is_right_and_nothing_else() {
    let unsure = late(Some((11_000, 21_000)));
    let found = increases("", &unsure);
    assert_eq!(found[1], (20_000, Expected::Perhaps(10.0, 10.0)), "there or not");
    assert_eq!(found[2], (30_000, Expected::Between(1.0, 11.0)));
    let total = oracle("total", "").expected(&unsure, 30_000);
    assert_eq!(says(&total, "total")[2], (20_000, Expected::Between(0.0, 10.0)));
    assert_eq!(says(&total, "total")[3], (30_000, Expected::Value(11.0)), "in either world");
}
