//! Finding targets: every mechanism of a job is a task, and what they find is merged into one view.
//!
//! Invariant: a mechanism that fails keeps what it found last, and the failure is logged and
//! counted. What a mechanism says is either all that it knows ([`Update::All`]) or the groups that
//! changed. A job's targets are bounded. Here nothing is relabelled: that is `target.rs`.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
pub use weir_agent_config::discovery::{Group, LabelMap, Mechanism};

mod content;
pub mod dns;
pub mod docker;
pub mod file;
pub mod http;
pub mod kubernetes;
mod merge;
mod refresh;

use merge::Merge;
pub use merge::TARGETS_MAX;
use refresh::refresh;

/// All groups of a job.
pub type Groups = Arc<Vec<Arc<Group>>>;

/// Why a mechanism found nothing this time.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct DiscoveryError(pub String);

/// What a job's discovery counts.
#[derive(Debug, Default)]
pub struct Facts {
    /// Times that a mechanism looked and found an answer, or was told of a change.
    pub updates: AtomicU64,
    /// Times that it failed, and kept what it had.
    pub failures: AtomicU64,
    /// Targets left out now, for the job has [`TARGETS_MAX`] already.
    pub targets_refused: AtomicU64,
    /// Targets known now.
    pub targets: AtomicU64,
}

/// A job's running discovery. Dropping it ends its tasks.
#[derive(Debug)]
pub struct Discovery {
    groups: watch::Receiver<Groups>,
    facts: Arc<Facts>,
    _tasks: JoinSet<()>,
}

/// What a mechanism found.
#[derive(Debug)]
enum Update {
    /// All its groups; others of it are gone.
    All(Vec<Group>),
    /// Groups that changed; one without targets is gone.
    Changed(Vec<Group>),
}

/// Where a mechanism says what it found.
#[derive(Clone, Debug)]
struct Outlet {
    place: usize,
    job: Arc<str>,
    mechanism: &'static str,
    updates: mpsc::Sender<(usize, Update)>,
    facts: Arc<Facts>,
}

impl Discovery {
    /// Starts the mechanisms of a job, on the current runtime. Static groups are there at once.
    pub fn start(job: &str, mechanisms: Vec<Mechanism>) -> Self {
        let facts = Arc::new(Facts::default());
        let (updates, inbox) = mpsc::channel(UPDATES_WAITING);
        let mut merge = Merge::default();
        let mut tasks = JoinSet::new();
        let job: Arc<str> = Arc::from(job);
        for (place, mechanism) in mechanisms.into_iter().enumerate() {
            let outlet = Outlet {
                place,
                job: Arc::clone(&job),
                mechanism: mechanism.name(),
                updates: updates.clone(),
                facts: Arc::clone(&facts),
            };
            match mechanism {
                Mechanism::Fixed(groups) => {
                    merge.take(place, Update::All(groups));
                }
                Mechanism::File(config) => {
                    let source = file::Files::new(&config);
                    tasks.spawn(async move { refresh(source, outlet).await });
                }
                Mechanism::Http(config) => {
                    tasks.spawn(async move { refresh(http::Endpoint::new(*config), outlet).await });
                }
                Mechanism::Dns(config) => {
                    tasks.spawn(async move { refresh(dns::Names::new(config), outlet).await });
                }
                Mechanism::Docker(config) => {
                    tasks.spawn(async move { refresh(docker::Daemon::new(*config), outlet).await });
                }
                Mechanism::Kubernetes(config) => {
                    tasks.spawn(kubernetes::run(*config, outlet));
                }
            }
        }
        let (publish, groups) = watch::channel(merge.publish(&facts));
        let counts = Arc::clone(&facts);
        tasks.spawn(merge_updates(merge, inbox, publish, counts, job));
        Self { groups, facts, _tasks: tasks }
    }

    /// The groups as they are, and as they become.
    pub fn groups(&self) -> watch::Receiver<Groups> {
        self.groups.clone()
    }

    /// The live counts.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }
}

/// Publishes at once what comes first, and then at most once in [`PUBLISH_PAUSE`].
async fn merge_updates(
    mut merge: Merge,
    mut inbox: mpsc::Receiver<(usize, Update)>,
    publish: watch::Sender<Groups>,
    facts: Arc<Facts>,
    job: Arc<str>,
) {
    while let Some((place, update)) = inbox.recv().await {
        let mut changed = merge.take(place, update);
        while let Ok((place, update)) = inbox.try_recv() {
            changed |= merge.take(place, update);
        }
        if !changed {
            continue;
        }
        let refused = facts.targets_refused.load(Ordering::Relaxed);
        publish.send_replace(merge.publish(&facts));
        if facts.targets_refused.load(Ordering::Relaxed) > refused {
            tracing::error!(%job, max = TARGETS_MAX, "too many targets; groups are left out");
        }
        tokio::time::sleep(PUBLISH_PAUSE).await;
    }
}

impl Outlet {
    /// Hands over what was found; waits while the merging is behind.
    async fn send(&self, update: Update) {
        self.facts.updates.fetch_add(1, Ordering::Relaxed);
        // The other side only ends together with this task.
        self.updates.send((self.place, update)).await.unwrap_or_default();
    }

    /// Counts and logs a failure.
    fn failed(&self, error: &DiscoveryError) {
        self.facts.failures.fetch_add(1, Ordering::Relaxed);
        let (job, mechanism) = (&self.job, self.mechanism);
        tracing::warn!(%job, mechanism, %error, "discovery failed; what was found before stays");
    }
}

impl DiscoveryError {
    /// An error with what was being done.
    fn new(doing: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self(format!("{doing}: {error}"))
    }
}

/// Makes a label name of any text: what is neither letter, digit nor underscore becomes an
/// underscore, as Prometheus's `SanitizeLabelName` does.
fn sanitize(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// `host:port`, an IPv6 address in brackets.
fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Any number; nobody's safety depends on more than that it is hard to guess.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

/// Updates that wait for the merging; mechanisms wait when there are more.
const UPDATES_WAITING: usize = 64;
/// A rollout changes hundreds of pods in seconds; the scrapes need not follow each one.
const PUBLISH_PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
