//! One worker's loop: mailbox in, reports out, a slice of a checkpoint in between.
//!
//! A checkpoint does not stop the shard: between messages a few virtual shards at a time are
//! written, each at the position that the worker has then reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use weir_aggregate::group::GroupNews;
use weir_aggregate::shard::{LateCounts, Outcome, Shard, Work};
use weir_aggregate::sweep::Closings;
use weir_model::{ClassCounts, TenantId, VShard};
use weir_ring::OwnedSet;

use super::pass::PassWriter;
use super::{owned, owner};
use crate::checkpoint::{ShardPart, ShardState};
use crate::metadata::Families;
use crate::pipeline::{Adoption, BatchWork, Message};

/// What a worker says of one position.
pub struct Report {
    /// The position.
    pub position: u64,
    /// Group numbers that appeared or went. They come before the closings.
    pub news: Vec<GroupNews>,
    /// What the position came to.
    pub content: Content,
}

/// What a position came to.
pub enum Content {
    /// A batch: its samples by class, and what passes of it.
    Batch(ClassCounts, Option<Box<Passing>>),
    /// A frontier: partials of the windows that closed.
    Frontier(Closings),
    /// A configuration is in force.
    Config,
    /// Of a release: the states of what was given away.
    Released(Vec<(VShard, Bytes)>),
    /// Virtual shards have been taken over: partials of windows that had closed without them.
    Adopted(Closings),
}

/// What passes of a batch. The emitter adds its part to the verdict, so that no more of it waits for the
/// queue than there are requests.
pub struct Passing {
    /// The body of a PASS frame.
    pub body: Vec<u8>,
    /// The worker's part of the verdict.
    pub part: Outcome,
}

/// Numbers that the worker publishes, read by `/metrics` and admission.
#[derive(Debug, Default)]
pub struct Facts {
    /// Series by tenant, after the last frontier.
    pub series: std::sync::Mutex<Vec<(TenantId, u64)>>,
    /// Series born since the start.
    pub births: AtomicU64,
    /// Bytes of series, aliases and windows; bytes of interned labels.
    pub memory: [AtomicU64; 2],
    /// Late samples by rule.
    pub late: std::sync::Mutex<Vec<LateCounts>>,
    /// Last position that was handled.
    pub position: AtomicU64,
}

/// A worker before it runs.
pub struct Worker {
    /// Its number.
    pub number: usize,
    /// How many there are.
    pub workers: usize,
    /// Its state.
    pub shard: Shard,
    /// Its mailbox.
    pub mailbox: Receiver<Message>,
    /// The emitter.
    pub reports: Sender<Report>,
    /// The checkpoint writer.
    pub checkpoints: Sender<ShardPart>,
    /// What it publishes.
    pub facts: Arc<Facts>,
    /// Metric families.
    pub families: Arc<Families>,
}

/// Virtual shards written between two messages.
const CHECKPOINT_SLICE: usize = 4;

/// States that may wait for the checkpoints' disk before a worker writes no more.
const CHECKPOINTS_AHEAD: usize = 32;

/// Parts that may be on their way to the checkpoints' writer: none of so many workers waits for it with a
/// slice, its beginning and its end.
pub fn checkpoint_parts_max(workers: usize) -> usize {
    CHECKPOINTS_AHEAD + workers * (CHECKPOINT_SLICE + 2)
}

/// When a worker without samples looks again.
const CHECKPOINTS_PAUSE: Duration = Duration::from_millis(2);

struct Running {
    worker: Worker,
    position: u64,
    frontiers: u64,
    writer: PassWriter,
    /// The checkpoint cycle in progress.
    cycle: u64,
    /// Virtual shards that it has yet to write.
    unwritten: Vec<VShard>,
}

impl Worker {
    /// Works until told to stop.
    pub fn run(self, position: u64) {
        let writer = PassWriter::default();
        let mut running = Running {
            worker: self,
            position,
            frontiers: 0,
            writer,
            cycle: 0,
            unwritten: Vec::new(),
        };
        while running.step() {}
    }
}

impl Running {
    fn step(&mut self) -> bool {
        let message = if self.unwritten.is_empty() {
            self.worker.mailbox.recv().map_err(|_| TryRecvError::Disconnected)
        } else if self.worker.checkpoints.len() >= CHECKPOINTS_AHEAD {
            // Its disk is behind: samples do not wait for it.
            self.worker.mailbox.recv_timeout(CHECKPOINTS_PAUSE).map_err(|why| match why {
                RecvTimeoutError::Timeout => TryRecvError::Empty,
                RecvTimeoutError::Disconnected => TryRecvError::Disconnected,
            })
        } else {
            self.write_slice();
            // Not with a timeout of 0, which gives the processor up first, a thousand times a cycle.
            self.worker.mailbox.try_recv()
        };
        match message {
            Ok(Message::Stop) | Err(TryRecvError::Disconnected) => return false,
            Err(TryRecvError::Empty) => {}
            Ok(Message::Batch(position, work)) => self.batch(position, &work),
            Ok(Message::Frontier(position, ranges, to)) => {
                let (number, workers) = (self.worker.number, self.worker.workers);
                let inside = |v: &VShard| ranges.iter().any(|&(a, b)| (a..b).contains(&v.0));
                self.worker.shard.handle_frontier(owned(number, workers).filter(inside), to);
                let closings = self.worker.shard.take_closings();
                self.report(position, Content::Frontier(closings));
                self.publish();
            }
            Ok(Message::Config(position, decisions)) => {
                self.worker.shard.handle_config(decisions);
                if !self.unwritten.is_empty() {
                    self.unwritten.clear();
                    self.tell_checkpoint(ShardPart::Done(self.cycle));
                }
                self.report(position, Content::Config);
            }
            Ok(Message::Release(position, vshards)) => self.release(position, &vshards),
            Ok(Message::Adopt(position, adoption)) => self.adopt(position, &adoption),
            Ok(Message::Checkpoint(cycle)) => self.begin_checkpoint(cycle),
            Ok(Message::Progress(since, reply)) => {
                let mut progress = Vec::new();
                self.worker.shard.target_progress(since, &mut progress);
                // Whoever asked may have gone; then nobody needs the answer.
                drop(reply.send(progress));
            }
        }
        true
    }

    fn batch(&mut self, position: u64, work: &Arc<BatchWork>) {
        let Worker { number, shard, families, .. } = &mut self.worker;
        let all = &work.entries[*number][..];
        let entries = if crate::crash::loses("shard") { &all[1..] } else { all };
        let outcome = shard.handle_batch(&Work {
            batch: &work.batch,
            tenant: &work.tenant,
            entries,
            refused: &work.refused,
            no_new_series: work.no_new_series,
        });
        let body = self.writer.write(shard, work, &outcome, families);
        let counts = outcome.counts;
        let passing = match body {
            Some(body) => Some(Box::new(Passing { body, part: outcome })),
            None => {
                work.verdict.add(outcome);
                None
            }
        };
        self.report(position, Content::Batch(counts, passing));
    }

    /// Gives virtual shards away.
    fn release(&mut self, position: u64, vshards: &OwnedSet) {
        let (number, workers) = (self.worker.number, self.worker.workers);
        let mine = owned(number, workers).filter(|&vshard| vshards.contains(vshard));
        let states = mine.filter_map(|vshard| {
            let state = self.worker.shard.give_away(vshard)?;
            Some((vshard, Bytes::from(state)))
        });
        let states = states.collect();
        self.report(position, Content::Released(states));
        self.publish();
    }

    /// Takes virtual shards over. One that cannot be read would be lost without a word otherwise.
    fn adopt(&mut self, position: u64, adoption: &Adoption) {
        let (number, workers) = (self.worker.number, self.worker.workers);
        let mut tenant =
            |name: &str| adoption.tenants.meet(name).map(|(id, _)| id).unwrap_or_default();
        let here = adoption.vshards.iter().filter(|(vshard, _)| owner(*vshard, workers) == number);
        let states = here.map(|(vshard, bytes)| (*vshard, &bytes[..]));
        self.worker.shard.take_over(states, &mut tenant, |vshard, why| {
            tracing::error!(vshard = vshard.0, %why, "a virtual shard cannot be taken over");
        });
        let closings = self.worker.shard.take_closings();
        self.report(position, Content::Adopted(closings));
        self.publish();
    }

    fn report(&mut self, position: u64, content: Content) {
        self.position = position;
        self.worker.facts.position.store(position, Ordering::Relaxed);
        let news = self.worker.shard.take_news();
        if self.worker.reports.send(Report { position, news, content }).is_err() {
            tracing::error!("the emitter is gone");
        }
    }

    fn begin_checkpoint(&mut self, cycle: u64) {
        let begin = ShardPart::Begin { cycle, position: self.position };
        self.cycle = cycle;
        self.unwritten = owned(self.worker.number, self.worker.workers).collect();
        self.tell_checkpoint(begin);
    }

    fn write_slice(&mut self) {
        let mut written = 0;
        while written < CHECKPOINT_SLICE
            && let Some(vshard) = self.unwritten.pop()
        {
            if let Some(bytes) = self.worker.shard.snapshot(vshard) {
                let state = ShardState { vshard, position: self.position, bytes };
                self.tell_checkpoint(ShardPart::State(self.cycle, state));
                written += 1;
            }
        }
        if self.unwritten.is_empty() {
            self.tell_checkpoint(ShardPart::Done(self.cycle));
        }
    }

    fn tell_checkpoint(&self, part: ShardPart) {
        if self.worker.checkpoints.send(part).is_err() {
            tracing::error!("the checkpoint writer is gone");
        }
    }

    /// Publishes what is costly to count once every few frontiers.
    fn publish(&mut self) {
        self.frontiers += 1;
        let shard = &self.worker.shard;
        let facts = &self.worker.facts;
        facts.births.store(shard.births(), Ordering::Relaxed);
        let series = shard.series_by_tenant().iter().map(|(&tenant, &count)| (tenant, count));
        *lock(&facts.series) = series.collect();
        *lock(&facts.late) = shard.late().to_vec();
        if self.frontiers % 10 == 1 {
            let (series, labels) = shard.memory_bytes();
            facts.memory[0].store(series as u64, Ordering::Relaxed);
            facts.memory[1].store(labels as u64, Ordering::Relaxed);
        }
    }
}

/// A lock whose holder may have panicked: the values are plain numbers, always whole.
pub fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
