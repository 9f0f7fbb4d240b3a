//! What the parts of a running gateway share: the way in, and what each part publishes.
//!
//! Made once, by `app.rs`. Handlers and pages read it; nothing here decides anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use weir_aggregate::decisions::Decisions;
use weir_http::limits::MemoryBudget;
use weir_journal::Journal;
use weir_model::BlockHasher;

use crate::agents::Agents;
use crate::audit::Audit;
use crate::checkpoint::CheckpointFacts;
use crate::cluster::Cluster;
use crate::cluster::follow::Follow;
use crate::cluster::forward::ForwardFacts;
use crate::cluster::moves::Moves;
use crate::cluster::stream::Streams;
use crate::config::Config;
use crate::custody::Custody;
use crate::durable::{Durable, LogFailed};
use crate::emit::EmitFacts;
use crate::frontier::FrontierFacts;
use crate::ingest::IngestFacts;
use crate::metadata::Families;
use crate::pipeline::Pipeline;
use crate::promises::Promises;
use crate::shard::worker::Facts;
use crate::tenants::Tenants;

/// The configuration in force.
pub struct Current {
    /// As validated.
    pub config: Config,
    /// What decides about samples.
    pub decisions: Arc<Decisions>,
    /// The text that `decisions` were made from.
    pub text: Vec<u8>,
    /// When it came into force, milliseconds since the epoch.
    pub since_ms: i64,
}

/// How far the start has come.
#[derive(Debug, Default)]
pub struct Readiness {
    /// Requests are taken.
    pub ready: AtomicBool,
    /// The node is shutting down.
    pub stopping: AtomicBool,
    /// The journals are being closed.
    pub closing: AtomicBool,
    /// Replay: the last position to read.
    pub replay_to: AtomicU64,
    /// Replay: the first position that was read.
    pub replay_from: AtomicU64,
    /// Replay: the position that has been reached.
    pub replay_at: AtomicU64,
}

/// A running gateway.
pub struct Node {
    /// The configuration in force; swapped by a reload.
    pub current: ArcSwap<Current>,
    /// The way into log, workers and emitter.
    pub pipeline: Arc<Pipeline>,
    /// The log.
    pub log: Arc<Journal>,
    /// The send queue.
    pub queue: Arc<Journal>,
    /// What other members are told; none for a node that stands alone.
    pub exchange: Option<Arc<Journal>>,
    /// The ways on which they are told.
    pub streams: Streams,
    /// Virtual shards that change hands.
    pub moves: Moves,
    /// What is sent on to other members.
    pub forward: ForwardFacts,
    /// Where replay starts.
    pub checkpoints: Arc<Journal>,
    /// The log's durable position.
    pub durable: tokio::sync::watch::Receiver<u64>,
    /// The same, for requests to wait on.
    pub synced: Arc<Durable>,
    /// The send queue's durable position.
    pub queue_durable: tokio::sync::watch::Receiver<u64>,
    /// The checkpoints'.
    pub checkpoints_durable: tokio::sync::watch::Receiver<u64>,
    /// Bytes that requests may hold.
    pub budget: MemoryBudget,
    /// Those that other members send on may hold as much again of their own.
    pub forwarded_budget: MemoryBudget,
    /// Batches that may be on their way to workers.
    pub in_flight: Arc<tokio::sync::Semaphore>,
    /// The process's seed for label blocks.
    pub hasher: BlockHasher,
    /// Number of workers.
    pub workers: usize,
    /// Tenants.
    pub tenants: Arc<Tenants>,
    /// Metric families.
    pub families: Arc<Families>,
    /// The audit.
    pub audit: Arc<Audit>,
    /// What each worker publishes.
    pub worker_facts: Vec<Arc<Facts>>,
    /// What the emitter publishes.
    pub emit_facts: Arc<EmitFacts>,
    /// What checkpoints publish.
    pub checkpoint_facts: Arc<CheckpointFacts>,
    /// What the frontier publishes.
    pub frontier_facts: Arc<FrontierFacts>,
    /// What requests come to.
    pub ingest_facts: IngestFacts,
    /// Agents that ask for their configuration.
    pub agents: Agents,
    /// What senders have promised.
    pub promises: Promises,
    /// What agents may forget.
    pub custody: Custody,
    /// The tier.
    pub cluster: Arc<Cluster>,
    /// Its follower, and those that it follows.
    pub follow: Follow,
    /// How far the start has come.
    pub readiness: Arc<Readiness>,
    /// Some blocking destination has no room: senders get 503.
    pub queue_blocked: Arc<AtomicBool>,
    /// One reload at a time.
    pub reloading: std::sync::Mutex<()>,
}

/// Why a position of the log is not durable yet.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotSynced {
    /// It never will be.
    #[error("{0}")]
    Failed(#[from] LogFailed),
    /// It may become so: no follower is in step.
    #[error("no follower is in step: {0}")]
    NoFollower(String),
}

impl Node {
    /// Waits until a position of the log is on disk, and in the twin if there is to be one.
    pub async fn synced(&self, position: u64) -> Result<(), LogFailed> {
        self.synced.wait(position).await
    }

    /// The same for whoever can ask again: where there is no follower it does not wait long.
    pub async fn synced_soon(&self, position: u64) -> Result<(), NotSynced> {
        tokio::select! {
            biased;
            synced = self.synced(position) => Ok(synced?),
            why = self.follow.stall() => Err(NotSynced::NoFollower(why)),
        }
    }

    /// Whether what is decided has no room to leave, so that no more is taken.
    pub fn is_blocked(&self) -> bool {
        self.queue_blocked.load(Ordering::Relaxed)
            || self.emit_facts.queue_full.load(Ordering::Relaxed)
    }
}
