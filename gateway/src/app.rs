//! The wiring: configuration in, a running gateway out. The only file that knows all parts.
//!
//! `App::build` opens, restores and replays; `App::run` serves until told to stop. A socket is
//! bound early, so that `/-/ready` can tell how far the replay is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use weir_aggregate::decisions::Decisions;
use weir_http::{Drain, MemoryBudget, Server, ServerConfig, ServerTls};
use weir_journal::Importance;
use weir_model::BlockHasher;

use crate::boot::{self, BootError, IN_FLIGHT_MAX, Journals, Machine, Shared};
use crate::checkpoint::{Checkpointer, Loaded};
use crate::config::{Config, DecisionText, Overrides};
use crate::frontier::{Policy, wall_ms};
use crate::metadata::Families;
use crate::node::{Current, Node, Readiness};
use crate::pipeline::Expect;
use crate::recover::{Replay, Replayed};
use crate::router::Router;
use crate::tenants::Tenants;
use crate::wal::ConfigRecord;

/// A gateway that has read its log back.
pub struct App {
    /// What the parts share.
    pub node: Arc<Node>,
    /// Where outputs go.
    pub outlets: Arc<crate::outlets::Outlets>,
    /// Reloads, for SIGHUP.
    pub router: Arc<Router>,
    /// Ends checkpoints, after one more.
    pub last_checkpoint: Arc<AtomicBool>,
    /// Ends what waits for room in the queue.
    pub give_up: Arc<AtomicBool>,
    /// The checkpoint writer.
    pub checkpointer: JoinHandle<()>,
    /// Workers, then the emitter.
    pub machine: Vec<JoinHandle<()>>,
    /// The frontier's driver.
    pub frontier: JoinHandle<()>,
    /// Ends the server.
    pub drain: Drain,
}

impl App {
    /// Opens the data directory, restores and replays it, and starts everything.
    pub async fn build(config: Config, overrides: Overrides) -> Result<Self, BootError> {
        let origin = Instant::now();
        boot::create_dir(&config.data_dir)?;
        let readiness = Arc::new(Readiness::default());
        let journals = boot::open_journals(&config, &readiness)?;
        let loaded = crate::checkpoint::load(&journals.checkpoints);
        let mut loaded = loaded.map_err(|why| BootError::State(format!("checkpoint: {why}")))?;
        let shared = shared()?;
        let (decisions, text) = first_decisions(&loaded)?;
        let machine = boot::start_machine(&journals, &loaded, &decisions, &shared)?;
        loaded.shards.clear();
        loaded.home.clear();
        let node = node(config, (&journals, &machine, &shared), readiness, (decisions, text));
        let router = Router::new(Arc::clone(&node), overrides);
        let router = Arc::new(router.map_err(|why| BootError::State(format!("auth: {why}")))?);
        let drain = serve(&node, &router).await?;
        // Before the replay, which may have to wait for room in the queue.
        node.checkpoint_facts.queue_mark.store(loaded.queue_mark, Ordering::Release);
        let outlets = Arc::new(crate::outlets::Outlets::start(&node, &journals)?);
        router.serve_outlets(&outlets);
        router.keep_observing();
        outlets.keep_cutting(&node);
        let (replaying, replay) = (Arc::clone(&node), Replaying::of(&machine, &loaded, &shared));
        let replayed = tokio::task::spawn_blocking(move || replay.run(&replaying)).await;
        let replayed = replayed.map_err(|why| BootError::State(why.to_string()))??;
        node.pipeline.tell_emitter(Expect::ReplayOver);
        adopt_file(&node, &replayed)?;
        let last_checkpoint = Arc::new(AtomicBool::new(false));
        let checkpointer = start_checkpoints(&node, &journals, &machine, &last_checkpoint)?;
        let frontier = start_frontier(&node, &loaded, &replayed, origin)?;
        node.readiness.ready.store(true, Ordering::Release);
        tracing::info!(took_ms = origin.elapsed().as_millis() as u64, "ready");
        let give_up = shared.stopping;
        let machine = machine.threads;
        Ok(Self {
            node,
            outlets,
            router,
            last_checkpoint,
            give_up,
            checkpointer,
            machine,
            frontier,
            drain,
        })
    }
}

fn shared() -> Result<Shared, BootError> {
    let mut seed = [0u8; 16];
    let random = std::fs::File::open("/dev/urandom");
    random
        .and_then(|mut file| std::io::Read::read_exact(&mut file, &mut seed))
        .map_err(|why| BootError::Io { what: "read /dev/urandom".into(), why })?;
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(64);
    Ok(Shared {
        tenants: Arc::new(Tenants::default()),
        families: Arc::new(Families::default()),
        stopping: Arc::new(AtomicBool::new(false)),
        seed: u128::from_le_bytes(seed),
        workers,
    })
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
    readiness: Arc<Readiness>,
    (decisions, text): (Arc<Decisions>, Vec<u8>),
) -> Arc<Node> {
    let memory_bytes = config.http.memory_bytes;
    let since_ms = wall_ms();
    Arc::new(Node {
        current: ArcSwap::from_pointee(Current { config, decisions, text, since_ms }),
        pipeline: Arc::clone(&machine.pipeline),
        log: Arc::clone(&journals.log),
        queue: Arc::clone(&journals.queue),
        checkpoints: Arc::clone(&journals.checkpoints),
        durable: journals.durable.clone(),
        queue_durable: journals.queue_durable.clone(),
        budget: MemoryBudget::new(memory_bytes),
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
        readiness,
        queue_blocked: Arc::default(),
        reloading: std::sync::Mutex::new(()),
    })
}

/// Binds the socket and begins to answer; until the node is ready that is health and 503.
async fn serve(node: &Arc<Node>, router: &Arc<Router>) -> Result<Drain, BootError> {
    let current = node.current.load_full();
    let config = &current.config;
    let tls = config.tls.clone().map(|tls| ServerTls::load(tls, Instant::now())).transpose();
    let tls = tls.map_err(|why| BootError::State(format!("tls: {why}")))?;
    let http = ServerConfig {
        connections_max: config.http.connections_max,
        header_timeout: config.http.header_timeout,
        tls: tls.map(Arc::new),
        ..ServerConfig::default()
    };
    let what = format!("listen on {}", config.listen);
    let listening = Server::bind(config.listen, http).await;
    let server = listening.map_err(|why| BootError::Io { what: what.clone(), why })?;
    let addr = server.local_addr().map_err(|why| BootError::Io { what, why })?;
    let file = config.data_dir.join("listen.addr");
    let what = format!("write {}", file.display());
    std::fs::write(&file, addr.to_string()).map_err(|why| BootError::Io { what, why })?;
    tracing::info!(%addr, "listening");
    router.count_connections(server.counters());
    let drain = Drain::new();
    tokio::spawn(server.serve(Arc::clone(router), drain.clone()));
    Ok(drain)
}

/// What a replay needs, owned, so that it can run beside the server.
struct Replaying {
    covered: Vec<u64>,
    from: u64,
    workers: usize,
    tenants: Arc<Tenants>,
}

impl Replaying {
    fn of(machine: &Machine, loaded: &Loaded, shared: &Shared) -> Self {
        let tenants = Arc::clone(&shared.tenants);
        let (covered, from) = (machine.covered.clone(), loaded.replay_from);
        Self { covered, from, workers: shared.workers, tenants }
    }

    fn run(self, node: &Node) -> Result<Replayed, BootError> {
        let began = Instant::now();
        let current = node.current.load_full();
        let replay = Replay {
            log: &node.log,
            pipeline: &node.pipeline,
            checkpoints: self.covered,
            workers: self.workers,
            hasher: &node.hasher,
            tenants: &self.tenants,
            decisions: Arc::clone(&current.decisions),
            body_bytes_max: current.config.http.body_bytes_max,
            dir: &current.config.data_dir,
            emitted: &node.emit_facts,
            readiness: &node.readiness,
        };
        let replayed = replay.run(self.from);
        let replayed = replayed.map_err(|why| BootError::State(format!("the log: {why}")))?;
        while node.emit_facts.position.load(Ordering::Relaxed) < replayed.last {
            std::thread::sleep(Duration::from_millis(1));
        }
        let (records, samples) = (replayed.records, replayed.samples);
        let took_ms = began.elapsed().as_millis() as u64;
        tracing::info!(records, samples, lost = replayed.lost, took_ms, "log read back");
        Ok(replayed)
    }
}

/// The file that was found at the start is a reload after the log's last record.
fn adopt_file(node: &Arc<Node>, replayed: &Replayed) -> Result<(), BootError> {
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
    let bytes = record.payload().len() as u64;
    let room = node.log.reserve(bytes, Importance::Essential).map_err(|e| e.to_string())?;
    node.pipeline.config(room, record, decisions).map_err(|e| e.to_string())
}

fn start_checkpoints(
    node: &Arc<Node>,
    journals: &Journals,
    machine: &Machine,
    last: &Arc<AtomicBool>,
) -> Result<JoinHandle<()>, BootError> {
    let checkpointer = Checkpointer {
        checkpoints: Arc::clone(&journals.checkpoints),
        queue: Arc::clone(&journals.queue),
        log: Arc::clone(&journals.log),
        pipeline: Arc::clone(&node.pipeline),
        parts: machine.parts.clone(),
        workers: node.workers,
        config: Arc::clone(node) as Arc<dyn crate::checkpoint::CurrentConfig>,
        facts: Arc::clone(&node.checkpoint_facts),
        stopping: Arc::clone(last),
        every: node.current.load().config.wal.checkpoint_interval,
    };
    boot::spawn("checkpoint".into(), move || checkpointer.run())
}

/// The frontier goes on where the log left it; a new node's begins at grace behind the clock.
fn start_frontier(
    node: &Arc<Node>,
    loaded: &Loaded,
    replayed: &Replayed,
    origin: Instant,
) -> Result<JoinHandle<()>, BootError> {
    let windows = node.current.load().config.windows;
    let known = replayed.frontier.max(loaded.home_frontier).filter(|&f| f > 0);
    let start = known.unwrap_or_else(|| wall_ms() - windows.grace.0);
    let monotonic = i64::try_from(origin.elapsed().as_millis()).unwrap_or(i64::MAX);
    let (grace, wait) = (windows.grace.0, windows.backlog_wait_max.0);
    // The process went on at least until its last request, and its last frontier.
    let ended = known.map(|frontier| replayed.received.unwrap_or(frontier).max(frontier + grace));
    let policy = Policy::new(grace, wait, start, ended, monotonic);
    let node = Arc::clone(node);
    boot::spawn("frontier".into(), move || crate::frontier::run(&node, policy, origin))
}
