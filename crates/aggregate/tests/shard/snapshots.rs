//! State through bytes: what was said before goes on elsewhere, and damage is an error.

use std::sync::Arc;

use proptest::prelude::*;
use weir_aggregate::home::Home;
use weir_aggregate::shard::Shard;
use weir_model::{Class, TenantId, VSHARDS, VShard};

use crate::harness::{Gate, series};

const RULES: &str = r#"
- {match: '{__name__!="g"}', interval: 10s, without: [pod], max_groups: 2, outputs: [total, sum_samples_total, histogram_bucket]}
- {match: g, interval: 10s, by: [zone], outputs: [sum_last, total_prometheus]}
"#;

fn fed() -> Gate {
    let mut gate = Gate::with_rules(RULES);
    for (at, t) in [1_001_000i64, 1_009_000, 1_014_000].into_iter().enumerate() {
        let value = (at * 5) as f64;
        for tenant in ["t", "u"] {
            gate.send(
                tenant,
                &[
                    series("a job=j instance=i pod=1", &[(t, value)]),
                    series("b job=j instance=i pod=2", &[(t, value)]),
                    series("c job=j instance=i pod=3", &[(t, value)]),
                    series("g job=j instance=k zone=z", &[(t, value)]),
                ],
            );
        }
        gate.advance(t - 500);
    }
    gate.advance(1_015_000);
    gate
}

#[test]
fn a_restart_is_not_seen_in_the_outputs() {
    let (mut through, mut restarted) = (fed(), fed());
    restarted.restart(3);
    for gate in [&mut through, &mut restarted] {
        gate.send("t", &[series("a job=j instance=i pod=1", &[(1_021_000, 30.0)])]);
        gate.send("u", &[series("c job=j instance=i pod=3", &[(1_022_000, 40.0)])]);
        gate.advance(1_400_000);
    }
    let (a, b) = (through.said(), restarted.said());
    assert_eq!(format!("{a:#?}"), format!("{b:#?}"));
    assert_eq!(through.count(Class::Folded), restarted.count(Class::Folded));
    let total = r#"a:10s_without_pod_total{instance="i",job="j"}"#;
    // Samples 0, 5 and 10, then 30; the pause ends the output after five minutes.
    let values = through.values(total);
    let expected = [
        (1_000_001, Some(0.0)),
        (1_010_000, Some(5.0)),
        (1_020_000, Some(10.0)),
        (1_030_000, Some(30.0)),
    ];
    assert_eq!(values[..4], expected);
    assert_eq!(values.last(), Some(&(1_330_000, None)));
    assert!(a.keys().any(|(_, s)| s.contains("__overflow__")), "{a:?}");
}

#[test]
fn a_replay_from_before_the_state_is_listened_to_in_silence() {
    let mut gate = fed();
    let tenants = gate.tenants.clone();
    let bytes = gate.home.snapshot(&|id: TenantId| Arc::clone(&tenants[id.0 as usize]));
    let said = gate.emitted.len();
    let mut home = Home::new(Arc::clone(&gate.config));
    let mut numbers =
        |name: &str| TenantId(tenants.iter().position(|t| &**t == name).unwrap() as u32);
    home.restore_bytes(&bytes, &mut numbers).unwrap();
    assert_eq!(home.closed_through(), 1_015_000);
    let mut replay = fed();
    assert_eq!(replay.emitted.len(), said);
    replay.emitted.clear();
    replay.home = home;
    replay.frontier = 0;
    replay.advance(1_015_000);
    assert!(replay.emitted.is_empty());
    gate.advance(1_020_000);
    assert!(gate.emitted.len() > said);
}

fn read(gate: &Gate, bytes: &[u8]) -> bool {
    let mut home = Home::new(Arc::clone(&gate.config));
    let whole = home.restore_bytes(bytes, &mut |_| TenantId(0)).is_ok();
    assert!(whole || home.groups().next().is_none(), "nothing changes on an error");
    whole
}

#[test]
fn every_cut_is_an_error() {
    let gate = fed();
    let tenants = gate.tenants.clone();
    let bytes = gate.home.snapshot(&|id: TenantId| Arc::clone(&tenants[id.0 as usize]));
    assert!(read(&gate, &bytes));
    for end in 0..bytes.len() {
        assert!(!read(&gate, &bytes[..end]), "{end} of {}", bytes.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_damaged_virtual_shard_never_panics(at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
        let mut gate = fed();
        let vshard = (0..VSHARDS).map(VShard).find(|&v| gate.workers[0].labels(v, 0).next().is_some());
        let vshard = vshard.unwrap();
        let mut bytes = gate.workers[0].snapshot(vshard).unwrap();
        let place = at.index(bytes.len());
        bytes[place] ^= with;
        for bytes in [&bytes[..], &bytes[..cut.index(bytes.len())]] {
            let mut worker = Shard::new(Arc::clone(&gate.config), 1);
            if worker.restore(vshard, bytes, &mut |_| TenantId(0)).is_ok() {
                // What could be read can also be worked with.
                worker.handle_frontier(std::iter::once(vshard), 1_400_000);
                gate.workers[0] = worker;
                gate.send("t", &[series("a job=j instance=i pod=1", &[(1_500_000, 1.0)])]);
                gate.workers[0].handle_frontier((0..VSHARDS).map(VShard), 9_000_000);
            }
        }
    }

    #[test]
    fn damage_never_panics(at in 0usize..2000, with: u8, more in prop::collection::vec(any::<u8>(), 0..40)) {
        let gate = fed();
        let tenants = gate.tenants.clone();
        let mut bytes = gate.home.snapshot(&|id: TenantId| Arc::clone(&tenants[id.0 as usize]));
        let at = at % bytes.len();
        bytes[at] ^= with;
        read(&gate, &bytes);
        read(&gate, &more);
    }
}
