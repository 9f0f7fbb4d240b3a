//! The gateway's configuration, as the rest of the gateway sees it.
//!
//! Invariant: a [`Config`] cannot be wrong: every value is parsed and within its bounds, names are
//! unique, rules and relabelling compile. [`load`] reads the file and what it names, and reports
//! everything that is wrong at once, each with file, line and what is allowed. What decides about
//! samples is one self-contained value, [`DecisionText`], which the log keeps.
//!
//! The meaning, default and bounds of each key: `docs/CONFIGURATION.md`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use weir_http::{ServerAuthConfig, ServerTlsConfig};
use weir_model::Millis;
use weir_remote::config::Destination;
use weir_telemetry::logs::LogFormat;

mod agents;
mod cluster;
mod decisions;
mod diff;
mod members;
mod raw;
mod reload;
mod report;
mod validate;

pub use agents::AgentConfig;
pub use cluster::{Cluster, ClusterTls, Etcd, Membership};
pub use decisions::DecisionText;
pub use diff::{Change, Changes, compare};
pub use reload::{Hosted, Overrides, load};
pub use report::check_report;
pub use weir_config::{ConfigErrors, Problem, Size, SizeError};
pub use weir_rules::RuleText;

/// Everything that can be configured.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it was read from; `None` where there is none, and all is default.
    pub file: Option<PathBuf>,
    /// `listen`: where HTTP is served.
    pub listen: SocketAddr,
    /// `data_dir`: where everything durable lives.
    pub data_dir: PathBuf,
    /// `external_labels`: added to every series that leaves and lacks them.
    pub external_labels: BTreeMap<String, String>,
    /// `remote_write`; empty: outputs are served at `/federate`.
    pub destinations: Vec<Destination>,
    /// `tenancy`.
    pub tenancy: Tenancy,
    /// `windows`, but for `counter_memory`, which is among the decisions.
    pub windows: Windows,
    /// `wal`.
    pub wal: Wal,
    /// `queue`: already applied to each of [`Config::destinations`]; it also bounds what is kept
    /// for `/federate`.
    pub queue: Queue,
    /// `limits`, but for the shape of series, which is among the decisions.
    pub limits: Limits,
    /// `http`.
    pub http: Http,
    /// `auth`: nobody named, nobody asked.
    pub auth: ServerAuthConfig,
    /// `tls`: plain HTTP where absent.
    pub tls: Option<ServerTlsConfig>,
    /// `cluster.name`: what this node is called.
    pub node_name: String,
    /// `cluster`, but for the name, and the shard key, which is among the decisions.
    pub cluster: Cluster,
    /// `agents`: in their order; the first that matches an agent is its own.
    pub agents: Vec<AgentConfig>,
    /// `log`.
    pub log: Log,
    /// `shutdown.deadline`: a stop that takes longer is cut short; nothing durable is lost then.
    pub shutdown_deadline: Duration,
    /// Rules, relabelling, HA labels, shard key, shape of series, counter memory.
    pub decisions: DecisionText,
    /// What is accepted and yet worth a word.
    pub warnings: Vec<Problem>,
}

/// Whose request it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tenancy {
    /// The request header that names the tenant.
    pub header: String,
    /// Who it is without the header.
    pub default: String,
    /// Whether a request without the header is refused (401).
    pub required: bool,
    /// Whether tenants other than the default may come in. `false` if a destination could not
    /// tell them apart: then a request of another one is refused (403).
    pub several: bool,
}

/// Bounds on time. All are at least 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Windows {
    /// How long a window stays open past its end for what is still on its way.
    pub grace: Millis,
    /// How long windows wait at most while senders work off a backlog; at least the grace.
    pub backlog_wait_max: Millis,
    /// Samples further ahead of the clock are refused.
    pub future_max: Millis,
}

/// The log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wal {
    /// What a group commit waits for more.
    pub commit_delay: Duration,
    /// Bytes of a segment file; more than a request body.
    pub segment_bytes: u64,
    /// Most bytes of the log; at least four segments. `None`: what the disk holds.
    pub max_bytes: Option<u64>,
    /// Time between checkpoints.
    pub checkpoint_interval: Duration,
}

/// What a send queue keeps where its destination does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queue {
    /// Undelivered bytes past which it is full.
    pub max_bytes: u64,
    /// Older frames are given up; `None`: none are.
    pub max_age: Option<Millis>,
}

/// What tenants may do.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// For tenants that are not named.
    pub defaults: TenantLimits,
    /// Complete limits of those that are.
    pub tenants: BTreeMap<String, TenantLimits>,
}

/// What one tenant may do; `None` is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TenantLimits {
    /// Active series.
    pub max_series: Option<u64>,
    /// Series that were not active before, per second.
    pub new_series_per_second: Option<u64>,
    /// Samples per second.
    pub samples_per_second: Option<u64>,
    /// What a request over the limit is answered: 429, or 503 for senders that drop on 429.
    pub status_over_limit: u16,
}

/// Bounds of the HTTP server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Http {
    /// Open connections.
    pub connections_max: usize,
    /// Bytes of a request body as it is sent, which is compressed.
    pub body_bytes_max: usize,
    /// Until a connection has sent its headers.
    pub header_timeout: Duration,
    /// Until a request has sent its body.
    pub body_timeout: Duration,
    /// Bytes that all requests in flight may hold; at least one body.
    pub memory_bytes: usize,
}

/// What is logged, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// A level, or `module=level,…`.
    pub level: String,
    /// Text or JSON.
    pub format: LogFormat,
}

impl Limits {
    /// What this tenant may do.
    pub fn of(&self, tenant: &str) -> &TenantLimits {
        self.tenants.get(tenant).unwrap_or(&self.defaults)
    }
}

impl Default for TenantLimits {
    /// No rates; so many series that they take some 2 GB, so that a mistake does not take a node.
    fn default() -> Self {
        Self {
            max_series: Some(10_000_000),
            new_series_per_second: None,
            samples_per_second: None,
            status_over_limit: 429,
        }
    }
}

#[cfg(test)]
mod tests;
