//! A gateway's process and its disk: it starts, takes requests, syncs, answers, tells others, and is
//! killed.
//!
//! Invariant: nothing leaves it, no answer, no frame and no part, before the record that determines it
//! is durable.

use std::collections::{BTreeMap, BTreeSet};

use weir_gateway::frontier::Policy;
use weir_loadgen::samples::Sample;
use weir_loadgen::torture::dice::Dice;

use crate::disk::{Checkpoint, Disk, Frame, Item, Record, Told};
use crate::gateway::{Gateway, Identity, Outcome, Said};
use crate::world::{BEGIN_MS, Message, TIMEOUT_MS};

pub(crate) const GRACE_MS: i64 = 10_000;
const BACKLOG_WAIT_MS: i64 = 60_000;
/// As the gateway's own.
const ALIVE_MS: i64 = 300_000;
/// Items of a stream in one message.
const ITEMS_MOST: usize = 12;

pub(crate) struct Node {
    identity: Identity,
    pub(crate) disk: Disk,
    /// `None` while it is down.
    running: Option<Running>,
    starts: u64,
    up_at: i64,
    down_since: i64,
    crash_at: i64,
    backend_back_at: i64,
    delivered: usize,
}

/// What a crash takes.
struct Running {
    gateway: Gateway,
    policy: Policy,
    said: Said,
    /// Wait for the log.
    frames: Vec<Frame>,
    told: Vec<Told>,
    /// What is owed once the log is synced past a position.
    owed: Vec<(usize, Owed)>,
    /// Requests whose parts are with their owners.
    relays: BTreeMap<u64, Relay>,
    /// To each other gateway: up to which place it has got the stream, and when to send again.
    streams: BTreeMap<usize, (u64, i64)>,
    checkpoint: Option<Checkpoint>,
    sync: Option<Sync>,
    frontier_at: i64,
    checkpoint_at: i64,
    /// Targets that were silent since then are not waited for.
    alive_since: i64,
}

/// Whom durability is news to.
enum Owed {
    /// This gateway's own part of a request.
    Own { request: u64 },
    /// Another's part, which was forwarded.
    Forwarded { to: usize, request: u64 },
    /// Another's stream up to a place.
    Taken { to: usize, place: u64 },
}

struct Relay {
    agent: usize,
    /// Owners that have not answered.
    waits: BTreeSet<usize>,
}

/// A sync that is under way: when it is done, and what it covers.
struct Sync {
    done_at: i64,
    log: usize,
    queue: usize,
    exchange: usize,
}

impl Node {
    pub(crate) fn new(identity: Identity, now: i64, dice: &mut Dice) -> Self {
        Self {
            identity,
            disk: Disk::default(),
            running: None,
            starts: 0,
            up_at: now,
            down_since: now,
            crash_at: now + dice.between(2_000, 40_000) as i64,
            backend_back_at: 0,
            delivered: 0,
        }
    }

    /// Everything that it has is out, and its windows are closed past a time.
    pub(crate) fn is_out(&self, past: i64) -> bool {
        let is_out = |running: &Running| {
            running.gateway.closed() > past
                && running.frames.is_empty()
                && self.delivered == self.disk.queue.len()
        };
        self.running.as_ref().is_some_and(is_out)
    }

    /// Through which its windows are closed.
    pub(crate) fn closed(&self) -> i64 {
        self.running.as_ref().map_or(i64::MIN, |running| running.gateway.closed())
    }

    /// Takes a message; while it is down there is nobody to take it.
    pub(crate) fn take(&mut self, message: Message) -> Vec<Message> {
        let (log, number) = (&mut self.disk.log, self.identity.number);
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        match message {
            Message::Request { agent, request, body, .. } => {
                return running.request(log, number, (agent, request), &body);
            }
            Message::Forward { from, request, body, .. } => {
                running.log(log, Record::Batch { request, body });
                running.owe(log, Owed::Forwarded { to: from, request });
            }
            Message::Forwarded { from, request, .. } => {
                return running.answered(from, request).into_iter().collect();
            }
            Message::Partials { from, items, .. } => {
                let Some(place) = items.last().map(|item| item.place) else {
                    return Vec::new();
                };
                if !running.gateway.has(from, place) {
                    running.log(log, Record::Partials { origin: from, items });
                }
                running.owe(log, Owed::Taken { to: from, place });
            }
            Message::Taken { from, place, .. } => {
                let (taken, again_at) = running.streams.entry(from).or_default();
                if place > *taken {
                    (*taken, *again_at) = (place, 0);
                }
            }
            Message::Answer { .. } => {}
        }
        Vec::new()
    }

    /// Its own step: a start or a crash, or a sync, a frontier, a checkpoint, a delivery.
    pub(crate) fn live(
        &mut self,
        (now, fails): (i64, bool),
        dice: &mut Dice,
        received: &mut Vec<Sample>,
    ) -> Vec<Message> {
        if fails && now >= self.crash_at && self.running.is_some() {
            self.crash(now, dice);
            return Vec::new();
        }
        if self.running.is_none() && now >= self.up_at {
            self.start(now, dice);
            return Vec::new();
        }
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        let mut out = running.end_sync(now, self.identity.number, &mut self.disk);
        running.begin_sync(now, &self.disk, dice);
        running.tick(now, &mut self.disk.log, dice);
        out.extend(running.tell(now, &self.identity, &self.disk));
        self.deliver((now, fails), dice, received);
        out
    }

    fn crash(&mut self, now: i64, dice: &mut Dice) {
        self.running = None;
        self.disk.crash(dice);
        self.delivered = self.disk.cursor.min(self.disk.queue.len());
        self.down_since = now;
        self.up_at = now + dice.between(100, 8_000) as i64;
        self.crash_at = self.up_at + dice.between(500, 30_000) as i64;
    }

    fn start(&mut self, now: i64, dice: &mut Dice) {
        self.starts += 1;
        let workers = dice.between(1, 4) as usize;
        let seed = u128::from(dice.between(1, u64::MAX - 1));
        let (mut gateway, from) = match &self.disk.checkpoint {
            Some(at) => (Gateway::restore(&self.identity, workers, seed, &at.state), at.position),
            None => (Gateway::new(&self.identity, workers, seed), 0),
        };
        let said = self.said_since(from);
        let passed = self.disk.queue.last().map(|frame| frame.position);
        let told_through = self.disk.told_through();
        for position in from..self.disk.log.len() {
            let Outcome { frames, told } =
                gateway.handle(position, &self.disk.log[position], &said);
            // Frames stand in the order of their positions, and a request's is one.
            let is_there = |frame: &Frame| frame.window_end.is_none() && Some(position) <= passed;
            self.disk.queue.extend(frames.into_iter().filter(|frame| !is_there(frame)));
            if Some(position) > told_through {
                self.disk.exchange.extend(told);
            }
        }
        self.disk.sync();
        let frontier = gateway.frontier().max(BEGIN_MS - GRACE_MS);
        let paused = (self.starts > 1).then_some(self.down_since);
        let policy = Policy::new(GRACE_MS, BACKLOG_WAIT_MS, frontier, paused, now);
        self.running = Some(Running {
            gateway,
            policy,
            said,
            frames: Vec::new(),
            told: Vec::new(),
            owed: Vec::new(),
            relays: BTreeMap::new(),
            streams: BTreeMap::new(),
            checkpoint: None,
            sync: None,
            frontier_at: now,
            checkpoint_at: now + dice.between(1_000, 15_000) as i64,
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

    /// The backend takes what is durable, in order, where it is not away.
    fn deliver(&mut self, (now, fails): (i64, bool), dice: &mut Dice, received: &mut Vec<Sample>) {
        if fails && now >= self.backend_back_at && dice.between(0, 399) == 0 {
            self.backend_back_at = now + dice.between(500, 20_000) as i64;
        }
        if fails && now < self.backend_back_at {
            return;
        }
        let frames = &self.disk.queue[self.delivered..self.disk.queue_synced];
        received.extend(frames.iter().flat_map(|frame| frame.samples.iter().cloned()));
        self.delivered = self.disk.queue_synced;
        if dice.between(0, 19) == 0 {
            self.disk.cursor = self.delivered;
        }
    }
}

impl Running {
    fn log(&mut self, log: &mut Vec<Record>, record: Record) {
        let position = log.len();
        let Outcome { frames, told } = self.gateway.handle(position, &record, &self.said);
        log.push(record);
        self.frames.extend(frames);
        self.told.extend(told);
    }

    /// Something is owed once all that is logged is durable.
    fn owe(&mut self, log: &[Record], owed: Owed) {
        self.owed.push((log.len(), owed));
    }

    /// An agent's request: its parts go to their owners, and are answered for when all have them.
    fn request(
        &mut self,
        log: &mut Vec<Record>,
        number: usize,
        (agent, request): (usize, u64),
        body: &[u8],
    ) -> Vec<Message> {
        let (mut out, mut waits) = (Vec::new(), BTreeSet::new());
        let parts = self.gateway.cut(body);
        for (owner, body) in parts.into_iter().enumerate().filter(|(_, body)| !body.is_empty()) {
            waits.insert(owner);
            if owner == number {
                self.log(log, Record::Batch { request, body });
                self.owe(log, Owed::Own { request });
            } else {
                out.push(Message::Forward { from: number, to: owner, request, body });
            }
        }
        self.relays.insert(request, Relay { agent, waits });
        out
    }

    /// An owner has its part of a request; the answer, if it was the last.
    fn answered(&mut self, owner: usize, request: u64) -> Option<Message> {
        let relay = self.relays.get_mut(&request)?;
        relay.waits.remove(&owner);
        let agent = relay.waits.is_empty().then_some(relay.agent)?;
        self.relays.remove(&request);
        Some(Message::Answer { agent, request })
    }

    fn end_sync(&mut self, now: i64, number: usize, disk: &mut Disk) -> Vec<Message> {
        let Some(sync) = self.sync.take_if(|sync| sync.done_at <= now) else {
            return Vec::new();
        };
        let Sync { log, queue, exchange, .. } = sync;
        (disk.log_synced, disk.queue_synced, disk.exchange_synced) = (log, queue, exchange);
        disk.queue.extend(self.frames.extract_if(.., |frame| frame.position < log));
        disk.exchange.extend(self.told.extract_if(.., |told| told.position < log));
        let all_said = self.frames.is_empty() && queue == disk.queue.len();
        let all_told = self.told.is_empty() && exchange == disk.exchange.len();
        let is_whole = |c: &mut Checkpoint| c.position <= log && all_said && all_told;
        if let Some(checkpoint) = self.checkpoint.take_if(is_whole) {
            disk.checkpoint = Some(checkpoint);
        }
        let due: Vec<_> = self.owed.extract_if(.., |(position, _)| *position <= log).collect();
        let message = |(_, owed)| match owed {
            Owed::Own { request } => self.answered(number, request),
            Owed::Forwarded { to, request } => {
                Some(Message::Forwarded { from: number, to, request })
            }
            Owed::Taken { to, place } => Some(Message::Taken { from: number, to, place }),
        };
        due.into_iter().filter_map(message).collect()
    }

    fn begin_sync(&mut self, now: i64, disk: &Disk, dice: &mut Dice) {
        let (log, queue, exchange) = (disk.log.len(), disk.queue.len(), disk.exchange.len());
        let synced = (disk.log_synced, disk.queue_synced, disk.exchange_synced);
        if self.sync.is_none() && (log, queue, exchange) != synced {
            let slow = dice.between(0, 19) == 0;
            let done_at = now + dice.between(1, if slow { 1_500 } else { 60 }) as i64;
            self.sync = Some(Sync { done_at, log, queue, exchange });
        }
    }

    /// A frontier each second, and a checkpoint now and then.
    fn tick(&mut self, now: i64, log: &mut Vec<Record>, dice: &mut Dice) {
        if now >= self.frontier_at {
            self.frontier_at = now + 1_000;
            let waits = self.policy.is_waiting();
            let mut newest =
                if waits { self.gateway.progress(self.alive_since) } else { Vec::new() };
            if let Some(to) = self.policy.tick(now, now, &mut newest) {
                self.log(log, Record::Frontier(to));
            }
        }
        if now >= self.checkpoint_at {
            self.checkpoint_at = now + dice.between(1_000, 15_000) as i64;
            self.checkpoint = Some(Checkpoint { position: log.len(), state: self.gateway.state() });
        }
    }

    /// To each other gateway what it has not got yet; again when no answer has come for so long.
    fn tell(&mut self, now: i64, identity: &Identity, disk: &Disk) -> Vec<Message> {
        let from = identity.number;
        let mut out = Vec::new();
        for to in identity.placement.others(from) {
            let (taken, again_at) = self.streams.entry(to).or_default();
            if *again_at > now {
                continue;
            }
            let items: Vec<Item> = disk.stream(to, *taken, ITEMS_MOST);
            if !items.is_empty() {
                *again_at = now + TIMEOUT_MS as i64;
                out.push(Message::Partials { from, to, items });
            }
        }
        out
    }
}
