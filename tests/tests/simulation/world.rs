//! Time, network, crashes, and everybody who takes part.
//!
//! Invariant: everything that happens is decided by the seed; time moves in steps, and within a step in
//! a fixed order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use prost::Message as _;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::rule::load;
use weir_gateway::frontier::Policy;
use weir_loadgen::messages::floats_v1;
use weir_loadgen::oracle::{Arrival, Oracle, Settings};
use weir_loadgen::samples::Sample;
use weir_loadgen::torture::dice::Dice;
use weir_model::Relabel;
use weir_wire::oracle::v1;

use crate::agent::Agent;
use crate::disk::{Checkpoint, Disk, Frame, Record};
use crate::gateway::{Gateway, Said};

const STEP_MS: i64 = 50;
const BEGIN_MS: i64 = 1_700_000_000_000;
/// How long agents scrape.
const LOAD_MS: i64 = 90_000;
/// How long it may take afterwards until everything is out.
const PATIENCE_MS: i64 = 400_000;
const GRACE_MS: i64 = 10_000;
const BACKLOG_WAIT_MS: i64 = 60_000;
/// As the gateway's own.
const ALIVE_MS: i64 = 300_000;
/// An agent tries again when no answer has come for so long.
const TIMEOUT_MS: u64 = 3_000;

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

enum Message {
    Request { agent: usize, request: u64, body: Vec<u8> },
    Answer { agent: usize, request: u64 },
}

struct Sending {
    request: u64,
    again_ms: i64,
}

pub(crate) struct World {
    now: i64,
    dice: Dice,
    oracle: Oracle,
    config: Arc<Decisions>,
    agents: Vec<(Agent, Option<Sending>)>,
    /// On its way, by the time at which it is there.
    wire: BTreeMap<(i64, u64), Message>,
    sent: u64,
    disk: Disk,
    /// `None` while it is down.
    running: Option<Running>,
    starts: u64,
    up_at: i64,
    down_since: i64,
    crash_at: i64,
    backend_back_at: i64,
    received: Vec<Sample>,
    delivered: usize,
    acknowledged: BTreeSet<u64>,
}

/// What a crash takes.
struct Running {
    gateway: Gateway,
    policy: Policy,
    said: Said,
    /// Wait for the log.
    frames: Vec<Frame>,
    answers: Vec<(usize, u64, usize)>,
    checkpoint: Option<Checkpoint>,
    /// A sync that is under way: when it is done, and what it covers.
    sync: Option<(i64, usize, usize)>,
    frontier_at: i64,
    checkpoint_at: i64,
    /// Targets that were silent since then are not waited for.
    alive_since: i64,
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
        let crash_at = BEGIN_MS + dice.between(2_000, 40_000) as i64;
        Self {
            now: BEGIN_MS,
            oracle: Oracle::read(rules).expect("the oracle reads them").with(settings),
            config: Arc::new(Decisions::new(1, read(rules))),
            agents,
            wire: BTreeMap::new(),
            sent: 0,
            disk: Disk::default(),
            running: None,
            starts: 0,
            up_at: BEGIN_MS,
            down_since: BEGIN_MS,
            crash_at,
            backend_back_at: 0,
            received: Vec::new(),
            delivered: 0,
            acknowledged: BTreeSet::new(),
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
        let is_out = |running: &Running| {
            running.gateway.frontier() > end + GRACE_MS
                && running.frames.is_empty()
                && self.delivered == self.disk.queue.len()
        };
        self.agents.iter().all(|(agent, _)| agent.first().is_none())
            && self.running.as_ref().is_some_and(is_out)
    }

    /// What is on its way arrives.
    fn carry(&mut self) {
        while let Some(first) = self.wire.first_entry().filter(|e| e.key().0 <= self.now) {
            match first.remove() {
                Message::Request { agent, request, body } => {
                    let position = self.disk.log.len();
                    let Some(running) = &mut self.running else {
                        continue;
                    };
                    self.disk.log.push(Record::Batch { request, body });
                    running.handle(position, &self.disk.log[position]);
                    running.answers.push((agent, request, position));
                }
                Message::Answer { agent, request } => {
                    self.acknowledged.insert(request);
                    let (agent, sending) = &mut self.agents[agent];
                    agent.acknowledge(request);
                    *sending = sending.take().filter(|s| s.request != request);
                }
            }
        }
    }

    /// Agents scrape, and send what is not acknowledged.
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
            for _ in 0..self.copies() {
                self.post(Message::Request { agent: at, request, body: body.clone() });
            }
        }
    }

    /// A message is lost, or comes twice.
    fn copies(&mut self) -> usize {
        match self.dice.between(0, 99) {
            0..4 => 0,
            4..8 => 2,
            _ => 1,
        }
    }

    fn post(&mut self, message: Message) {
        let slow = self.dice.between(0, 9) == 0;
        let delay = self.dice.between(1, if slow { 2_500 } else { 60 });
        self.sent += 1;
        self.wire.insert((self.now + delay as i64, self.sent), message);
    }

    /// The gateway's own step: a start or a crash, or a sync, a frontier, a checkpoint, a delivery.
    fn live(&mut self, crashes: bool) {
        if crashes && self.now >= self.crash_at && self.running.is_some() {
            return self.crash();
        }
        if self.running.is_none() {
            if self.now >= self.up_at {
                self.start();
            }
            return;
        }
        self.sync();
        if let Some(running) = &mut self.running {
            running.tick(self.now, &mut self.disk.log, &mut self.dice);
        }
        self.deliver(crashes);
    }

    fn crash(&mut self) {
        self.running = None;
        self.disk.crash(&mut self.dice);
        self.delivered = self.disk.cursor.min(self.disk.queue.len());
        self.down_since = self.now;
        self.up_at = self.now + self.dice.between(100, 8_000) as i64;
        self.crash_at = self.up_at + self.dice.between(500, 30_000) as i64;
    }

    fn start(&mut self) {
        self.starts += 1;
        let workers = self.dice.between(1, 4) as usize;
        let seed = u128::from(self.dice.between(1, u64::MAX - 1));
        let (mut gateway, from) = match &self.disk.checkpoint {
            Some(at) => (Gateway::restore(&self.config, workers, seed, &at.state), at.position),
            None => (Gateway::new(&self.config, workers, seed), 0),
        };
        let said = self.said_since(from);
        let passed = self.disk.queue.last().map(|frame| frame.position);
        for position in from..self.disk.log.len() {
            let frames = gateway.handle(position, &self.disk.log[position], &said);
            // Frames stand in the order of their positions, and a request's is one.
            let is_there = |frame: &Frame| frame.window_end.is_none() && Some(position) <= passed;
            self.disk.queue.extend(frames.into_iter().filter(|frame| !is_there(frame)));
        }
        self.disk.queue_synced = self.disk.queue.len();
        let frontier = gateway.frontier().max(BEGIN_MS - GRACE_MS);
        let paused = (self.starts > 1).then_some(self.down_since);
        let policy = Policy::new(GRACE_MS, BACKLOG_WAIT_MS, frontier, paused, self.now);
        self.running = Some(Running {
            gateway,
            policy,
            said,
            frames: Vec::new(),
            answers: Vec::new(),
            checkpoint: None,
            sync: None,
            frontier_at: self.now,
            checkpoint_at: self.now + self.dice.between(1_000, 15_000) as i64,
            alive_since: frontier - ALIVE_MS,
        });
    }

    /// What the queue has said of windows that a replay will close again.
    fn said_since(&self, from: usize) -> Said {
        let mut said = Said::new();
        for frame in self.disk.queue.iter().filter(|frame| frame.position >= from) {
            if let Some(end) = frame.window_end {
                let each = frame.samples.iter();
                said.extend(each.map(|s| ((end, (*s.labels).clone()), s.value)));
            }
        }
        said
    }

    /// Ends a sync that is done and begins the next one.
    fn sync(&mut self) {
        let Some(running) = &mut self.running else {
            return;
        };
        if let Some((_, log, queue)) = running.sync.take_if(|sync| sync.0 <= self.now) {
            self.disk.log_synced = log;
            self.disk.queue_synced = queue;
            let durable = running.frames.extract_if(.., |frame| frame.position < log);
            self.disk.queue.extend(durable);
            let answered: Vec<_> =
                running.answers.extract_if(.., |(.., position)| *position < log).collect();
            let all_said = running.frames.is_empty() && queue == self.disk.queue.len();
            if let Some(checkpoint) = running.checkpoint.take_if(|c| c.position <= log && all_said)
            {
                self.disk.checkpoint = Some(checkpoint);
            }
            for (agent, request, _) in answered {
                for _ in 0..self.copies() {
                    self.post(Message::Answer { agent, request });
                }
            }
        }
        let Some(running) = &mut self.running else {
            return;
        };
        let ahead = (self.disk.log.len(), self.disk.queue.len());
        if running.sync.is_none() && ahead != (self.disk.log_synced, self.disk.queue_synced) {
            let slow = self.dice.between(0, 19) == 0;
            let done = self.now + self.dice.between(1, if slow { 1_500 } else { 60 }) as i64;
            running.sync = Some((done, ahead.0, ahead.1));
        }
    }

    /// The backend takes what is durable, in order, where it is not away.
    fn deliver(&mut self, may_be_away: bool) {
        if may_be_away && self.now >= self.backend_back_at && self.dice.between(0, 399) == 0 {
            self.backend_back_at = self.now + self.dice.between(500, 20_000) as i64;
        }
        if may_be_away && self.now < self.backend_back_at {
            return;
        }
        let frames = &self.disk.queue[self.delivered..self.disk.queue_synced];
        self.received.extend(frames.iter().flat_map(|frame| frame.samples.iter().cloned()));
        self.delivered = self.disk.queue_synced;
        if self.dice.between(0, 19) == 0 {
            self.disk.cursor = self.delivered;
        }
    }

    fn judge(&self) -> Result<(), String> {
        let (mut frontier, mut through) = (i64::MIN, i64::MIN);
        let (mut arrivals, mut logged) = (Vec::new(), BTreeSet::new());
        for record in &self.disk.log {
            match record {
                Record::Batch { request, body } => {
                    logged.insert(*request);
                    arrivals.extend(samples(body).iter().map(|s| Arrival::at(s, frontier)));
                }
                Record::Frontier(to) => {
                    frontier = frontier.max(*to);
                    through = frontier;
                }
            }
        }
        let lost: Vec<_> = self.acknowledged.difference(&logged).collect();
        if !lost.is_empty() {
            return Err(format!("acknowledged, and not in the log: {lost:?}"));
        }
        let differences = self.oracle.judge(&arrivals, &self.received, through);
        if differences.is_empty() { Ok(()) } else { Err(differences.to_string()) }
    }
}

impl Running {
    fn handle(&mut self, position: usize, record: &Record) {
        let frames = self.gateway.handle(position, record, &self.said);
        self.frames.extend(frames);
    }

    /// A frontier each second, and a checkpoint now and then.
    fn tick(&mut self, now: i64, log: &mut Vec<Record>, dice: &mut Dice) {
        if now >= self.frontier_at {
            self.frontier_at = now + 1_000;
            let waits = self.policy.is_waiting();
            let mut newest =
                if waits { self.gateway.progress(self.alive_since) } else { Vec::new() };
            if let Some(to) = self.policy.tick(now, now, &mut newest) {
                let position = log.len();
                log.push(Record::Frontier(to));
                self.handle(position, &log[position]);
            }
        }
        if now >= self.checkpoint_at {
            self.checkpoint_at = now + dice.between(1_000, 15_000) as i64;
            self.checkpoint = Some(Checkpoint { position: log.len(), state: self.gateway.state() });
        }
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
