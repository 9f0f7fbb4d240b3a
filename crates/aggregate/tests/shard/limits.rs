//! Past the limits: sums stay right, memory stays bounded, what is gone is not found again.

use weir_aggregate::decisions::Decisions;
use weir_model::{Class, Millis};

use crate::harness::{Gate, rules, series};

const T: i64 = 1_000_000_000;

#[test]
fn sums_are_right_past_the_limit_of_groups() {
    let text = "
- {match: c, interval: 10s, by: [pod], max_groups: 3, outputs: [total, increase, sum_last]}
";
    let mut gate = Gate::new(Decisions::new(1, rules(text)), 2);
    for round in 0..6 {
        for pod in 0..10 {
            let text = format!("c job=j instance=i{pod} pod=p{pod}");
            let value = f64::from(round * (pod + 1));
            gate.send("t", &[series(&text, &[(T + i64::from(round) * 10_000, value)])]);
        }
        if round == 3 {
            gate.restart(3);
        }
    }
    gate.advance(T + 60_000);
    let said = gate.said();
    for (output, expected) in [("total", 55.0 * 5.0), ("increase", 55.0), ("sum_last", 55.0 * 5.0)]
    {
        let of = said.iter().filter(|((_, s), _)| s.contains(&format!("_{output}{{")));
        let all: Vec<_> = of.collect();
        assert_eq!(all.len(), 4, "three groups and the overflow: {all:?}");
        let sum: f64 = all.iter().filter_map(|(_, v)| v.get(&(T + 50_000))).map(|v| v[0]).sum();
        assert_eq!(sum, expected, "{output}");
    }
    let (_, counts, groups) = gate.home.counts().next().unwrap();
    assert_eq!((counts.overflowed, groups), (0, 4), "folded before the restart, and still so");
}

#[test]
fn groups_are_admitted_again_when_others_have_gone() {
    let text = "- {match: c, interval: 10s, by: [pod], max_groups: 1, outputs: [total]}";
    let mut decisions = Decisions::new(1, rules(text));
    decisions.counter_memory = Millis::from_secs(60);
    let mut gate = Gate::new(decisions, 1);
    for (round, pod) in ["a", "b", "c"].into_iter().enumerate() {
        // An hour apart: each is alone.
        let t = T + round as i64 * 3_600_000;
        gate.send("t", &[series(&format!("c pod={pod}"), &[(t, 1.0), (t + 10_000, 2.0)])]);
        gate.advance(t + 3_500_000);
    }
    let names: Vec<String> = gate.said().into_keys().map(|(_, s)| s).collect();
    let expected = ["a", "b", "c"].map(|p| format!("c:10s_by_pod_total{{pod={p:?}}}"));
    assert_eq!(names, expected);
}

#[test]
fn a_tenant_at_its_limit_gets_no_new_series_and_keeps_its_old_ones() {
    let mut gate = Gate::with_rules("- {match: c, interval: 10s, outputs: [total]}");
    gate.send("t", &[series("c pod=a", &[(T, 1.0)])]);
    let request =
        [series("c pod=a", &[(T + 1000, 2.0)]), series("c pod=b", &[(T, 1.0), (T + 1, 2.0)])];
    let outcomes = gate.send_limited("t", &request, true);
    assert_eq!(gate.count(Class::Refused), 2);
    assert_eq!(gate.count(Class::Folded), 2);
    let (entry, refusal, samples) = &outcomes[0].refusals[0];
    assert_eq!((*entry, refusal.reason(), *samples), (1, "series_limit", 2));
}

#[test]
fn churn_leaves_nothing_behind() {
    let text = "
- {match: c, interval: 10s, without: [pod, instance], outputs: [total, sum_last]}
- {match: c, interval: 10s, by: [pod], outputs: [rate_sum]}
";
    let mut decisions = Decisions::new(1, rules(text));
    decisions.counter_memory = Millis::from_secs(60);
    for active in &decisions.rules {
        assert_eq!(active.rule.staleness().0, 300_000, "so series stay for five minutes");
    }
    let mut gate = Gate::new(decisions, 2);
    let (mut after_warming, mut born) = (0, 0u64);
    let (steps, each) = (500i64, 400);
    for step in 0..steps {
        let t = T + step * 60_000;
        let request: Vec<_> = (0..each)
            .map(|n| {
                // Every second target is new as well.
                let target = if n % 2 == 0 { n / 20 } else { n / 20 + step * 100 };
                let (a, b) = (format!("p{step}-{n}"), format!("h{target}:1"));
                series(&format!("c job=j instance={b} pod={a}"), &[(t, 1.0), (t + 5000, 2.0)])
            })
            .collect();
        gate.send("t", &request);
        born += each as u64;
        gate.advance(t);
        gate.emitted.clear();
        let memory: usize = gate
            .workers
            .iter()
            .map(|w| {
                let (shards, pairs) = w.memory_bytes();
                shards + pairs
            })
            .sum();
        if step == steps / 5 {
            after_warming = memory;
        }
        if step > steps / 5 {
            assert!(memory < after_warming * 5 / 4, "{memory} of {after_warming} in step {step}");
        }
    }
    assert_eq!(gate.workers.iter().map(|w| w.births()).sum::<u64>(), born);
    let alive: u64 = gate.workers.iter().flat_map(|w| w.series_by_tenant().values()).sum();
    assert!(alive <= 8 * each as u64, "{alive}");
    // Rule 2 has a group for each series, rule 1 one in all.
    assert!(gate.home.groups().count() as u64 <= alive + 1 + each as u64);
    // The first series' label block again: another series, whose first value is a baseline.
    let t = T + steps * 60_000;
    gate.send("t", &[series("c job=j instance=h0:1 pod=p0-0", &[(t, 1000.0)])]);
    assert_eq!(gate.workers.iter().map(|w| w.births()).sum::<u64>(), born + 1);
    gate.advance(t + 3_600_000);
    let alive: u64 = gate.workers.iter().flat_map(|w| w.series_by_tenant().values()).sum();
    assert_eq!((alive, gate.home.groups().count()), (0, 0));
}
