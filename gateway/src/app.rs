//! The wiring: configuration in, a running gateway out. The only file that knows all parts.
//!
//! `App::build` opens, restores and replays the [`Engine`] and puts server, outlets and timers around
//! it. A socket is bound early, so that `/-/ready` can tell how far the replay is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use weir_http::{Drain, Server, ServerConfig, ServerTls};
use weir_journal::fs::{DiskFs, Fs};
use weir_model::{Millis, Timestamp};

use crate::boot::{self, BootError, Shared};
use crate::checkpoint::Loaded;
use crate::cluster::{self, stream::Streams};
use crate::config::{Config, Overrides};
use crate::engine::{self, Engine};
use crate::frontier::{self, Policy, wall_ms};
use crate::metadata::Families;
use crate::node::Node;
use crate::recover::Replayed;
use crate::router::Router;
use crate::tenants::Tenants;

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
        let shared = shared()?;
        let (disk, replicas) = (Arc::new(DiskFs) as Arc<dyn Fs>, config.cluster.replicas);
        let (fs, outgoing) = cluster::follow::disk(disk, &config.data_dir, replicas);
        let engine = Engine::open(config, &fs, &shared)?;
        let node = Arc::clone(&engine.node);
        let router = Router::new(Arc::clone(&node), overrides);
        let router = Arc::new(router.map_err(|why| BootError::State(format!("auth: {why}")))?);
        let drain = serve(&node, &router).await?;
        cluster::listener::serve(&node, &drain).await?;
        cluster::follow::start(&node, outgoing).await?;
        cluster::engine::settle(&node.cluster).await.map_err(BootError::State)?;
        cluster::engine::keep(&node.cluster);
        let outlets = Arc::new(crate::outlets::Outlets::start(&node, &engine.journals)?);
        router.serve_outlets(&outlets);
        node.moves.know_outlets(&outlets);
        router.keep_observing();
        outlets.keep_cutting(&node);
        let (replaying, replay) = (Arc::clone(&node), engine.replaying());
        let replayed = tokio::task::spawn_blocking(move || replay.run(&replaying)).await;
        let replayed = replayed.map_err(|why| BootError::State(why.to_string()))??;
        engine::adopt_file(&node, &replayed)?;
        cluster::placement::keep_recording(&node).map_err(BootError::State)?;
        let last_checkpoint = Arc::new(AtomicBool::new(false));
        let checkpoints = engine.checkpointer(&last_checkpoint);
        let checkpointer = boot::spawn("checkpoint".into(), move || checkpoints.run())?;
        cluster::moves::hold_again(&node);
        if let Some(position) = replayed.adopted {
            cluster::moves::note_adopted(&node, position);
        }
        let frontier = start_frontier(&node, &engine.loaded, &replayed, origin)?;
        node.readiness.ready.store(true, Ordering::Release);
        crate::custody::keep_looking(&node, &outlets);
        if let Some(exchange) = &engine.journals.exchange {
            Streams::start(&node, exchange, &engine.journals.exchange_durable);
            cluster::patience::keep_waiving(&node);
            cluster::usage::keep_asking(&node);
            cluster::moves::resume(&node);
        }
        cluster::follow::leave::keep_ready_to_leave(&node, &outlets);
        tracing::info!(took_ms = origin.elapsed().as_millis() as u64, "ready");
        let give_up = shared.stopping;
        let machine = engine.machine.threads;
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
    if let Err(why) = std::fs::write(&file, addr.to_string()) {
        // For people and scripts only; a full disk must not keep a gateway from its start.
        tracing::warn!(%why, file = %file.display(), "the address cannot be written down");
    }
    tracing::info!(%addr, "listening");
    router.count_connections(server.counters());
    let drain = Drain::new();
    tokio::spawn(server.serve(Arc::clone(router), drain.clone()));
    Ok(drain)
}

/// How far back windows may lie in a new data directory: as long as agents keep things.
const FRESH_REACH: Millis = Millis::from_secs(12 * 3600);

/// Until when every sender could send, before this start: a pause that was not over then goes on.
///
/// The process went on at least until its last frontier (`followed`), its last checkpoint, and its last request.
/// But while virtual shards change hands (since `moving` at the earliest, as others wait no longer), requests of
/// others say nothing of those who wait for that.
fn heard_last(
    followed: Timestamp,
    heard_until: Option<Timestamp>,
    replayed: &Replayed,
    moving: Option<Timestamp>,
) -> Timestamp {
    let received = replayed.received.map(|at| at.saturating_sub(replayed.paused_ms));
    let received = received.into_iter().chain(moving).min();
    followed.max(received.max(heard_until).unwrap_or(followed))
}

/// The frontier goes on where the log left it. In a new data directory it stays far back for as long as
/// grace, and follows agents that bring what another directory had lost; then it follows the clock.
fn start_frontier(
    node: &Arc<Node>,
    loaded: &Loaded,
    replayed: &Replayed,
    origin: Instant,
) -> Result<JoinHandle<()>, BootError> {
    let windows = node.current.load().config.windows;
    let known = replayed.frontier.max(loaded.home_frontier).filter(|&f| f > 0);
    let monotonic = i64::try_from(origin.elapsed().as_millis()).unwrap_or(i64::MAX);
    let (grace, wait) = (windows.grace.0, windows.backlog_wait_max.0);
    let policy = if let Some(frontier) = known {
        // Whoever sent before the start may be one that promises nothing.
        node.promises.heard(None, wall_ms());
        node.custody.pass(frontier);
        // What the log holds from before is no newer.
        node.custody.stamp(wall_ms() + windows.future_max.0);
        let moving = cluster::moves::held_at_most(node).map(|most| wall_ms() - most.0);
        let heard = heard_last(frontier + grace, loaded.heard_until, replayed, moving);
        let policy = Policy::new(grace, wait, frontier, Some(heard), monotonic);
        // Before the first request: this process may end in the next moment.
        frontier::submit(
            node,
            frontier,
            frontier::carried_ms(node, &policy, (wall_ms(), monotonic)),
        );
        policy
    } else {
        let start = wall_ms() - FRESH_REACH.0;
        node.custody.begin_at(start + grace);
        Policy::fresh(grace, wait, start, monotonic)
    };
    let node = Arc::clone(node);
    boot::spawn("frontier".into(), move || frontier::run(&node, policy, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(received: i64, paused_ms: i64, moving: Option<Timestamp>) -> Timestamp {
        let replayed = Replayed { received: Some(received), paused_ms, ..Replayed::default() };
        heard_last(50_000, Some(60_000), &replayed, moving)
    }

    #[test]
    fn senders_were_heard_until_the_last_sign_of_life() {
        assert_eq!(heard(90_000, 0, None), 90_000);
        assert_eq!(heard(90_000, 20_000, None), 70_000, "a pause was not over");
        assert_eq!(heard(40_000, 0, None), 60_000, "a checkpoint says more");
        assert_eq!(heard_last(80_000, None, &Replayed::default(), None), 80_000);
    }

    /// A taker that was killed while it stood still for a move had taken requests of others: samples of the
    /// virtual shards that it waited for were late.
    #[test]
    fn while_virtual_shards_change_hands_others_requests_say_nothing() {
        assert_eq!(heard(90_000, 0, Some(45_000)), 60_000);
        assert_eq!(heard(90_000, 0, Some(75_000)), 75_000, "others wait no longer");
        assert_eq!(heard(65_000, 0, Some(75_000)), 65_000, "it was away for longer");
    }
}
