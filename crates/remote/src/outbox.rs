//! The state machine of a destination: frames go in, requests come out, outcomes go in.
//!
//! Invariant: every sample of every frame ends exactly once: delivered, set aside with a reason,
//! or given up with a reason; the cursor follows. Time and outcomes are arguments, and nothing
//! here waits: the driver asks [`Outbox::next_deadline_ms`] when to come back.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_model::Timestamp;

use crate::config::{OnFull, Queue};
use crate::cursor::{Cursor, OpenFrame};
use crate::delivery::{Delivery, sample_count};
use crate::lanes::{Fill, Lanes};
use crate::metrics::{GivenUp, Metrics, StatusCell};
use crate::ramp::Ramp;
use crate::unit::Unit;
use crate::verdict::{Kind, Written};
use weir_wire::{Encoding, Version};

mod report;
mod settle;

use report::Report;
pub use settle::SentAs;

/// A reading of both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// Milliseconds of a clock that never jumps: waits.
    pub mono_ms: u64,
    /// Milliseconds since the epoch: ages.
    pub wall_ms: Timestamp,
}

/// What an outbox needs to know of its destination.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The destination's name.
    pub name: String,
    /// Which backend it is.
    pub kind: Kind,
    /// What is spoken at first.
    pub protocol: Version,
    /// How bodies are encoded at first.
    pub compression: Encoding,
    /// Bounds and waits.
    pub queue: Queue,
}

/// A request to make.
#[derive(Clone, Debug)]
pub struct Request {
    /// Names it in [`Outbox::handle_outcome`].
    pub id: u64,
    /// What it carries.
    pub units: Arc<Vec<Unit>>,
    /// Whose samples they are.
    pub tenant: Arc<str>,
    /// The protocol to speak.
    pub protocol: Version,
    /// The encoding of the body.
    pub compression: Encoding,
    /// Which retry it is; 0 for the first attempt.
    pub attempt: u32,
}

/// How a request ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With an answer.
    Answered {
        /// HTTP status.
        status: u16,
        /// `Retry-After`.
        retry_after: Option<std::time::Duration>,
        /// The `…-Written` headers.
        written: Written,
        /// The body's beginning.
        text: String,
    },
    /// Without an answer.
    Failed {
        /// Why.
        text: String,
        /// Whether the backend may have got it.
        maybe_sent: bool,
    },
    /// It could not be written in its protocol.
    Unencodable {
        /// Why.
        text: String,
    },
}

/// Memory for what is read ahead of the requests; the rest waits on disk.
const HELD_BYTES_MAX: usize = 64 << 20;
/// How long a compression is not tried that the other side has refused; it may have been replaced by one
/// that takes it.
const COMPRESSION_AGAIN_MS: u64 = 60 * 60 * 1000;
/// Frames that may wait for an earlier one to be done.
const OPEN_FRAMES_MAX: usize = 100_000;

/// One destination's frames on their way.
#[derive(Debug)]
pub struct Outbox {
    settings: Settings,
    protocol: Version,
    compression: Encoding,
    compression_proven: bool,
    /// When the compression that was given up is tried again.
    compression_again_ms: Option<u64>,
    lanes: Lanes,
    cursor: Cursor,
    deliveries: BTreeMap<u64, Delivery>,
    next_id: u64,
    ramp: Ramp,
    is_stopping: bool,
    due_below: u64,
    random: u64,
    report: Report,
}

impl Outbox {
    /// An outbox that starts at this position of the queue. `seed` makes its jitter its own.
    pub(crate) fn new(
        settings: Settings,
        position: u64,
        seed: u64,
        metrics: Arc<Metrics>,
        status: Arc<StatusCell>,
    ) -> Self {
        let report = Report::new(settings.name.clone(), metrics, status);
        report.protocol(settings.protocol);
        Self {
            protocol: settings.protocol,
            compression: settings.compression,
            compression_proven: false,
            compression_again_ms: None,
            lanes: Lanes::default(),
            cursor: Cursor::new(position),
            deliveries: BTreeMap::new(),
            next_id: 0,
            ramp: Ramp::new(settings.queue.max_shards),
            is_stopping: false,
            due_below: 0,
            random: seed,
            report,
            settings,
        }
    }

    /// The first position that is not done.
    pub fn position(&self) -> u64 {
        self.cursor.position()
    }

    /// The oldest frame that is not done.
    pub fn oldest(&self) -> Option<&OpenFrame> {
        self.cursor.oldest()
    }

    /// Requests on their way or waiting for a retry.
    pub fn open_requests(&self) -> usize {
        self.deliveries.len()
    }

    fn on_their_way(&self) -> usize {
        self.deliveries.values().filter(|delivery| delivery.is_sent()).count()
    }

    /// Whether another frame may be read.
    pub fn has_room(&self) -> bool {
        let queue = &self.settings.queue;
        !self.is_stopping
            && self.lanes.samples() < queue.capacity.saturating_mul(queue.max_shards)
            && self.lanes.held_bytes() < HELD_BYTES_MAX
            && self.cursor.len() < OPEN_FRAMES_MAX
    }

    /// Takes a frame, cut into units with their lanes. `frame.parts` is set here.
    pub fn handle_frame(&mut self, frame: OpenFrame, units: Vec<(usize, Unit)>, now: Now) {
        let parts = units.len();
        self.cursor.open(OpenFrame { parts, ..frame });
        for (lane, unit) in units {
            self.lanes.push(lane, unit, now.mono_ms);
        }
    }

    /// From now on nothing is tried again, and what is held need not fill a request.
    pub fn stop(&mut self) {
        self.is_stopping = true;
    }

    /// What frames before this position bring need not fill a request.
    pub fn hurry(&mut self, below: u64) {
        self.due_below = self.due_below.max(below);
    }

    /// The next request that may be made now. Ask until there is none.
    pub fn poll_request(&mut self, now: Now) -> Option<Request> {
        if self.compression_again_ms.is_some_and(|at| now.mono_ms >= at) {
            self.compression_again_ms = None;
            (self.compression, self.compression_proven) = (self.settings.compression, false);
        }
        while self.ramp.allows(self.on_their_way(), now.mono_ms)
            && let Some(id) = self.ready(now).or_else(|| self.begin(now))
        {
            self.drop_aged(id, now);
            let delivery = self.deliveries.get_mut(&id)?;
            if let Some(units) = delivery.send() {
                return Some(Request {
                    id,
                    units,
                    tenant: delivery.key.tenant.clone(),
                    protocol: self.protocol,
                    compression: self.compression,
                    attempt: delivery.retries,
                });
            }
            self.end_if_done(id);
        }
        None
    }

    /// When [`Outbox::poll_request`] has something again without another input.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let waiting = self.deliveries.values().filter(|d| !d.is_sent());
        let retry = waiting.map(|d| d.ready_ms).min().filter(|_| !self.is_stopping);
        let has_place = self.deliveries.len() < self.settings.queue.max_shards;
        let fresh = self.lanes.next_deadline_ms(self.fill()).filter(|_| has_place);
        let next = retry.into_iter().chain(fresh).min()?;
        let next = next.max(self.ramp.paused_until_ms());
        // Otherwise the end of a request is what makes room.
        self.ramp.allows(self.on_their_way(), next).then_some(next)
    }

    /// Gives up frames that are too old, or too many. `backlog` tells the bytes in the queue from
    /// a position on. What is on its way right now stays until its end is known.
    pub fn give_up(&mut self, now: Now, backlog: &dyn Fn(u64) -> u64) {
        if let Some(age) = self.settings.queue.max_age {
            let bound = now.wall_ms.saturating_sub(age.0);
            while self.cursor.oldest().is_some_and(|f| f.written_ms < bound)
                && self.give_up_oldest(GivenUp::MaxAge)
            {}
        }
        if self.settings.queue.on_full == OnFull::DropOldest {
            while backlog(self.cursor.position()) > self.settings.queue.max_bytes
                && self.give_up_oldest(GivenUp::QueueFull)
            {}
        }
    }

    fn give_up_oldest(&mut self, reason: GivenUp) -> bool {
        let Some(&OpenFrame { position, .. }) = self.cursor.oldest() else {
            return false;
        };
        let mut deliveries = self.deliveries.values();
        if deliveries.any(|d| d.is_sent() && d.holds(position)) {
            return false;
        }
        let mut removed = self.lanes.remove_oldest(position);
        for delivery in self.deliveries.values_mut() {
            removed.extend(delivery.remove(position));
        }
        let done = self.deliveries.iter().filter(|(_, d)| d.is_done());
        let done: Vec<u64> = done.map(|(&id, _)| id).collect();
        for id in done {
            self.end_if_done(id);
        }
        self.report.given_up(reason, sample_count(&removed));
        self.finish(&removed);
        !removed.is_empty()
    }

    fn fill(&self) -> Fill {
        let queue = &self.settings.queue;
        Fill {
            samples_max: queue.max_samples_per_send,
            deadline_ms: u64::try_from(queue.batch_send_deadline.as_millis()).unwrap_or(u64::MAX),
            due_below: self.due_below,
        }
    }

    /// A delivery whose front piece may be sent. One that failed stays where it is at a stop.
    fn ready(&self, now: Now) -> Option<u64> {
        let mut all = self.deliveries.iter();
        let is_ready = |d: &Delivery| {
            !d.is_sent() && d.ready_ms <= now.mono_ms && !(self.is_stopping && d.retries > 0)
        };
        all.find(|(_, d)| is_ready(d)).map(|(&id, _)| id)
    }

    fn begin(&mut self, now: Now) -> Option<u64> {
        if self.deliveries.len() >= self.settings.queue.max_shards {
            return None;
        }
        let batch = self.lanes.take(self.fill(), now.mono_ms, self.is_stopping)?;
        let id = self.next_id;
        self.next_id += 1;
        self.deliveries.insert(id, Delivery::new(batch, now.mono_ms));
        self.report.open_requests(self.deliveries.len());
        Some(id)
    }

    /// Leaves out samples that are older than `sample_age_limit`, as Prometheus does when it sends.
    fn drop_aged(&mut self, id: u64, now: Now) {
        let Some(limit) = self.settings.queue.sample_age_limit else {
            return;
        };
        let Some(piece) = self.deliveries.get_mut(&id).and_then(Delivery::front) else {
            return;
        };
        let bound = now.wall_ms.saturating_sub(limit.0);
        let before = sample_count(piece);
        for series in piece.iter_mut().flat_map(|u| &mut u.series) {
            series.samples.retain(|s| s.timestamp >= bound);
            series.histograms.retain(|h| h.timestamp >= bound);
        }
        let dropped = before - sample_count(piece);
        if dropped == 0 {
            return;
        }
        let mut gone = Vec::new();
        for unit in piece.iter_mut() {
            unit.series.retain(|s| s.sample_count() > 0);
        }
        gone.extend(piece.extract_if(.., |u| u.series.is_empty()));
        if let Some(delivery) = self.deliveries.get_mut(&id) {
            delivery.remove_empty();
        }
        self.report.given_up(GivenUp::SampleAge, dropped);
        self.finish(&gone);
    }

    /// These units are done, whatever became of their samples.
    fn finish(&mut self, units: &[Unit]) {
        for unit in units {
            self.cursor.finish_part(unit.position);
        }
    }

    fn end_if_done(&mut self, id: u64) {
        let is_done = self.deliveries.get(&id).is_some_and(Delivery::is_done);
        if is_done && let Some(delivery) = self.deliveries.remove(&id) {
            self.lanes.release(&delivery.lanes);
            self.report.open_requests(self.deliveries.len());
        }
    }
}

#[cfg(test)]
mod tests;
