//! Several nodes against one: series and groups are spread, parts travel as bytes and late, nodes are
//! restarted, virtual shards change hands, and what is said in all is what one node says of the same samples.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::exchange;
use weir_aggregate::group::GroupKey;
use weir_aggregate::home::Epochs;
use weir_aggregate::home::afar::{Export, Taken};
use weir_model::{Label, TenantId, Timestamp, VSHARDS, VShard, vshard_of_group};

use crate::harness::{Gate, Said, Sent, rules, series};

const RULES: &str = r#"
- {match: '{__name__=~"a|h.*"}', interval: 10s, without: [pod, instance], outputs: [total, total_prometheus, increase, increase_prometheus, rate_sum, rate_avg, sum_samples, sum_samples_total, count_samples, count_series, unique_samples, last, min, max, avg, stddev, stdvar, 'quantiles(0.5, 0.99)', histogram_bucket, sum_last, avg_last, min_last, max_last]}
- {match: g, interval: 20s, by: [zone], outputs: [sum_last, count_series, total], staleness_interval: 60s}
"#;

/// Virtual shards move in so many lots.
const LOTS: usize = 12;

const TENANTS: [&str; 2] = ["t", "u"];

/// A table: whose each lot is, and how often it has changed hands.
#[derive(Clone)]
struct Table {
    epochs: Vec<u32>,
    owners: Vec<usize>,
}

impl Table {
    fn home_of(&self, key: &GroupKey) -> usize {
        let vshard = vshard_of_group(TENANTS[key.tenant.0 as usize], key.labels.iter());
        self.owners[usize::from(vshard.0) % LOTS]
    }
}

/// What is on its way from one node to another.
#[derive(Clone)]
struct Message {
    place: u64,
    /// Whose parts they are.
    of: usize,
    bytes: Vec<u8>,
    /// How far the sender has come, and what it knew when it chose; not with what it passes on.
    mark: Option<(Timestamp, Epochs)>,
}

struct Tier {
    gates: Vec<Gate>,
    /// The table in force, and what each node knows.
    table: Table,
    known: Vec<Table>,
    ways: Vec<VecDeque<Message>>,
    places: u64,
}

impl Tier {
    fn new(nodes: usize, workers: usize) -> Self {
        let owners = (0..LOTS).map(|lot| lot % nodes).collect();
        let table = Table { epochs: vec![1; LOTS], owners };
        let gate = |at: usize| {
            let mut gate = Gate::new(Decisions::new(1, rules(RULES)), workers);
            for name in TENANTS {
                gate.tenant(name);
            }
            settle(&mut gate, at, nodes, &table);
            gate
        };
        let gates = (0..nodes).map(gate).collect();
        let ways = (0..nodes * nodes).map(|_| VecDeque::new()).collect();
        Self { gates, known: vec![table.clone(); nodes], table, ways, places: 0 }
    }

    fn send(&mut self, tenant: &str, sent: &[Sent]) {
        for (at, gate) in self.gates.iter_mut().enumerate() {
            let owned = |sent: &&Sent| {
                let mut labels: Vec<Label<'_>> =
                    sent.labels.iter().map(|(n, v)| Label::new(n, v)).collect();
                labels.sort();
                let vshard = gate.config.shard_key.vshard(tenant, &labels);
                self.table.owners[usize::from(vshard.0) % LOTS] == at
            };
            let mine: Vec<Sent> = sent.iter().filter(owned).cloned().collect();
            gate.send(tenant, &mine);
        }
    }

    /// One node's frontier moves: it exports, and closes what it may.
    fn advance(&mut self, at: usize, to: Timestamp) {
        self.gates[at].sweep(to);
        let known = &self.known[at];
        let mut dealt = self.gates[at].home.export(to).deal(|key| known.home_of(key));
        let knows = Epochs::from(&known.epochs[..]);
        let mark = to.min(self.gates[at].home.origins.relayed_through(&knows));
        for other in (0..self.gates.len()).filter(|&other| other != at) {
            let export = dealt.remove(&other).unwrap_or_default();
            self.tell(at, other, at, &export, Some((mark, knows.clone())));
        }
        self.close(at, to);
    }

    /// Puts on the way to `other` what is for it.
    fn tell(
        &mut self,
        at: usize,
        other: usize,
        of: usize,
        export: &Export,
        mark: Option<(Timestamp, Epochs)>,
    ) {
        let gate = &self.gates[at];
        let names = |id: TenantId| Arc::clone(&gate.tenants[id.0 as usize]);
        let bytes = exchange::encode(export, &gate.config, &names);
        self.places += 1;
        let message = Message { place: self.places, of, bytes, mark };
        self.ways[at * self.gates.len() + other].push_back(message);
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
        let (from, to) = (way / self.gates.len(), way % self.gates.len());
        let Some(message) = self.ways[way].pop_front() else {
            return;
        };
        for _ in 0..2 {
            self.take(from, to, &message);
        }
        self.close(to, own[to]);
    }

    fn take(&mut self, from: usize, to: usize, message: &Message) {
        let Message { place, of, bytes, mark } = message;
        let gate = &mut self.gates[to];
        let sender = gate.home.origins.meet(&from.to_string());
        if gate.home.origins.has(&from.to_string(), 1, *place) {
            return;
        }
        let tenants = gate.tenants.clone();
        let mut tenant =
            |name: &str| TenantId(tenants.iter().position(|t| &**t == name).unwrap() as u32);
        let read = exchange::decode(bytes, &gate.config, &mut tenant).unwrap();
        assert_eq!(read.unknown, 0);
        let mut dealt = read.export.deal(|key| self.known[to].home_of(key));
        let origin = gate.home.origins.meet(&of.to_string());
        let here = dealt.remove(&to).unwrap_or_default();
        gate.home.import(Some(origin), here, |taken| assert_ne!(taken, Taken::Late));
        if let Some((_, knows)) = mark {
            gate.home.origins.chose_by(sender, knows.clone());
        }
        let mark = mark.as_ref().map_or(Timestamp::MIN, |(mark, _)| *mark);
        gate.home.origins.advance(sender, (1, *place), mark);
        for (other, passed_on) in dealt {
            self.tell(to, other, *of, &passed_on, None);
        }
    }

    /// A lot of virtual shards changes hands, where that may be: the giver has closed what the taker's
    /// frontier has passed.
    fn hand_over(&mut self, lot: usize, to: usize, own: &[Timestamp]) -> bool {
        let from = self.table.owners[lot];
        let latest = [from, to].iter().all(|&at| self.known[at].epochs == self.table.epochs);
        if from == to || !latest || self.gates[from].frontier < own[to] {
            return false;
        }
        let tenants = self.gates[from].tenants.clone();
        let names = |id: TenantId| Arc::clone(&tenants[id.0 as usize]);
        let mut states = Vec::new();
        for vshard in (0..VSHARDS).map(VShard).filter(|v| usize::from(v.0) % LOTS == lot) {
            states.extend(self.gates[from].give_away(vshard).map(|bytes| (vshard, bytes)));
        }
        let before = self.table.clone();
        let goes = |key: &GroupKey| {
            let vshard = vshard_of_group(TENANTS[key.tenant.0 as usize], key.labels.iter());
            usize::from(vshard.0) % LOTS == lot && before.home_of(key) == from
        };
        let groups = self.gates[from].home.give_away(&goes, &from.to_string(), &names);
        self.table.epochs[lot] += 1;
        self.table.owners[lot] = to;
        for node in [from, to] {
            self.learn(node);
        }
        let tenants = self.gates[to].tenants.clone();
        let mut tenant =
            |name: &str| TenantId(tenants.iter().position(|t| &**t == name).unwrap() as u32);
        let (giver, taker) = (from.to_string(), to.to_string());
        let moved = Epochs::from(&self.table.epochs[..]).of(|vshard| usize::from(vshard.0) == lot);
        let names = (giver.as_str(), taker.as_str());
        self.gates[to].home.take_over(&groups, names, &moved, &mut tenant).unwrap();
        for (vshard, bytes) in states {
            self.gates[to].take_over(vshard, &bytes, &mut tenant);
        }
        true
    }

    fn learn(&mut self, at: usize) {
        self.known[at] = self.table.clone();
        let nodes = self.gates.len();
        settle(&mut self.gates[at], at, nodes, &self.table);
    }

    fn restart(&mut self, at: usize, workers: usize, own: Timestamp) {
        let nodes = self.gates.len();
        let gate = &mut self.gates[at];
        let closed = std::mem::replace(&mut gate.frontier, own);
        gate.restart(workers);
        gate.frontier = closed;
        settle(gate, at, nodes, &self.known[at]);
    }

    fn said(&self) -> Said {
        let mut all = Said::new();
        for gate in &self.gates {
            for (series, values) in gate.said() {
                let of_series = all.entry(series).or_default();
                for (at, mut values) in values {
                    of_series.entry(at).or_default().append(&mut values);
                }
            }
        }
        all
    }
}

fn settle(gate: &mut Gate, at: usize, nodes: usize, table: &Table) {
    let table = table.clone();
    gate.home.set_lives_here(Arc::new(move |key| table.home_of(key) == at));
    let others = (0..nodes).filter(|&other| other != at).map(|other| other.to_string());
    let others: Vec<String> = others.collect();
    gate.home.origins.set_members(others.iter().map(String::as_str), Timestamp::MIN / 2);
}

#[derive(Clone, Debug)]
enum Step {
    Send { tenant: usize, name: usize, instance: u8, pod: u8, value: u16, offset: u16 },
    Restart { node: usize, workers: usize },
    Deliver { way: usize },
    HandOver { lot: usize, to: usize },
    Learn { node: usize },
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
        2 => (0usize..LOTS, 0usize..3).prop_map(|(lot, to)| Step::HandOver { lot, to }),
        1 => (0usize..3).prop_map(|node| Step::Learn { node }),
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
    let (mut own, mut handed_over) = ([0; 3], 0);
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
            Step::HandOver { lot, to } => {
                handed_over += u32::from(tier.hand_over(lot, to, &own));
            }
            Step::Learn { node } => tier.learn(node),
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
    (0..3).for_each(|node| tier.learn(node));
    for _ in 0..30 {
        now += 20_000;
        one.advance(now);
        for (node, own) in own.iter_mut().enumerate() {
            *own = now;
            tier.advance(node, now);
        }
        while tier.ways.iter().any(|way| !way.is_empty()) {
            (0..tier.ways.len()).for_each(|way| tier.deliver(way, &own));
        }
    }
    same(&tier.said(), &one.said())?;
    HANDED_OVER.fetch_add(handed_over, Ordering::Relaxed);
    let left: usize = tier.gates.iter().map(|gate| gate.home.groups().count()).sum();
    prop_assert!(left <= one.home.groups().count() * 3, "{} groups are left", left);
    Ok(())
}

/// A member had told a part and died before it could tell that this was all. Its window closed without waiting
/// for it, and back again it told the part again, which was carried into the next window besides.
#[test]
fn a_part_of_a_window_that_did_not_wait_counts_once_however_often_it_comes() {
    let now = 1_000_000_000;
    let mut tier = Tier::new(2, 1);
    let counter = [(now + 1000, 1.0), (now + 2000, 5.0)];
    tier.gates[1].send("t", &[series("a instance=i job=j pod=p", &counter)]);
    tier.gates[1].home.set_lives_here(Arc::new(|_| false));
    tier.gates[1].sweep(now + 10_000);
    let export = tier.gates[1].home.export(now + 10_000);
    assert!(!export.parts.is_empty());
    let home = &mut tier.gates[0].home;
    home.set_lives_here(Arc::new(|_| true));
    let origin = home.origins.meet("1");
    let mut taken = Vec::new();
    home.import(Some(origin), export.clone(), |part| taken.push(part));
    assert!(taken.iter().all(|part| *part == Taken::InTime), "{taken:?}");
    home.origins.waive("1", now + 10_000);
    tier.gates[0].close(now + 10_000);
    let names = |_: TenantId| Arc::from("t");
    let bytes = tier.gates[0].home.snapshot(&names);
    tier.gates[0].home.restore_bytes(&bytes, &mut |_| TenantId(0)).unwrap();
    let home = &mut tier.gates[0].home;
    taken.clear();
    home.import(Some(origin), export, |part| taken.push(part));
    assert!(!taken.is_empty() && taken.iter().all(|part| *part == Taken::Known), "{taken:?}");
}

/// A taker was away for longer than a giver's frontier stands still, and then refused: what the series had
/// of windows that had closed meanwhile was lost with them.
#[test]
fn what_is_taken_back_after_its_windows_joins_the_next() {
    let now = 1_000_000_000;
    let text = "- {match: a, interval: 10s, by: [zone], outputs: [total, sum_last]}\n";
    let mut gate = Gate::new(Decisions::new(1, rules(text)), 2);
    let (stays, goes) = ("a instance=i job=j zone=z", "a instance=k job=j zone=z");
    let at = |text: &str, ms: i64, value: f64| series(text, &[(now + ms, value)]);
    gate.send("t", &[at(stays, 1_000, 10.0), at(goes, 1_000, 100.0)]);
    gate.advance(now + 10_000);
    gate.send("t", &[at(stays, 11_000, 15.0), at(goes, 11_000, 130.0)]);
    let labels = [Label::new("instance", "k"), Label::new("job", "j")];
    let vshard = gate.config.shard_key.vshard("t", &labels);
    let state = gate.give_away(vshard).expect("a series");
    let groups = gate.home.give_away(&|_| false, "0", &|_| Arc::from("t"));
    gate.advance(now + 40_000);
    gate.take_back(vshard, &state, &groups);
    gate.send("t", &[at(stays, 45_000, 16.0), at(goes, 45_000, 131.0)]);
    gate.advance(now + 50_000);
    let total = gate.values(r#"a:10s_by_zone_total{zone="z"}"#);
    // Of the 30 that went up while it was away none is lost; gauges of closed windows are.
    assert_eq!(total.last(), Some(&(now + 50_000, Some(37.0))), "{total:?}");
    let last = gate.values(r#"a:10s_by_zone_sum_last{zone="z"}"#);
    assert_eq!(last.last(), Some(&(now + 50_000, Some(147.0))), "{last:?}");
    assert_eq!(last[1], (now + 20_000, Some(15.0)));
}

/// A member that had waited for another one since it began, and had closed nothing yet, took a group over that
/// had spoken. From then on it went through the windows since the beginning of time, one by one.
#[test]
fn what_is_taken_over_before_any_window_was_closed_goes_on_with_its_next() {
    let now = 1_000_000_000;
    let text = "- {match: a, interval: 10s, by: [zone], outputs: [total]}\n";
    let gate = || Gate::new(Decisions::new(1, rules(text)), 1);
    let at = |ms: i64, value: f64| [series("a instance=i job=j zone=z", &[(now + ms, value)])];
    let (mut giver, mut taker) = (gate(), gate());
    giver.send("t", &at(1_000, 10.0));
    giver.send("t", &at(2_000, 14.0));
    giver.advance(now + 10_000);
    let labels = [Label::new("instance", "i"), Label::new("job", "j")];
    let vshard = giver.config.shard_key.vshard("t", &labels);
    let state = giver.give_away(vshard).expect("a series");
    let groups = giver.home.give_away(&|_| true, "0", &|_| Arc::from("t"));
    let tenant = taker.tenant("t");
    let moved = Epochs::from(&[2][..]);
    taker.home.take_over(&groups, ("0", "1"), &moved, &mut |_| tenant).expect("it is whole");
    taker.take_over(vshard, &state, &mut |_| tenant);
    taker.send("t", &at(11_000, 15.0));
    taker.frontier = Timestamp::MIN / 2;
    taker.advance(now + 20_000);
    let total = taker.values(r#"a:10s_by_zone_total{zone="z"}"#);
    assert_eq!(total, [(now + 20_000, Some(5.0))]);
}

static HANDED_OVER: AtomicU32 = AtomicU32::new(0);

#[test]
fn virtual_shards_do_change_hands() {
    let hand_over = |lot| Step::HandOver { lot, to: (lot + 1) % 3 };
    let send = |value| Step::Send { tenant: 0, name: 0, instance: 1, pod: 1, value, offset: 1 };
    let mut steps = Vec::new();
    for round in 0..6 {
        steps.extend((0..6u16).map(|value| send(round * 6 + value)));
        for lot in 0..LOTS {
            // All that is on its way arrives, or the giver is behind.
            for _ in 0..2 {
                steps.push(Step::Tick);
                steps.extend((0..27).map(|at| Step::Deliver { way: at % 9 }));
            }
            steps.push(hand_over(lot));
            steps.extend((0..3).map(|node| Step::Learn { node }));
        }
    }
    check(&steps).unwrap();
    assert!(HANDED_OVER.load(Ordering::Relaxed) >= 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn three_nodes_say_what_one_says(steps in prop::collection::vec(step(), 1..120)) {
        check(&steps)?;
    }
}
