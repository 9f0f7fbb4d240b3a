//! From a data directory to running threads: journals, state from the checkpoint, workers, emitter.
//!
//! Everything here happens before the first request is taken, in the order of the functions.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::sync::watch;
use weir_aggregate::decisions::Decisions;
use weir_aggregate::home::Home;
use weir_aggregate::shard::Shard;
use weir_journal::fs::Fs;
use weir_journal::{Config as JournalConfig, Journal, OpenError, Recovery};
use weir_model::Timestamp;

use crate::audit::Audit;
use crate::checkpoint::{Loaded, ShardPart};
use crate::config::Config;
use crate::durable::Durable;
use crate::emit::{EmitFacts, Emitter, ExportWriter, FrameWriter, Places, Resume};
use crate::metadata::Families;
use crate::node::Readiness;
use crate::pipeline::{Message, Pipeline};
use crate::shard::owner;
use crate::shard::worker::{Facts, Report, Worker, checkpoint_parts_max, lock};
use crate::tenants::Tenants;
use crate::wal::PlacementRecord;

/// Batches that may be on their way; frontiers and the like come on top.
pub const IN_FLIGHT_MAX: usize = 1024;

const MAILBOX: usize = IN_FLIGHT_MAX + 256;

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// A journal cannot be opened.
    #[error("{name}: {why}")]
    Open {
        /// Which.
        name: &'static str,
        /// Why.
        why: OpenError,
    },
    /// A thread, directory or socket.
    #[error("{what}: {why}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        why: io::Error,
    },
    /// State that cannot be read back.
    #[error("{0}")]
    State(String),
}

/// The three logs of a node.
pub struct Journals {
    /// The disk that they are on.
    pub fs: Arc<dyn Fs>,
    /// What was acknowledged.
    pub log: Arc<Journal>,
    /// What leaves.
    pub queue: Arc<Journal>,
    /// Where replay starts.
    pub checkpoints: Arc<Journal>,
    /// What other members are told; none for a node that stands alone.
    pub exchange: Option<Arc<Journal>>,
    /// The exchange's durable place.
    pub exchange_durable: watch::Receiver<u64>,
    /// The log's durable position, `u64::MAX` once it has failed.
    pub durable: watch::Receiver<u64>,
    /// The same, for requests to wait on.
    pub synced: Arc<Durable>,
    /// The queue's.
    pub queue_durable: watch::Receiver<u64>,
    /// The checkpoints'.
    pub checkpoints_durable: watch::Receiver<u64>,
}

/// What the journals held of what has been said and told.
pub struct Before {
    /// By the queue.
    pub resume: Resume,
    /// By the exchange.
    pub exports: Option<ExportWriter>,
    /// This node's name.
    pub own: Arc<str>,
}

/// Opens the journals and says what recovery found; reads the checkpoint and what has been said.
///
/// The log comes last: where the disk has lost its end, positions that a checkpoint or the queue
/// knows of are not given out again, but count as lost.
pub fn open_journals(
    config: &Config,
    fs: &Arc<dyn Fs>,
    readiness: &Arc<Readiness>,
) -> Result<(Journals, Loaded, Before), BootError> {
    let segment_bytes = config.wal.segment_bytes;
    let dir = &config.data_dir;
    let recycled_segments = (RECYCLED_BYTES_MAX / segment_bytes) as usize;
    let base = |name: &str| JournalConfig {
        segment_bytes,
        recycled_segments,
        ..JournalConfig::new(dir.join(name))
    };
    let (log_told, durable) = watch::channel(0);
    let (queue_told, queue_durable) = watch::channel(0);
    let (checkpoints_told, checkpoints_durable) = watch::channel(0);
    // Without checkpoints the log would grow until the disk is full.
    let checkpoints = JournalConfig {
        past_cache: true,
        queue_bytes: CHECKPOINT_QUEUE_BYTES,
        on_durable: Some(tell("checkpoints", checkpoints_told, readiness)),
        ..base("checkpoints")
    };
    let queue = JournalConfig {
        quota_bytes: Some(queue_quota(config)),
        reserve_bytes: RESERVE_BYTES.min(segment_bytes / 4),
        on_durable: Some(tell("queue", queue_told, readiness)),
        ..base("queue")
    };
    let (checkpoints, queue) = (open("checkpoints", fs, checkpoints)?, open("queue", fs, queue)?);
    let loaded = crate::checkpoint::load(&checkpoints);
    let loaded = loaded.map_err(|why| BootError::State(format!("checkpoint: {why}")))?;
    let resume = Resume::read(&queue, loaded.home_position, loaded.queue_mark);
    let resume = resume.map_err(|why| BootError::State(format!("the send queue: {why}")))?;
    let (exchange_told, exchange_durable) = watch::channel(0);
    let exchange = JournalConfig {
        on_durable: Some(tell("exchange", exchange_told, readiness)),
        ..base("exchange")
    };
    let in_tier = !config.cluster.is_alone();
    let exchange = in_tier.then(|| open("exchange", fs, exchange)).transpose()?;
    let exports = exchange.clone().map(ExportWriter::resume).transpose();
    let exports = exports.map_err(|why| BootError::State(format!("the exchange: {why}")))?;
    let told = exports.as_ref().map_or(0, ExportWriter::held);
    let synced = Arc::<Durable>::default();
    let log = JournalConfig {
        commit_delay: config.wal.commit_delay,
        past_cache: true,
        quota_bytes: config.wal.max_bytes,
        reserve_bytes: RESERVE_BYTES.min(segment_bytes / 4),
        on_durable: Some(tell_waiters(tell("log", log_told, readiness), &synced, readiness)),
        first_position: loaded.last_position().max(resume.last()).max(told) + 1,
        ..base("wal")
    };
    let journals = Journals {
        log: open("wal", fs, log)?,
        queue,
        checkpoints,
        exchange,
        exchange_durable,
        fs: Arc::clone(fs),
        durable,
        synced,
        queue_durable,
        checkpoints_durable,
    };
    let own = config.node_name.as_str().into();
    Ok((journals, loaded, Before { resume, exports, own }))
}

/// What the queue's files may take: more than any destination's own bound, so that it is the
/// destination that says what happens when it is reached; and whole segments on top.
fn queue_quota(config: &Config) -> u64 {
    let bounds = config.destinations.iter().map(|d| d.queue.max_bytes);
    let most = bounds.chain([config.queue.max_bytes]).max().unwrap_or_default();
    most + most / 4 + 8 * config.wal.segment_bytes
}

/// Room that is kept for frontiers and outputs on a full disk.
const RESERVE_BYTES: u64 = 4 << 20;

/// Files of what a checkpoint has made needless that are used again: as much as comes in between two.
const RECYCLED_BYTES_MAX: u64 = 4 << 30;

/// Twice as much of a checkpoint may wait for its disk: it is memory beside that of the series.
const CHECKPOINT_QUEUE_BYTES: u64 = 8 << 20;

fn tell(
    name: &'static str,
    to: watch::Sender<u64>,
    readiness: &Arc<Readiness>,
) -> weir_journal::OnDurable {
    let readiness = Arc::clone(readiness);
    Arc::new(move |reached| match reached {
        Ok(position) => {
            crate::crash::point("fsync");
            to.send_replace(position);
        }
        // The orderly end of a journal is no failure.
        Err(_) if readiness.closing.load(Ordering::Acquire) => {}
        Err(why) => {
            tracing::error!(name, %why, "the journal has failed; restart to recover what is on disk");
            to.send_replace(u64::MAX);
        }
    })
}

fn open(
    name: &'static str,
    fs: &Arc<dyn Fs>,
    config: JournalConfig,
) -> Result<Arc<Journal>, BootError> {
    let opened = Journal::open(Arc::clone(fs), config);
    let (journal, recovery) = opened.map_err(|why| BootError::Open { name, why })?;
    report(name, &recovery);
    Ok(Arc::new(journal))
}

fn report(name: &str, recovery: &Recovery) {
    let Recovery { first, next, clean, torn_tail_bytes, damage, .. } = recovery;
    tracing::info!(name, first, next, clean, torn_tail_bytes, "journal opened");
    for damage in damage {
        tracing::error!(name, ?damage, "damage in the journal; what follows it survives");
    }
}

/// Threads of shards and emitter, and the ways to them.
pub struct Machine {
    /// The way in.
    pub pipeline: Arc<Pipeline>,
    /// What workers publish.
    pub worker_facts: Vec<Arc<Facts>>,
    /// What the emitter publishes.
    pub emit_facts: Arc<EmitFacts>,
    /// The audit.
    pub audit: Arc<Audit>,
    /// What workers tell the checkpoint writer.
    pub parts: Receiver<ShardPart>,
    /// Positions that each virtual shard's checkpoint covers.
    pub covered: Vec<u64>,
    /// Workers first, the emitter last.
    pub threads: Vec<JoinHandle<()>>,
}

/// What workers and emitter share.
pub struct Shared {
    /// Tenants.
    pub tenants: Arc<Tenants>,
    /// Metric families.
    pub families: Arc<Families>,
    /// Set when the node is to stop without waiting for room.
    pub stopping: Arc<AtomicBool>,
    /// Seed of hash tables.
    pub seed: u128,
    /// Number of workers.
    pub workers: usize,
}

/// Restores the checkpoint and starts workers and emitter.
pub fn start_machine(
    journals: &Journals,
    loaded: &Loaded,
    before: Before,
    decisions: &Arc<Decisions>,
    silent_through: Timestamp,
    shared: &Shared,
) -> Result<Machine, BootError> {
    let (shards, covered) = restore_shards(loaded, decisions, shared)?;
    let (mut home, places) = restore_home(loaded, decisions, shared)?;
    home.stay_silent_through(silent_through);
    let (expect_to, expects) = bounded(MAILBOX);
    let (parts_to, parts) = bounded(checkpoint_parts_max(shards.len()));
    let (mut mailboxes, mut reports, mut threads, mut worker_facts) =
        (vec![], vec![], vec![], vec![]);
    for (number, shard) in shards.into_iter().enumerate() {
        let (mailbox_to, mailbox) = bounded(MAILBOX);
        let (report_to, report) = bounded(MAILBOX);
        let facts = Arc::new(Facts::default());
        let worker = worker(shared, (number, shard), mailbox, report_to, parts_to.clone(), &facts);
        mailboxes.push(mailbox_to);
        reports.push(report);
        worker_facts.push(facts);
        threads.push(spawn(format!("shard-{number}"), move || worker.run(0))?);
    }
    let frames = FrameWriter::new(
        Arc::clone(&journals.queue),
        Arc::clone(&shared.families),
        Arc::clone(&shared.stopping),
    );
    let audit = Arc::new(Audit::default());
    let emit_facts = Arc::new(EmitFacts { queue_full: frames.full(), ..EmitFacts::default() });
    if !home.table.is_empty() {
        *lock(&emit_facts.tier.placed) = places.record.owned();
    }
    let emitter = Emitter {
        expects,
        reports,
        local: loaded.home_frontier.unwrap_or(i64::MIN / 2),
        frontier: home.closed_through(),
        home,
        heard: vec![false; shared.workers],
        own: before.own,
        places,
        exports: before.exports,
        next: loaded.replay_from + 1,
        home_position: loaded.home_position,
        log: Arc::clone(&journals.log),
        frames,
        resume: before.resume,
        audit: Arc::clone(&audit),
        settling: VecDeque::new(),
        tenants: Arc::clone(&shared.tenants),
        facts: Arc::clone(&emit_facts),
    };
    threads.push(spawn("emit".into(), move || emitter.run())?);
    let pipeline = Arc::new(Pipeline::new(Arc::clone(&journals.log), mailboxes, expect_to));
    Ok(Machine { pipeline, worker_facts, emit_facts, audit, parts, covered, threads })
}

fn worker(
    shared: &Shared,
    (number, shard): (usize, Shard),
    mailbox: Receiver<Message>,
    reports: Sender<Report>,
    checkpoints: Sender<ShardPart>,
    facts: &Arc<Facts>,
) -> Worker {
    Worker {
        number,
        workers: shared.workers,
        shard,
        mailbox,
        reports,
        checkpoints,
        facts: Arc::clone(facts),
        families: Arc::clone(&shared.families),
    }
}

fn restore_shards(
    loaded: &Loaded,
    decisions: &Arc<Decisions>,
    shared: &Shared,
) -> Result<(Vec<Shard>, Vec<u64>), BootError> {
    let fresh = |number| Shard::new(Arc::clone(decisions), shared.seed ^ number as u128);
    let mut shards: Vec<Shard> = (0..shared.workers).map(fresh).collect();
    let mut covered = crate::recover::no_checkpoints();
    for state in &loaded.shards {
        let shard = &mut shards[owner(state.vshard, shared.workers)];
        let mut tenant =
            |name: &str| shared.tenants.meet(name).map(|(id, _)| id).unwrap_or_default();
        shard
            .restore(state.vshard, &state.bytes, &mut tenant)
            .map_err(|why| BootError::State(format!("virtual shard {}: {why}", state.vshard.0)))?;
        covered[usize::from(state.vshard.0)] = state.position;
    }
    Ok((shards, covered))
}

fn restore_home(
    loaded: &Loaded,
    decisions: &Arc<Decisions>,
    shared: &Shared,
) -> Result<(Home, Arc<Places>), BootError> {
    let mut home = Home::new(Arc::clone(decisions));
    if !loaded.home.is_empty() {
        let mut tenant =
            |name: &str| shared.tenants.meet(name).map(|(id, _)| id).unwrap_or_default();
        let restored = home.restore_bytes(&loaded.home, &mut tenant);
        restored.map_err(|why| BootError::State(format!("output groups: {why}")))?;
    }
    let mut places = Arc::new(Places::alone());
    if !home.table.is_empty() {
        let record = PlacementRecord::read(&home.table);
        let record = record.map_err(|why| BootError::State(format!("the placement: {why}")))?;
        places = Arc::new(Places::new(record));
        let from = home.closed_through();
        crate::emit::settle(&mut home, &places, &shared.tenants, from);
    }
    Ok((home, places))
}

/// Starts a thread whose panic ends the process: half a gateway would answer for a whole one.
pub fn spawn(
    name: String,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, BootError> {
    let what = format!("start the thread {name}");
    let guarded = move || {
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
        if ended.is_err() {
            tracing::error!(
                "a thread has panicked; the process ends, the log has what was acknowledged"
            );
            std::process::abort();
        }
    };
    std::thread::Builder::new().name(name).spawn(guarded).map_err(|why| BootError::Io { what, why })
}

/// Creates the data directory.
pub fn create_dir(fs: &dyn Fs, dir: &Path) -> Result<(), BootError> {
    let what = format!("create {}", dir.display());
    fs.create_dir_all(dir).map_err(|why| BootError::Io { what, why })
}

/// Lets the requests go that wait for what has become durable; at the end of an orderly stop nothing
/// has failed.
fn tell_waiters(
    told_log: weir_journal::OnDurable,
    synced: &Arc<Durable>,
    readiness: &Arc<Readiness>,
) -> weir_journal::OnDurable {
    let (waiters, closing) = (Arc::clone(synced), Arc::clone(readiness));
    Arc::new(move |reached| {
        let position = reached.as_ref().ok().copied();
        told_log(reached);
        let closes = position.is_none() && closing.closing.load(Ordering::Acquire);
        if !closes {
            waiters.reach(position.unwrap_or(u64::MAX));
        }
    })
}
