//! `cluster`: the node's name, and what decides where a series lives.
//!
//! Keys of a cluster of several nodes are known and refused: this version runs on one.

use weir_aggregate::decisions::HaLabels;
use weir_config::{Check, Text};
use weir_model::ShardKey;

use crate::config::raw;

pub(super) fn refuse_later(raw: &raw::Cluster, check: &mut Check<'_>) {
    let later = [
        ("peers", &raw.peers),
        ("etcd", &raw.etcd),
        ("advertise", &raw.advertise),
        ("capacity", &raw.capacity),
        ("replication_factor", &raw.replication_factor),
    ];
    for (key, value) in later {
        if value.is_some() {
            let message = "is not supported yet: this version runs on one node; remove the key";
            check.error(&format!("cluster.{key}"), message);
        }
    }
}

pub(super) fn node_name(text: &Text, check: &mut Check<'_>) -> String {
    let name = text.as_deref().unwrap_or("weir");
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_legal) {
        check.error(
            "cluster.name",
            format!("{name:?} is not 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'"),
        );
    }
    name.to_owned()
}

pub(super) fn shard_key(
    raw: Option<&raw::ShardKey>,
    ha: &HaLabels,
    check: &mut Check<'_>,
) -> ShardKey {
    let mut key = ShardKey { replica_label: ha.replica.clone(), ..ShardKey::default() };
    let Some(raw) = raw else {
        return key;
    };
    if let Some(labels) = &raw.labels {
        let at = "cluster.shard_key.labels";
        if labels.is_empty() || labels.len() > LABELS_MAX {
            check.error(at, format!("{} labels; allowed are 1 to {LABELS_MAX}", labels.len()));
        }
        for (index, label) in labels.iter().enumerate() {
            let at = format!("{at}[{index}]");
            if label.is_empty() {
                check.error(&at, "is empty; a label has a name");
            } else if ["le", "quantile", "__name__"].contains(&label.as_str()) {
                let message =
                    format!("{label} would tear the series of one histogram or target apart");
                check.error(&at, message);
            } else if *label == ha.replica {
                let message =
                    format!("{label} is ha.replica_label, by which replicas would never meet");
                check.error(&at, message);
            } else if labels.iter().take(index).any(|earlier| earlier == label) {
                check.error(&at, format!("{label} is listed twice"));
            }
        }
        key.labels.clone_from(labels);
    }
    for (index, target) in raw.split.iter().flatten().enumerate() {
        if target.len() != key.labels.len() {
            let at = format!("cluster.shard_key.split[{index}]");
            let labels = key.labels.join(", ");
            check.error(&at, format!("has {} values; give one for each of {labels}", target.len()));
        }
    }
    key.split = raw.split.clone().unwrap_or_default();
    key
}

/// Targets are told apart by few labels; more are a mistake.
const LABELS_MAX: usize = 8;
