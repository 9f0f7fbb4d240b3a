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
use crate::cluster::forward::ForwardFacts;
use crate::cluster::moves::Moves;
use crate::cluster::stream::Streams;
use crate::config::Config;
use crate::custody::Custody;
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
    /// The log's durable position; requests wait on it.
    pub durable: tokio::sync::watch::Receiver<u64>,
    /// The send queue's durable position.
    pub queue_durable: tokio::sync::watch::Receiver<u64>,
    /// The checkpoints'.
    pub checkpoints_durable: tokio::sync::watch::Receiver<u64>,
    /// Bytes that requests may hold.
    pub budget: MemoryBudget,
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
    /// How far the start has come.
    pub readiness: Arc<Readiness>,
    /// Some blocking destination has no room: senders get 503.
    pub queue_blocked: Arc<AtomicBool>,
    /// One reload at a time.
    pub reloading: std::sync::Mutex<()>,
}

/// The log can no longer be written: what waits for it never becomes durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the log could not be written")]
pub struct LogFailed;

impl Node {
    /// Waits until a position of the log is on disk.
    pub async fn synced(&self, position: u64) -> Result<(), LogFailed> {
        let mut watch = self.durable.clone();
        match watch.wait_for(|&durable| durable >= position).await {
            Ok(reached) if *reached != u64::MAX => Ok(()),
            _ => Err(LogFailed),
        }
    }

    /// Whether what is decided has no room to leave, so that no more is taken.
    pub fn is_blocked(&self) -> bool {
        self.queue_blocked.load(Ordering::Relaxed)
            || self.emit_facts.queue_full.load(Ordering::Relaxed)
    }
}
