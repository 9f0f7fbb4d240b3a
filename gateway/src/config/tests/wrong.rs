//! Wrong files, each with the very message that people see.

use super::*;

/// A configuration's text, and all that is said about it.
const WRONG: &[(&str, &str)] = &[
    // Keys and shapes.
    ("windws: {grace: 1s}", "weir.yml:1: windws: unknown key; did you mean windows?"),
    (
        "wal:\n  zebra: 1\n",
        "weir.yml:2: wal.zebra: unknown key; allowed are commit_delay, segment_size, max_size, checkpoint_interval",
    ),
    (
        "scrape_configs: []",
        "weir.yml:1: scrape_configs: unknown key; a gateway does not scrape; keep it in the Prometheus or agent that sends here",
    ),
    (
        "remote_write:\n- url: http://a\n  queue_config:\n    max_shard: 3\n",
        "weir.yml:4: remote_write[0].queue_config.max_shard: unknown key; did you mean max_shards?",
    ),
    (
        "wal: 5",
        "weir.yml:1: wal: must hold keys of its own: commit_delay, segment_size, max_size, checkpoint_interval",
    ),
    (
        "rule_files: a.yml",
        "weir.yml:1: rule_files: must be a list, such as [a, b], or lines that begin with -",
    ),
    ("listen: [a]", "weir.yml:1: listen: must be a single value"),
    (
        "external_labels: [a]",
        "weir.yml:1: external_labels: must hold names and values, such as {name: value}",
    ),
    ("wal: {}\nwal: {}\n", "weir.yml:2: duplicate mapping key: wal"),
    ("a: [\n", "weir.yml:1: unclosed bracket '['"),
    (
        "remote_write:\n- url: http://a\n  send_exemplars: perhaps\n",
        "weir.yml:3: remote_write[0].send_exemplars: invalid boolean",
    ),
    (
        "cluster:\n  replication_factor: 2",
        "weir.yml:2: cluster.replication_factor: 2 needs cluster.etcd: who takes over from whom must be agreed on",
    ),
    // Values and bounds.
    (
        "listen: example.org:80",
        "weir.yml:1: listen: \"example.org:80\" is not an address; write it as 127.0.0.1:9201, [::1]:9201, or :9201 for every address",
    ),
    ("data_dir: ''", "weir.yml:1: data_dir: is empty; leave the key out for \"weir-data\""),
    (
        "windows:\n  grace: 30\n",
        "weir.yml:2: windows.grace: \"30\" is not a duration; write it as 500ms, 15s, 1h30m or 2d (units in the order y, w, d, h, m, s, ms)",
    ),
    ("windows: {grace: 2h}", "weir.yml:1: windows.grace: 2h is out of bounds; allowed is 0s to 1h"),
    (
        "windows: {grace: 1m, backlog_wait_max: 30s}",
        "weir.yml:1: windows.backlog_wait_max: 30s is less than windows.grace, 1m",
    ),
    (
        "wal: {segment_size: 64 MiB}",
        "weir.yml:1: wal.segment_size: \"64 MiB\" is not a size; write it as 512KiB, 64MiB or 4GiB",
    ),
    (
        "wal: {segment_size: 16MiB}",
        "weir.yml:1: wal.segment_size: 16MiB cannot hold a request of http.max_body_size, 32MiB; allowed is 33MiB or more",
    ),
    (
        "wal: {max_size: 100MiB}",
        "weir.yml:1: wal.max_size: 100MiB is less than four segments, 256MiB; 0 is no bound but the disk",
    ),
    (
        "http: {memory_budget: 8MiB}",
        "weir.yml:1: http.memory_budget: 8MiB cannot hold one request of http.max_body_size, 32MiB",
    ),
    (
        "http: {max_connections: many}",
        "weir.yml:1: http.max_connections: \"many\" is not a whole number; allowed is 1 to 1000000",
    ),
    (
        "http: {max_connections: 0}",
        "weir.yml:1: http.max_connections: 0 is out of bounds; allowed is 1 to 1000000",
    ),
    ("ha: {mode: both}", "weir.yml:1: ha.mode: \"both\" is not one of merge, elect"),
    (
        "ha: {cluster_label: r, replica_label: r}",
        "weir.yml:1: ha.replica_label: r is ha.cluster_label too; the two must differ",
    ),
    (
        "queue: {on_full: wait}",
        "weir.yml:1: queue.on_full: \"wait\" is not one of block, drop_oldest",
    ),
    (
        "limits: {defaults: {status_over_limit: 500}}",
        "weir.yml:1: limits.defaults.status_over_limit: \"500\" is not one of 429, 503",
    ),
    (
        "limits:\n  tenants:\n    anonymous:\n      labels_per_series: 3\n",
        "weir.yml:4: limits.tenants.anonymous.labels_per_series: counts for all tenants; set it as limits.defaults.labels_per_series",
    ),
    (
        "log: {level: loud}",
        "weir.yml:1: log.level: \"loud\" is not one of error, warn, info, debug, trace, nor module=level,module=level",
    ),
    (
        "shutdown: {deadline: 0s}",
        "weir.yml:1: shutdown.deadline: 0s is out of bounds; allowed is 1s to 10m",
    ),
    (
        "cluster: {name: a b}",
        "weir.yml:1: cluster.name: \"a b\" is not 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'",
    ),
    (
        "cluster:\n  shard_key:\n    labels: [job, le]\n",
        "weir.yml:3: cluster.shard_key.labels[1]: le would tear the series of one histogram or target apart",
    ),
    (
        "cluster: {shard_key: {labels: [__replica__]}}",
        "weir.yml:1: cluster.shard_key.labels[0]: __replica__ is ha.replica_label, by which replicas would never meet",
    ),
    (
        "cluster: {shard_key: {split: [[a]]}}",
        "weir.yml:1: cluster.shard_key.split[0]: has 1 values; give one for each of job, instance",
    ),
    (
        "cluster:\n  peers: [a, b]",
        "weir.yml:2: cluster.peers: unknown key; did you mean peers_file?",
    ),
    (
        "cluster:\n  listen: :9202\n  peers_file: peers.yml\n",
        "peers.yml: cannot be read: No such file or directory (os error 2)",
    ),
    (
        "cluster: {capacity: 101}",
        "weir.yml:1: cluster.capacity: 101 is out of bounds; allowed is 0 to 100",
    ),
    (
        "cluster: {listen: gw-0:9202}",
        "weir.yml:1: cluster.listen: \"gw-0:9202\" is not an address; write it as 127.0.0.1:9201, [::1]:9201, or :9201 for every address",
    ),
    (
        "cluster:\n  tls: {cert_file: a.pem, key_file: b.pem}\n",
        "weir.yml:2: cluster.tls: needs cert_file, key_file and ca_file: members know each other by it",
    ),
    // Labels.
    (
        "external_labels:\n  dc: ${DATACENTER}\n",
        "weir.yml:2: external_labels.dc: the environment variable DATACENTER is not set",
    ),
    (
        "external_labels: {a: 5$}",
        "weir.yml:1: external_labels.a: \"5$\" names no variable after its $; a plain $ is written $$",
    ),
    (
        "external_labels: {__name__: a}",
        "weir.yml:1: external_labels.__name__: \"__name__\" cannot be an external label",
    ),
    (
        "external_labels: {a: b}\nglobal: {external_labels: {a: b}}",
        "weir.yml:2: global.external_labels: stands here and at the top; keep one of them",
    ),
    (
        "relabel_configs:\n- {action: drop, source_labels: [a], regex: '('}\n",
        "weir.yml:2: relabel_configs[0]: invalid regular expression \"(\": missing closing )",
    ),
    (
        "relabel_configs:\n- {action: labeldrop, regex: inst.*}\n",
        "weir.yml:2: relabel_configs[0]: takes instance away, by which targets are told apart: series of several targets would become one; aggregate them with a rule, or change cluster.shard_key",
    ),
    (
        "relabel_configs: [{target_label: job, replacement: all}]",
        "weir.yml:1: relabel_configs[0]: takes job away, by which targets are told apart: series of several targets would become one; aggregate them with a rule, or change cluster.shard_key",
    ),
    // Credentials and certificates.
    (
        "auth:\n  users:\n  - {username: 'a:b', password: x}\n",
        "weir.yml:3: auth.users[0]: username \"a:b\" is empty or has a colon",
    ),
    (
        "auth: {users: [{username: a}]}",
        "weir.yml:1: auth.users[0]: password and password_file: one of them is needed",
    ),
    (
        "auth: {bearer_tokens: [{name: a, token: b}, {name: a, token: c}]}",
        "weir.yml:1: auth.bearer_tokens[1]: name \"a\" stands in an earlier entry",
    ),
    (
        "tls: {cert_file: a.pem}",
        "weir.yml:1: tls: needs both cert_file and key_file; neither is plain HTTP",
    ),
    (
        "tls: {cert_file: a.pem, key_file: b.pem}",
        "weir.yml:1: tls: a.pem: No such file or directory (os error 2)",
    ),
    (
        "tls: {min_version: TLS11}",
        "weir.yml:1: tls.min_version: \"TLS11\" is not one of TLS12, TLS13",
    ),
    // Destinations.
    (
        "remote_write:\n- url: ftp://a\n",
        "weir.yml:2: remote_write[0].url: \"ftp://a\" is not a URL like https://host:9090/api/v1/write",
    ),
    (
        "remote_write:\n- {url: 'http://a', name: x}\n- {url: 'http://b', name: x}\n",
        "weir.yml:3: remote_write[1].name: \"x\" is the name of an earlier entry; each needs its own, for its cursor",
    ),
    (
        "remote_write:\n- url: http://a\n  authorization: {credentials_file: token}\n",
        "weir.yml:2: remote_write[0]: token cannot be read: No such file or directory (os error 2)",
    ),
    // Tenants.
    (
        "tenancy: {required: true}\nremote_write:\n- url: http://a\n",
        "weir.yml:3: remote_write[0]: several tenants can come in (tenancy.required is true), and this destination would mix them; set tenant_header or tenant_label",
    ),
    (
        "limits: {tenants: {team-a: {}}}\nremote_write:\n- {url: 'http://a', tenant_label: t}\n- {url: 'http://b'}\n",
        "weir.yml:4: remote_write[1]: several tenants can come in (limits.tenants names others than tenancy.default), and this destination would mix them; set tenant_header or tenant_label",
    ),
    (
        "tenancy: {default: 'a/b'}",
        "weir.yml:1: tenancy.default: \"a/b\" is no tenant; allowed are 1 to 150 of a-z, A-Z, 0-9 and !-_.*'()",
    ),
    (
        "tenancy: {header: 'X Y'}",
        "weir.yml:1: tenancy.header: \"X Y\" is not the name of an HTTP header",
    ),
    (
        "tenancy: {required: maybe}",
        "weir.yml:1: tenancy.required: \"maybe\" is not one of true, false",
    ),
    // Rule files.
    ("rule_files: [none.yml]", "none.yml: cannot be read: No such file or directory (os error 2)"),
    (
        "rule_files: ['']",
        "weir.yml:1: rule_files[0]: is empty; name a file or a pattern such as rules/*.yml",
    ),
    (
        "rule_files: ['a/***.yml']",
        "weir.yml:1: rule_files[0]: \"a/***.yml\" is not a pattern: wildcards are either regular `*` or recursive `**`",
    ),
];

#[test]
fn every_mistake_has_its_message() {
    let mut differences = Vec::new();
    for (text, message) in WRONG {
        let errors = Folder::new(&[("weir.yml", text)]).errors();
        if errors != [*message] {
            differences.push(format!(
                "{text}
  says   {errors:?}
  not    {message:?}"
            ));
        }
    }
    assert!(
        differences.is_empty(),
        "{}",
        differences.join(
            "
"
        )
    );
}

#[test]
fn rules_that_do_not_fit_into_the_log_are_refused() {
    let rule = format!(
        "# {}
- {{interval: 1m, outputs: [total]}}
",
        "x".repeat(1 << 20)
    );
    let text = "rule_files: [r.yml]
http: {max_body_size: 64KiB}
wal: {segment_size: 1088KiB}
";
    let folder = Folder::new(&[("weir.yml", text), ("r.yml", &rule)]);
    let error = folder.errors().concat();
    assert!(error.starts_with("weir.yml:1: rule_files: all rule files together are "), "{error}");
    assert!(error.ends_with("and wal.segment_size is 1088KiB; allowed is 576KiB"), "{error}");
}

#[test]
fn mistakes_in_rule_files_name_the_rule_file() {
    let folder = Folder::new(&[
        ("weir.yml", "rule_files: [a.yml, b.yml, c.yml]\nwindows: {grace: x}\n"),
        ("a.yml", "- interval: 1m\n  outputs: [totl]\n- interval: 1h\n"),
        ("b.yml", "- interval: 1m\n  output: [total]\n"),
        ("c.yml", "- {name: n, interval: 1m, outputs: [total]}\n"),
    ]);
    let errors = folder.errors();
    assert_eq!(errors.len(), 4, "{errors:#?}");
    assert!(errors[0].starts_with("a.yml:2: rule 1: outputs: "), "{errors:#?}");
    assert_eq!(
        errors[1],
        "a.yml:3: rule 2: outputs is missing; list one at least, such as outputs: [total]"
    );
    assert_eq!(errors[2], "b.yml:2: output: unknown key; did you mean outputs?");
    assert!(errors[3].starts_with("weir.yml:2: windows.grace: \"x\""), "{errors:#?}");
}

#[test]
fn two_rules_of_one_name_in_two_files_are_an_error() {
    let folder = Folder::new(&[
        ("weir.yml", "rule_files: ['*.rules']"),
        ("a.rules", "- {name: n, interval: 1m, outputs: [total]}\n"),
        (
            "b.rules",
            "- {name: m, interval: 1m, outputs: [min]}\n- {name: n, interval: 1m, outputs: [last]}\n",
        ),
    ]);
    let message = "b.rules: rule 2: the name \"n\" is taken by rule 1 of a.rules; names tell the rules' metrics apart";
    assert_eq!(folder.errors(), [message]);
}

#[test]
fn a_rule_for_other_tenants_counts_as_several() {
    let folder = Folder::new(&[
        ("weir.yml", "rule_files: [r.yml]\nremote_write: [{url: 'http://a'}]\n"),
        ("r.yml", "- {name: n, tenants: [team-a], interval: 1m, outputs: [total]}\n"),
    ]);
    let errors = folder.errors();
    assert!(errors[0].contains("(rule n is for others than tenancy.default)"), "{errors:?}");
}

#[test]
fn tenants_that_nobody_announced_are_kept_out_rather_than_mixed() {
    assert!(!good("remote_write: [{url: 'http://a'}]").tenancy.several);
    assert!(
        good("remote_write: [{url: 'http://a', tenant_header: X-Scope-OrgID}]").tenancy.several
    );
    assert!(good("").tenancy.several);
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_file() {
    let folder = Folder::new(&[(
        "weir.yml",
        "listen: x
external_labels: {a: $NOPE}
ha: {mode: x}
windows: {grace: x, future_max: 9d}
wal: {commit_delay: 2s}
limits: {defaults: {max_series: -1}}
http: {max_body_size: x}
cluster: {capacity: x}
remote_write:
- url: x
  kind: y
- {url: 'http://a', max_age: z}
",
    )]);
    let keys: Vec<String> = folder
        .errors()
        .iter()
        .map(|error| error.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        keys,
        [
            "weir.yml:1 listen",
            "weir.yml:2 external_labels.a",
            "weir.yml:3 ha.mode",
            "weir.yml:4 windows.grace",
            "weir.yml:4 windows.future_max",
            "weir.yml:5 wal.commit_delay",
            "weir.yml:6 limits.defaults.max_series",
            "weir.yml:7 http.max_body_size",
            "weir.yml:8 cluster.capacity",
            "weir.yml:10 remote_write[0].url",
            "weir.yml:11 remote_write[0].kind",
            "weir.yml:12 remote_write[1].max_age",
        ]
    );
}

#[test]
fn all_unknown_keys_and_shapes_come_at_once() {
    let folder = Folder::new(&[(
        "weir.yml",
        "listn: a\nwal:\n  max_sise: 1\nhttp: []\nremote_write:\n- {ulr: a}\n",
    )]);
    let errors = folder.errors();
    let keys: Vec<&str> = errors.iter().map(|e| e.split(": ").nth(1).unwrap()).collect();
    assert_eq!(keys, ["listn", "wal.max_sise", "http", "remote_write[0].ulr"]);
}

#[test]
fn a_missing_or_endless_file_is_named() {
    let folder = Folder::new(&[]);
    assert_eq!(
        folder.errors(),
        ["weir.yml: cannot be read: No such file or directory (os error 2)"]
    );
    folder.write("weir.yml", &"#".repeat((16 << 20) + 1));
    assert_eq!(folder.errors(), ["weir.yml: is 16777217 bytes long; at most 16MiB are read"]);
}
