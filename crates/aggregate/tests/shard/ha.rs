//! HA pairs through the whole machine: two replicas scrape one target, one stream comes out.

use std::collections::BTreeMap;

use weir_aggregate::decisions::Decisions;
use weir_aggregate::ha::Mode;
use weir_model::{Class, STALE_NAN};

use crate::harness::{Gate, Sent, rules, series};

const RULES: &str = "
- match: c_bucket
  interval: 30s
  without: [instance]
  keep_input: true
  outputs: [total, count_samples]
";
const T: i64 = 1_000_020_000;
const TOTAL: &str = r#"c_bucket:30s_without_instance_total{cluster="x",job="j",le="1"}"#;

fn gate(mode: Mode) -> Gate {
    let mut decisions = Decisions::new(1, rules(RULES));
    decisions.ha.mode = mode;
    Gate::new(decisions, 2)
}

/// A scrape of one target with three buckets; `None` is a stale marker.
fn scrape(replica: &str, at_s: i64, value: Option<f64>) -> Vec<Sent> {
    let t = T + at_s * 1000;
    let one = |le: &str, times: f64| {
        let text = format!("c_bucket __replica__={replica} cluster=x job=j instance=i le={le}");
        series(&text, &[(t, value.map_or(STALE_NAN, |v| v * times))])
    };
    vec![one("1", 1.0), one("2", 2.0), one("+Inf", 3.0)]
}

/// Accepted samples by time: how many, and the value of the bucket `le="1"`.
fn accepted(gate: &Gate) -> BTreeMap<i64, (usize, f64)> {
    let mut accepted = BTreeMap::new();
    for (_, labels, sample) in &gate.passed {
        assert_eq!(labels.get("__replica__"), None, "the replica is no part of the series");
        let entry = accepted.entry((sample.timestamp - T) / 1000).or_insert((0, 0.0));
        entry.0 += 1;
        if labels.get("le") == Some("1") {
            entry.1 = sample.value;
        }
    }
    accepted
}

#[test]
fn the_standby_fills_the_gap_without_a_spike_and_buckets_never_mix() {
    let mut gate = gate(Mode::Merge);
    let mut sent = 0;
    // The counter rises by one a second. A dies after 90 s and is back at 200 s.
    for s in (0..300).step_by(5) {
        let mut request = Vec::new();
        if s % 15 == 0 && !(90..200).contains(&s) {
            request.extend(scrape("a", s, Some(s as f64)));
        }
        if s % 15 == 5 {
            request.extend(scrape("b", s, Some(s as f64)));
        }
        sent += request.len() as u64;
        gate.send("t", &request);
        gate.advance(T + s * 1000 - 30_000);
    }
    gate.advance(T + 300_000);
    let accepted = accepted(&gate);
    assert!(accepted.values().all(|&(n, _)| n == 3), "whole scrapes or nothing: {accepted:?}");
    let times: Vec<i64> = accepted.keys().copied().collect();
    // A until 75; its next would be due at 90, B's 80 and 90 are no more than 18.75 s past.
    let of_a: Vec<i64> = (0..90).step_by(15).collect();
    let of_b: Vec<i64> = (95..300).step_by(15).collect();
    assert_eq!(times, [of_a, of_b].concat(), "one gap of 20 s, and no switch back");
    assert_eq!(gate.values(TOTAL).last(), Some(&(T + 300_000, Some(290.0))));
    let lost = gate.count(Class::HaLoser);
    assert_eq!(lost + gate.count(Class::Folded), sent);
}

#[test]
fn a_standby_that_lags_is_no_reset() {
    let mut gate = gate(Mode::Merge);
    for s in (0..=240).step_by(15) {
        if s < 120 {
            gate.send("t", &scrape("a", s, Some(1000.0 + s as f64)));
        }
        // B's values are 40 s old.
        gate.send("t", &scrape("b", s + 7, Some(1000.0 + s as f64 - 33.0)));
        gate.advance(T + s * 1000 - 30_000);
    }
    gate.advance(T + 300_000);
    let total = gate.values(TOTAL);
    let rise: Vec<f64> = total.windows(2).filter_map(|w| Some(w[1].1? - w[0].1?)).collect();
    assert!(rise.iter().all(|&r| (0.0..=45.0).contains(&r)), "{total:?}");
    // From A's first value to B's last.
    assert_eq!(total.last(), Some(&(T + 300_000, Some(240.0 - 33.0))));
}

#[test]
fn a_true_reset_at_a_switch_still_counts() {
    let mut gate = gate(Mode::Merge);
    for s in [0, 15, 30, 45] {
        gate.send("t", &scrape("a", s, Some(500.0 + s as f64)));
    }
    for s in [75, 90] {
        gate.send("t", &scrape("b", s, Some(s as f64 - 70.0)));
    }
    gate.advance(T + 120_000);
    assert_eq!(gate.values(TOTAL).last(), Some(&(T + 120_000, Some(45.0 + 20.0))));
}

#[test]
fn one_replica_ending_is_not_the_end() {
    let mut gate = gate(Mode::Merge);
    for s in (0..60).step_by(15) {
        let both = [scrape("a", s, Some(s as f64)), scrape("b", s + 2, Some(s as f64))].concat();
        gate.send("t", &both);
    }
    // A loses the target (its own service discovery), B still has it.
    gate.send("t", &scrape("a", 60, None));
    for s in (60..150).step_by(15) {
        gate.send("t", &scrape("b", s + 2, Some(s as f64)));
    }
    gate.advance(T + 150_000);
    let total = gate.values(TOTAL);
    assert!(total.iter().all(|(_, v)| v.is_some()), "no marker: {total:?}");
    assert_eq!(total.last(), Some(&(T + 150_000, Some(135.0))));
    // Now both.
    gate.send("t", &scrape("b", 155, None));
    gate.advance(T + 240_000);
    assert_eq!(gate.values(TOTAL).last(), Some(&(T + 180_000, None)));
}

#[test]
fn one_request_may_hold_both_replicas_and_others() {
    let mut gate = gate(Mode::Merge);
    let plain = series("c_bucket job=j instance=i le=1", &[(T + 1000, 7.0)]);
    let (a, b) = (scrape("a", 10, Some(1.0)), scrape("b", 12, Some(2.0)));
    let mut request = vec![plain];
    for at in 0..3 {
        request.extend([b[at].clone(), a[at].clone()]);
    }
    let outcomes = gate.send("t", &request);
    let total: u64 = outcomes.iter().map(|o| o.counts.total()).sum();
    assert_eq!(total, 7);
    assert_eq!(gate.count(Class::HaLoser), 3);
    assert_eq!(gate.count(Class::Folded), 4);
    let kept: Vec<f64> = gate.passed.iter().map(|p| p.2.value).collect();
    // A series without both labels is no HA series. b came first, so all of b is taken.
    assert_eq!(kept, [7.0, 2.0, 4.0, 6.0]);
}

#[test]
fn election_waits_for_the_failover_time() {
    let mut gate = gate(Mode::Elect);
    for s in (0..60).step_by(15) {
        gate.send("t", &scrape("a", s, Some(s as f64)));
        gate.send("t", &scrape("b", s + 5, Some(s as f64)));
    }
    for s in [65, 74, 80, 95] {
        gate.send("t", &scrape("b", s, Some(s as f64)));
    }
    let times: Vec<i64> = accepted(&gate).keys().copied().collect();
    assert_eq!(times, [0, 15, 30, 45, 80, 95]);
}

#[test]
fn a_restart_forgets_no_incumbent() {
    let mut gate = gate(Mode::Merge);
    for s in (0..60).step_by(15) {
        gate.send("t", &scrape("b", s, Some(s as f64)));
        gate.send("t", &scrape("a", s + 5, Some(s as f64)));
    }
    gate.restart(3);
    gate.send("t", &scrape("a", 62, Some(62.0)));
    gate.send("t", &scrape("b", 60, Some(60.0)));
    let times: Vec<i64> = accepted(&gate).keys().copied().collect();
    assert_eq!(times, [0, 15, 30, 45, 60]);
}
