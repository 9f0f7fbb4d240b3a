//! The one critical section: a log position, and everybody who must know of it, in one order.
//!
//! Whoever submits has reserved room in the journal and holds a permit for the mailboxes, so
//! nothing waits inside. Invariant: the order of positions in the log, in each worker's mailbox
//! and at the emitter is the same; so what a position did is known once its workers have reported.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use crossbeam_channel::Sender;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weir_aggregate::decisions::Decisions;
use weir_aggregate::shard::Outcome;
use weir_aggregate::target::Progress;
use weir_journal::{AppendError, Importance, Journal, Reservation, ReserveError};
use weir_model::mutation::{self, Mutation};
use weir_model::{Batch, TenantId, Timestamp, VShard};
use weir_ring::OwnedSet;

use crate::tenants::Tenants;
use crate::verdict::Verdict;
use crate::wal::{AdoptRecord, PartialsRecord, PlacementRecord, ReleaseRecord, WaiveRecord};

/// A batch on its way to the workers.
pub struct BatchWork {
    /// The decoded request.
    pub batch: Batch,
    /// The tenant's name.
    pub tenant: Arc<str>,
    /// Each worker's entries.
    pub entries: Vec<Vec<u32>>,
    /// Float samples that were refused before logging.
    pub refused: Vec<u32>,
    /// Series that are not known are refused.
    pub no_new_series: bool,
    /// Samples in the request: the left side of the audit.
    pub samples: u64,
    /// Replayed entries that stand behind a checkpoint are not applied again.
    pub skipped: u64,
    /// Bounds what is in flight; released when the emitter has seen the position.
    pub permit: Option<OwnedSemaphorePermit>,
    /// What becomes of it, for whoever waits.
    pub verdict: Arc<Verdict>,
}

/// What the emitter knows of a batch; columns and body go when the workers are done with them.
pub struct Dealt {
    /// Whose it is.
    pub tenant: TenantId,
    /// The tenant's name.
    pub name: Arc<str>,
    /// The workers that it went to, in their order.
    pub workers: Vec<usize>,
    /// As in [`BatchWork`].
    pub samples: u64,
    /// As in [`BatchWork`].
    pub skipped: u64,
    /// As in [`BatchWork`].
    pub verdict: Arc<Verdict>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl BatchWork {
    fn deal(&mut self) -> Dealt {
        let parts = self.entries.iter().enumerate();
        Dealt {
            tenant: self.batch.tenant,
            name: Arc::clone(&self.tenant),
            workers: parts.filter(|(_, part)| !part.is_empty()).map(|(worker, _)| worker).collect(),
            samples: self.samples,
            skipped: self.skipped,
            verdict: Arc::clone(&self.verdict),
            _permit: self.permit.take(),
        }
    }
}

/// What a worker finds in its mailbox.
#[derive(Clone)]
pub enum Message {
    /// Its part of a batch.
    Batch(u64, Arc<BatchWork>),
    /// The frontier of all its virtual shards.
    Frontier(u64, Vec<(u16, u16)>, Timestamp),
    /// Another configuration.
    Config(u64, Arc<Decisions>),
    /// Write all virtual shards' states, between messages.
    Checkpoint(u64),
    /// Tell how far targets have come that were heard of since.
    Progress(Timestamp, Sender<Vec<Progress>>),
    /// Give these virtual shards away.
    Release(u64, Arc<OwnedSet>),
    /// Take these virtual shards over.
    Adopt(u64, Arc<Adoption>),
    /// The mailbox is empty now and stays so.
    Stop,
}

/// Virtual shards that workers take over.
pub struct Adoption {
    /// Their states.
    pub vshards: Vec<(VShard, Bytes)>,
    /// Tenants, who are named in the states.
    pub tenants: Arc<Tenants>,
}

/// Why something was not submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The log has no room.
    #[error(transparent)]
    Reserve(#[from] ReserveError),
    /// The log takes nothing.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// Some of its series are changing hands.
    #[error("some of these series are changing hands")]
    Moving,
}

/// What the emitter is told of a position, before any worker has seen it.
pub enum Expect {
    /// A batch; its workers will report.
    Batch {
        /// Its position.
        position: u64,
        /// The batch.
        dealt: Dealt,
        /// It comes from the log, not from a sender.
        replayed: bool,
    },
    /// A frontier; all workers will report.
    Frontier {
        /// Its position.
        position: u64,
        /// The frontier.
        to: Timestamp,
        /// It comes from the log.
        replayed: bool,
    },
    /// A configuration; all workers will report.
    Config {
        /// Its position.
        position: u64,
        /// The decisions.
        decisions: Arc<Decisions>,
        /// When it came into force.
        at: Timestamp,
    },
    /// The placement table has changed.
    Placement {
        /// Its position.
        position: u64,
        /// What of it decides here.
        record: Arc<PlacementRecord>,
        /// It comes from the log.
        replayed: bool,
    },
    /// A piece of another node's stream.
    Partials {
        /// Its position.
        position: u64,
        /// The piece.
        record: Arc<PartialsRecord>,
        /// It comes from the log.
        replayed: bool,
    },
    /// Virtual shards are given away; all workers will report.
    Release {
        /// Its position.
        position: u64,
        /// Which, and to whom.
        record: Arc<ReleaseRecord>,
        /// Who carries them over, once their state is gathered.
        reply: Option<oneshot::Sender<()>>,
    },
    /// Virtual shards are taken over; all workers will report.
    Adopt {
        /// Its position.
        position: u64,
        /// Which, from whom, and with what.
        record: Arc<AdoptRecord>,
        /// Whether it is replayed.
        replayed: bool,
    },
    /// What was given away is another's.
    Settled(u64),
    /// A member is not waited for.
    Waive {
        /// Its position.
        position: u64,
        /// Who, and up to when.
        record: WaiveRecord,
        /// It comes from the log.
        replayed: bool,
    },
    /// All workers have written their virtual shards: write the output groups too.
    Checkpoint(oneshot::Sender<crate::checkpoint::HomeState>),
    /// Windows that end by then have been delivered by another: they say nothing.
    Silence(Timestamp),
    /// Replay is over: nothing is suppressed any more.
    ReplayOver,
    /// No position will follow.
    Stop,
}

/// The way into log, mailboxes and emitter.
pub struct Pipeline {
    journal: Arc<Journal>,
    inner: Mutex<Inner>,
}

struct Inner {
    workers: Vec<Sender<Message>>,
    emitter: Sender<Expect>,
    /// Virtual shards that were given away.
    gone: OwnedSet,
}

impl Pipeline {
    /// Joins a journal, the workers' mailboxes and the emitter's.
    pub fn new(
        journal: Arc<Journal>,
        workers: Vec<Sender<Message>>,
        emitter: Sender<Expect>,
    ) -> Self {
        Self { journal, inner: Mutex::new(Inner { workers, emitter, gone: OwnedSet::NONE }) }
    }

    /// Submits a batch. Nothing has happened if this fails.
    pub fn batch(
        &self,
        reservation: Reservation,
        record: Vec<Bytes>,
        mut work: BatchWork,
        reply: oneshot::Sender<Outcome>,
    ) -> Result<u64, SubmitError> {
        let workers = work.entries.iter().filter(|entries| !entries.is_empty()).count();
        let verdict = Arc::new(Verdict::of(workers + 1, reply));
        work.verdict = Arc::clone(&verdict);
        let inner = self.lock();
        if inner.is_gone(&work) {
            return Err(SubmitError::Moving);
        }
        let position = self.journal.append(reservation, crate::wal::BATCH, record)?;
        crate::crash::point("append");
        inner.batch(position, work, false);
        drop(inner);
        verdict.add(Outcome::default());
        Ok(position)
    }

    /// Submits a frontier.
    pub fn frontier(&self, record: &crate::wal::FrontierRecord) -> Result<u64, SubmitError> {
        self.submit(crate::wal::FRONTIER, vec![record.payload()], |inner, position| {
            crate::crash::point("frontier");
            inner.frontier(position, record, false);
        })
    }

    /// Submits a configuration.
    pub fn config(
        &self,
        record: &crate::wal::ConfigRecord,
        decisions: Arc<Decisions>,
    ) -> Result<u64, SubmitError> {
        self.submit(crate::wal::CONFIG, vec![record.payload()], |inner, position| {
            inner.config(position, decisions, record.at);
        })
    }

    /// Submits a change of the placement table.
    pub fn placement(&self, record: PlacementRecord) -> Result<u64, SubmitError> {
        self.submit(crate::wal::PLACEMENT, vec![record.payload()], |inner, position| {
            let record = Arc::new(record);
            inner.expect(Expect::Placement { position, record, replayed: false });
        })
    }

    /// Submits a piece of another node's stream.
    pub fn partials(&self, record: PartialsRecord) -> Result<u64, SubmitError> {
        let payload = vec![record.head(), record.body.clone()];
        self.submit(crate::wal::PARTIALS, payload, |inner, position| {
            crate::crash::point("partials");
            let record = Arc::new(record);
            inner.expect(Expect::Partials { position, record, replayed: false });
        })
    }

    /// Submits that a member is not waited for.
    pub fn waive(&self, record: WaiveRecord) -> Result<u64, SubmitError> {
        self.submit(crate::wal::WAIVE, vec![record.payload()], |inner, position| {
            inner.expect(Expect::Waive { position, record, replayed: false });
        })
    }

    /// Submits that virtual shards are given away; `reply` hears when their state is gathered.
    pub fn release(
        &self,
        record: ReleaseRecord,
        reply: oneshot::Sender<()>,
    ) -> Result<u64, SubmitError> {
        self.submit(crate::wal::RELEASE, vec![record.payload()], |inner, position| {
            crate::crash::point("release");
            let gone = record.vshards.clone();
            inner.release(position, Arc::new(record), gone, Some(reply));
        })
    }

    /// Submits that virtual shards are taken over.
    pub fn adopt(&self, record: AdoptRecord, adoption: Adoption) -> Result<u64, SubmitError> {
        let payload = vec![record.head(), record.state.clone()];
        self.submit(crate::wal::ADOPT, payload, |inner, position| {
            crate::crash::point("adopt");
            inner.adopt(position, Arc::new(record), adoption, false);
        })
    }

    /// Submits that what was given away is another's.
    pub fn settled(&self) -> Result<u64, SubmitError> {
        self.submit(crate::wal::SETTLED, vec![Bytes::new()], |inner, position| {
            inner.expect(Expect::Settled(position));
        })
    }

    /// Logs what must not be kept out by a full disk, and hands it on at its position. Room is reserved
    /// before the critical section.
    fn submit(
        &self,
        kind: u8,
        payload: Vec<Bytes>,
        hand_on: impl FnOnce(&mut Inner, u64),
    ) -> Result<u64, SubmitError> {
        let bytes = payload.iter().map(|part| part.len() as u64).sum();
        let room = self.journal.reserve(bytes, Importance::Essential)?;
        let mut inner = self.lock();
        let position = self.journal.append(room, kind, payload)?;
        hand_on(&mut inner, position);
        Ok(position)
    }

    /// Hands on a replayed release; `vshards` are those whose checkpoints do not know of it.
    pub fn replay_release(&self, position: u64, record: ReleaseRecord, vshards: OwnedSet) {
        self.lock().release(position, Arc::new(record), vshards, None);
    }

    /// Hands on a replayed adoption, less what checkpoints know.
    pub fn replay_adopt(&self, position: u64, record: AdoptRecord, adoption: Adoption) {
        self.lock().adopt(position, Arc::new(record), adoption, true);
    }

    /// Hands on a replayed record that only the emitter needs.
    pub fn replay_for_emitter(&self, expect: Expect) {
        self.lock().expect(expect);
    }

    /// Hands a replayed batch on; its position is the log's.
    pub fn replay_batch(&self, position: u64, work: BatchWork) {
        self.lock().batch(position, work, true);
    }

    /// Hands a replayed frontier on.
    pub fn replay_frontier(&self, position: u64, record: &crate::wal::FrontierRecord) {
        self.lock().frontier(position, record, true);
    }

    /// Hands a replayed configuration on.
    pub fn replay_config(&self, position: u64, decisions: Arc<Decisions>, at: Timestamp) {
        self.lock().config(position, decisions, at);
    }

    /// Tells every worker something that has no position; returns the last position before it.
    pub fn tell_workers(&self, message: &Message) -> u64 {
        let inner = self.lock();
        inner.send_all(message);
        self.journal.next_position() - 1
    }

    /// Tells the emitter something that has no position.
    pub fn tell_emitter(&self, expect: Expect) {
        self.lock().expect(expect);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn batch(&self, position: u64, mut work: BatchWork, replayed: bool) {
        let dealt = work.deal();
        self.expect(Expect::Batch { position, dealt, replayed });
        let work = Arc::new(work);
        for (worker, entries) in self.workers.iter().zip(&work.entries) {
            if !entries.is_empty() {
                send(worker, Message::Batch(position, Arc::clone(&work)));
            }
        }
    }

    /// Whether some of a batch is not this node's any more.
    fn is_gone(&self, work: &BatchWork) -> bool {
        let columns = &work.batch.columns;
        let is_gone = |&at: &u32| self.gone.contains(columns.entries[at as usize].vshard);
        let is_fenced = !self.gone.is_empty() && !mutation::is(Mutation::MoveNotFenced);
        is_fenced && work.entries.iter().flatten().any(is_gone)
    }

    fn release(
        &mut self,
        position: u64,
        record: Arc<ReleaseRecord>,
        vshards: OwnedSet,
        reply: Option<oneshot::Sender<()>>,
    ) {
        record.vshards.iter().for_each(|vshard| self.gone.insert(vshard));
        self.expect(Expect::Release { position, record, reply });
        self.send_all(&Message::Release(position, Arc::new(vshards)));
    }

    fn adopt(
        &mut self,
        position: u64,
        record: Arc<AdoptRecord>,
        adoption: Adoption,
        replayed: bool,
    ) {
        record.vshards.iter().for_each(|vshard| self.gone.remove(vshard));
        self.expect(Expect::Adopt { position, record, replayed });
        self.send_all(&Message::Adopt(position, Arc::new(adoption)));
    }

    fn frontier(&self, position: u64, record: &crate::wal::FrontierRecord, replayed: bool) {
        self.expect(Expect::Frontier { position, to: record.to, replayed });
        self.send_all(&Message::Frontier(position, record.vshards.clone(), record.to));
    }

    fn config(&self, position: u64, decisions: Arc<Decisions>, at: Timestamp) {
        let expect = Expect::Config { position, decisions: Arc::clone(&decisions), at };
        self.expect(expect);
        self.send_all(&Message::Config(position, decisions));
    }

    fn send_all(&self, message: &Message) {
        self.workers.iter().for_each(|worker| send(worker, message.clone()));
    }

    fn expect(&self, expect: Expect) {
        send(&self.emitter, expect);
    }
}

/// A receiver that is gone has panicked; the process is about to end with its message.
fn send<T>(to: &Sender<T>, message: T) {
    if to.send(message).is_err() {
        tracing::error!("a worker thread is gone");
    }
}
