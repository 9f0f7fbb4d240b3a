//! What good files mean: defaults, overrides, environment, secrets that stay hidden.

use std::time::Duration;

use weir_aggregate::decisions::{HaLabels, SeriesLimits};
use weir_model::{Millis, ShardKey};
use weir_remote::config::OnFull;
use weir_telemetry::logs::LogFormat;

use super::*;

#[test]
fn without_a_file_every_key_has_its_documented_default() {
    let config = load(None, &Overrides::default(), &env).unwrap();
    assert_eq!(config.file, None);
    assert_eq!(config.listen, "127.0.0.1:9201".parse().unwrap());
    assert_eq!(config.data_dir, Path::new("weir-data"));
    assert!(config.external_labels.is_empty() && config.destinations.is_empty());
    let tenancy = Tenancy {
        header: "X-Scope-OrgID".into(),
        default: "anonymous".into(),
        required: false,
        several: true,
    };
    assert_eq!(config.tenancy, tenancy);
    let windows = Windows {
        grace: Millis::from_secs(30),
        backlog_wait_max: Millis::from_secs(300),
        future_max: Millis::from_secs(600),
    };
    assert_eq!(config.windows, windows);
    let wal = Wal {
        commit_delay: Duration::ZERO,
        segment_bytes: 64 << 20,
        max_bytes: None,
        checkpoint_interval: Duration::from_secs(30),
    };
    assert_eq!(config.wal, wal);
    assert_eq!(config.queue, Queue { max_bytes: 4 << 30, max_age: None });
    assert_eq!(config.limits, Limits::default());
    let http = Http {
        connections_max: 16_384,
        body_bytes_max: 32 << 20,
        header_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        memory_bytes: 1 << 30,
    };
    assert_eq!(config.http, http);
    assert!(config.auth.users.is_empty() && config.auth.bearer_tokens.is_empty());
    assert!(config.tls.is_none() && config.warnings.is_empty());
    assert_eq!((config.node_name.as_str(), &config.cluster), ("weir", &Cluster::alone()));
    assert_eq!(config.log, Log { level: "info".into(), format: LogFormat::Text });
    assert_eq!(config.shutdown_deadline, Duration::from_secs(30));
    let decisions = config.decisions.decisions(7).unwrap();
    assert_eq!((decisions.version, decisions.rules.len()), (7, 0));
    assert!(decisions.relabel.is_none());
    assert_eq!(decisions.ha, HaLabels::default());
    assert_eq!(decisions.shard_key, ShardKey::default());
    assert_eq!(decisions.limits, SeriesLimits::default());
    assert_eq!(decisions.counter_memory, Millis::from_secs(3600));
}

#[test]
fn an_empty_file_and_empty_sections_are_all_default() {
    let keys = "tls:\nauth:\nhttp:\nlimits: {defaults: , tenants: }\nremote_write:\nrule_files:\n\
                cluster: {shard_key: }\nglobal:\nexternal_labels:\nwal:\n";
    for text in ["", "# nothing\n", keys] {
        let config = good(text);
        assert_eq!(config.listen, "127.0.0.1:9201".parse().unwrap());
        assert!(compare(&config, &good("")).is_empty(), "{text}");
    }
}

#[test]
fn values_are_read_as_prometheus_writes_them() {
    let config = good(
        "listen: :9300
windows: {grace: 1m30s, future_max: 1h}
wal: {commit_delay: 5ms, segment_size: 128MiB, max_size: 10GiB}
queue: {max_size: 512MiB, max_age: 2h, on_full: drop_oldest}
limits:
  defaults: {max_series: 1000, status_over_limit: 503, labels_per_series: 40}
  tenants:
    anonymous: {samples_per_second: 5}
cluster: {name: gw-1, shard_key: {labels: [cluster, instance], split: [[eu, big:9100]]}}
remote_write:
  - {url: 'http://a/w', name: a}
  - {url: 'http://b/w', name: b, max_bytes: 1GiB, max_age: 1h, on_full: block}
log: {level: 'info,weir_remote=debug', format: json}
",
    );
    assert_eq!(config.listen, "0.0.0.0:9300".parse().unwrap());
    assert_eq!(config.windows.grace, Millis(90_000));
    assert_eq!(config.wal.commit_delay, Duration::from_millis(5));
    assert_eq!((config.wal.segment_bytes, config.wal.max_bytes), (128 << 20, Some(10 << 30)));
    let queues: Vec<_> = config.destinations.iter().map(|d| d.queue).collect();
    assert_eq!((queues[0].max_bytes, queues[0].on_full), (512 << 20, OnFull::DropOldest));
    assert_eq!(queues[0].max_age, Some(Millis::from_secs(7200)));
    assert_eq!((queues[1].max_bytes, queues[1].on_full), (1 << 30, OnFull::Block));
    assert_eq!(queues[1].max_age, Some(Millis::from_secs(3600)));
    // What a tenant's entry leaves out is as in the defaults.
    let tenant = config.limits.of("anonymous");
    assert_eq!((tenant.max_series, tenant.samples_per_second), (Some(1000), Some(5)));
    assert_eq!(tenant.status_over_limit, 503);
    assert_eq!(config.limits.of("other").samples_per_second, None);
    assert_eq!(config.decisions.series_limits().labels, 40);
    assert_eq!(config.decisions.shard_key().split, [["eu", "big:9100"]]);
    assert_eq!(config.log.format, LogFormat::Json);
}

#[test]
fn flags_win_over_the_file_and_are_checked() {
    let folder = Folder::new(&[("weir.yml", "listen: 127.0.0.1:1\ndata_dir: a\n")]);
    let mut flags = Overrides {
        listen: Some("localhost:2".into()),
        data_dir: Some("b".into()),
        log_level: Some("warn".into()),
        log_format: Some("json".into()),
        hosted: None,
    };
    let file = folder.path("weir.yml");
    let config = load(Some(&file), &flags, &env).unwrap();
    assert_eq!(config.listen, "127.0.0.1:2".parse().unwrap());
    assert_eq!(config.data_dir, Path::new("b"));
    assert_eq!(config.log, Log { level: "warn".into(), format: LogFormat::Json });
    flags.listen = Some("nowhere".into());
    flags.log_level = Some("loud".into());
    folder.write("weir.yml", "listen: x\n");
    let errors = load(Some(&file), &flags, &env).unwrap_err();
    let places: Vec<&str> = errors.0.iter().map(|e| e.file.as_str()).collect();
    assert_eq!(places[..2], ["--log.level", "--listen"]);
    assert_eq!(errors.0.len(), 3);
}

#[test]
fn external_labels_take_the_environment() {
    let labels = |text: &str| good(text).external_labels;
    let text = "external_labels: {a: 'x-${REGION}', b: '$REGION.', c: 'costs $$5', d: plain}";
    let expected = [("a", "x-eu-1"), ("b", "eu-1."), ("c", "costs $5"), ("d", "plain")];
    let expected: BTreeMap<String, String> =
        expected.map(|(name, value)| (name.into(), value.into())).into();
    assert_eq!(labels(text), expected);
    assert_eq!(labels("global: {external_labels: {a: b}}")["a"], "b");
}

#[test]
fn files_are_found_beside_the_configuration() {
    let folder = Folder::new(&[
        (
            "weir.yml",
            "rule_files: [rules/*.yml, last.yml, rules/b.yml]\nauth: {users: [{username: u, password_file: pass}]}\n",
        ),
        ("rules/b.yml", "- {name: b, interval: 1m, outputs: [total]}\n"),
        ("rules/a.yml", "- {name: a, interval: 1m, outputs: [last]}\n"),
        ("rules/c.txt", "not: [a rule"),
        ("last.yml", "- {name: c, interval: 1m, outputs: [max]}\n"),
        ("pass", "hunter2\n"),
    ]);
    let config = folder.load().unwrap();
    let decisions = config.decisions.decisions(1).unwrap();
    let names: Vec<&str> = decisions.rules.iter().map(|active| active.rule.name()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(config.auth.users[0].password_file, Some(folder.path("pass")));
    std::fs::remove_file(folder.path("pass")).unwrap();
    assert!(folder.errors()[0].contains("weir.yml:2: auth: pass: "), "{:?}", folder.errors());
}

#[test]
fn secrets_are_never_printed() {
    let text = "auth:
  users: [{username: u, password: hunter2}]
  bearer_tokens: [{name: t, token: hunter2}]
remote_write:
  - {url: 'http://a/w?key=hunter2', basic_auth: {username: u, password: hunter2}, proxy_url: 'http://u:hunter2@p:1'}
";
    let config = good(text);
    assert!(!check_report(&config).contains("hunter2"));
    let shown = format!("{config:?}").replace("http://a/w?key=hunter2", "");
    assert!(!shown.contains("hunter2"), "{shown}");
    // Nor by a complaint about them, or about what stands beside them.
    for wrong in [
        text.replace("hunter2", "[hunter2]"),
        text.replace("username: u, password", "username: u, pasword"),
        format!("{text} bad"),
        text.replace("password: hunter2", "password: 'hunter2"),
    ] {
        let folder = Folder::new(&[("weir.yml", &wrong)]);
        let errors = folder.errors().join("\n");
        assert!(!errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn warnings_say_what_has_no_effect_or_looks_doubled() {
    let folder = Folder::new(&[
        ("weir.yml", "global:\n  scrape_interval: 15s\nrule_files: [a.yml, b.yml, none/*.yml]\n"),
        ("a.yml", "- {interval: 1m, outputs: [total], flush_on_shutdown: true}\n"),
        ("b.yml", "- {interval: 1m, outputs: [total]}\n"),
    ]);
    let config = folder.load().unwrap();
    assert_eq!(config.decisions.decisions(1).unwrap().rules.len(), 1, "one of the two is left out");
    assert_eq!(
        folder.warnings(),
        [
            "weir.yml:3: rule_files[2]: \"none/*.yml\" matches no file",
            "a.yml:1: rule 1: flush_on_shutdown has no effect: open windows survive a restart and go on",
            "b.yml: rule 1: the name \"rule_1\" is taken by rule 1 of a.yml; names tell the rules' metrics apart",
            "b.yml: rule 1: means the same as rule 1 of a.yml and is left out: their outputs would be the same series",
            "weir.yml:2: global.scrape_interval: has no effect: a gateway neither scrapes nor evaluates rules",
        ]
    );
}

#[test]
fn a_rule_that_writes_another_ones_series_is_named() {
    let rules = "\
        - {name: a, match: x, interval: 1m, by: [job], outputs: [total, sum_samples]}\n\
        - {name: b, match: x, interval: 1m, by: [job], outputs: [sum_samples], staleness_interval: 1h}\n\
        - {name: c, match: x, interval: 60s, by: [job], outputs: [total]}\n\
        - {name: d, match: z, interval: 1m, by: [job], outputs: [total]}\n\
        - {name: e, match: x, interval: 1m, by: [job], outputs: [total], keep_metric_names: true}\n\
        - {name: f, match: x, interval: 2m, by: [job], outputs: [max], keep_metric_names: true}\n";
    let folder = Folder::new(&[("weir.yml", "rule_files: [r.yml]\n"), ("r.yml", rules)]);
    assert_eq!(
        folder.warnings(),
        [
            "r.yml: rule 2: its output sum_samples is that of rule 1 of r.yml: both write the same series",
            "r.yml: rule 6: its output max is that of rule 5 of r.yml: both write the same series",
        ]
    );
}

#[test]
fn the_report_tells_what_would_run() {
    let folder = Folder::new(&[
        (
            "weir.yml",
            "rule_files: [r.yml]\nremote_write: [{url: 'http://mimir/api/v1/push', name: mimir, tenant_header: X-Scope-OrgID}]\n",
        ),
        (
            "r.yml",
            "- {name: http, match: http_total, interval: 1m, by: [job], outputs: [total, 'quantiles(0.5, 0.9)']}\n",
        ),
    ]);
    let report = check_report(&folder.load().unwrap());
    for line in [
        "http every 1m by job",
        "takes {__name__=\"http_total\"}",
        "gives <metric>:1m_by_job_total (total)",
        "mimir http://mimir/api/v1/push",
        "queue up to 4GiB; when it is full, senders get 503",
        "tenant: header X-Scope-OrgID",
        "listen       http://127.0.0.1:9201",
        "data         weir-data",
        "10000000 series, any number of new ones",
    ] {
        assert!(report.contains(line), "{line}:\n{report}");
    }
}
