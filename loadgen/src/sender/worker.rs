//! One connection at work.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::Drive;
use super::Tally;
use super::answer::{Answer, NoAnswer};
use super::fleet::Shared;
use super::retry::{Verdict, may_be_taken, verdict};
use super::routes::Routes;
use super::turns::Turns;
use crate::body::{Body, Scratch};
use crate::workload::mishaps::Malformed;
use crate::workload::{Request, Slot, Step};

/// How long after the end of a drive a failed request is still tried again.
const DRAIN: Duration = Duration::from_secs(5);
/// Between looks at whether to stop.
const NAP: Duration = Duration::from_millis(100);

pub(super) struct Worker {
    shared: Arc<Shared>,
    number: usize,
    routes: Routes,
    turns: Turns,
    /// What each of its slots remembers, in the order of slots.
    slots: Vec<Kept>,
    scratch: Scratch,
}

#[derive(Default)]
struct Kept {
    slot: Slot,
    body: Body,
    label_version: u64,
    /// Where its request goes first.
    home: Option<usize>,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, number: usize, routes: Routes) -> Self {
        let slots = shared.config.source.slots();
        let connections = shared.seats.len() as u64;
        let turns = Turns::new(slots, connections, number as u64);
        let own = (slots - number as u64).div_ceil(connections);
        let slots = (0..own).map(|_| Kept::default()).collect();
        Self { shared, number, routes, turns, slots, scratch: Scratch::default() }
    }

    /// Writes all bodies, as of a time.
    pub(super) fn prepare(&mut self, now_ms: i64) {
        for place in 0..self.slots.len() {
            let slot = (self.number + place * self.shared.seats.len()) as u64;
            let request = Request { number: slot, time: now_ms, since: now_ms };
            let version = self.shared.config.source.label_version(&request);
            self.write(place, &request, version);
            if self.shared.stopping.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    fn write(&mut self, place: usize, request: &Request, version: u64) {
        let config = &self.shared.config;
        let kept = &mut self.slots[place];
        let before = kept.body.memory() as u64;
        kept.body = config.source.body(request, &config.endpoint);
        kept.label_version = version;
        let doors = config.endpoint.doors.as_ref();
        kept.home = doors.and_then(|doors| config.source.place(request, doors));
        let after = kept.body.memory() as u64;
        self.shared.memory.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
    }

    /// Sends what is due of a schedule, and comes back at its end.
    pub(super) fn drive(&mut self, drive: &Drive) {
        let source = Arc::clone(&self.shared.config.source);
        let per_request = source.samples() as f64 / source.slots() as f64;
        let end = drive.begin + drive.schedule.duration();
        loop {
            let number = self.turns.number();
            let before = number.saturating_sub(drive.first) as f64 * per_request;
            let Some(due) = drive.schedule.due(before) else { break };
            let due_at = drive.begin + due;
            if !self.sleep(due_at) {
                break;
            }
            self.turns.advance();
            let slot = number % source.slots();
            if Instant::now() >= end {
                self.count(|tally| tally.unsent += source.samples_of(slot));
                continue;
            }
            let place = (slot as usize - self.number) / self.shared.seats.len();
            let due_ms = drive.begin_ms + due.as_millis() as i64;
            let step = source.step(&mut self.slots[place].slot, number, due_ms);
            let Some(step) = step else {
                self.count(|tally| tally.away += source.samples_of(slot));
                continue;
            };
            let seat = &self.shared.seats[self.number];
            seat.due.store(due.as_micros() as u64 + 1, Ordering::Relaxed);
            self.send(place, &step, due_at, end);
            self.shared.seats[self.number].due.store(0, Ordering::Relaxed);
        }
        // Rates are over all of the schedule's time.
        self.sleep(end);
    }

    /// Waits for a moment. False: the run was stopped.
    fn sleep(&self, until: Instant) -> bool {
        loop {
            if self.shared.stopping.load(Ordering::Relaxed) {
                return false;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// Sends a step's request, again as often as it must be.
    fn send(&mut self, place: usize, step: &Step, due: Instant, end: Instant) {
        let source = Arc::clone(&self.shared.config.source);
        let version = source.label_version(&step.request);
        if version != self.slots[place].label_version {
            self.write(place, &step.request, version);
        }
        let kept = &mut self.slots[place];
        let endpoint = &self.shared.config.endpoint;
        source.fill(&step.request, &mut kept.body, endpoint, &mut self.scratch);
        if let Some(malformed) = step.malformed {
            self.send_malformed(place, malformed);
            let slot = step.request.number % source.slots();
            self.count(|tally| tally.broken += source.samples_of(slot));
            return;
        }
        let slot = step.request.number % source.slots();
        let (samples, kind) = (source.samples_of(slot), source.content_type(slot));
        let sent = Instant::now();
        if !self.deliver(place, kind, samples, end, &step.request) {
            return;
        }
        let now = Instant::now();
        self.count(|tally| {
            tally.acknowledged += samples;
            tally.latency.add((now - due).as_secs_f64());
            tally.service.add((now - sent).as_secs_f64());
        });
        self.shared.config.observer.on_acknowledged(&step.request);
        if step.repeats && self.post(place, kind, 0).is_ok_and(|answer| answer.status < 300) {
            self.count(|tally| tally.repeated += samples);
            self.shared.config.observer.on_acknowledged(&step.request);
        }
    }

    /// Tries until it is acknowledged. False: it is not, and will not be.
    fn deliver(
        &mut self,
        place: usize,
        kind: Option<&str>,
        samples: u64,
        end: Instant,
        request: &Request,
    ) -> bool {
        let (mut failures, mut doubtful) = (0, false);
        let lost: fn(&mut Tally, u64) = loop {
            let outcome = self.post(place, kind, failures);
            doubtful |= may_be_taken(&outcome);
            match verdict(&outcome, failures, self.shared.config.retries_429) {
                Verdict::Delivered => return true,
                Verdict::Refused => break |tally, samples| tally.refused += samples,
                Verdict::Again(after) => {
                    failures += 1;
                    let again = Instant::now() + after;
                    if again >= end + DRAIN || !self.sleep(again) {
                        break |tally, samples| tally.given_up += samples;
                    }
                }
            }
        };
        self.count(|tally| lost(tally, samples));
        if doubtful {
            self.shared.config.observer.on_doubtful(request);
        }
        false
    }

    fn post(
        &mut self,
        place: usize,
        kind: Option<&str>,
        failures: u32,
    ) -> Result<Answer, NoAnswer> {
        let Kept { body, home, .. } = &self.slots[place];
        let (bytes, plain) = (body.bytes().len() as u64, body.plain_len() as u64);
        let outcome = self.routes.post(body.bytes(), kind, failures, *home);
        self.count(|tally| {
            tally.attempts += 1;
            tally.bytes += bytes;
            tally.plain_bytes += plain;
            match &outcome {
                Ok(answer) => {
                    *tally.answers.entry(answer.status).or_default() += 1;
                    if answer.status >= 300 {
                        tally.failed_attempts += 1;
                        let said = || format!("{}: {}", answer.status, answer.text);
                        tally.said.get_or_insert_with(said);
                    }
                }
                Err(error) => {
                    tally.failed_attempts += 1;
                    tally.add_error(&error.why.to_string(), 1);
                }
            }
        });
        outcome
    }

    fn send_malformed(&mut self, place: usize, malformed: Malformed) {
        let body = malformed.mangle(self.slots[place].body.bytes());
        let outcome = self.routes.post(&body, malformed.content_type(), 0, None);
        let is_refused = outcome.as_ref().is_ok_and(|answer| (400..500).contains(&answer.status));
        self.count(|tally| {
            tally.malformed_refused += u64::from(is_refused);
            tally.malformed_taken += u64::from(!is_refused);
            if !is_refused {
                let answer = outcome.map_or_else(|e| e.why.to_string(), |a| a.status.to_string());
                tally.add_error(&format!("{malformed:?} was answered {answer}"), 1);
            }
        });
    }

    fn count(&self, add: impl FnOnce(&mut Tally)) {
        let seat = &self.shared.seats[self.number];
        add(&mut seat.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
