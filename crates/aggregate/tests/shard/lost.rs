//! Members of a tier lose their disks: agents send again what is not released, others tell again what is
//! not delivered, and every window is said once, with what one node says of the same samples.

use std::sync::Arc;

use proptest::prelude::*;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::exchange;
use weir_aggregate::group::GroupKey;
use weir_model::{Label, TenantId, Timestamp, vshard_of_group};

use crate::harness::{Gate, Said, Sent, rules, series};

const RULES: &str = r#"
- {match: c, interval: 10s, by: [zone], staleness_interval: 20s, outputs: [increase, count_samples, sum_samples, count_series, max]}
- {match: g, interval: 20s, without: [instance], staleness_interval: 20s, outputs: [sum_last, count_series]}
"#;

const NODES: usize = 3;
const TICK: Timestamp = 4_000;
const START: Timestamp = 1_000_000;
/// A beat's newest sample lies so far behind its time.
const NEWEST: Timestamp = 800;
/// As `complete` in the gateway's custody: the longest interval, and the staleness.
const REACH: (Timestamp, Timestamp) = (20_000, 20_000);

/// What a member is told: all its parts of a frontier, and the mark behind them.
struct Message {
    bytes: Vec<u8>,
    mark: Timestamp,
}

struct Member {
    gate: Gate,
    epoch: u64,
    frontier: Timestamp,
    /// The backend has windows of its groups that end by then.
    delivered: Timestamp,
    /// To each other one, and how many of them that one has.
    told: Vec<Vec<Message>>,
    taken: Vec<usize>,
    /// What agents have sent here, by their beats.
    sent: Vec<(Timestamp, Vec<Sent>)>,
}

struct Tier(Vec<Member>);

fn gate(at: usize) -> Gate {
    let mut gate = Gate::new(Decisions::new(1, rules(RULES)), 2);
    gate.tenant("t");
    gate.home.set_lives_here(Arc::new(move |key| home_of(key) == at));
    let others: Vec<String> = others(at).map(|other| other.to_string()).collect();
    gate.home.origins.set_members(others.iter().map(String::as_str), Timestamp::MIN / 2);
    gate
}

fn others(at: usize) -> impl Iterator<Item = usize> {
    (0..NODES).filter(move |&other| other != at)
}

fn home_of(key: &GroupKey) -> usize {
    usize::from(vshard_of_group("t", key.labels.iter()).0) % NODES
}

impl Tier {
    fn new() -> Self {
        let member = |at| Member {
            gate: gate(at),
            epoch: 1,
            frontier: 0,
            delivered: 0,
            told: (0..NODES).map(|_| Vec::new()).collect(),
            taken: vec![0; NODES],
            sent: Vec::new(),
        };
        Self((0..NODES).map(member).collect())
    }

    fn send(&mut self, now: Timestamp, all: &[Sent]) {
        for (at, member) in self.0.iter_mut().enumerate() {
            let owner = |sent: &&Sent| {
                let labels = sent.labels.iter().map(|(n, v)| Label::new(n, v));
                let mut labels: Vec<Label<'_>> = labels.collect();
                labels.sort();
                usize::from(member.gate.config.shard_key.vshard("t", &labels).0) % NODES == at
            };
            let mine: Vec<Sent> = all.iter().filter(owner).cloned().collect();
            member.gate.send("t", &mine);
            member.sent.push((now, mine));
        }
    }

    fn advance(&mut self, at: usize, to: Timestamp) {
        let member = &mut self.0[at];
        member.gate.sweep(to);
        member.frontier = to;
        let mut dealt = member.gate.home.export(to).deal(home_of);
        let names = |_: TenantId| Arc::from("t");
        for other in others(at) {
            let export = dealt.remove(&other).unwrap_or_default();
            let bytes = exchange::encode(&export, &member.gate.config, &names);
            member.told[other].push(Message { bytes, mark: to });
        }
        self.close(at);
    }

    fn close(&mut self, at: usize) {
        let Member { gate, frontier, .. } = &mut self.0[at];
        let to = (*frontier).min(gate.home.origins.complete());
        if to > gate.frontier {
            gate.close(to);
        }
    }

    /// What one has told another arrives, up to a number of messages.
    fn tell(&mut self, from: usize, to: usize, many: usize) {
        for _ in 0..many {
            let member = &self.0[from];
            let place = member.taken[to];
            let Some(Message { bytes, mark }) = member.told[to].get(place) else { break };
            let (bytes, mark, epoch) = (bytes.clone(), *mark, member.epoch);
            self.0[from].taken[to] += 1;
            let home = &mut self.0[to].gate.home;
            let origin = home.origins.meet(&from.to_string());
            home.hear_epoch(origin, epoch);
            let read = exchange::decode(&bytes, home.config(), &mut |_| TenantId(0)).unwrap();
            let mut export = read.export;
            home.leave_out_known(Some(origin), &mut export);
            home.import(Some(origin), export, |_| {});
            home.origins.advance(origin, (epoch, place as u64 + 1), mark);
            self.close(to);
        }
    }

    /// Up to when an agent has been told that what it sent here is out.
    fn released(&self, at: usize) -> Timestamp {
        let told = |to: usize| {
            let member = &self.0[at];
            let last = member.taken[to].checked_sub(1).and_then(|last| member.told[to].get(last));
            last.map_or(0, |message| message.mark)
        };
        let of_others = others(at).map(|other| self.0[other].delivered.min(told(other)));
        let through = of_others.min().unwrap_or(0).min(self.0[at].delivered);
        let (interval, staleness) = REACH;
        through - through.rem_euclid(interval) - staleness
    }

    /// A disk is lost and replaced. Those who know through when it had delivered say so before its frontier
    /// moves, but maybe after others have told it parts.
    fn lose(&mut self, at: usize, is_told_late: bool) {
        let (released, through) = (self.released(at), self.0[at].delivered);
        for other in others(at) {
            // What is not delivered is kept.
            let told = &self.0[other].told[at];
            self.0[other].taken[at] = told.partition_point(|message| message.mark <= through);
        }
        let member = &mut self.0[at];
        let mut old = std::mem::replace(&mut member.gate, gate(at));
        old.emitted.retain(|(end, _)| *end <= through);
        member.gate.emitted = old.emitted;
        member.epoch += 1;
        member.frontier = 0;
        member.told.iter_mut().for_each(Vec::clear);
        member.taken.fill(0);
        if !is_told_late {
            member.gate.home.stay_silent_through(through);
        }
        for (_, sent) in member.sent.iter().filter(|(time, _)| time + NEWEST >= released) {
            member.gate.send("t", sent);
        }
        if is_told_late {
            others(at).for_each(|other| self.tell(other, at, 3));
            self.0[at].gate.home.stay_silent_through(through);
        }
    }

    fn said(&self) -> Said {
        let mut all = Said::new();
        for (series, values) in self.0.iter().flat_map(|member| member.gate.said()) {
            let of_series = all.entry(series).or_default();
            for (at, mut values) in values {
                of_series.entry(at).or_default().append(&mut values);
            }
        }
        all
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Time passes: targets are scraped (those that these bits name pause), frontiers move.
    Tick {
        pausing: u8,
        held: usize,
    },
    Tell {
        from: usize,
        to: usize,
        many: usize,
    },
    Deliver {
        node: usize,
    },
    Lose {
        node: usize,
        is_told_late: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), 0..=NODES).prop_map(|(pausing, held)| Step::Tick { pausing, held }),
        8 => (0..NODES, 0..NODES, 1usize..4)
            .prop_map(|(from, to, many)| Step::Tell { from, to, many }),
        4 => (0..NODES).prop_map(|node| Step::Deliver { node }),
        1 => (0..NODES, any::<bool>())
            .prop_map(|(node, is_told_late)| Step::Lose { node, is_told_late }),
    ]
}

fn check(steps: &[Step]) -> Result<(), TestCaseError> {
    let (mut one, mut tier, mut now) = (gate(0), Tier::new(), START);
    one.home.set_lives_here(Arc::new(|_| true));
    one.home.origins.set_members(std::iter::empty(), 0);
    let mut values = [0.0; 8];
    let mut paused = [0; 8];
    let mut tick = |one: &mut Gate, tier: &mut Tier, pausing: u8, held: usize| {
        let mut all = Vec::new();
        for at in 0..8u8 {
            let (value, paused) = (&mut values[usize::from(at)], &mut paused[usize::from(at)]);
            let pauses = pausing & 1 << at != 0 && *paused < 3;
            *paused = if pauses { *paused + 1 } else { 0 };
            if pauses {
                continue;
            }
            *value += f64::from(at) + 1.0;
            let text = format!("instance=i{at} job=j zone=z{}", at % 3);
            for name in ["c", "g"] {
                let sample = [(now + 100 + i64::from(at) * 100, *value)];
                all.push(series(&format!("{name} {text}"), &sample));
            }
        }
        one.send("t", &all);
        tier.send(now, &all);
        now += TICK;
        one.advance(now);
        (0..NODES).filter(|&node| node != held).for_each(|node| tier.advance(node, now));
    };
    for step in steps {
        match *step {
            Step::Tick { pausing, held } => tick(&mut one, &mut tier, pausing, held),
            Step::Tell { from, to, many } => tier.tell(from, to, if from == to { 0 } else { many }),
            Step::Deliver { node } => {
                let member = &mut tier.0[node];
                member.delivered = member.delivered.max(member.gate.frontier);
            }
            Step::Lose { node, is_told_late } => tier.lose(node, is_told_late),
        }
    }
    for _ in 0..12 {
        tick(&mut one, &mut tier, 0, NODES);
        for (from, to) in (0..NODES).flat_map(|from| others(from).map(move |to| (from, to))) {
            tier.tell(from, to, usize::MAX);
        }
    }
    let (got, expected) = (tier.said(), one.said());
    prop_assert_eq!(got.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (series, values) in &expected {
        prop_assert_eq!(&got[series], values, "{:?}", series);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn lost_disks_cost_no_window(steps in prop::collection::vec(step(), 1..120)) {
        check(&steps)?;
    }
}
