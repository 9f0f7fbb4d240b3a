//! A changed rule set: what stays the same goes on, what is new begins at a boundary, what is
//! gone says so.

use weir_aggregate::decisions::Decisions;

use crate::harness::{Gate, rules, series};

const TOTAL: &str = "- {match: a, interval: 10s, without: [pod], outputs: [total]}\n";
const RATE: &str = "- {match: a, interval: 20s, without: [pod], outputs: [rate_sum]}\n";
const SUM: &str =
    "- {match: '{__name__=~\"a|b\"}', interval: 10s, by: [job], outputs: [sum_last]}\n";

/// The rules of a file; those in `new` begin after this timestamp.
fn decisions(version: u32, old: &[&str], new: &[&str], active_after: i64) -> Decisions {
    let text = [old, new].concat().concat();
    let mut decisions = Decisions::new(version, rules(&text));
    for active in &mut decisions.rules[old.len()..] {
        active.active_after = active_after;
    }
    decisions
}

fn send(gate: &mut Gate, t: i64, value: f64) {
    gate.send(
        "t",
        &[
            series("a job=j instance=i pod=1", &[(t, value)]),
            series("a job=j instance=k pod=1", &[(t, value)]),
            series("b job=j instance=i", &[(t, value)]),
        ],
    );
    gate.advance(t - 1000);
}

#[test]
fn a_rule_that_means_the_same_goes_on_at_another_place() {
    for workers in [1, 2] {
        let mut gate = Gate::new(decisions(1, &[TOTAL, RATE], &[], 0), workers);
        for (at, t) in (1_000_000..1_050_000).step_by(5000).enumerate() {
            if at == 5 {
                // In the middle of a window: the frontier is at 1_019_000.
                gate.reload(decisions(2, &[RATE, TOTAL], &[SUM], 1_030_000));
            }
            send(&mut gate, t, at as f64);
        }
        gate.advance(1_045_000);
        for instance in ["i", "k"] {
            let labels = format!(r#"{{instance="{instance}",job="j"}}"#);
            let totals = gate.values(&format!("a:10s_without_pod_total{labels}"));
            // One more every 5 s from 1_000_000 on, which is a baseline.
            let expected = [
                (990_001, Some(0.0)),
                (1_000_000, Some(0.0)),
                (1_010_000, Some(2.0)),
                (1_020_000, Some(4.0)),
                (1_030_000, Some(6.0)),
                (1_040_000, Some(8.0)),
            ];
            assert_eq!(totals, expected);
            let rates = gate.values(&format!("a:20s_without_pod_rate_sum{labels}"));
            assert_eq!(rates, [(1_020_000, Some(0.2)), (1_040_000, Some(0.2))]);
        }
        // The new rule: first window is the first that begins after 1_030_000.
        let sums = gate.values(r#"a:10s_by_job_sum_last{job="j"}"#);
        assert_eq!(sums, [(1_040_000, Some(16.0))]);
        // b left raw until then, and not afterwards.
        let raw: Vec<i64> = gate.passed.iter().map(|(.., s)| s.timestamp).collect();
        assert_eq!(
            raw,
            [1_000_000, 1_005_000, 1_010_000, 1_015_000, 1_020_000, 1_025_000, 1_030_000]
        );
    }
}

#[test]
fn a_removed_rule_ends_its_outputs_and_its_series_pass() {
    let mut gate = Gate::new(decisions(1, &[TOTAL, SUM], &[], 0), 2);
    for t in [1_001_000, 1_006_000, 1_011_000] {
        send(&mut gate, t, 1.0);
    }
    gate.reload(decisions(2, &[TOTAL], &[], 0));
    let last = |gate: &Gate, series: &str| gate.values(series).last().copied();
    assert_eq!(last(&gate, r#"b:10s_by_job_sum_last{job="j"}"#), Some((1_010_000, None)));
    assert_eq!(last(&gate, r#"a:10s_by_job_sum_last{job="j"}"#), Some((1_010_000, None)));
    send(&mut gate, 1_016_000, 2.0);
    let raw: Vec<String> = gate.passed.iter().map(|(_, l, _)| l.to_string()).collect();
    assert_eq!(raw, [r#"b{instance="i",job="j"}"#]);
    gate.advance(1_040_000);
    let total = r#"a:10s_without_pod_total{instance="i",job="j"}"#;
    assert_eq!(
        gate.values(total)[..3],
        [(1_000_001, Some(0.0)), (1_010_000, Some(0.0)), (1_020_000, Some(1.0))]
    );
    // And the rule back again: it begins anew, with b's base remembered.
    gate.reload(decisions(3, &[TOTAL], &[SUM], 1_050_000));
    send(&mut gate, 1_055_000, 5.0);
    gate.advance(1_060_000);
    assert_eq!(last(&gate, r#"b:10s_by_job_sum_last{job="j"}"#), Some((1_060_000, Some(5.0))));
}

#[test]
fn groups_and_pairs_of_a_removed_rule_are_given_back() {
    let mut gate = Gate::new(decisions(1, &[TOTAL, SUM, RATE], &[], 0), 1);
    send(&mut gate, 1_001_000, 1.0);
    gate.reload(decisions(2, &[SUM], &[], 0));
    gate.advance(1_000_000 + 2 * 3_600_000);
    gate.advance(1_000_000 + 3 * 3_600_000);
    assert_eq!(gate.home.groups().count(), 0);
    assert_eq!(gate.workers[0].series_by_tenant().values().sum::<u64>(), 0);
    gate.reload(decisions(3, &[TOTAL, SUM], &[], 0));
    send(&mut gate, 1_000_000 + 4 * 3_600_000, 1.0);
    assert_eq!(gate.home.groups().count(), 4);
}
