//! Time, network, and everybody who takes part.
//!
//! Invariant: everything that happens is decided by the seed; time moves in steps, and within a step in
//! a fixed order.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use weir_aggregate::decisions::Decisions;
use weir_loadgen::oracle::{Oracle, Settings};
use weir_loadgen::samples::Sample;
use weir_loadgen::torture::dice::Dice;

use crate::agent::Agent;
use crate::gateway::Identity;
use crate::judge::judge;
use crate::message::Message;
use crate::node::{GRACE_MS, Node};
use crate::placement::first_table;
pub(crate) use crate::rules::LONGEST_MS;
use crate::rules::{RULES, read};
use crate::slip::Slip;
use crate::target::Target;

const STEP_MS: i64 = 50;
pub(crate) const BEGIN_MS: i64 = 1_700_000_000_000;
/// How long agents scrape.
const LOAD_MS: i64 = 90_000;
/// How long it may take afterwards until everything is out.
const PATIENCE_MS: i64 = 400_000;
/// Whoever waits for an answer tries again when none has come for so long.
pub(crate) const TIMEOUT_MS: u64 = 3_000;

/// What may happen in a seed beside crashes, clocks and the network.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    /// Some agents come in pairs.
    pub(crate) pairs: bool,
    /// Virtual shards change hands.
    pub(crate) moves: bool,
    /// Some gateways are away for longer than others wait for them.
    pub(crate) waives: bool,
}

impl Weather {
    /// All of it.
    pub(crate) const ALL: Self = Self { pairs: true, moves: true, waives: true };

    /// What is asked for by name: `moves,pairs,waives`.
    pub(crate) fn read(names: &str) -> Self {
        let has = |name| names.split(',').any(|asked| asked == name);
        Self { pairs: has("pairs"), moves: has("moves"), waives: has("waives") }
    }

    /// How long others are waited for.
    pub(crate) fn patience_ms(self) -> i64 {
        if self.waives { 15_000 } else { i64::MAX / 4 }
    }
}

/// A step of time.
pub(crate) struct Moment {
    pub(crate) now: i64,
    /// Whether things still go wrong.
    pub(crate) fails: bool,
    orders: Cell<u64>,
}

impl Moment {
    /// What is logged now comes after all that was logged before, anywhere.
    pub(crate) fn order(&self) -> u64 {
        self.orders.set(self.orders.get() + 1);
        self.orders.get()
    }
}

struct Sending {
    request: u64,
    again_ms: i64,
}

pub(crate) struct World {
    moment: Moment,
    dice: Dice,
    oracle: Oracle,
    agents: Vec<(Agent, Option<Sending>)>,
    /// On its way, by the time at which it is there.
    wire: BTreeMap<(i64, u64), Message>,
    sent: u64,
    nodes: Vec<Node>,
    /// Between these two nothing passes until then, in one direction or in both.
    cut: Cut,
    received: Vec<Sample>,
    /// What was acknowledged, with the request.
    acknowledged: BTreeMap<u64, Vec<u8>>,
    /// How many moves ended.
    pub(crate) moves: usize,
}

struct Cut {
    from: usize,
    to: usize,
    both_ways: bool,
    until: i64,
}

impl Cut {
    fn parts(&self, (from, to): (usize, usize), now: i64) -> bool {
        let there = (from, to) == (self.from, self.to);
        let back = self.both_ways && (to, from) == (self.from, self.to);
        now < self.until && (there || back)
    }
}

/// Agents, some of which are pairs.
fn agents(may: Weather, dice: &mut Dice) -> Vec<(Agent, Option<Sending>)> {
    let (mut agents, mut targets) = (Vec::new(), 0);
    for _ in 0..dice.between(1, 4) {
        let its = (0..dice.between(1, 4)).map(|at| Target::new(targets + at, dice));
        let its: Vec<Target> = its.collect();
        targets += its.len() as u64;
        let replicas: &[Option<&str>] = if may.pairs && dice.between(0, 2) == 0 {
            &[Some("one"), Some("two")]
        } else {
            &[None]
        };
        for replica in replicas {
            let own = Dice::new(dice.between(0, u64::MAX - 1));
            let number = agents.len() as u64;
            agents.push((Agent::new(number, &its, *replica, BEGIN_MS, own), None));
        }
    }
    agents
}

impl World {
    pub(crate) fn new(seed: u64, may: Weather, slip: Option<Slip>) -> Self {
        let mut dice = Dice::new(seed);
        let rules = dice.one_of(&RULES).unwrap_or(RULES[0]);
        let settings = Settings { grace_ms: GRACE_MS, ..Settings::default() };
        let agents = agents(may, &mut dice);
        let gateways = dice.one_of(&[1, 2, 3, 3]).unwrap_or(1);
        let several = gateways > 1;
        let weather = Weather {
            moves: may.moves && several && dice.between(0, 3) > 0,
            waives: may.waives && several && dice.between(0, 5) == 0,
            ..may
        };
        let table = first_table(gateways);
        let config = Arc::new(Decisions::new(1, read(rules)));
        let nodes = (0..gateways).map(|number| {
            let identity = Identity { number, gateways, config: Arc::clone(&config), slip };
            Node::new(identity, table.clone(), weather, BEGIN_MS, &mut dice)
        });
        let nodes = nodes.collect();
        Self {
            moment: Moment { now: BEGIN_MS, fails: true, orders: Cell::new(0) },
            oracle: Oracle::read(rules).expect("the oracle reads them").with(settings),
            agents,
            wire: BTreeMap::new(),
            sent: 0,
            nodes,
            cut: Cut { from: 0, to: 0, both_ways: false, until: BEGIN_MS },
            received: Vec::new(),
            acknowledged: BTreeMap::new(),
            moves: 0,
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
            if self.moment.now > end + PATIENCE_MS {
                let nodes: Vec<String> = self.nodes.iter().map(Node::describe).collect();
                let waiting = self.agents.iter().filter(|(agent, _)| agent.first().is_some());
                let waiting = waiting.count();
                let nodes = nodes.join("\n  ");
                return Err(format!(
                    "it does not come to an end: {waiting} agents wait\n  {nodes}"
                ));
            }
            self.moment.now += STEP_MS;
            self.moment.fails = self.moment.now < end;
            self.carry();
            self.send();
            self.live();
        }
        self.moves = judge(&self.oracle, &self.nodes, &self.received, &self.acknowledged)?;
        Ok(())
    }

    /// Everything is acknowledged, closed, synced and delivered.
    fn is_over(&self, end: i64) -> bool {
        self.agents.iter().all(|(agent, _)| agent.first().is_none())
            && self.nodes.iter().all(|node| node.is_out(end + GRACE_MS))
    }

    /// What is on its way arrives.
    fn carry(&mut self) {
        while let Some(first) = self.wire.first_entry().filter(|e| e.key().0 <= self.moment.now) {
            let message = first.remove();
            if let Message::Answer { agent, request } = message {
                let (agent, sending) = &mut self.agents[agent];
                let body = agent.first().filter(|(first, _)| *first == request);
                self.acknowledged.extend(body.cloned());
                agent.acknowledge(request);
                *sending = sending.take().filter(|s| s.request != request);
            } else if let Some(to) = message.to() {
                let said = self.nodes[to].take(&self.moment, message);
                said.into_iter().for_each(|message| self.post_copies(message));
            }
        }
    }

    /// Agents scrape, and send what is not acknowledged to any gateway.
    fn send(&mut self) {
        let now = self.moment.now;
        for at in 0..self.agents.len() {
            let (agent, sending) = &mut self.agents[at];
            if self.moment.fails {
                agent.tick(now);
            }
            let waits = sending.as_ref().is_some_and(|sending| sending.again_ms > now);
            let Some((request, body)) = agent.first().filter(|_| !waits).cloned() else {
                continue;
            };
            let again_ms = now + self.dice.between(TIMEOUT_MS, 2 * TIMEOUT_MS) as i64;
            *sending = Some(Sending { request, again_ms });
            let to = self.dice.between(0, self.nodes.len() as u64 - 1) as usize;
            self.post_copies(Message::Request { agent: at, to, request, body });
        }
    }

    /// Gateways live, and now and then one cannot hear another.
    fn live(&mut self) {
        let (count, now) = (self.nodes.len() as u64, self.moment.now);
        let may_cut = self.moment.fails && count > 1 && now >= self.cut.until;
        if may_cut && self.dice.between(0, 599) == 0 {
            let mut any = || self.dice.between(0, count - 1) as usize;
            let (from, to) = (any(), any());
            let both_ways = self.dice.between(0, 1) == 0;
            let until = now + self.dice.between(500, 12_000) as i64;
            self.cut = Cut { from, to, both_ways, until };
        }
        for at in 0..self.nodes.len() {
            let said = self.nodes[at].live(&self.moment, &mut self.dice, &mut self.received);
            said.into_iter().for_each(|message| self.post_copies(message));
        }
    }

    /// A message is lost, or comes twice.
    fn post_copies(&mut self, message: Message) {
        let copies = match self.dice.between(0, 99) {
            _ if !self.moment.fails => 1,
            0..4 => 0,
            4..8 => 2,
            _ => 1,
        };
        let is_cut = message.ends().is_some_and(|ends| self.cut.parts(ends, self.moment.now));
        for _ in 0..if is_cut { 0 } else { copies } {
            self.post(message.clone());
        }
    }

    /// On its way for some time: others overtake it.
    fn post(&mut self, message: Message) {
        let longest = match self.dice.between(0, 39) {
            0 if self.moment.fails => 4_000,
            1..5 if self.moment.fails => 2_500,
            _ => 60,
        };
        let delay = self.dice.between(1, longest);
        self.sent += 1;
        self.wire.insert((self.moment.now + delay as i64, self.sent), message);
    }
}
