//! A follower for each member: the twin of its data directory on another one, which starts it from there
//! if it does not come back.
//!
//! [`leader`] is the member's side: it finds a follower, ships, and acknowledges nothing that is not in
//! the twin. [`twins`] is the follower's, [`keeper`] sees who is gone and takes over, [`hosts`] runs who
//! was taken over, as a process of its own, [`leave`] ends who is needed no more. Invariant: etcd's
//! [`record`] says who may go on: it is changed by compare-and-swap, and before a follower does so it takes nothing more from the member. What
//! the files mean is the journals' affair, see [`crate::twin`]. Design:
//! `docs/decisions/0012-a-twin-of-the-data-directory.md`.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use weir_journal::fs::Fs;

use super::engine::Engine;
use super::etcd::Etcd;
use crate::boot::BootError;
use crate::node::Node;
use crate::shard::worker::lock;
use crate::twin::{Outgoing, Step, TwinFs};
use hosts::Hosts;
use record::Record;
use twins::Twins;

mod claim;
mod hosts;
mod keeper;
mod leader;
pub mod leave;
pub mod metrics;
pub(super) mod record;
pub mod serve;
mod twins;

/// So long requests wait for a follower; then they are sent away.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a node has to do with followers, its own and as one.
#[derive(Default)]
pub struct Follow {
    /// The node's own data directory; none at replication factor 1.
    outgoing: OnceLock<Arc<Outgoing>>,
    /// Those of others.
    twins: OnceLock<Twins>,
    hosts: Hosts,
    follower: Mutex<Option<String>>,
    /// Why this node must not go on.
    lost: watch::Sender<Option<String>>,
    promotions: AtomicU64,
    copies: AtomicU64,
}

/// How a node stands with its follower.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Who it is, or is to be.
    pub follower: Option<String>,
    /// Whether it has everything.
    pub in_step: bool,
    /// Why not; empty if it has, or is getting it.
    pub why: String,
    /// Bytes that it lacks, those of a copy not counted.
    pub waiting_bytes: u64,
}

/// The disk of a node: at replication factor 2 one that ships.
pub fn disk(
    disk: Arc<dyn Fs>,
    data_dir: &Path,
    replicas: u8,
) -> (Arc<dyn Fs>, Option<Arc<Outgoing>>) {
    if replicas < 2 {
        return (disk, None);
    }
    let outgoing = Arc::new(Outgoing::new(Arc::clone(&disk), data_dir));
    (Arc::new(TwinFs::new(disk, &outgoing)), Some(outgoing))
}

/// Before anything is decided or sent: that this node may run as who it is. Then followers are looked
/// for and after, on a thread of its own, for as long as the process runs.
pub async fn start(node: &Arc<Node>, outgoing: Option<Arc<Outgoing>>) -> Result<(), BootError> {
    let Engine::Etcd(etcd) = &node.cluster.engine else {
        return Ok(());
    };
    let config = node.current.load_full();
    let own = node.cluster.own_name().to_owned();
    let host = config.config.cluster.host.clone().unwrap_or_else(|| own.clone());
    let must = outgoing.is_some() || host != own;
    let claimed = claim::claim(etcd, &own, &host, must).await;
    let claimed = claimed.map_err(|why| BootError::State(why.to_string()))?;
    node.follow.twins.get_or_init(|| Twins::new(&config.config.data_dir));
    if let Some(outgoing) = &outgoing {
        outgoing.claim();
        node.follow.outgoing.get_or_init(|| Arc::clone(outgoing));
    }
    tokio::spawn(end_unready(Arc::clone(node)));
    let (node, etcd) = (Arc::clone(node), Arc::clone(etcd));
    let body = move || run(&node, &etcd, claimed, outgoing);
    crate::boot::spawn("follow".into(), body).map(drop)
}

/// Who is lost before it is ready has nobody yet who would end it.
async fn end_unready(node: Arc<Node>) {
    node.follow.lost().await;
    if !node.readiness.ready.load(Ordering::Acquire) {
        std::process::exit(1);
    }
}

/// This process ends, in order, with the one that has started it: with the pipe between them.
pub fn end_with_host() {
    let body = || {
        let mut pipe = std::io::stdin().lock();
        drop(std::io::copy(&mut pipe, &mut std::io::sink()));
        tracing::info!("whoever has started this process ends, or wants it to end");
        end_in_order();
    };
    if let Err(why) = crate::boot::spawn("host".into(), body) {
        tracing::warn!(%why, "this process does not end with its host");
    }
}

/// As SIGTERM does.
fn end_in_order() {
    let this = rustix::process::getpid();
    if rustix::process::kill_process(this, rustix::process::Signal::TERM).is_err() {
        std::process::exit(1);
    }
}

/// On a runtime of its own: a worker thread of the node's may wait for a sync that is waited for here.
fn run(
    node: &Arc<Node>,
    etcd: &Arc<Etcd>,
    claimed: Option<(Record, u64)>,
    outgoing: Option<Arc<Outgoing>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(why) => return node.follow.lose(&format!("cannot look after followers: {why}")),
    };
    runtime.block_on(async {
        let keeping = keeper::run(node, etcd);
        let leading = async {
            if let Some((outgoing, (record, revision))) = outgoing.zip(claimed) {
                leader::run(node, etcd, outgoing, record, revision).await;
            }
        };
        tokio::join!(keeping, leading);
    });
}

impl Follow {
    /// Resolves once this node must not go on, with the reason.
    pub async fn lost(&self) -> String {
        let mut lost = self.lost.subscribe();
        let said = lost.wait_for(Option::is_some).await.map(|why| why.clone());
        said.ok().flatten().unwrap_or_default()
    }

    fn lose(&self, why: &str) {
        tracing::error!(why, "this node must not go on");
        self.lost.send_replace(Some(why.to_owned()));
    }

    /// Why nothing can be acknowledged for the time being; `None` where it can, or soon.
    pub fn stalled(&self) -> Option<String> {
        let outgoing = self.outgoing.get()?;
        outgoing.stalled_for().filter(|&time| time > PATIENCE)?;
        Some(match outgoing.step() {
            Step::Apart(_, why) => why,
            Step::Copying(_) => "the follower is being copied to".to_owned(),
            Step::Alone | Step::In => "the follower does not answer".to_owned(),
        })
    }

    /// Resolves once that is so.
    pub async fn stall(&self) -> String {
        loop {
            if let Some(why) = self.stalled() {
                return why;
            }
            tokio::time::sleep(PATIENCE / 4).await;
        }
    }

    /// How this node stands with its follower; `None` at replication factor 1.
    pub fn standing(&self) -> Option<Standing> {
        let outgoing = self.outgoing.get()?;
        let (in_step, why) = match outgoing.step() {
            Step::Alone | Step::In => (true, String::new()),
            Step::Copying(_) => (false, String::new()),
            Step::Apart(_, why) => (false, why),
        };
        let waiting_bytes = outgoing.waiting_bytes() as u64;
        Some(Standing { follower: lock(&self.follower).clone(), in_step, why, waiting_bytes })
    }

    /// The process ends: nothing waits for a follower any more, members that run here end too.
    pub async fn end(&self, within: Duration) {
        if let Some(outgoing) = self.outgoing.get() {
            // What the last checkpoint wrote, and the marks of an orderly end.
            let until = tokio::time::Instant::now() + within;
            while outgoing.step() == Step::In
                && outgoing.waiting_bytes() > 0
                && tokio::time::Instant::now() < until
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            outgoing.let_go();
        }
    }

    /// Members that run here are told to end.
    pub fn stop_hosted(&self) {
        self.hosts.stop();
    }

    /// Waits until they have ended.
    pub async fn hosted_ended(&self, within: Duration) {
        let until = tokio::time::Instant::now() + within;
        while self.hosts.running() > 0 && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn count_promotion(&self) {
        self.promotions.fetch_add(1, Ordering::Relaxed);
    }
}
