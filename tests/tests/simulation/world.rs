//! Time, network, and everybody who takes part.
//!
//! Invariant: everything that happens is decided by the seed; time moves in steps, and within a step in
//! a fixed order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::rule::load;
use weir_loadgen::messages::floats_v1;
use weir_loadgen::oracle::{Arrival, Oracle, Settings};
use weir_loadgen::samples::Sample;
use weir_loadgen::torture::dice::Dice;
use weir_model::Relabel;
use weir_wire::oracle::v1;

use crate::agent::Agent;
use crate::disk::{Item, Record};
use crate::gateway::Identity;
use crate::node::{GRACE_MS, Node};
use crate::placement::Placement;

const STEP_MS: i64 = 50;
pub(crate) const BEGIN_MS: i64 = 1_700_000_000_000;
/// How long agents scrape.
const LOAD_MS: i64 = 90_000;
/// How long it may take afterwards until everything is out.
const PATIENCE_MS: i64 = 400_000;
/// Whoever waits for an answer tries again when none has come for so long.
pub(crate) const TIMEOUT_MS: u64 = 3_000;

const RULES: [&str; 4] = [
    "- {match: requests_total, interval: 5s, without: [instance], outputs: [total, increase, rate_sum]}\n\
     - {match: in_flight, interval: 10s, by: [zone], staleness_interval: 20s, \
     outputs: [sum_last, count_series, max, avg, count_samples]}\n",
    "- {match: requests_total, interval: 10s, by: [job], outputs: [total_prometheus, total], \
     staleness_interval: 30s}\n\
     - {match: in_flight, interval: 5s, without: [instance], \
     outputs: [min_last, max_last, avg_last, sum_samples_total, unique_samples]}\n",
    "- {match: requests_total, interval: 7s, by: [zone], late: drop, outputs: [total, rate_avg]}\n\
     - {match: in_flight, interval: 20s, outputs: [last, stddev, sum_samples, min]}\n",
    "- {match: requests_total, interval: 5s, without: [instance, zone], keep_input: true, \
     outputs: [total]}\n\
     - {match: in_flight, interval: 10s, by: [job], outputs: ['quantiles(0.5)', histogram_bucket, last]}\n",
];

/// What is on its way.
#[derive(Clone)]
pub(crate) enum Message {
    /// An agent's request, to any gateway.
    Request { agent: usize, to: usize, request: u64, body: Vec<u8> },
    /// All owners have it.
    Answer { agent: usize, request: u64 },
    /// An owner's part of a request.
    Forward { from: usize, to: usize, request: u64, body: Vec<u8> },
    /// The owner has it.
    Forwarded { from: usize, to: usize, request: u64 },
    /// A piece of a gateway's stream.
    Partials { from: usize, to: usize, items: Vec<Item> },
    /// It was taken up to a place.
    Taken { from: usize, to: usize, place: u64 },
}

struct Sending {
    request: u64,
    again_ms: i64,
}

pub(crate) struct World {
    now: i64,
    dice: Dice,
    oracle: Oracle,
    agents: Vec<(Agent, Option<Sending>)>,
    /// On its way, by the time at which it is there.
    wire: BTreeMap<(i64, u64), Message>,
    sent: u64,
    placement: Arc<Placement>,
    nodes: Vec<Node>,
    /// Between these two nothing passes until then.
    cut: (usize, usize, i64),
    received: Vec<Sample>,
    /// What was acknowledged, with the request.
    acknowledged: BTreeMap<u64, Vec<u8>>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let rules = dice.one_of(&RULES).unwrap_or(RULES[0]);
        let settings = Settings { grace_ms: GRACE_MS, ..Settings::default() };
        let agents = (0..dice.between(1, 4)).map(|number| {
            let own = Dice::new(dice.between(0, u64::MAX - 1));
            (Agent::new(number, BEGIN_MS, own), None)
        });
        let agents = agents.collect();
        let gateways = dice.one_of(&[1, 2, 3, 3]).unwrap_or(1);
        let placement = Arc::new(Placement::new(gateways));
        let config = Arc::new(Decisions::new(1, read(rules)));
        let nodes = (0..gateways).map(|number| {
            let (placement, config) = (Arc::clone(&placement), Arc::clone(&config));
            Node::new(Identity { number, placement, config }, BEGIN_MS, &mut dice)
        });
        let nodes = nodes.collect();
        Self {
            now: BEGIN_MS,
            oracle: Oracle::read(rules).expect("the oracle reads them").with(settings),
            agents,
            wire: BTreeMap::new(),
            sent: 0,
            placement,
            nodes,
            cut: (0, 0, BEGIN_MS),
            received: Vec::new(),
            acknowledged: BTreeMap::new(),
            dice,
        }
    }

    /// What the backend has got.
    pub(crate) fn received(&self) -> &[Sample] {
        &self.received
    }

    /// Lets everything happen, and says what is wrong in the end.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let end = BEGIN_MS + LOAD_MS;
        while !self.is_over(end) {
            if self.now > end + PATIENCE_MS {
                return Err("it does not come to an end".into());
            }
            self.now += STEP_MS;
            self.carry();
            self.send(self.now < end);
            self.live(self.now < end);
        }
        self.judge()
    }

    /// Everything is acknowledged, closed, synced and delivered.
    fn is_over(&self, end: i64) -> bool {
        self.agents.iter().all(|(agent, _)| agent.first().is_none())
            && self.nodes.iter().all(|node| node.is_out(end + GRACE_MS))
    }

    /// What is on its way arrives.
    fn carry(&mut self) {
        while let Some(first) = self.wire.first_entry().filter(|e| e.key().0 <= self.now) {
            match first.remove() {
                Message::Answer { agent, request } => {
                    let (agent, sending) = &mut self.agents[agent];
                    let body = agent.first().filter(|(first, _)| *first == request);
                    self.acknowledged.extend(body.cloned());
                    agent.acknowledge(request);
                    *sending = sending.take().filter(|s| s.request != request);
                }
                message => {
                    let said = self.nodes[to(&message)].take(message);
                    said.into_iter().for_each(|message| self.post_copies(message));
                }
            }
        }
    }

    /// Agents scrape, and send what is not acknowledged to any gateway.
    fn send(&mut self, scrapes: bool) {
        for at in 0..self.agents.len() {
            let (agent, sending) = &mut self.agents[at];
            if scrapes {
                agent.tick(self.now);
            }
            let waits = sending.as_ref().is_some_and(|sending| sending.again_ms > self.now);
            let Some((request, body)) = agent.first().filter(|_| !waits).cloned() else {
                continue;
            };
            let again_ms = self.now + self.dice.between(TIMEOUT_MS, 2 * TIMEOUT_MS) as i64;
            *sending = Some(Sending { request, again_ms });
            let to = self.dice.between(0, self.nodes.len() as u64 - 1) as usize;
            self.post_copies(Message::Request { agent: at, to, request, body });
        }
    }

    /// Gateways live, and now and then two of them cannot hear each other.
    fn live(&mut self, fails: bool) {
        let count = self.nodes.len() as u64;
        if fails && count > 1 && self.now >= self.cut.2 && self.dice.between(0, 599) == 0 {
            let mut any = || self.dice.between(0, count - 1) as usize;
            let (one, other) = (any(), any());
            self.cut = (one, other, self.now + self.dice.between(500, 12_000) as i64);
        }
        for at in 0..self.nodes.len() {
            let now = (self.now, fails);
            let said = self.nodes[at].live(now, &mut self.dice, &mut self.received);
            said.into_iter().for_each(|message| self.post_copies(message));
        }
    }

    /// A message is lost, or comes twice.
    fn post_copies(&mut self, message: Message) {
        let copies = match self.dice.between(0, 99) {
            0..4 => 0,
            4..8 => 2,
            _ => 1,
        };
        let is_cut = between(&message).is_some_and(|(from, to)| {
            let (one, other, until) = self.cut;
            self.now < until && ((from, to) == (one, other) || (to, from) == (one, other))
        });
        for _ in 0..if is_cut { 0 } else { copies } {
            self.post(message.clone());
        }
    }

    fn post(&mut self, message: Message) {
        let slow = self.dice.between(0, 9) == 0;
        let delay = self.dice.between(1, if slow { 2_500 } else { 60 });
        self.sent += 1;
        self.wire.insert((self.now + delay as i64, self.sent), message);
    }

    fn judge(&self) -> Result<(), String> {
        let mut arrivals = Vec::new();
        let mut logged: BTreeSet<(usize, u64)> = BTreeSet::new();
        for (number, node) in self.nodes.iter().enumerate() {
            let mut frontier = i64::MIN;
            for record in &node.disk.log {
                match record {
                    Record::Batch { request, body } => {
                        logged.insert((number, *request));
                        arrivals.extend(samples(body).iter().map(|s| Arrival::at(s, frontier)));
                    }
                    Record::Frontier(to) => frontier = frontier.max(*to),
                    Record::Partials { .. } => {}
                }
            }
        }
        for (request, body) in &self.acknowledged {
            let owners = samples(body);
            let mut owners = owners.iter().map(|s| self.placement.of_series(&s.labels));
            if let Some(owner) = owners.find(|owner| !logged.contains(&(*owner, *request))) {
                return Err(format!("{request} is acknowledged, and not in the log of {owner}"));
            }
        }
        let through = self.nodes.iter().map(Node::closed).min().unwrap_or(i64::MIN);
        let differences = self.oracle.judge(&arrivals, &self.received, through);
        if differences.is_empty() { Ok(()) } else { Err(differences.to_string()) }
    }
}

/// The gateway that a message is for.
fn to(message: &Message) -> usize {
    match *message {
        Message::Request { to, .. }
        | Message::Forward { to, .. }
        | Message::Forwarded { to, .. }
        | Message::Partials { to, .. }
        | Message::Taken { to, .. } => to,
        Message::Answer { agent, .. } => agent,
    }
}

/// The two gateways that a message passes between.
fn between(message: &Message) -> Option<(usize, usize)> {
    match *message {
        Message::Forward { from, to, .. }
        | Message::Forwarded { from, to, .. }
        | Message::Partials { from, to, .. }
        | Message::Taken { from, to, .. } => Some((from, to)),
        Message::Request { .. } | Message::Answer { .. } => None,
    }
}

/// The rules as the gateway reads them; there is no relabelling in them.
fn read(rules: &str) -> Vec<weir_aggregate::rule::Rule> {
    let compile =
        |_: &[serde_json::Value]| -> Result<Arc<dyn Relabel>, Vec<String>> { Err(Vec::new()) };
    match load(rules, &compile) {
        Ok(file) => file.rules,
        Err(problems) => panic!("{problems:?}"),
    }
}

fn samples(body: &[u8]) -> Vec<Sample> {
    floats_v1(&v1::WriteRequest::decode(body).expect("prost wrote it"))
}
