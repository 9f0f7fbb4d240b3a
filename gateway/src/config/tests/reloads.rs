//! What a reload may change, what it may not, and that it sees every change.

use super::*;

/// A configuration's text, another one's, the key that changed, and whether it needs a restart.
const CHANGES: &[(&str, &str, &str, bool)] = &[
    ("", "listen: :9300", "listen", true),
    ("", "data_dir: other", "data_dir", true),
    ("", "wal: {segment_size: 128MiB}", "wal.segment_size", true),
    ("", "wal: {commit_delay: 1ms}", "wal.commit_delay", true),
    ("", "wal: {max_size: 10GiB}", "wal.max_size", true),
    ("", "cluster: {name: other}", "cluster.name", true),
    ("", "cluster: {shard_key: {labels: [node]}}", "cluster.shard_key", true),
    ("", "cluster: {shard_key: {split: [[a, b]]}}", "cluster.shard_key", true),
    ("", "ha: {replica_label: r}", "ha.replica_label", true),
    ("", "http: {max_connections: 5}", "http.max_connections", true),
    ("", "http: {header_timeout: 5s}", "http.header_timeout", true),
    ("", "http: {memory_budget: 2GiB}", "http.memory_budget", true),
    ("", "log: {level: debug}", "log.level", false),
    ("", "log: {format: json}", "log.format", true),
    ("", "http: {max_body_size: 16MiB}", "http.max_body_size", false),
    ("", "http: {body_timeout: 5s}", "http.body_timeout", false),
    ("", "ha: {mode: elect}", "ha.mode", false),
    ("", "ha: {cluster_label: c}", "ha.cluster_label", false),
    ("", "windows: {grace: 1m}", "windows", false),
    ("", "windows: {counter_memory: 2h}", "windows.counter_memory", false),
    ("", "limits: {defaults: {max_series: 1}}", "limits", false),
    ("", "limits: {defaults: {labels_per_series: 9}}", "limits", false),
    ("", "external_labels: {a: b}", "external_labels", false),
    ("", "tenancy: {required: true}", "tenancy", false),
    ("", "queue: {max_size: 1GiB}", "queue", false),
    ("", "auth: {bearer_tokens: [{name: a, token: b}]}", "auth", false),
    ("", "shutdown: {deadline: 5s}", "shutdown.deadline", false),
    ("", "relabel_configs: [{target_label: a, replacement: b}]", "relabel_configs", false),
    ("", "rule_files: [r.yml]", "rule_files", false),
    (
        "remote_write: [{url: 'http://a', name: d, authorization: {credentials: x}}]",
        "remote_write: [{url: 'http://a', name: d, authorization: {credentials: y}}]",
        "remote_write d",
        false,
    ),
    (
        "remote_write: [{url: 'http://a', name: d}]",
        "remote_write: [{url: 'http://a', name: d, write_relabel_configs: [{action: drop, source_labels: [a], regex: b}]}]",
        "remote_write d",
        false,
    ),
    ("remote_write: [{url: 'http://a', name: d, tenant_label: t}]", "", "remote_write d", false),
    ("", "remote_write: [{url: 'http://a', name: d, tenant_label: t}]", "remote_write d", false),
];

#[test]
fn every_change_is_seen_and_those_that_cannot_be_applied_are_named() {
    let folder = Folder::new(&[("r.yml", "- {interval: 1m, outputs: [total]}\n")]);
    let load = |text: &str| {
        folder.write("weir.yml", text);
        folder.load().unwrap_or_else(|errors| panic!("{text}: {errors}"))
    };
    for &(old, new, key, restart) in CHANGES {
        let (old, new) = (load(old), load(new));
        let changes = compare(&old, &new);
        let seen: Vec<(&str, bool)> =
            changes.0.iter().map(|c| (c.key.as_str(), c.restart.is_some())).collect();
        assert_eq!(seen, [(key, restart)]);
        assert!(changes.has(key));
        assert_eq!(changes.need_restart().count(), usize::from(restart));
        assert!(compare(&new, &new).is_empty());
    }
}

#[test]
fn a_refusal_says_why() {
    let changes = compare(&good(""), &good("listen: :1\nwindows: {grace: 1s}"));
    let said: Vec<String> = changes.need_restart().map(ToString::to_string).collect();
    assert_eq!(said, ["listen: needs a restart: the socket is bound at the start"]);
}

#[test]
fn a_changed_rule_file_is_a_change() {
    let folder = Folder::new(&[
        ("weir.yml", "rule_files: ['*.rules']\n"),
        ("a.rules", "- {name: a, interval: 1m, outputs: [total]}\n"),
    ]);
    let old = folder.load().unwrap();
    assert!(compare(&old, &folder.load().unwrap()).is_empty());
    folder.write("b.rules", "- {name: b, interval: 1m, outputs: [last]}\n");
    let changes = compare(&old, &folder.load().unwrap());
    assert!(changes.has("rule_files") && changes.0.len() == 1);
}
