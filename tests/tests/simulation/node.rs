//! A gateway's process and its disk: it starts, takes messages, syncs, answers, tells others, gives
//! virtual shards away, and is killed.
//!
//! Invariant: nothing leaves it, no answer, no frame, no part and no state, before the record that
//! determines it is durable.

mod moving;
mod running;

use std::sync::Arc;

use weir_gateway::frontier::Policy;
use weir_gateway::wal::PlacementRecord;
use weir_loadgen::samples::Sample;
use weir_loadgen::torture::dice::Dice;
use weir_ring::Table;

use crate::disk::{Disk, Frame, Record};
use crate::gateway::{Gateway, Identity, Outcome, Said};
use crate::message::Message;
use crate::placement;
use crate::world::{BEGIN_MS, Moment, Weather};
use running::Running;

pub(crate) const GRACE_MS: i64 = 10_000;
const BACKLOG_WAIT_MS: i64 = 60_000;
/// As the gateway's own.
const ALIVE_MS: i64 = 300_000;

pub(crate) struct Node {
    identity: Identity,
    weather: Weather,
    pub(crate) disk: Disk,
    /// `None` while it is down.
    running: Option<Running>,
    starts: u64,
    up_at: i64,
    down_since: i64,
    crash_at: i64,
    backend_back_at: i64,
    delivered: usize,
    /// How wrong its clock is.
    skew_ms: i64,
}

impl Node {
    pub(crate) fn new(
        identity: Identity,
        table: Table,
        weather: Weather,
        now: i64,
        dice: &mut Dice,
    ) -> Self {
        Self {
            disk: Disk::new(table, &placement::name(identity.number)),
            identity,
            weather,
            running: None,
            starts: 0,
            up_at: now,
            down_since: now,
            crash_at: now + dice.between(2_000, 40_000) as i64,
            backend_back_at: 0,
            delivered: 0,
            skew_ms: dice.between(0, 2_000) as i64 - 1_000,
        }
    }

    /// Everything that it has is out, and its windows are closed past a time.
    pub(crate) fn is_out(&self, past: i64) -> bool {
        let is_out = |running: &Running| {
            running.gateway.closed() > past
                && running.gateway.released().is_none()
                && running.frames.is_empty()
                && self.delivered == self.disk.queue.len()
        };
        self.running.as_ref().is_some_and(is_out)
    }

    /// Where it stands, for people.
    pub(crate) fn describe(&self) -> String {
        let own = placement::name(self.identity.number);
        let owns = self.disk.owned.len();
        let running = self.running.as_ref().map(|running| {
            let (gateway, waiting) = (&running.gateway, running.frames.len());
            let unsettled = gateway.released().map(|released| released.record.to);
            format!(
                "frontier {}, closed {}, marks {:?}, given to {unsettled:?}, {waiting} frames wait",
                gateway.frontier(),
                gateway.closed(),
                gateway.marks()
            )
        });
        let left = self.disk.queue.len() - self.delivered;
        format!(
            "{own}: owns {owns} of {}, {left} frames left, {running:?}",
            self.disk.table.generation()
        )
    }

    /// Through which its windows are closed.
    pub(crate) fn closed(&self) -> i64 {
        self.running.as_ref().map_or(i64::MIN, |running| running.gateway.closed())
    }

    /// Windows that end by then may lack something, and may have what others lacked.
    pub(crate) fn unsettled(&self) -> (i64, i64) {
        let nothing = (i64::MIN, i64::MIN);
        self.running.as_ref().map_or(nothing, |running| running.gateway.unsettled())
    }

    /// Takes a message; while it is down there is nobody to take it.
    pub(crate) fn take(&mut self, moment: &Moment, message: Message) -> Vec<Message> {
        let Some(running) = &mut self.running else {
            return Vec::new();
        };
        running.take(moment, &mut self.disk, message)
    }

    /// Its own step: a start or a crash, or a sync, a frontier, a checkpoint, a move, a delivery.
    pub(crate) fn live(
        &mut self,
        moment: &Moment,
        dice: &mut Dice,
        received: &mut Vec<Sample>,
    ) -> Vec<Message> {
        let (now, fails) = (moment.now, moment.fails);
        if fails && dice.between(0, 1_199) == 0 {
            // It is set anew.
            self.skew_ms = dice.between(0, 3_000) as i64 - 1_500;
        }
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
        let mut out = running.end_sync(now, &mut self.disk);
        running.begin_sync(now, &self.disk, dice);
        running.tick(now, self.skew_ms, &mut self.disk, dice);
        out.extend(running.tell(now, &self.disk));
        out.extend(running.gossip(now, &self.disk));
        if fails && self.weather.moves {
            running.wish(now, &self.disk, dice);
        }
        out.extend(running.advance_move(now, &mut self.disk));
        self.deliver((now, fails), dice, received);
        out
    }

    fn crash(&mut self, now: i64, dice: &mut Dice) {
        self.running = None;
        self.disk.crash(dice);
        self.delivered = self.disk.cursor.min(self.disk.queue.len());
        self.down_since = now;
        let longest = if self.weather.waives && dice.between(0, 2) == 0 { 40_000 } else { 8_000 };
        self.up_at = now + dice.between(100, longest) as i64;
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
        gateway.forget_release();
        let frontier = gateway.frontier().max(BEGIN_MS - GRACE_MS);
        // What was not over when it ended goes on.
        let went_on = self.down_since + self.skew_ms - self.disk.paused_ms();
        let paused = (self.starts > 1).then_some(went_on);
        let policy = Policy::new(GRACE_MS, BACKLOG_WAIT_MS, frontier, paused, now);
        let checkpoint_at = now + dice.between(1_000, 15_000) as i64;
        let identity = self.identity.clone();
        let patience = self.weather.patience_ms();
        let mut running =
            Running::new(identity, gateway, policy, said, (now, checkpoint_at, patience));
        let own = placement::name(self.identity.number);
        let places = Arc::new(PlacementRecord::of(&self.disk.table, &own));
        running.log(&mut self.disk, Record::Placement(places));
        if self.starts > 1 {
            running.log_frontier(&mut self.disk, frontier, (now + self.skew_ms, now));
        }
        running.resume_move(now);
        self.running = Some(running);
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
