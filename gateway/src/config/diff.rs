//! What differs between two configurations, and what of it a running gateway cannot take over.
//!
//! Invariant: two configurations without a change are the same to the gateway. A secret that
//! changed is a change, though it is never shown.

use std::collections::BTreeMap;
use std::fmt;

use weir_remote::config::Destination;

use super::{Cluster, Config};

/// One difference.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// The key, or `remote_write` with the destination's name.
    pub key: String,
    /// Why only a restart brings it in; `None` if a reload does.
    pub restart: Option<&'static str>,
}

/// All differences.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes(pub Vec<Change>);

impl Changes {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Those that a reload cannot bring in. If there are any, refuse the whole reload.
    pub fn need_restart(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().filter(|change| change.restart.is_some())
    }

    /// Whether this key changed.
    pub fn has(&self, key: &str) -> bool {
        self.0.iter().any(|change| change.key == key)
    }

    fn note(&mut self, key: &str, same: bool, restart: Option<&'static str>) {
        if !same {
            self.0.push(Change { key: key.to_owned(), restart });
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        match self.restart {
            Some(reason) => write!(f, ": needs a restart: {reason}"),
            None => Ok(()),
        }
    }
}

/// What is different in `new`.
pub fn compare(old: &Config, new: &Config) -> Changes {
    let mut changes = Changes::default();
    fixed(old, new, &mut changes);
    let mut note = |key: &str, same: bool| changes.note(key, same, None);
    let (was, is) = (&old.decisions, &new.decisions);
    note("rule_files", was.rule_files() == is.rule_files());
    note("relabel_configs", was.says_the_same_relabelling(is));
    note("ha.mode", was.ha().mode == is.ha().mode);
    note("ha.cluster_label", was.ha().cluster == is.ha().cluster);
    note("windows.counter_memory", was.counter_memory() == is.counter_memory());
    let shape = was.series_limits() == is.series_limits();
    note("limits", old.limits == new.limits && shape);
    note("windows", old.windows == new.windows);
    note("external_labels", old.external_labels == new.external_labels);
    note("tenancy", old.tenancy == new.tenancy);
    note("queue", old.queue == new.queue);
    note("http.max_body_size", old.http.body_bytes_max == new.http.body_bytes_max);
    note("http.body_timeout", old.http.body_timeout == new.http.body_timeout);
    note("agents", old.agents == new.agents);
    note("auth", old.auth == new.auth);
    note("cluster.peers_file", old.cluster.members() == new.cluster.members());
    note("log.level", old.log.level == new.log.level);
    note("shutdown.deadline", old.shutdown_deadline == new.shutdown_deadline);
    destinations(&old.destinations, &new.destinations, &mut changes);
    changes
}

/// What is given away at the start, or fixed with the data directory.
fn fixed(old: &Config, new: &Config, changes: &mut Changes) {
    const BOUND: &str = "the socket is bound at the start";
    const OPENED: &str = "the log is opened at the start";
    const LOGS: &str = "logging is set up at the start";
    const KEY: &str =
        "the shard key is fixed when a data directory is made; a new one needs a new data_dir";
    let mut note = |key: &str, same: bool, reason| changes.note(key, same, Some(reason));
    note("listen", old.listen == new.listen, BOUND);
    note("tls", old.tls == new.tls, "only the files' contents are read again while running");
    note("http.max_connections", old.http.connections_max == new.http.connections_max, BOUND);
    note("http.header_timeout", old.http.header_timeout == new.http.header_timeout, BOUND);
    note(
        "http.memory_budget",
        old.http.memory_bytes == new.http.memory_bytes,
        "requests in flight hold parts of it",
    );
    note("data_dir", old.data_dir == new.data_dir, OPENED);
    note("wal.commit_delay", old.wal.commit_delay == new.wal.commit_delay, OPENED);
    note("wal.segment_size", old.wal.segment_bytes == new.wal.segment_bytes, OPENED);
    let same = old.wal.checkpoint_interval == new.wal.checkpoint_interval;
    note("wal.checkpoint_interval", same, OPENED);
    note("wal.max_size", old.wal.max_bytes == new.wal.max_bytes, OPENED);
    note("cluster.name", old.node_name == new.node_name, "a node keeps its name while it runs");
    cluster(&old.cluster, &new.cluster, changes);
    let mut note = |key: &str, same: bool, reason| changes.note(key, same, Some(reason));
    let (was, is) = (old.decisions.shard_key(), new.decisions.shard_key());
    let same = was.labels == is.labels && was.split == is.split;
    note("cluster.shard_key", same, KEY);
    note("ha.replica_label", was.replica_label == is.replica_label, KEY);
    note("log.format", old.log.format == new.log.format, LOGS);
}

/// The members may change while running, how they are found may not.
fn cluster(old: &Cluster, new: &Cluster, changes: &mut Changes) {
    const BOUND: &str = "other gateways reach this one there";
    let mut note = |key: &str, same: bool, reason| changes.note(key, same, Some(reason));
    note("cluster.listen", old.listen == new.listen, BOUND);
    note("cluster.advertise", old.advertise == new.advertise, BOUND);
    note("cluster.advertise_push", old.advertise_push == new.advertise_push, BOUND);
    note("cluster.replication_factor", old.replicas == new.replicas, "it is told at the start");
    note("cluster.capacity", old.capacity == new.capacity, "it is told at the start");
    let reason = "only the files' contents are read again while running";
    note("cluster.tls", old.tls == new.tls, reason);
    let reason = "a node joins a tier, or leaves it, when it starts";
    note("cluster.etcd", old.etcd() == new.etcd(), reason);
    if old.etcd().or(new.etcd()).is_none() {
        note("cluster", old.is_alone() == new.is_alone(), reason);
    }
}

fn destinations(old: &[Destination], new: &[Destination], changes: &mut Changes) {
    let by_name = |all: &'_ [Destination]| -> BTreeMap<String, Destination> {
        all.iter().map(|d| (d.name.clone(), d.clone())).collect()
    };
    let (was, is) = (by_name(old), by_name(new));
    for (name, destination) in &is {
        let same = was.get(name) == Some(destination);
        changes.note(&format!("remote_write {name}"), same, None);
    }
    for name in was.keys().filter(|name| !is.contains_key(*name)) {
        changes.note(&format!("remote_write {name}"), false, None);
    }
}
