//! The emitter: one thread that sees every position in order and writes the send queue.
//!
//! For each position it gathers its workers' reports, keeps the audit, merges partials at the groups' home and turns what leaves into frames. A frame is
//! written only once the log is durable past its position. Invariant: the queue is a function of
//! the log's prefix, so after a crash whatever the queue already holds is left out of the replay.

mod exports;
mod frames;
mod moves;
mod resume;
mod tier;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};
use tokio::sync::oneshot;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::{Emission, Home};
use weir_journal::Journal;
use weir_model::{ClassCounts, Timestamp};

pub use exports::{ExportWriter, Told, What};
pub use frames::FrameWriter;
pub use moves::Released;
pub use resume::{Resume, Said};
pub use tier::{PARTS_BYTES_MAX, Places, TierFacts, settle};

use crate::audit::Audit;
use crate::checkpoint::HomeState;
use crate::custody::Settled;
use crate::pipeline::{Dealt, Expect};
use crate::shard::worker::{Content, Passing, Report, lock};
use crate::tenants::Tenants;

/// Counts of one rule, as `/metrics` shows them.
#[derive(Clone, Debug, Default)]
pub struct RuleFacts {
    /// The rule's name.
    pub name: String,
    /// Samples folded into closed windows.
    pub samples_in: u64,
    /// Output samples.
    pub samples_out: u64,
    /// Groups that exist.
    pub groups: u64,
    /// Groups folded into the overflow.
    pub overflowed: u64,
    /// End of the last window that closed.
    pub last_end: Timestamp,
}

/// What the emitter publishes.
#[derive(Debug, Default)]
pub struct EmitFacts {
    /// Last position that is complete.
    pub position: AtomicU64,
    /// The frontier through which windows are closed, milliseconds; 0 before the first.
    pub frontier: std::sync::atomic::AtomicI64,
    /// By rule.
    pub rules: std::sync::Mutex<Vec<RuleFacts>>,
    /// Output samples written to the queue.
    pub emitted_samples: AtomicU64,
    /// Frames that wait for the log to be durable.
    pub waiting_frames: AtomicU64,
    /// The last frontier of which all that was to be said stands in the queue.
    pub settled: std::sync::Mutex<Settled>,
    /// Set while frames wait for room in the queue.
    pub queue_full: Arc<std::sync::atomic::AtomicBool>,
    /// Of a tier.
    pub tier: TierFacts,
}

/// The emitter before it runs.
pub struct Emitter {
    /// What it is told of positions.
    pub expects: Receiver<Expect>,
    /// What workers report, by worker.
    pub reports: Vec<Receiver<Report>>,
    /// The output groups.
    pub home: Home,
    /// This node's own frontier.
    pub local: Timestamp,
    /// The frontier through which `home` has closed windows: behind `local` where others are.
    pub frontier: Timestamp,
    /// Which workers have said what groups they have.
    pub heard: Vec<bool>,
    /// This node's name.
    pub own: Arc<str>,
    /// Where groups live.
    pub places: Arc<Places>,
    /// The way to other members; none for a node that stands alone.
    pub exports: Option<ExportWriter>,
    /// The next position to come.
    pub next: u64,
    /// `home`'s position: closings up to it are in its state already.
    pub home_position: u64,
    /// The log.
    pub log: Arc<Journal>,
    /// The way into the queue.
    pub frames: FrameWriter,
    /// What the queue holds already.
    pub resume: Resume,
    /// The audit.
    pub audit: Arc<Audit>,
    /// Through when windows are closed whose frames may still wait for the log, with their positions.
    pub settling: VecDeque<(u64, Timestamp)>,
    /// Names of tenants.
    pub tenants: Arc<Tenants>,
    /// What it publishes.
    pub facts: Arc<EmitFacts>,
}

/// How long it sleeps for a sync of the log while nothing comes in.
const IDLE_WAIT: Duration = Duration::from_millis(5);

/// How long it lets positions gather. Nobody waits for it, and to be woken for each message of every
/// worker costs more than what it does with one.
const PACE: Duration = Duration::from_millis(2);

impl Emitter {
    /// Runs until told to stop.
    pub fn run(mut self) {
        loop {
            let is_idle = self.frames.is_empty() && self.exports.iter().all(ExportWriter::is_empty);
            let wait = if is_idle { Duration::from_secs(3600) } else { IDLE_WAIT };
            let first = match self.expects.recv_timeout(wait) {
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => None,
                Ok(expect) => Some(expect),
            };
            if first.is_some() {
                std::thread::sleep(PACE);
            }
            if !self.handle_all(first) {
                break;
            }
            let durable = self.log.durable();
            self.frames.flush(durable);
            self.exports.iter_mut().for_each(|exports| exports.flush(durable));
            self.facts.waiting_frames.store(self.frames.len() as u64, Ordering::Relaxed);
            self.settle();
        }
        self.frames.finish(&self.log);
        if let Some(exports) = &mut self.exports {
            exports.finish(&self.log);
        }
    }

    /// Handles what has come; `false` at the end.
    fn handle_all(&mut self, first: Option<Expect>) -> bool {
        let mut next = first;
        while let Some(expect) = next {
            if matches!(expect, Expect::Stop) {
                return false;
            }
            self.handle(expect);
            next = self.expects.try_recv().ok();
        }
        true
    }

    fn handle(&mut self, expect: Expect) {
        match expect {
            Expect::Batch { position, dealt, replayed } => self.batch(position, &dealt, replayed),
            Expect::Frontier { position, to, replayed } => {
                self.move_frontier(position, to, replayed)
            }
            Expect::Config { position, decisions, at } => self.configure(position, decisions, at),
            Expect::Placement { position, record, replayed } => {
                self.place(position, &record, replayed);
            }
            Expect::Partials { position, record, replayed } => {
                self.partials(position, &record, replayed);
            }
            Expect::Release { position, record, reply } => self.release(position, &record, reply),
            Expect::Adopt { position, record, replayed } => self.adopt(position, &record, replayed),
            Expect::Settled(position) => self.settled(position),
            Expect::Waive { position, record, replayed } => self.waive(position, &record, replayed),
            Expect::Checkpoint(reply) => self.checkpoint(reply),
            Expect::Silence(through) => self.home.stay_silent_through(through),
            Expect::ReplayOver => self.resume = Resume::default(),
            Expect::Stop => {}
        }
    }

    /// The groups' state, once every frame of the positions in it is in the queue: a replay will
    /// not write those again. Where that cannot be, the cycle is given up.
    fn checkpoint(&mut self, reply: oneshot::Sender<HomeState>) {
        if lock(&self.facts.tier.released).is_some() {
            return;
        }
        let told = self.exports.iter_mut().all(|exports| exports.finish(&self.log));
        if !told || !self.frames.finish(&self.log) {
            return;
        }
        let bytes = self.home.snapshot(&|id| self.tenants.name(id));
        let position = self.facts.position.load(Ordering::Relaxed);
        let queue_mark = self.frames.next_position();
        let state = HomeState { position, frontier: self.local, bytes, queue_mark };
        // The checkpointer may have given up on the cycle.
        drop(reply.send(state));
    }

    fn batch(&mut self, position: u64, dealt: &Dealt, replayed: bool) {
        let mut classes = ClassCounts::default();
        let (mut bodies, mut parts) = (Vec::new(), Vec::new());
        for &worker in &dealt.workers {
            let Some(Content::Batch(counts, passing)) = self.report(worker, position) else {
                continue;
            };
            classes.merge(&counts);
            if let Some(passing) = passing {
                let Passing { body, part } = *passing;
                bodies.push(body);
                parts.push(part);
            }
        }
        if !self.resume.covers(position) {
            self.frames.pass(position, &dealt.name, &bodies, replayed);
        }
        let Dealt { tenant, samples, skipped, .. } = *dealt;
        self.audit.compare(tenant, position, samples, skipped, &classes, replayed);
        parts.into_iter().for_each(|part| dealt.verdict.add(part));
        self.complete(position);
    }

    fn move_frontier(&mut self, position: u64, to: Timestamp, replayed: bool) {
        for worker in 0..self.reports.len() {
            let Some(Content::Frontier(closings)) = self.report(worker, position) else {
                continue;
            };
            if position > self.home_position {
                closings.into_values().for_each(|c| self.home.handle_closing(worker, c));
            }
        }
        if position > self.home_position {
            self.local = self.local.max(to);
            self.export(position, to);
            self.close(position, replayed);
        }
        self.settling.push_back((position, to.min(self.frontier)));
        self.complete(position);
    }

    fn configure(&mut self, position: u64, decisions: Arc<Decisions>, at: Timestamp) {
        if position > self.home_position {
            let last_words = self.home.reconfigure(decisions, at);
            self.emit(position, at, last_words, false);
        }
        for worker in 0..self.reports.len() {
            self.report(worker, position);
        }
        self.publish_rules();
        self.complete(position);
    }

    /// A worker's report of this position; its news are taken on the way.
    fn report(&mut self, worker: usize, position: u64) -> Option<Content> {
        let report = loop {
            match self.reports[worker].try_recv() {
                Ok(report) => break report,
                Err(TryRecvError::Empty) => std::thread::sleep(PACE),
                Err(TryRecvError::Disconnected) => return None,
            }
        };
        assert_eq!(report.position, position, "worker {worker} reports out of order");
        self.heard[worker] = true;
        report.news.into_iter().for_each(|news| self.home.handle_news(worker, news));
        Some(report.content)
    }

    /// Writes what a window's outputs say, less what the queue holds from before a crash.
    fn emit(&mut self, position: u64, end: Timestamp, emissions: Vec<Emission>, replayed: bool) {
        let mut fresh = Vec::with_capacity(emissions.len());
        for emission in emissions {
            let tenant = self.tenants.name(emission.tenant);
            match self.resume.said(end, &tenant, &emission.labels) {
                Some(said) => self.home.adopt(emission.source, said.value, said.histogram.as_ref()),
                None => fresh.push((tenant, emission)),
            }
        }
        let samples: u64 = fresh.iter().map(|(_, e)| e.sample_count()).sum();
        self.facts.emitted_samples.fetch_add(samples, Ordering::Relaxed);
        self.frames.emit(position, end, fresh, replayed);
    }

    fn complete(&mut self, position: u64) {
        if position > self.next {
            self.audit.miss(position - self.next);
        }
        self.next = position + 1;
        self.facts.position.store(position, Ordering::Relaxed);
    }

    /// Publishes the newest frontier whose frames, and those of all before it, are in the queue.
    fn settle(&mut self) {
        let written = |&mut (position, _): &mut (u64, Timestamp)| self.frames.has_written(position);
        let mut reached = None;
        while let Some(frontier) = self.settling.pop_front_if(written) {
            reached = Some(frontier);
        }
        if let Some((position, frontier)) = reached {
            let queue_end = self.frames.next_position();
            *lock(&self.facts.settled) = Settled { position, frontier, queue_end };
        }
    }

    fn publish_rules(&self) {
        let rules = self.home.counts().map(|(active, counts, groups)| RuleFacts {
            name: active.rule.name().to_owned(),
            samples_in: counts.samples_in,
            samples_out: counts.samples_out,
            groups: groups as u64,
            overflowed: counts.overflowed,
            last_end: counts.last_end,
        });
        *lock(&self.facts.rules) = rules.collect();
    }
}
