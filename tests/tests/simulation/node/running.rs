//! What a crash takes of a gateway, and what it does from step to step.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use weir_gateway::cluster::moves::Holds;
use weir_gateway::frontier::Policy;
use weir_loadgen::torture::dice::Dice;
use weir_model::Millis;

use super::moving::{Giving, instant};
use super::{ALIVE_MS, GRACE_MS};
use crate::disk::{Checkpoint, Disk, Frame, Item, Record, Told};
use crate::gateway::{Gateway, Identity, Outcome, Said};
use crate::message::{Between, Message};
use crate::slip::Slip;
use crate::world::{Moment, TIMEOUT_MS};

/// Items of a stream in one message.
const ITEMS_MOST: usize = 12;
/// As often as others are told of the table.
const GOSSIP_MS: i64 = 1_000;

pub(super) struct Running {
    pub(super) identity: Identity,
    pub(super) gateway: Gateway,
    policy: Policy,
    said: Said,
    /// Wait for the log.
    pub(super) frames: Vec<Frame>,
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
    gossip_at: i64,
    /// For how long others are waited for, and where the own frontier was since.
    patience_ms: i64,
    past: VecDeque<(i64, i64)>,
    pub(super) holds: Holds,
    pub(super) giving: Option<Giving>,
}

/// Whom durability is news to.
pub(super) enum Owed {
    /// This gateway's own part of a request.
    Own { request: u64 },
    /// Another gateway.
    Another { to: usize, what: Between },
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

impl Running {
    pub(super) fn new(
        identity: Identity,
        gateway: Gateway,
        policy: Policy,
        said: Said,
        (now, checkpoint_at, patience_ms): (i64, i64, i64),
    ) -> Self {
        Self {
            identity,
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
            checkpoint_at,
            gossip_at: now,
            patience_ms,
            past: VecDeque::new(),
            holds: Holds::default(),
            giving: None,
        }
    }

    pub(super) fn log(&mut self, disk: &mut Disk, record: Record) {
        let position = disk.log.len();
        let Outcome { frames, told } = self.gateway.handle(position, &record, &self.said);
        disk.log.push(record);
        self.frames.extend(frames);
        self.told.extend(told);
    }

    /// Something is owed once all that is logged is durable; `hasty` is who does not wait for that.
    pub(super) fn owe(&mut self, disk: &Disk, owed: Owed, hasty: Slip) {
        let at = if self.identity.slips(hasty) { 0 } else { disk.log.len() };
        self.owed.push((at, owed));
    }

    pub(super) fn to(&self, to: usize, what: Between) -> Message {
        Message::Between { from: self.identity.number, to, what }
    }

    /// Takes a message.
    pub(super) fn take(
        &mut self,
        moment: &Moment,
        disk: &mut Disk,
        message: Message,
    ) -> Vec<Message> {
        match message {
            Message::Request { agent, request, body, .. } => {
                self.request(moment, disk, (agent, request), &body)
            }
            Message::Between { from, what, .. } => self.hear(moment, disk, from, what),
            Message::Answer { .. } => Vec::new(),
        }
    }

    fn hear(
        &mut self,
        moment: &Moment,
        disk: &mut Disk,
        from: usize,
        what: Between,
    ) -> Vec<Message> {
        match what {
            Between::Forward { request, body } => {
                if self.gateway.may_take(&body, &disk.table) {
                    self.log(disk, Record::Batch { request, order: moment.order(), body });
                    let what = Between::Forwarded { request };
                    self.owe(disk, Owed::Another { to: from, what }, Slip::AnsweredBeforeSync);
                }
            }
            Between::Forwarded { request } => {
                return self.answered(from, request).into_iter().collect();
            }
            Between::Partials(items) => {
                let Some(place) = items.last().map(|item| item.place) else {
                    return Vec::new();
                };
                if !self.gateway.has(from, place) {
                    self.log(disk, Record::Partials { origin: from, items });
                }
                let what = Between::Taken { place };
                self.owe(disk, Owed::Another { to: from, what }, Slip::TakenBeforeSync);
            }
            Between::Taken { place } => {
                let (taken, again_at) = self.streams.entry(from).or_default();
                if place > *taken {
                    (*taken, *again_at) = (place, 0);
                }
            }
            what => return self.hear_of_move(moment.now, disk, from, what),
        }
        Vec::new()
    }

    /// An agent's request: its parts go to their owners, and are answered for when all have them.
    fn request(
        &mut self,
        moment: &Moment,
        disk: &mut Disk,
        (agent, request): (usize, u64),
        body: &[u8],
    ) -> Vec<Message> {
        let (mut out, mut waits) = (Vec::new(), BTreeSet::new());
        let parts = self.gateway.cut(body, &disk.table);
        for (owner, body) in parts.into_iter().enumerate().filter(|(_, body)| !body.is_empty()) {
            waits.insert(owner);
            if owner != self.identity.number {
                out.push(self.to(owner, Between::Forward { request, body }));
            } else if self.gateway.may_take(&body, &disk.table) {
                self.log(disk, Record::Batch { request, order: moment.order(), body });
                self.owe(disk, Owed::Own { request }, Slip::AnsweredBeforeSync);
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

    pub(super) fn end_sync(&mut self, now: i64, disk: &mut Disk) -> Vec<Message> {
        let Some(sync) = self.sync.take_if(|sync| sync.done_at <= now) else {
            return Vec::new();
        };
        let Sync { log, queue, exchange, .. } = sync;
        (disk.log_synced, disk.queue_synced, disk.exchange_synced) = (log, queue, exchange);
        let hasty = self.identity.slips(Slip::SaidBeforeSync);
        disk.queue.extend(self.frames.extract_if(.., |frame| frame.position < log || hasty));
        let hasty = self.identity.slips(Slip::ToldBeforeSync);
        disk.exchange.extend(self.told.extract_if(.., |told| told.position < log || hasty));
        let all_said = self.frames.is_empty() && queue == disk.queue.len();
        let all_told = self.told.is_empty() && exchange == disk.exchange.len();
        let is_whole = |c: &mut Checkpoint| c.position <= log && all_said && all_told;
        if let Some(checkpoint) = self.checkpoint.take_if(is_whole) {
            disk.checkpoint = Some(checkpoint);
        }
        let due: Vec<_> = self.owed.extract_if(.., |(position, _)| *position <= log).collect();
        let number = self.identity.number;
        let message = |(_, owed)| match owed {
            Owed::Own { request } => self.answered(number, request),
            Owed::Another { to, what } => Some(Message::Between { from: number, to, what }),
        };
        due.into_iter().filter_map(message).collect()
    }

    pub(super) fn begin_sync(&mut self, now: i64, disk: &Disk, dice: &mut Dice) {
        let (log, queue, exchange) = (disk.log.len(), disk.queue.len(), disk.exchange.len());
        let synced = (disk.log_synced, disk.queue_synced, disk.exchange_synced);
        let owes = self.owed.iter().any(|(position, _)| *position <= log);
        if self.sync.is_none() && ((log, queue, exchange) != synced || owes) {
            let slow = dice.between(0, 19) == 0;
            let done_at = now + dice.between(1, if slow { 1_500 } else { 60 }) as i64;
            // It may begin between two entries of one position.
            let (before, all) = (disk.exchange_synced as u64, exchange as u64);
            let some = dice.between(before, all);
            let exchange = dice.one_of(&[some, all]).unwrap_or(all) as usize;
            self.sync = Some(Sync { done_at, log, queue, exchange });
        }
    }

    /// A frontier each second, and a checkpoint now and then.
    pub(super) fn tick(&mut self, now: i64, skew_ms: i64, disk: &mut Disk, dice: &mut Dice) {
        let owed = self.gateway.owed(&disk.owned);
        let is_held = self.holds.stand(owed, Millis(GRACE_MS), instant(now));
        if is_held {
            self.policy.pause(now + skew_ms, now);
        }
        if now >= self.frontier_at {
            self.frontier_at = now + 1_000;
            self.move_frontier(now, now + skew_ms, is_held, disk);
            self.lose_patience(now, disk);
        }
        if now >= self.checkpoint_at && self.gateway.released().is_none() {
            self.checkpoint_at = now + dice.between(1_000, 15_000) as i64;
            let position = disk.log.len();
            self.checkpoint = Some(Checkpoint { position, state: self.gateway.state() });
        }
    }

    fn move_frontier(&mut self, now: i64, wall: i64, is_held: bool, disk: &mut Disk) {
        if is_held {
            let to = self.policy.frontier().min(self.gateway.frontier());
            self.log_frontier(disk, to, (wall, now));
            return;
        }
        let (waits, since) = (self.policy.is_waiting(), self.policy.paused_at() - ALIVE_MS);
        let targets = if waits { self.gateway.progress(since) } else { Vec::new() };
        if let Some(to) = self.policy.tick(wall, now, &targets) {
            self.log_frontier(disk, to, (wall, now));
        }
    }

    pub(super) fn log_frontier(&mut self, disk: &mut Disk, to: i64, (wall, now): (i64, i64)) {
        let paused_ms = self.policy.paused_ms(wall, now);
        self.log(disk, Record::Frontier { to, paused_ms });
    }

    /// Who has been behind for too long is not waited for.
    fn lose_patience(&mut self, now: i64, disk: &mut Disk) {
        self.past.push_back((now, self.gateway.frontier()));
        let is_old = |&mut (at, _): &mut (i64, i64)| now - at >= self.patience_ms;
        let mut then = None;
        while let Some((_, frontier)) = self.past.pop_front_if(is_old) {
            then = Some(frontier);
        }
        let Some(through) = then else { return };
        let behind = self.gateway.marks().into_iter().filter(|(_, mark)| *mark < through);
        for (origin, _) in behind.collect::<Vec<_>>() {
            self.log(disk, Record::Waive { origin, through });
        }
    }

    /// To each other gateway what it has not got yet; again when no answer has come for so long.
    pub(super) fn tell(&mut self, now: i64, disk: &Disk) -> Vec<Message> {
        let from = self.identity.number;
        let mut out = Vec::new();
        for to in self.identity.others() {
            let (taken, again_at) = self.streams.entry(to).or_default();
            if *again_at > now {
                continue;
            }
            let items: Vec<Item> = disk.stream(to, *taken, ITEMS_MOST);
            if !items.is_empty() {
                *again_at = now + TIMEOUT_MS as i64;
                out.push(Message::Between { from, to, what: Between::Partials(items) });
            }
        }
        out
    }

    /// Now and then each other gateway is told of the table.
    pub(super) fn gossip(&mut self, now: i64, disk: &Disk) -> Vec<Message> {
        if now < self.gossip_at {
            return Vec::new();
        }
        self.gossip_at = now + GOSSIP_MS;
        let table = Arc::new(disk.table.clone());
        let told = |to| self.to(to, Between::Table(Arc::clone(&table)));
        self.identity.others().map(told).collect()
    }
}
