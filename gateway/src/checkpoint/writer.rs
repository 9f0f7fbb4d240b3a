//! The thread that runs checkpoint cycles.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError};
use weir_aggregate::codec::Writer;
use weir_journal::{Importance, Journal, ReserveError};
use weir_model::VSHARDS;

use super::{COMPLETE, HOME, HomeState, Kept, SHARD, ShardPart, ShardState};
use crate::frontier::FrontierFacts;
use crate::pipeline::{Expect, Message, Pipeline};
use crate::shard::worker::lock;

/// What a cycle needs to know of the configuration: one that changes in the middle voids it.
pub trait CurrentConfig: Send + Sync {
    /// Version and text of the configuration in force.
    fn current(&self) -> (u32, Vec<u8>);
}

/// What `/metrics` shows.
#[derive(Debug, Default)]
pub struct CheckpointFacts {
    /// Cycles completed.
    pub completed: AtomicU64,
    /// Cycles given up.
    pub abandoned: AtomicU64,
    /// Milliseconds that the last one took.
    pub last_duration_ms: AtomicU64,
    /// Bytes of the last one.
    pub last_bytes: AtomicU64,
    /// Of those, by virtual shard; empty before the first.
    pub shard_bytes: Mutex<Vec<u32>>,
    /// The position behind which replay would start.
    pub replay_from: AtomicU64,
    /// What the queue must keep for a replay begins here.
    pub queue_mark: AtomicU64,
}

/// Runs checkpoint cycles.
pub struct Checkpointer {
    /// The checkpoints' journal.
    pub checkpoints: Arc<Journal>,
    /// The send queue: what the groups have said must be durable there.
    pub queue: Arc<Journal>,
    /// The log, which is cut after each cycle.
    pub log: Arc<Journal>,
    /// The way to workers and emitter.
    pub pipeline: Arc<Pipeline>,
    /// What workers say.
    pub parts: Receiver<ShardPart>,
    /// How many workers there are.
    pub workers: usize,
    /// The configuration in force.
    pub config: Arc<dyn CurrentConfig>,
    /// What it counts.
    pub facts: Arc<CheckpointFacts>,
    /// Until when senders could send: a restart goes on from there.
    pub frontier: Arc<FrontierFacts>,
    /// Set to end after one more cycle.
    pub stopping: Arc<AtomicBool>,
    /// Time between cycles.
    pub every: Duration,
    /// A number that no cycle has had.
    pub next_cycle: u64,
    /// The last complete cycle, which is kept until the next but one.
    pub before: Option<Kept>,
}

/// Why a cycle came to nothing. The one before it still counts.
#[derive(Debug, thiserror::Error)]
pub enum Abandoned {
    /// A reload came in between.
    #[error("the configuration changed")]
    Reconfigured,
    /// The disk is full.
    #[error("no room: {0}")]
    Full(#[from] ReserveError),
    /// The journal takes nothing.
    #[error("{0}")]
    Append(#[from] weir_journal::AppendError),
    /// A journal has failed.
    #[error("{0}")]
    Poisoned(#[from] weir_journal::Poisoned),
    /// A journal cannot be cut.
    #[error("{0}")]
    Cut(#[from] weir_journal::CutError),
    /// A worker is stuck.
    #[error("a worker has not written anything for a minute")]
    Stalled,
    /// A worker or the emitter has ended.
    #[error("a thread is gone")]
    Gone,
}

/// What the workers have written of a cycle.
struct Collected {
    /// The lowest position at which a worker began.
    replay_from: u64,
    /// Virtual shards with state.
    shards: u64,
    /// Their bytes.
    bytes: u64,
    /// The same by virtual shard.
    shard_bytes: Vec<u32>,
}

impl Checkpointer {
    /// Runs until told to stop; the last cycle is written after that.
    pub fn run(mut self) {
        loop {
            let stopping = self.wait();
            let began = Instant::now();
            match self.cycle() {
                Ok(bytes) => {
                    self.facts.completed.fetch_add(1, Ordering::Relaxed);
                    let took = began.elapsed().as_millis() as u64;
                    self.facts.last_duration_ms.store(took, Ordering::Relaxed);
                    self.facts.last_bytes.store(bytes, Ordering::Relaxed);
                    tracing::debug!(bytes, took_ms = took, "checkpoint complete");
                }
                Err(why) => {
                    self.facts.abandoned.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%why, "checkpoint abandoned; the one before it still counts");
                }
            }
            if stopping {
                return;
            }
        }
    }

    fn wait(&self) -> bool {
        let until = Instant::now() + self.every;
        while Instant::now() < until {
            if self.stopping.load(Ordering::Acquire) {
                return true;
            }
            // What a cycle that was given up has left behind: its workers must not wait with it.
            while self.parts.try_recv().is_ok() {}
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stopping.load(Ordering::Acquire)
    }

    /// Writes one cycle; returns the bytes of its states.
    pub fn cycle(&mut self) -> Result<u64, Abandoned> {
        // Nobody's before, not even that of one which was given up: its parts may still come.
        let cycle = self.next_cycle.max(self.checkpoints.next_position());
        self.next_cycle = cycle + 1;
        let (version, text) = self.config.current();
        let first = self.checkpoints.next_position();
        while self.parts.try_recv().is_ok() {}
        self.pipeline.tell_workers(&Message::Checkpoint(cycle));
        let Collected { replay_from, shards, mut bytes, shard_bytes } =
            self.collect_shards(cycle)?;
        *lock(&self.facts.shard_bytes) = shard_bytes;
        let home = self.home()?;
        self.queue.wait_durable(home.queue_mark - 1)?;
        // A state must not know of a record that a crash could still undo: its position would be
        // given out again, and what came there left out of the next replay.
        self.log.wait_durable(home.position)?;
        let home_bytes = home.bytes.len() as u64;
        bytes += home_bytes;
        self.write_home(cycle, Bytes::from(home.bytes))?;
        if self.config.current().0 != version {
            return Err(Abandoned::Reconfigured);
        }
        let mut out = Writer::default();
        out.number(cycle);
        out.number(replay_from);
        out.number(home.position);
        out.signed(home.frontier);
        out.number(home.queue_mark);
        out.number(shards);
        out.number(home_bytes);
        out.number(u64::from(version));
        out.blob(&text);
        out.signed(self.frontier.heard_until.load(Ordering::Relaxed));
        let position = self.append(COMPLETE, vec![Bytes::from(out.bytes)])?;
        self.checkpoints.wait_durable(position)?;
        self.facts.replay_from.store(replay_from, Ordering::Release);
        let this = Kept { first, replay_from, queue_mark: home.queue_mark };
        if let Some(before) = self.before.replace(this) {
            self.facts.queue_mark.store(before.queue_mark, Ordering::Release);
            self.checkpoints.cut_below(before.first)?;
            self.log.cut_below(before.replay_from + 1)?;
        }
        Ok(bytes)
    }

    fn collect_shards(&self, cycle: u64) -> Result<Collected, Abandoned> {
        let (mut replay_from, mut bytes, mut shards) = (u64::MAX, 0, 0);
        let mut shard_bytes = vec![0; usize::from(VSHARDS)];
        let (mut begun, mut done) = (0, 0);
        while done < self.workers {
            match self.parts.recv_timeout(STALLED_AFTER) {
                Ok(ShardPart::Begin { cycle: this, position }) if this == cycle => {
                    begun += 1;
                    replay_from = replay_from.min(position);
                }
                Ok(ShardPart::State(this, state)) if this == cycle => {
                    bytes += state.bytes.len() as u64;
                    shard_bytes[usize::from(state.vshard.0)] = state.bytes.len() as u32;
                    self.write_shard(cycle, state)?;
                    shards += 1;
                }
                Ok(ShardPart::Done(this)) if this == cycle => done += 1,
                // What a cycle that was given up has left behind.
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return Err(Abandoned::Stalled),
                Err(RecvTimeoutError::Disconnected) => return Err(Abandoned::Gone),
            }
        }
        if begun == self.workers {
            Ok(Collected { replay_from, shards, bytes, shard_bytes })
        } else {
            Err(Abandoned::Gone)
        }
    }

    fn home(&self) -> Result<HomeState, Abandoned> {
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.pipeline.tell_emitter(Expect::Checkpoint(reply));
        answer.blocking_recv().map_err(|_| Abandoned::Gone)
    }

    fn write_shard(&self, cycle: u64, state: ShardState) -> Result<(), Abandoned> {
        let mut out = Writer::default();
        out.number(cycle);
        out.number(u64::from(state.vshard.0));
        out.number(crate::wal::FIRST_EPOCH);
        out.number(state.position);
        self.append(SHARD, vec![Bytes::from(out.bytes), Bytes::from(state.bytes)]).map(|_| ())
    }

    /// The groups' bytes in parts that fit a segment.
    fn write_home(&self, cycle: u64, home: Bytes) -> Result<(), Abandoned> {
        let size = PART_BYTES.min(self.checkpoints.payload_bytes_max() as usize / 2);
        let parts = home.len().div_ceil(size);
        for number in 0..parts {
            let part = home.slice(number * size..home.len().min((number + 1) * size));
            let mut out = Writer::default();
            out.number(cycle);
            out.number(number as u64);
            out.number(parts as u64);
            self.append(HOME, vec![Bytes::from(out.bytes), part])?;
        }
        Ok(())
    }

    fn append(&self, kind: u8, payload: Vec<Bytes>) -> Result<u64, Abandoned> {
        crate::crash::point("checkpoint");
        let size = payload.iter().map(|piece| piece.len() as u64).sum();
        let reservation = loop {
            match self.checkpoints.reserve(size, Importance::Essential) {
                Ok(reservation) => break reservation,
                // It will never have room: what waits in its queue stays there.
                Err(why @ (ReserveError::Poisoned(_) | ReserveError::TooLarge { .. })) => {
                    return Err(why.into());
                }
                // The writer thread is behind: this is the one producer, so it catches up.
                Err(why) if self.checkpoints.stats().queue_bytes.load(Ordering::Relaxed) > 0 => {
                    tracing::trace!(%why, "checkpoint waits for the disk");
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(why) => return Err(why.into()),
            }
        };
        Ok(self.checkpoints.append(reservation, kind, payload)?)
    }
}

/// Bytes of one part of the groups' state.
const PART_BYTES: usize = 4 << 20;

/// A worker that has not written anything for so long will not.
const STALLED_AFTER: Duration = Duration::from_secs(60);
