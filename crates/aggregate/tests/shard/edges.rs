//! Where windows, markers and memory meet.

use weir_aggregate::decisions::Decisions;
use weir_model::histogram::{ResetHint, Span};
use weir_model::{Class, Millis, NativeHistogram, STALE_NAN};

use crate::harness::{Gate, Sent, rules, series};

const T: i64 = 1_000_000_000;

fn gate(outputs: &str) -> Gate {
    Gate::with_rules(&format!(
        "- {{match: c, interval: 10s, without: [pod], outputs: [{outputs}]}}"
    ))
}

fn send(gate: &mut Gate, s: i64, value: f64) {
    gate.send("t", &[series("c job=j instance=i pod=1", &[(T + s * 1000, value)])]);
}

/// What an output said, in seconds since `T`.
fn said(gate: &Gate, output: &str) -> Vec<(i64, Option<f64>)> {
    let name = format!(r#"c:10s_without_pod_{output}{{instance="i",job="j"}}"#);
    gate.values(&name).into_iter().map(|(t, v)| ((t - T) / 1000, v)).collect()
}

#[test]
fn an_end_within_a_window_is_a_value_there_and_a_marker_in_the_next() {
    let mut gate = gate("total, sum_last, count_samples");
    for (s, value) in [(1, 5.0), (12, 8.0), (15, STALE_NAN)] {
        send(&mut gate, s, value);
    }
    gate.advance(T + 60_000);
    assert_eq!(
        said(&gate, "total"),
        [(0, Some(0.0)), (10, Some(0.0)), (20, Some(3.0)), (30, None)]
    );
    // Nothing is alive at 20: this one ends there.
    assert_eq!(said(&gate, "sum_last"), [(10, Some(5.0)), (20, None)]);
    assert_eq!(said(&gate, "count_samples"), [(10, Some(1.0)), (20, Some(1.0)), (30, None)]);
}

/// The 0 before the first total was left out once.
#[test]
fn every_sample_that_a_rule_says_is_counted() {
    let mut gate = gate("total, sum_last, count_samples");
    for (s, value) in [(1, 5.0), (12, 8.0), (15, STALE_NAN)] {
        send(&mut gate, s, value);
    }
    gate.advance(T + 60_000);
    let said: usize = gate.emitted.iter().map(|(_, emission)| emission.samples.len()).sum();
    let (_, counts, _) = gate.home.counts().next().unwrap();
    assert_eq!((said, counts.samples_out), (9, 9), "4 of total, 2 of sum_last, 3 of count_samples");
}

#[test]
fn a_group_that_comes_back_goes_on() {
    let mut gate = gate("total");
    for (s, value) in [(1, 5.0), (5, STALE_NAN), (101, 9.0), (111, 10.0)] {
        send(&mut gate, s, value);
    }
    gate.advance(T + 120_000);
    let expected =
        [(0, Some(0.0)), (10, Some(0.0)), (20, None), (110, Some(4.0)), (120, Some(5.0))];
    assert_eq!(said(&gate, "total"), expected, "the pause lost nothing, and no second 0");
}

#[test]
fn one_marker_ends_a_long_silence_where_it_ends() {
    let mut gate = gate("total, sum_last");
    send(&mut gate, 1, 5.0);
    // One frontier over years: the series is alive for five minutes of them.
    let began = std::time::Instant::now();
    gate.advance(T + 5 * 365 * 86_400_000);
    assert!(began.elapsed().as_secs() < 5);
    let total = said(&gate, "total");
    assert_eq!(total.len(), 1 + 30 + 1);
    assert_eq!(total[30..], [(300, Some(0.0)), (310, None)]);
    assert_eq!(said(&gate, "sum_last").last(), Some(&(310, None)));
    assert_eq!(gate.home.groups().count(), 0);
}

#[test]
fn what_waits_far_ahead_is_found_by_a_jump() {
    let mut gate = gate("total");
    send(&mut gate, 1, 5.0);
    gate.advance(T + 5000);
    send(&mut gate, 100_001, 7.0);
    send(&mut gate, 100_011, 9.0);
    gate.advance(T + 200_000_000);
    let total = said(&gate, "total");
    // Longer than the counter's memory, but nobody looked in between.
    assert_eq!(total[31..34], [(310, None), (100_010, Some(2.0)), (100_020, Some(4.0))]);
}

#[test]
fn a_late_marker_acts_from_the_frontier_on() {
    let mut gate = gate("sum_last");
    send(&mut gate, 1, 5.0);
    gate.advance(T + 20_000);
    send(&mut gate, 8, STALE_NAN);
    gate.advance(T + 40_000);
    assert_eq!(gate.count(Class::Marker), 1);
    assert_eq!(said(&gate, "sum_last"), [(10, Some(5.0)), (20, Some(5.0)), (30, None)]);
    // One that something newer has overtaken says nothing.
    send(&mut gate, 45, 6.0);
    gate.advance(T + 50_000);
    send(&mut gate, 44, STALE_NAN);
    gate.advance(T + 60_000);
    assert_eq!(gate.count(Class::Late), 1);
    assert_eq!(said(&gate, "sum_last")[3..], [(50, Some(6.0)), (60, Some(6.0))]);
}

#[test]
fn repeats_behind_the_frontier_are_repeats() {
    let mut gate = gate("total");
    for s in [1, 11, 21] {
        send(&mut gate, s, s as f64);
    }
    gate.advance(T + 40_000);
    send(&mut gate, 11, 11.0);
    assert_eq!(gate.count(Class::Duplicate), 1);
    assert_eq!(gate.count(Class::Late), 0);
    assert_eq!(gate.workers[0].late()[0].dropped, 0);
}

#[test]
fn a_series_outlives_its_window_however_short_its_memory() {
    let text = "- {match: c, interval: 1h, by: [pod], outputs: [total, sum_last, increase]}";
    let mut decisions = Decisions::new(1, rules(text));
    decisions.counter_memory = Millis::from_secs(60);
    let mut gate = Gate::new(decisions, 1);
    let hour = (T / 3_600_000 + 1) * 3_600_000;
    for (t, value) in [(hour + 1000, 1.0), (hour + 2000, 4.0)] {
        gate.send("t", &[series("c pod=a", &[(t, value)])]);
    }
    for minute in 1..60 {
        gate.advance(hour + minute * 60_000);
        // Another group, so that freed cells are used again.
        let (t, pod) = (hour + minute * 60_000 + 1000, format!("c pod=b{minute}"));
        gate.send("t", &[series(&pod, &[(t, 1.0)])]);
    }
    gate.advance(hour + 3_600_000);
    let increase = gate.values(r#"c:1h_by_pod_increase{pod="a"}"#);
    assert_eq!(increase, [(hour + 3_600_000, Some(3.0))]);
    gate.advance(hour + 4 * 3_600_000);
    assert_eq!(gate.home.groups().count(), 0);
}

fn native(t: i64, counts: &[f64], start: i64) -> NativeHistogram {
    NativeHistogram {
        timestamp: t,
        start,
        schema: 0,
        zero_threshold: 1e-128,
        count: counts.iter().sum(),
        sum: counts.iter().sum::<f64>() * 1.5,
        positive_spans: vec![Span { offset: 0, length: counts.len() as u32 }],
        positive: counts.to_vec(),
        reset_hint: ResetHint::Unknown,
        ..NativeHistogram::default()
    }
}

fn send_native(gate: &mut Gate, histogram: NativeHistogram) {
    let mut sent = series("c job=j instance=i pod=1", &[]);
    sent.histograms.push(histogram);
    gate.send("t", &[sent]);
}

fn natives(gate: &Gate, output: &str) -> Vec<(i64, Vec<f64>)> {
    let of = gate.emitted.iter().filter(|(_, e)| e.labels.metric_name().ends_with(output));
    let of = of.filter_map(|(_, e)| e.histogram.as_deref());
    of.map(|h| ((h.timestamp - T) / 1000, h.positive.clone())).collect()
}

#[test]
fn native_histograms_add_up_over_resets_markers_and_restarts() {
    let mut gate = gate("total, count_series");
    for (at, counts) in [(1, [1.0, 2.0]), (11, [2.0, 4.0]), (21, [1.0, 1.0]), (31, [1.0, 3.0])] {
        send_native(&mut gate, native(T + at * 1000, &counts, 0));
        send_native(&mut gate, native(T + at * 1000, &counts, 0));
        if at == 21 {
            gate.restart(2);
        }
    }
    let mut marker = native(T + 41_000, &[], 0);
    marker.sum = STALE_NAN;
    send_native(&mut gate, marker);
    assert_eq!(gate.count(Class::Duplicate), 4);
    assert_eq!(gate.count(Class::Marker), 1);
    gate.advance(T + 60_000);
    // A baseline, +(1,2), a reset to (1,1), +(0,2).
    let after = [(20, vec![1.0, 2.0]), (30, vec![2.0, 3.0]), (40, vec![2.0, 5.0])];
    let expected: Vec<_> = [(10, Vec::new())].into_iter().chain(after).collect();
    assert_eq!(natives(&gate, "_total"), expected);
    let count = said(&gate, "count_series");
    let expected = [(10, Some(1.0)), (20, Some(1.0)), (30, Some(1.0)), (40, Some(1.0)), (50, None)];
    assert_eq!(count, expected);
}

#[test]
fn a_native_histogram_that_was_born_since_the_last_scrape_counts_in_full() {
    let mut gate = gate("increase, increase_prometheus");
    gate.send("t", &[series("other job=j instance=i", &[(T + 1000, 1.0)])]);
    send_native(&mut gate, native(T + 11_000, &[3.0], T + 5000));
    send_native(&mut gate, native(T + 21_000, &[4.0], T + 5000));
    gate.advance(T + 30_000);
    assert_eq!(natives(&gate, "_increase"), [(20, vec![3.0]), (30, vec![1.0])]);
    assert_eq!(natives(&gate, "_increase_prometheus"), [(20, Vec::new()), (30, vec![1.0])]);
}

#[test]
fn a_flood_of_native_histograms_ahead_of_the_frontier_is_folded_in_order() {
    let mut gate = gate("total, count_series");
    for s in 0..60 {
        send_native(&mut gate, native(T + 1000 + s * 1000, &[1.0 + s as f64], 0));
    }
    gate.advance(T + 60_000);
    let expected: Vec<_> = (1..=6).map(|w| (w * 10, vec![(w * 10 - 1) as f64])).collect();
    assert_eq!(natives(&gate, "_total"), expected);
    let counted = said(&gate, "count_series");
    assert_eq!(counted, (1..=6).map(|w| (w * 10, Some(1.0))).collect::<Vec<_>>());
}

/// They counted as 0 among the latest values.
#[test]
fn native_histograms_are_counted_and_have_no_latest_value() {
    let mut gate = gate("sum_last, avg_last, min_last, count_series");
    gate.send("t", &[series("c job=j instance=i pod=2", &[(T + 1000, 6.0)])]);
    send_native(&mut gate, native(T + 2000, &[1.0], 0));
    gate.advance(T + 10_000);
    for output in ["sum_last", "avg_last", "min_last"] {
        assert_eq!(said(&gate, output), [(10, Some(6.0))], "{output}");
    }
    assert_eq!(said(&gate, "count_series"), [(10, Some(2.0))]);
}

#[test]
fn a_series_of_native_histograms_that_all_wait_is_not_forgotten() {
    let text = "- {match: c, interval: 2s, staleness_interval: 4s, without: [pod], \
                outputs: [total, count_series]}";
    let mut gate = Gate::new(Decisions::new(1, rules(text)), 2);
    // The first frontier, as one that passes a minute, is when silent series are forgotten.
    for tick in 0..=30 {
        let at = T + tick * 500;
        send_native(&mut gate, native(at, &[1.0 + tick as f64], 0));
        if tick % 2 == 0 {
            gate.advance(at - 6000);
        }
    }
    gate.advance(T + 12_000);
    // The first one is the baseline.
    let after = (1..=6).map(|w| (w * 2, vec![(w * 4) as f64]));
    let expected: Vec<_> = [(0, Vec::new())].into_iter().chain(after).collect();
    assert_eq!(natives(&gate, "_total"), expected);
}

#[test]
fn sample_values_become_a_native_histogram() {
    let mut gate = gate("native_histogram");
    for (s, value) in [(1, 1.0), (2, 1.0), (3, -2.0), (4, 0.0)] {
        send(&mut gate, s, value);
    }
    gate.restart(2);
    send(&mut gate, 5, 1.0);
    gate.advance(T + 10_000);
    let said = &gate.emitted[0].1;
    let histogram = said.histogram.as_deref().unwrap();
    assert_eq!((histogram.count, histogram.sum, histogram.zero_count), (5.0, 1.0, 1.0));
    assert_eq!((histogram.positive.clone(), histogram.negative.clone()), (vec![3.0], vec![1.0]));
    assert_eq!(histogram.reset_hint, ResetHint::Gauge);
}

#[test]
fn buckets_of_a_classic_histogram_stay_consistent() {
    let mut gate =
        Gate::with_rules("- {match: c_bucket, interval: 10s, by: [le], outputs: [total]}");
    for s in 0..40i64 {
        let sent: Vec<Sent> = (0..3)
            .flat_map(|pod| {
                let one = move |le: &str, value: i64| {
                    let text = format!("c_bucket job=j instance=i{pod} le={le}");
                    // Each pod restarts at another time.
                    series(&text, &[(T + s * 1000, (value * ((s + 7 * pod) % 23)) as f64)])
                };
                [one("1", 1), one("5", 2), one("+Inf", 5)]
            })
            .collect();
        gate.send("t", &sent);
        gate.advance(T + s * 1000 - 3000);
    }
    gate.advance(T + 40_000);
    let of = |le: &str| gate.values(&format!("c_bucket:10s_by_le_total{{le={le:?}}}"));
    for ((a, b), c) in of("1").into_iter().zip(of("5")).zip(of("+Inf")) {
        let (a, b, c) = (a.1.unwrap(), b.1.unwrap(), c.1.unwrap());
        assert!((a * 2.0, a * 5.0) == (b, c), "{a} {b} {c}");
    }
}

/// One frontier closed two windows, and a crash left the first one's output in the queue: the total
/// went on from there only after the second one had been added to it, and lost that.
#[test]
fn what_was_said_of_a_window_is_the_base_of_the_next_one_that_closes_with_it() {
    let mut gate = gate("total");
    for (s, value) in [(1, 5.0), (9, 8.0), (15, 20.0)] {
        send(&mut gate, s, value);
    }
    // Other bits than are computed here, as after a sum in another order.
    gate.known.insert(T + 10_000, 3.5);
    gate.advance(T + 20_000);
    send(&mut gate, 25, 21.0);
    gate.advance(T + 30_000);
    let said = said(&gate, "total");
    assert_eq!(said[said.len() - 2..], [(20, Some(15.5)), (30, Some(16.5))]);
}
