//! Blocks as people write them, the defaults, and every refusal with its key.

use weir_config::{Check, Problem, Source};
use weir_http::tls::TlsVersion;

use super::*;

fn read(yaml: &str) -> Result<Vec<Destination>, Vec<String>> {
    let blocks: Vec<raw::RemoteWrite> =
        serde_saphyr::from_str(yaml).map_err(|e| vec![e.to_string()])?;
    let source = Source::none();
    let mut check = Check::new(&source);
    let destinations = validate(&blocks, &PROMETHEUS, &mut check);
    let text = |problem: &Problem| format!("{}: {}", problem.key, problem.message);
    check.finish(destinations).map_err(|errors| errors.0.iter().map(text).collect())
}

#[test]
fn the_smallest_block_has_the_documented_defaults() {
    let all = read("- url: http://localhost:9090/api/v1/write").unwrap();
    let one = &all[0];
    assert_eq!(one.timeout, Duration::from_secs(30));
    assert_eq!((one.protocol, one.compression), (Version::V1, Encoding::Snappy));
    assert_eq!((one.kind, &one.client), (Kind::Auto, &HttpClientConfig::default()));
    let client = one.client.client_config();
    assert!(one.send_native_histograms && !one.send_exemplars && one.send_metadata);
    assert!(client.follow_redirects && client.http2);
    let queue = Queue {
        capacity: 10_000,
        max_shards: 50,
        max_samples_per_send: 2000,
        batch_send_deadline: Duration::from_secs(5),
        backoff: Backoff { min: Duration::from_millis(30), max: Duration::from_secs(5) },
        retry_on_429: true,
        sample_age_limit: None,
        on_full: OnFull::Block,
        max_bytes: 4 << 30,
        max_age: None,
        backlog_speed_max: 0,
    };
    assert_eq!(one.queue, queue);
    assert_eq!(one.name.len(), 6);
}

#[test]
fn a_full_block_is_read() {
    let yaml = r#"
- url: https://mimir.example/api/v1/push
  name: mimir-eu
  remote_timeout: 10s
  headers: {X-Cluster: eu}
  write_relabel_configs:
    - {source_labels: [__name__], regex: "go_.*", action: drop}
  send_exemplars: true
  protobuf_message: io.prometheus.write.v2.Request
  basic_auth: {username: weir, password_file: /etc/weir/password}
  tls_config: {ca_file: ca.pem, cert_file: c.pem, key_file: k.pem, min_version: TLS12}
  queue_config: {capacity: 100, max_shards: 4, max_samples_per_send: 500, min_backoff: 1s,
    max_backoff: 1m, sample_age_limit: 1h, retry_on_http_429: false, batch_send_deadline: 1s}
  metadata_config: {send: false, send_interval: 1m, max_samples_per_send: 500}
  kind: mimir
  compression: zstd
  on_full: drop_oldest
  max_bytes: 64MiB
  max_age: 2h
  tenant_header: X-Scope-OrgID
"#;
    let all = read(yaml).unwrap();
    let one = &all[0];
    assert_eq!(one.name, "mimir-eu");
    assert_eq!((one.protocol, one.kind), (Version::V2, Kind::Mimir));
    assert_eq!(one.queue.capacity, 500, "never below a request");
    assert_eq!(one.queue.max_bytes, 64 << 20);
    assert_eq!(one.queue.max_age, Some(Millis::from_secs(7200)));
    assert_eq!(one.queue.on_full, OnFull::DropOldest);
    let tls = one.client.tls_config.as_ref().unwrap();
    assert_eq!(tls.min_version, TlsVersion::Tls12);
    let basic = one.client.basic_auth.as_ref().unwrap();
    assert_eq!((&*basic.username, &basic.username_file), ("weir", &None));
    assert_eq!(basic.password_file, Some("/etc/weir/password".into()));
}

#[test]
fn a_dead_one_of_several_stops_nobody_by_default() {
    let all = read("[{url: 'http://a/w'}, {url: 'http://b/w', on_full: block}]").unwrap();
    assert_eq!(all[0].queue.on_full, OnFull::DropOldest);
    assert_eq!(all[1].queue.on_full, OnFull::Block);
    assert_ne!(all[0].name, all[1].name);
}

#[test]
fn several_urls_are_one_destination() {
    let all = read("[{urls: ['http://a/w', 'http://b/w'], name: tier}]").unwrap();
    assert_eq!(all[0].urls().collect::<Vec<_>>(), ["http://a/w", "http://b/w"]);
    let other = read("[{urls: ['http://a/w', 'http://c/w'], name: tier}]").unwrap();
    assert!(all[0] != other[0], "a reload takes it over");
    let by_name = read("[{url: 'http://a/w', round_robin_dns: true}]").unwrap();
    assert!(by_name[0].round_robin_dns && !all[0].round_robin_dns);
}

#[test]
fn what_a_program_speaks_is_its_own_default_where_the_backend_may_take_it() {
    let agent = Defaults {
        protocol: Version::V2,
        compression: Encoding::Zstd,
        max_samples_per_send: 10_000,
        backlog_speed_max: 5,
    };
    let read = |block: &str| {
        let blocks: Vec<raw::RemoteWrite> = serde_saphyr::from_str(block).unwrap();
        let source = Source::none();
        let one = validate(&blocks, &agent, &mut Check::new(&source)).remove(0);
        assert_eq!(one.queue.backlog_speed_max, 5);
        (one.protocol, one.compression, one.queue.max_samples_per_send)
    };
    assert_eq!(read("[{url: 'http://a'}]"), (Version::V2, Encoding::Zstd, 10_000));
    assert_eq!(read("[{url: 'http://a', kind: m3}]").0, Version::V1);
    assert_eq!(read("[{url: 'http://a', kind: prometheus}]").1, Encoding::Snappy);
    let said = "[{url: 'http://a', compression: snappy, queue_config: {max_samples_per_send: 7},
        protobuf_message: prometheus.WriteRequest}]";
    assert_eq!(read(said), (Version::V1, Encoding::Snappy, 7));
}

/// A block, and words of what is said about it.
const REFUSED: &[(&str, &str)] = &[
    ("{}", "remote_write[0].url: is missing"),
    ("{url: 'ftp://a'}", ".url:"),
    ("{url: 'http://:80/'}", ".url:"),
    ("{url: 'http://u:p@a/'}", "basic_auth"),
    ("{url: 'http://a', remote_timeout: 30}", ".remote_timeout:"),
    ("{url: 'http://a', headers: {Content-Type: x}}", ".headers:"),
    ("{url: 'http://a', headers: {'a b': x}}", ".headers:"),
    ("{url: 'http://a', tenant_header: 'X Y'}", ".tenant_header:"),
    ("{url: 'http://a', protobuf_message: v2}", "prometheus.WriteRequest"),
    ("{url: 'http://a', kind: m3, protobuf_message: io.prometheus.write.v2.Request}", "in silence"),
    ("{url: 'http://a', kind: influx}", "victoriametrics"),
    ("{url: 'http://a', sigv4: {region: x}}", ".sigv4: is not supported"),
    ("{url: 'http://a', azuread: {}}", ".azuread: is not supported"),
    ("{url: 'http://a', google_iam: {a: [1]}}", ".google_iam: is not supported"),
    ("{url: 'http://a', on_full: panic}", ".on_full:"),
    ("{url: 'http://a', max_bytes: 5QB}", ".max_bytes:"),
    ("{url: 'http://a', queue_config: {capacity: 0}}", ".queue_config.capacity:"),
    ("{url: 'http://a', queue_config: {min_backoff: 9s}}", ".queue_config.max_backoff:"),
    ("{url: 'http://a', queue_config: {max_shards: 2, min_shards: 3}}", ".min_shards:"),
    ("{url: 'http://a', basic_auth: {}, authorization: {credentials: x}}", "one of"),
    ("{url: 'http://a', authorization: {}}", "needs credentials"),
    ("{url: 'http://a', authorization: {type: Basic, credentials: x}}", "use basic_auth"),
    ("{url: 'http://a', oauth2: {client_id: x, token_url: 'http://t'}}", "client_secret"),
    ("{url: 'http://a', tls_config: {cert_file: c}}", "go together"),
    ("{url: 'http://a', tls_config: {ca: x, ca_file: y}}", "not both"),
    ("{url: 'http://a', write_relabel_configs: [{action: nope}]}", "nope"),
    ("{url: 'http://a', ulr: 'http://b'}", "ulr"),
    ("{url: 'http://a', urls: ['http://b'], name: x}", ".url: use one of url and urls"),
    ("{urls: ['http://a', 'http://b']}", ".name: is missing"),
    ("{urls: ['http://a', 'b'], name: x}", ".urls[1]: \"b\" is not a URL"),
    ("{urls: ['http://a?k=1', 'http://a?k=2'], name: x}", ".urls[1]: differs"),
    ("{urls: ['http://a'], name: x, round_robin_dns: true}", ".round_robin_dns: goes with url"),
    ("{url: 'http://a', round_robin_dns: true, proxy_url: 'http://p'}", ".round_robin_dns: names"),
];

#[test]
fn each_refusal_names_its_key() {
    for (block, words) in REFUSED {
        let errors = read(&format!("[{block}]")).unwrap_err().join("\n");
        assert!(errors.contains(words), "{block}: {errors}");
    }
    let twice = read("[{url: 'http://a', name: x}, {url: 'http://b', name: x}]").unwrap_err();
    assert!(twice[0].starts_with("remote_write[1].name:"), "{twice:?}");
}

#[test]
fn all_errors_come_at_once() {
    let errors = read("[{url: x, kind: y, max_age: z}, {remote_timeout: w}]").unwrap_err();
    assert_eq!(errors.len(), 5, "{errors:?}");
}

#[test]
fn secrets_are_never_printed() {
    let yaml = "[{url: 'http://a', authorization: {credentials: hunter2},
        proxy_url: 'http://me:hunter2@proxy:3128'}]";
    let all = read(yaml).unwrap();
    assert!(!format!("{all:?}").contains("hunter2"));
}
