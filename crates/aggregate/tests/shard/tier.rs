//! Several nodes against one: series and groups are spread, parts travel as bytes and late, nodes are
//! restarted, and what is said in all is what one node says of the same samples.

use std::collections::VecDeque;
use std::sync::Arc;

use proptest::prelude::*;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::exchange;
use weir_aggregate::group::GroupKey;
use weir_model::{Label, TenantId, Timestamp, vshard_of_group};

use crate::harness::{Gate, Said, Sent, rules, series};

const RULES: &str = r#"
- {match: '{__name__=~"a|h.*"}', interval: 10s, without: [pod, instance], outputs: [total, total_prometheus, increase, increase_prometheus, rate_sum, rate_avg, sum_samples, sum_samples_total, count_samples, count_series, unique_samples, last, min, max, avg, stddev, stdvar, 'quantiles(0.5, 0.99)', histogram_bucket, sum_last, avg_last, min_last, max_last]}
- {match: g, interval: 20s, by: [zone], outputs: [sum_last, count_series, total], staleness_interval: 60s}
"#;

/// A message on its way: from, to, place, mark, bytes.
type Message = (usize, usize, u64, Timestamp, Vec<u8>);

struct Tier {
    gates: Vec<Gate>,
    ways: Vec<VecDeque<Message>>,
    places: u64,
}

const TENANTS: [&str; 2] = ["t", "u"];

impl Tier {
    fn new(nodes: usize, workers: usize) -> Self {
        let gate = |at: usize| {
            let mut gate = Gate::new(Decisions::new(1, rules(RULES)), workers);
            for name in TENANTS {
                gate.tenant(name);
            }
            settle(&mut gate, at, nodes);
            gate
        };
        let ways = (0..nodes * nodes).map(|_| VecDeque::new()).collect();
        Self { gates: (0..nodes).map(gate).collect(), ways, places: 0 }
    }

    fn send(&mut self, tenant: &str, sent: &[Sent]) {
        let nodes = self.gates.len();
        for (at, gate) in self.gates.iter_mut().enumerate() {
            let owned = |sent: &&Sent| {
                let mut labels: Vec<Label<'_>> =
                    sent.labels.iter().map(|(n, v)| Label::new(n, v)).collect();
                labels.sort();
                let vshard = gate.config.shard_key.vshard(tenant, &labels);
                usize::from(vshard.0) % nodes == at
            };
            let mine: Vec<Sent> = sent.iter().filter(owned).cloned().collect();
            gate.send(tenant, &mine);
        }
    }

    /// One node's frontier moves: it exports, and closes what it may.
    fn advance(&mut self, at: usize, to: Timestamp) {
        let nodes = self.gates.len();
        let gate = &mut self.gates[at];
        gate.sweep(to);
        let export = gate.home.export(to);
        self.places += 1;
        for other in (0..nodes).filter(|&other| other != at) {
            let mut part = export.clone();
            part.parts.retain(|part| home_of(&part.key, nodes) == other);
            part.left.retain(|(_, key)| home_of(key, nodes) == other);
            let tenants = gate.tenants.clone();
            let names = |id: TenantId| Arc::clone(&tenants[id.0 as usize]);
            let bytes = exchange::encode(&part, &gate.config, &names);
            self.ways[at * nodes + other].push_back((at, other, self.places, to, bytes));
        }
        gate.frontier = gate.frontier.max(0);
        self.close(at, to);
    }

    fn close(&mut self, at: usize, own: Timestamp) {
        let gate = &mut self.gates[at];
        let to = own.min(gate.home.origins.complete());
        if to > gate.frontier {
            gate.close(to);
        }
    }

    /// The oldest message of a way arrives, and once more.
    fn deliver(&mut self, way: usize, own: &[Timestamp]) {
        let Some((from, to, place, mark, bytes)) = self.ways[way].pop_front() else {
            return;
        };
        for _ in 0..2 {
            let gate = &mut self.gates[to];
            let (name, tenants) = (from.to_string(), gate.tenants.clone());
            if gate.home.origins.has(&name, 1, place) {
                continue;
            }
            let mut tenant =
                |name: &str| TenantId(tenants.iter().position(|t| &**t == name).unwrap() as u32);
            let read = exchange::decode(&bytes, &gate.config, &mut tenant).unwrap();
            assert_eq!(read.unknown, 0);
            let origin = gate.home.origins.meet(&name);
            for part in read.export.parts {
                gate.home.import(origin, part);
            }
            for (rule, key) in read.export.left {
                gate.home.leave_from(origin, rule, &key);
            }
            gate.home.origins.advance(origin, (1, place), mark);
            self.close(to, own[to]);
        }
    }

    fn restart(&mut self, at: usize, workers: usize, own: Timestamp) {
        let nodes = self.gates.len();
        let gate = &mut self.gates[at];
        let closed = std::mem::replace(&mut gate.frontier, own);
        gate.restart(workers);
        gate.frontier = closed;
        settle(gate, at, nodes);
    }

    fn said(&self) -> Said {
        let mut all = Said::new();
        for gate in &self.gates {
            for (series, values) in gate.said() {
                let before = all.insert(series.clone(), values);
                assert!(before.is_none(), "{series:?} is said by two nodes");
            }
        }
        all
    }
}

fn home_of(key: &GroupKey, nodes: usize) -> usize {
    usize::from(vshard_of_group(TENANTS[key.tenant.0 as usize], key.labels.iter()).0) % nodes
}

fn settle(gate: &mut Gate, at: usize, nodes: usize) {
    gate.home.set_lives_here(Arc::new(move |key| home_of(key, nodes) == at));
    let others = (0..nodes).filter(|&other| other != at).map(|other| other.to_string());
    let others: Vec<String> = others.collect();
    gate.home.origins.set_members(others.iter().map(String::as_str), Timestamp::MIN / 2);
}

#[derive(Clone, Debug)]
enum Step {
    Send { tenant: usize, name: usize, instance: u8, pod: u8, value: u16, offset: u16 },
    Restart { node: usize, workers: usize },
    Deliver { way: usize },
    Tick,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0usize..2, 0usize..4, 0u8..6, 0u8..3, 0u16..50, 0u16..4000).prop_map(
            |(tenant, name, instance, pod, value, offset)| {
                Step::Send { tenant, name, instance, pod, value, offset }
            }
        ),
        1 => (0usize..3, 1usize..4).prop_map(|(node, workers)| Step::Restart { node, workers }),
        4 => (0usize..9).prop_map(|way| Step::Deliver { way }),
        3 => Just(Step::Tick),
    ]
}

const START: Timestamp = 1_000_000;

/// Values of one series, in the order of time.
fn same(tier: &Said, one: &Said) -> Result<(), TestCaseError> {
    let keys = |said: &Said| said.keys().cloned().collect::<Vec<_>>();
    prop_assert_eq!(keys(tier), keys(one));
    for (series, expected) in one {
        let got = &tier[series];
        let times = |of: &std::collections::BTreeMap<Timestamp, Vec<f64>>| {
            of.iter().map(|(&t, values)| (t, values.len())).collect::<Vec<_>>()
        };
        prop_assert_eq!(times(got), times(expected), "{:?}", series);
        for (at, (a, b)) in got.values().flatten().zip(expected.values().flatten()).enumerate() {
            let near = (a - b).abs() <= 1e-9 * b.abs().max(1.0) || a.to_bits() == b.to_bits();
            prop_assert!(near || (a.is_nan() && b.is_nan()), "{:?} {}: {} {}", series, at, a, b);
        }
    }
    Ok(())
}

fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let mut one = Gate::new(Decisions::new(1, rules(RULES)), 1);
    for name in TENANTS {
        one.tenant(name);
    }
    let (mut tier, mut now) = (Tier::new(3, 2), START);
    let mut own = [0; 3];
    for step in steps {
        match *step {
            Step::Send { tenant, name, instance, pod, value, offset } => {
                let name = ["a", "g", "h_bucket", "x"][name];
                let text = format!(
                    "{name} instance=i{instance} job=j le={pod} pod={pod} zone=z{}",
                    pod % 2
                );
                let sent = [series(&text, &[(now + i64::from(offset), f64::from(value))])];
                one.send(TENANTS[tenant], &sent);
                tier.send(TENANTS[tenant], &sent);
            }
            Step::Restart { node, workers } => tier.restart(node, workers, own[node]),
            Step::Deliver { way } => tier.deliver(way, &own),
            Step::Tick => {
                now += 4000;
                one.advance(now);
                for (node, own) in own.iter_mut().enumerate() {
                    *own = now;
                    tier.advance(node, now);
                }
            }
        }
    }
    for _ in 0..30 {
        now += 20_000;
        one.advance(now);
        for (node, own) in own.iter_mut().enumerate() {
            *own = now;
            tier.advance(node, now);
        }
    }
    while tier.ways.iter().any(|way| !way.is_empty()) {
        (0..tier.ways.len()).for_each(|way| tier.deliver(way, &own));
    }
    same(&tier.said(), &one.said())?;
    let left: usize = tier.gates.iter().map(|gate| gate.home.groups().count()).sum();
    prop_assert!(left <= one.home.groups().count() * 3, "{} groups are left", left);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn three_nodes_say_what_one_says(steps in prop::collection::vec(step(), 1..120)) {
        check(&steps)?;
    }
}
