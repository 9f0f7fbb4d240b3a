//! Every key of a job that Debian's Prometheus knows means in the agent what it means there: one
//! file for both, scraping one scripted server, and what they send is equal: series, values, and
//! the report of each scrape, of those that fail too.
//!
//! A job is named for what it tries; the server looks at what it is asked. What Prometheus 2.42 does
//! not know yet is tested beside the agent's code, against Prometheus's documentation.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::samples::{self, Labels};
use weir_tests::stub::{Reply, Request, Stub};
use weir_tests::{peers, processes, wait};

const SOON: Duration = Duration::from_secs(60);

const PAGE: &str = r#"# TYPE requests_total counter
requests_total{code="200",a_rather_long_label_name="x"} 1027
requests_total{code="500",path="a rather long value of a label"} 3
# TYPE temperature gauge
temperature{sensor="hot",job="theirs",exported_job="older"} -0.5
temperature{sensor="none"} NaN
"#;

/// What the server says to whom; `stamp_ms` stands on the page with timestamps.
fn answer(request: &Request, stamp_ms: i64) -> Reply {
    let page = || Reply::page(PAGE);
    let if_authorized = |expected: &str| match request.header("authorization") {
        given if given == expected => page(),
        _ => Reply::status("401 Unauthorized"),
    };
    match request.path() {
        "/basic" => if_authorized("Basic YWxpY2U6b3BlbiBzZXNhbWU="),
        "/credentials" => if_authorized("Custom c3"),
        "/bearer" => if_authorized("Bearer from a file"),
        "/oauth2" => if_authorized("Bearer issued"),
        "/token" => {
            let form = String::from_utf8_lossy(&request.body).into_owned();
            let asked = ["grant_type=client_credentials", "scope=read+all", "audience=weir"];
            if asked.iter().all(|part| form.contains(part)) {
                let token = r#"{"access_token": "issued", "token_type": "Bearer"}"#;
                Reply::ok("application/json", token)
            } else {
                Reply::status("400 Bad Request")
            }
        }
        "/moved" => {
            Reply { headers: vec![("Location", "/metrics".into())], ..Reply::status("302 Found") }
        }
        "/timestamps" => Reply::page(&format!("old 1 {stamp_ms}\nnew 2\n")),
        "/probe" => Reply::page(&format!("asked{{query={:?}}} 1\n", request.target)),
        "/groups" => {
            let groups = r#"[{"targets": ["ADDRESS"], "labels": {"__meta_rack": "r7", "found": "by http"}}]"#;
            Reply::ok("application/json", groups.replace("ADDRESS", request.header("host")))
        }
        "/metrics" => page(),
        // A proxy is asked for a whole URL.
        "http://behind.example:80/metrics" => page(),
        _ => Reply::status("404 Not Found"),
    }
}

/// The jobs, without the address of their server. `FOLDER` stands for the test's.
const JOBS: &[(&str, &str)] = &[
    ("basic", "basic_auth: {username: alice, password_file: FOLDER/password}"),
    ("basic_refused", "{metrics_path: /basic, basic_auth: {username: alice, password: wrong}"),
    ("credentials", "authorization: {type: Custom, credentials: c3}"),
    ("bearer", "authorization: {credentials_file: FOLDER/token}"),
    ("bearer_token_file", "{metrics_path: /bearer, bearer_token_file: FOLDER/token"),
    (
        "oauth2",
        "oauth2: {client_id: me, client_secret: s, token_url: 'http://ADDRESS/token', \
         scopes: [read, all], endpoint_params: {audience: weir}}",
    ),
    ("moved", "follow_redirects: true"),
    ("moved_refused", "{metrics_path: /moved, follow_redirects: false"),
    ("timestamps", "honor_timestamps: true"),
    ("timestamps_ignored", "{metrics_path: /timestamps, honor_timestamps: false"),
    ("probe", "params: {module: [http_2xx], target: ['a b', 'c&d']}"),
    ("gone", "enable_http2: false"),
    ("plain", "{metrics_path: /metrics, scheme: http, scrape_interval: 2s, scrape_timeout: 1900ms"),
    ("labels_kept", "{metrics_path: /metrics, honor_labels: true"),
    ("body", "{metrics_path: /metrics, body_size_limit: 100B"),
    ("body_enough", "{metrics_path: /metrics, body_size_limit: 100KB"),
    ("samples", "{metrics_path: /metrics, sample_limit: 3"),
    ("samples_enough", "{metrics_path: /metrics, sample_limit: 4"),
    ("labels", "{metrics_path: /metrics, label_limit: 5"),
    ("labels_enough", "{metrics_path: /metrics, label_limit: 6"),
    ("names", "{metrics_path: /metrics, label_name_length_limit: 23"),
    ("names_enough", "{metrics_path: /metrics, label_name_length_limit: 24"),
    ("values", "{metrics_path: /metrics, label_value_length_limit: 29"),
    ("values_enough", "{metrics_path: /metrics, label_value_length_limit: 30"),
    (
        "relabelled",
        "{metrics_path: /wrong, relabel_configs: [\
         {target_label: __metrics_path__, replacement: /metrics}, \
         {source_labels: [__address__], regex: '(.*):(.*)', target_label: instance, replacement: '$1/${2}'}, \
         {source_labels: [__address__, job], separator: '@', action: lowercase, target_label: both}, \
         {source_labels: [job], action: uppercase, target_label: loud}, \
         {source_labels: [job], action: hashmod, modulus: 97, target_label: part}, \
         {regex: '__(scrape)_(.*)__', action: labelmap, replacement: 'seen_${1}_$2'}, \
         {source_labels: [job], regex: none, action: drop}, \
         {target_label: __scrape_timeout__, replacement: 2700ms}], \
         metric_relabel_configs: [\
         {source_labels: [sensor], regex: none, action: drop}, \
         {regex: 'a_rather.*', action: labeldrop}, \
         {source_labels: [__name__], regex: '(.*)_total', target_label: __name__, replacement: '$1'}, \
         {source_labels: [missing], target_label: code, action: replace, regex: '', replacement: ''}]",
    ),
];

/// Jobs whose targets are found by more than an address.
const OTHERS: &str = r#"
  - job_name: file
    file_sd_configs: [{files: [FOLDER/groups-*.json, FOLDER/more.yml]}]
    relabel_configs: [{regex: '__meta_(.*)', action: labelmap}]
  - job_name: http
    http_sd_configs: [{url: 'http://ADDRESS/groups', refresh_interval: 2s}]
    relabel_configs: [{regex: '__meta_(.*)', action: labelmap}]
  - job_name: too_many
    target_limit: 1
    static_configs: [{targets: ['ADDRESS'], labels: {n: a}}, {targets: ['ADDRESS'], labels: {n: b}}]
  - job_name: enough
    target_limit: 2
    static_configs: [{targets: ['ADDRESS'], labels: {n: a}}, {targets: ['ADDRESS'], labels: {n: b}}]
  - job_name: proxied
    proxy_url: http://ADDRESS
    static_configs: [{targets: ['behind.example:80']}]
  - job_name: none_left
    static_configs: [{targets: ['ADDRESS']}]
    relabel_configs: [{source_labels: [__address__], regex: '.*:.*', action: drop}]
  - job_name: equal
    static_configs: [{targets: ['ADDRESS'], labels: {a: x, b: x}}, {targets: ['ADDRESS'], labels: {a: x, b: y}}]
    relabel_configs: [{source_labels: [a], action: dropequal, target_label: b}]
"#;

fn scrape_config(address: SocketAddr, folder: &Path) -> String {
    let mut text = "global: {scrape_interval: 3s, scrape_timeout: 2900ms, \
         external_labels: {region: r1}}\nscrape_configs:\n"
        .to_owned();
    for (name, keys) in JOBS {
        let keys = match keys.strip_prefix('{') {
            Some(keys) => keys.to_owned(),
            None => format!("metrics_path: /{name}, {keys}"),
        };
        text.push_str(&format!(
            "  - {{job_name: {name}, {keys}, static_configs: [{{targets: ['ADDRESS']}}]}}\n"
        ));
    }
    text.push_str(OTHERS);
    let folder = folder.to_str().expect("a path in UTF-8");
    text.replace("ADDRESS", &address.to_string()).replace("FOLDER", folder)
}

fn write_files(folder: &Path, address: SocketAddr) {
    let group = format!(r#"[{{"targets": ["{address}"], "labels": {{"found": "in json"}}}}]"#);
    let files = [
        ("password", "open sesame".to_owned()),
        ("token", "from a file\n".to_owned()),
        ("groups-1.json", group),
        ("more.yml", format!("- targets: ['{address}']\n  labels: {{found: in yaml}}\n")),
    ];
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a file of the test's");
    }
}

/// Each series' values in the order of time, repeats left out; a scrape's duration is nobody's twice.
fn histories(backend: &Backend) -> BTreeMap<Arc<Labels>, Vec<u64>> {
    let mut all: BTreeMap<Arc<Labels>, BTreeMap<i64, u64>> = BTreeMap::new();
    for sample in backend.samples() {
        if samples::name(&sample.labels) != "scrape_duration_seconds" {
            let values = all.entry(sample.labels).or_default();
            values.insert(sample.timestamp, sample.value.to_bits());
        }
    }
    let values = |samples: BTreeMap<i64, u64>| {
        let mut values: Vec<u64> = samples.into_values().collect();
        values.dedup();
        values
    };
    all.into_iter().map(|(labels, samples)| (labels, values(samples))).collect()
}

/// A page that is over a limit leaves nothing behind in the agent, so each of its scrapes adds the
/// same series anew; Prometheus remembers them. See docs/AGENT.md.
fn is_known_difference(labels: &Labels) -> bool {
    let over = ["labels", "samples", "values"];
    samples::name(labels) == "scrape_series_added" && over.contains(&&*labels["job"])
}

/// How often each target was scraped, by its `up`.
fn scrapes(backend: &Backend) -> BTreeMap<Arc<Labels>, BTreeSet<i64>> {
    let mut all: BTreeMap<Arc<Labels>, BTreeSet<i64>> = BTreeMap::new();
    for sample in backend.samples() {
        if samples::name(&sample.labels) == "up" {
            all.entry(sample.labels).or_default().insert(sample.timestamp);
        }
    }
    all
}

#[test]
fn every_key_means_what_it_means_in_prometheus() {
    let folder = tempfile::tempdir().expect("a folder");
    // Prometheus sends nothing from before its own start.
    let stamp_ms = wait::now_ms() + 60_000;
    let server = Stub::start(move |request| answer(request, stamp_ms));
    let (theirs, ours) = (Backend::start(), Backend::start());
    write_files(folder.path(), server.address());
    let scrape = scrape_config(server.address(), folder.path());
    let own = processes::free_address();
    let _prometheus = peers::prometheus_agent(own, &scrape, &[theirs.url()], folder.path());
    let config = format!("{scrape}remote_write: [{{url: '{}'}}]\n", ours.url());
    let _agent = Agent::start(&config, folder.path());
    // Of the other jobs one has no target, three have two and one has its second dropped.
    let targets = JOBS.len() + 9;
    for (who, backend) in [("Prometheus", &theirs), ("Weir", &ours)] {
        wait::until(&format!("{who} has scraped all targets thrice"), SOON, || {
            let done = scrapes(backend).values().filter(|times| times.len() >= 3).count();
            (done == targets).then_some(()).ok_or_else(|| format!("{done} of {targets}"))
        });
    }
    let (expected, got) = (histories(&theirs), histories(&ours));
    let mut wrong = Vec::new();
    for labels in expected.keys().chain(got.keys()).collect::<BTreeSet<_>>() {
        let shown = |all: &BTreeMap<Arc<Labels>, Vec<u64>>| {
            all.get(labels).map(|v| v.iter().map(|&bits| f64::from_bits(bits)).collect::<Vec<_>>())
        };
        if expected.get(labels) != got.get(labels) && !is_known_difference(labels) {
            let (theirs, ours) = (shown(&expected), shown(&got));
            let series = samples::display(labels);
            wrong.push(format!("{series}: Prometheus {theirs:?}, Weir {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let up = |job: &str| {
        let of_job =
            |l: &&Arc<Labels>| samples::name(l) == "up" && l.get("job").is_some_and(|j| j == job);
        let labels = got.keys().find(of_job).expect("every job has a target");
        f64::from_bits(got[labels][0])
    };
    // The pairs differ, so that equality above is not that of two failures.
    for (name, _) in JOBS.iter().filter(|(name, _)| name.ends_with("_enough")) {
        assert_eq!((up(name), up(name.trim_end_matches("_enough"))), (1.0, 0.0), "{name}");
    }
    for good in ["basic", "credentials", "bearer", "oauth2", "moved", "proxied", "http"] {
        assert_eq!(up(good), 1.0, "{good}");
    }
}
