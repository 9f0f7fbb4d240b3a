//! The durable core of a gateway: everything between a request's bytes and the send queue.
//!
//! No socket, signal or timer: `app.rs` puts those around it, and tests run it on a disk that
//! crashes, lies and fills up. In order: [`Engine::open`], [`Replaying::run`], [`adopt_file`]; then
//! [`crate::ingest::store`], [`crate::frontier::submit`] and [`Checkpointer::cycle`] may be called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use weir_aggregate::decisions::Decisions;
use weir_http::MemoryBudget;
use weir_journal::fs::Fs;
use weir_model::BlockHasher;

use crate::boot::{self, BootError, IN_FLIGHT_MAX, Journals, Machine, Shared};
use crate::checkpoint::{Checkpointer, Loaded};
use crate::cluster::Cluster;
use crate::config::{Config, DecisionText};
use crate::custody::Custody;
use crate::frontier::wall_ms;
use crate::node::{Current, Node, Readiness};
use crate::recover::{Replay, Replayed};
use crate::wal::ConfigRecord;

/// A gateway's state and threads, before its log is read back.
pub struct Engine {
    /// What the parts share.
    pub node: Arc<Node>,
    /// Its logs.
    pub journals: Journals,
    /// Workers and emitter.
    pub machine: Machine,
    /// The checkpoint that it began with, without the states, which are in the machine.
    pub loaded: Loaded,
}

impl Engine {
    /// Opens the data directory on this disk, restores the last whole checkpoint and starts
    /// workers and emitter.
    pub fn open(config: Config, fs: &Arc<dyn Fs>, shared: &Shared) -> Result<Self, BootError> {
        boot::create_dir(&**fs, &config.data_dir)?;
        let cluster = Cluster::open(&config).map_err(BootError::State)?;
        let custody = Custody::open(&**fs, &config.data_dir);
        let custody = custody.map_err(|why| BootError::State(format!("custody: {why}")))?;
        let readiness = Arc::new(Readiness::default());
        let (journals, mut loaded, before) = boot::open_journals(&config, fs, &readiness)?;
        let (decisions, text) = first_decisions(&loaded)?;
        let silent_through = custody.silent_through();
        let machine =
            boot::start_machine(&journals, &loaded, before, &decisions, silent_through, shared)?;
        loaded.shards.clear();
        loaded.home.clear();
        let node = node(
            config,
            (&journals, &machine, shared),
            (readiness, custody),
            (decisions, text),
            cluster,
        );
        // Before the replay, which may have to wait for room in the queue.
        node.checkpoint_facts.queue_mark.store(loaded.queue_needed_from, Ordering::Release);
        Ok(Self { node, journals, machine, loaded })
    }

    /// What a replay needs, owned, so that it can run beside a server.
    pub fn replaying(&self) -> Replaying {
        Replaying {
            covered: self.machine.covered.clone(),
            from: self.loaded.replay_from,
            fs: Arc::clone(&self.journals.fs),
        }
    }

    /// The checkpoint writer; it writes one more cycle once `last` is set.
    pub fn checkpointer(&self, last: &Arc<AtomicBool>) -> Checkpointer {
        let node = &self.node;
        Checkpointer {
            checkpoints: Arc::clone(&self.journals.checkpoints),
            queue: Arc::clone(&self.journals.queue),
            log: Arc::clone(&self.journals.log),
            pipeline: Arc::clone(&node.pipeline),
            parts: self.machine.parts.clone(),
            workers: node.workers,
            config: Arc::clone(node) as Arc<dyn crate::checkpoint::CurrentConfig>,
            facts: Arc::clone(&node.checkpoint_facts),
            frontier: Arc::clone(&node.frontier_facts),
            stopping: Arc::clone(last),
            every: node.current.load().config.wal.checkpoint_interval,
            next_cycle: self.loaded.next_cycle,
            before: self.loaded.kept,
        }
    }
}

/// What decided when the checkpoint was taken; nothing, for a node without one: its log begins
/// with the first configuration.
fn first_decisions(loaded: &Loaded) -> Result<(Arc<Decisions>, Vec<u8>), BootError> {
    let Some((version, text)) = &loaded.config else {
        return Ok((Arc::new(Decisions::new(0, Vec::new())), Vec::new()));
    };
    let wrong = |why| BootError::State(format!("the checkpoint's configuration: {why}"));
    let read = DecisionText::from_bytes(text).and_then(|text| text.decisions(*version));
    Ok((Arc::new(read.map_err(wrong)?), text.clone()))
}

fn node(
    config: Config,
    (journals, machine, shared): (&Journals, &Machine, &Shared),
    (readiness, custody): (Arc<Readiness>, Custody),
    (decisions, text): (Arc<Decisions>, Vec<u8>),
    cluster: Cluster,
) -> Arc<Node> {
    let memory_bytes = config.http.memory_bytes;
    let since_ms = wall_ms();
    Arc::new(Node {
        current: ArcSwap::from_pointee(Current { config, decisions, text, since_ms }),
        pipeline: Arc::clone(&machine.pipeline),
        log: Arc::clone(&journals.log),
        queue: Arc::clone(&journals.queue),
        checkpoints: Arc::clone(&journals.checkpoints),
        exchange: journals.exchange.clone(),
        streams: Default::default(),
        forward: Default::default(),
        moves: Default::default(),
        durable: journals.durable.clone(),
        synced: Arc::clone(&journals.synced),
        queue_durable: journals.queue_durable.clone(),
        checkpoints_durable: journals.checkpoints_durable.clone(),
        budget: MemoryBudget::new(memory_bytes),
        forwarded_budget: MemoryBudget::new(memory_bytes),
        in_flight: Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT_MAX)),
        hasher: BlockHasher::new(shared.seed),
        workers: shared.workers,
        tenants: Arc::clone(&shared.tenants),
        families: Arc::clone(&shared.families),
        audit: Arc::clone(&machine.audit),
        worker_facts: machine.worker_facts.clone(),
        emit_facts: Arc::clone(&machine.emit_facts),
        checkpoint_facts: Arc::default(),
        frontier_facts: Arc::default(),
        ingest_facts: Default::default(),
        agents: Default::default(),
        promises: Default::default(),
        custody,
        cluster: Arc::new(cluster),
        follow: Default::default(),
        readiness,
        queue_blocked: Arc::default(),
        reloading: std::sync::Mutex::new(()),
    })
}

/// A replay before it runs.
pub struct Replaying {
    covered: Vec<u64>,
    from: u64,
    fs: Arc<dyn Fs>,
}

impl Replaying {
    /// Reads the log back and waits until the emitter has seen all of it.
    pub fn run(self, node: &Node) -> Result<Replayed, BootError> {
        let began = Instant::now();
        let current = node.current.load_full();
        let replay = Replay {
            own: node.cluster.own_name(),
            log: &node.log,
            pipeline: &node.pipeline,
            checkpoints: self.covered,
            workers: node.workers,
            hasher: &node.hasher,
            tenants: &node.tenants,
            decisions: Arc::clone(&current.decisions),
            body_bytes_max: current.config.http.body_bytes_max,
            fs: &*self.fs,
            dir: &current.config.data_dir,
            audit: &node.audit,
            emitted: &node.emit_facts,
            readiness: &node.readiness,
        };
        let replayed = replay.run(self.from);
        let replayed = replayed.map_err(|why| BootError::State(format!("the log: {why}")))?;
        while node.emit_facts.position.load(Ordering::Relaxed) < replayed.last {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (records, samples) = (replayed.records, replayed.samples);
        let lost = node.audit.lost_positions.load(Ordering::Relaxed);
        let set_aside = node.audit.set_aside_records.load(Ordering::Relaxed);
        let took_ms = began.elapsed().as_millis() as u64;
        tracing::info!(records, samples, lost, set_aside, took_ms, "log read back");
        node.pipeline.tell_emitter(crate::pipeline::Expect::ReplayOver);
        Ok(replayed)
    }
}

/// The file that was found at the start is a reload after the log's last record.
pub fn adopt_file(node: &Arc<Node>, replayed: &Replayed) -> Result<(), BootError> {
    if let Some((decisions, text)) = &replayed.config {
        let current = node.current.load_full();
        let (config, since_ms) = (current.config.clone(), current.since_ms);
        let (decisions, text) = (Arc::clone(decisions), text.clone());
        node.current.store(Arc::new(Current { config, decisions, text, since_ms }));
    }
    let config = node.current.load().config.clone();
    refuse_other_shard_key(node, &config)?;
    let adopted = crate::reload::apply(node, config);
    adopted.map_err(|why| BootError::State(format!("the configuration: {why}")))
}

/// The shard key is fixed when a data directory is made: with another, series would lie elsewhere.
fn refuse_other_shard_key(node: &Node, config: &Config) -> Result<(), BootError> {
    let Ok(known) = DecisionText::from_bytes(&node.current.load().text) else {
        return Ok(());
    };
    if known.shard_key() == config.decisions.shard_key() {
        return Ok(());
    }
    let why = "cluster.shard_key (or the replica label) differs from what this data directory was \
        made with; take the old one back, or begin with an empty directory";
    Err(BootError::State(why.into()))
}

/// Logs a configuration and puts it in force. Called with the reload lock held.
pub fn log_config(
    node: &Node,
    record: &ConfigRecord,
    decisions: Arc<Decisions>,
) -> Result<u64, String> {
    node.pipeline.config(record, decisions).map_err(|e| e.to_string())
}
