//! The configuration file as it is written: serde only, every key optional, nothing judged.
//!
//! Invariant: single values stay text until they are validated, so that all that is wrong with
//! them is said at once. Defaults and meaning stand with the domain types in [`super`], and key by
//! key in `docs/CONFIGURATION.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_config::{Foreign, Text, Unread};
use weir_http::ServerAuthConfig;
use weir_relabel::RelabelConfig;
use weir_remote::config::raw::RemoteWrite;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Raw {
    pub(crate) listen: Text,
    pub(crate) data_dir: Text,
    pub(crate) rule_files: Option<Vec<String>>,
    pub(crate) external_labels: Option<BTreeMap<String, String>>,
    pub(crate) global: Option<Global>,
    pub(crate) relabel_configs: Option<Vec<RelabelConfig>>,
    pub(crate) remote_write: Option<Vec<RemoteWrite>>,
    pub(crate) tenancy: Option<Tenancy>,
    pub(crate) ha: Option<Ha>,
    pub(crate) windows: Option<Windows>,
    pub(crate) wal: Option<Wal>,
    pub(crate) queue: Option<Queue>,
    pub(crate) limits: Option<Limits>,
    pub(crate) http: Option<Http>,
    pub(crate) auth: Option<ServerAuthConfig>,
    pub(crate) tls: Option<Tls>,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) log: Option<Log>,
    pub(crate) shutdown: Option<Shutdown>,
    pub(crate) agents: Option<Vec<AgentBlock>>,
}

/// Prometheus's `global` block, so that one can be pasted.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Global {
    pub(crate) external_labels: Option<BTreeMap<String, String>>,
    // The rest is about scraping and evaluating: accepted, without effect.
    pub(crate) scrape_interval: Option<Unread>,
    pub(crate) scrape_timeout: Option<Unread>,
    pub(crate) scrape_protocols: Option<Unread>,
    pub(crate) evaluation_interval: Option<Unread>,
    pub(crate) rule_query_offset: Option<Unread>,
    pub(crate) query_log_file: Option<Unread>,
    pub(crate) body_size_limit: Option<Unread>,
    pub(crate) sample_limit: Option<Unread>,
    pub(crate) label_limit: Option<Unread>,
    pub(crate) label_name_length_limit: Option<Unread>,
    pub(crate) label_value_length_limit: Option<Unread>,
    pub(crate) target_limit: Option<Unread>,
}

/// One entry of `agents`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentBlock {
    pub(crate) name: Text,
    pub(crate) r#match: Text,
    pub(crate) config_file: Text,
}

/// `tenancy`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tenancy {
    pub(crate) header: Text,
    pub(crate) default: Text,
    pub(crate) required: Text,
}

/// `ha`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Ha {
    pub(crate) mode: Text,
    pub(crate) cluster_label: Text,
    pub(crate) replica_label: Text,
}

/// `windows`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Windows {
    pub(crate) grace: Text,
    pub(crate) backlog_wait_max: Text,
    pub(crate) future_max: Text,
    pub(crate) counter_memory: Text,
}

/// `wal`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Wal {
    pub(crate) commit_delay: Text,
    pub(crate) segment_size: Text,
    pub(crate) max_size: Text,
    pub(crate) checkpoint_interval: Text,
}

/// `queue`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Queue {
    pub(crate) max_size: Text,
    pub(crate) max_age: Text,
    pub(crate) on_full: Text,
}

/// `limits`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Limits {
    pub(crate) defaults: Option<TenantLimits>,
    pub(crate) tenants: Option<BTreeMap<String, Option<TenantLimits>>>,
}

/// What a tenant may do: `limits.defaults`, and each entry of `limits.tenants`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TenantLimits {
    pub(crate) max_series: Text,
    pub(crate) new_series_per_second: Text,
    pub(crate) samples_per_second: Text,
    pub(crate) labels_per_series: Text,
    pub(crate) label_name_length: Text,
    pub(crate) label_value_length: Text,
    pub(crate) status_over_limit: Text,
}

/// `http`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Http {
    pub(crate) max_connections: Text,
    pub(crate) max_body_size: Text,
    pub(crate) header_timeout: Text,
    pub(crate) body_timeout: Text,
    pub(crate) memory_budget: Text,
}

/// `tls`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Tls {
    pub(crate) cert_file: Text,
    pub(crate) key_file: Text,
    pub(crate) client_ca_file: Text,
    pub(crate) min_version: Text,
}

/// `cluster`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Cluster {
    pub(crate) name: Text,
    pub(crate) listen: Text,
    pub(crate) advertise: Text,
    pub(crate) advertise_push: Text,
    pub(crate) capacity: Text,
    pub(crate) tls: Option<ClusterTls>,
    pub(crate) peers_file: Text,
    pub(crate) etcd: Option<Etcd>,
    pub(crate) replication_factor: Text,
    pub(crate) failover_delay: Text,
    pub(crate) shard_key: Option<ShardKey>,
}

/// `cluster.tls` and `cluster.etcd.tls`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ClusterTls {
    pub(crate) cert_file: Text,
    pub(crate) key_file: Text,
    pub(crate) ca_file: Text,
}

/// `cluster.etcd`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Etcd {
    pub(crate) endpoints: Option<Vec<String>>,
    pub(crate) prefix: Text,
    pub(crate) session_ttl: Text,
    pub(crate) username: Text,
    pub(crate) password_file: Text,
    pub(crate) tls: Option<ClusterTls>,
}

/// `cluster.shard_key`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ShardKey {
    pub(crate) labels: Option<Vec<String>>,
    pub(crate) split: Option<Vec<Vec<String>>>,
}

/// `log`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Log {
    pub(crate) level: Text,
    pub(crate) format: Text,
}

/// `shutdown`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Shutdown {
    pub(crate) deadline: Text,
}

/// The file that `cluster.peers_file` names.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Peers {
    pub(crate) members: Option<Vec<Peer>>,
}

/// One entry of `members` in the file of peers.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Peer {
    pub(crate) name: Text,
    pub(crate) address: Text,
    pub(crate) push: Text,
    pub(crate) capacity: Text,
}

/// Top-level keys of Prometheus's own file that mean nothing to a gateway.
pub(crate) const FOREIGN: &Foreign = &[
    (
        "scrape_configs",
        "a gateway does not scrape; keep it in the Prometheus or agent that sends here",
    ),
    (
        "scrape_config_files",
        "a gateway does not scrape; keep it in the Prometheus or agent that sends here",
    ),
    ("alerting", "a gateway does not alert; keep it in the Prometheus that evaluates rules"),
    ("remote_read", "a gateway answers no queries; ask the backend"),
    ("storage", "a gateway stores nothing for queries; its log is set by wal and queue"),
    ("stream_aggr", "list the file under rule_files"),
];
