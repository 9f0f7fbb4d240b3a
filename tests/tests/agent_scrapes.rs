//! The agent sends what Prometheus's agent sends: the same series, values and stale markers for the
//! same configuration and targets; and neither an outage of the receiver nor `kill -9` loses a
//! scrape that was taken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::samples::{self, Labels, Sample, is_stale};
use weir_tests::target::Target;
use weir_tests::{http, peers, processes, wait};

const SOON: Duration = Duration::from_secs(60);

const PAGE: &str = r#"# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{code="200",path="/a,b=\"c\"\\n"} 1027
requests_total{code="500",path="/"} 3
# TYPE temperature gauge
temperature{instance="theirs",job="theirs"} -0.5
temperature{sensor="none"} NaN
temperature{sensor="hot"} +Inf
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.1"} 5
latency_seconds_bucket{le="1.5"} 9
latency_seconds_bucket{le="+Inf"} 10
latency_seconds_sum 4.25
latency_seconds_count 10
dropped_by_relabelling 1
"#;

/// The page less what has a path, and with another value.
const LATER: &str = r#"# TYPE requests_total counter
requests_total{code="500",path="/"} 4
# TYPE temperature gauge
temperature{instance="theirs",job="theirs"} 1e-3
"#;

fn scrape_config(targets: &[String], honor_labels: bool) -> String {
    let targets = targets.join("', '");
    format!(
        r#"global:
  scrape_interval: 2s
  scrape_timeout: 2s
  external_labels: {{region: r1, job: external}}
scrape_configs:
  - job_name: app
    honor_labels: {honor_labels}
    params: {{module: [m]}}
    static_configs: [{{targets: ['{targets}'], labels: {{team: blue}}}}]
    relabel_configs:
      - {{source_labels: [__param_module], target_label: module}}
      - {{source_labels: [__address__], regex: '(.*):.*', target_label: host}}
    metric_relabel_configs:
      - {{source_labels: [__name__], regex: 'dropped_.*', action: drop}}
      - {{source_labels: [code], regex: '(.).*', target_label: class, replacement: '${{1}}xx'}}
"#
    )
}

fn weir_config(scrape: &str, url: &str) -> String {
    format!(
        "{scrape}remote_write:\n  - url: {url}\n    queue_config: {{batch_send_deadline: 100ms, \
         min_backoff: 30ms, max_backoff: 300ms}}\n"
    )
}

/// What a backend holds of each series: its values in the order of time, repeats left out, stale
/// markers as `None`.
fn histories(backend: &Backend) -> BTreeMap<Arc<Labels>, Vec<Option<u64>>> {
    let mut all: BTreeMap<Arc<Labels>, BTreeMap<i64, f64>> = BTreeMap::new();
    for Sample { labels, timestamp, value, .. } in backend.samples() {
        all.entry(labels).or_default().insert(timestamp, value);
    }
    let values = |samples: BTreeMap<i64, f64>| {
        let mut values: Vec<_> =
            samples.into_values().map(|v| (!is_stale(v)).then_some(v.to_bits())).collect();
        values.dedup();
        values
    };
    // How long a scrape took is not the same twice; how many there were before a change is not.
    let is_compared = |labels: &Labels| !samples::name(labels).starts_with("scrape_duration");
    all.into_iter().filter(|(l, _)| is_compared(l)).map(|(l, s)| (l, values(s))).collect()
}

/// Whether the newest sample of this metric is a stale marker.
fn has_ended(backend: &Backend, metric: &str, code: &str) -> bool {
    let all = backend.samples();
    let mine = all.iter().filter(|s| {
        samples::name(&s.labels) == metric && s.labels.get("code").is_none_or(|c| c == code)
    });
    mine.max_by_key(|s| s.timestamp).is_some_and(|s| is_stale(s.value))
}

/// Whether the series of the page came, the target was away, they came back, and none since.
fn has_settled(backend: &Backend) -> bool {
    let added = histories(backend).into_iter();
    let mut added = added.filter(|(l, _)| samples::name(l) == "scrape_series_added");
    added.next().is_some_and(|(_, values)| values.len() >= 4 && values.ends_with(&[Some(0)]))
}

fn newest(backend: &Backend, metric: &str) -> Option<f64> {
    let all = backend.samples();
    let mine = all.iter().filter(|s| samples::name(&s.labels) == metric);
    mine.max_by_key(|s| s.timestamp).map(|s| s.value)
}

fn same_as_prometheus(honor_labels: bool) {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, theirs, ours) = (Target::start(), Backend::start(), Backend::start());
    target.say(Some(PAGE.to_owned()));
    let scrape = scrape_config(&[target.address().to_string()], honor_labels);
    let own = processes::free_address();
    let _prometheus = peers::prometheus_agent(own, &scrape, &[theirs.url()], folder.path());
    let agent = Agent::start(&weir_config(&scrape, &ours.url()), folder.path());
    let both = |what: &str, holds: &dyn Fn(&Backend) -> bool| {
        wait::until_true(&format!("{what}: Prometheus"), SOON, || holds(&theirs));
        wait::until_true(&format!("{what}: Weir"), SOON, || holds(&ours));
    };
    both("a second scrape", &|b| newest(b, "scrape_series_added") == Some(0.0));
    target.say(Some(LATER.to_owned()));
    both("a series ends", &|b| has_ended(b, "requests_total", "200"));
    target.say(None);
    both("the target is down", &|b| newest(b, "up") == Some(0.0));
    target.say(Some(PAGE.to_owned()));
    both("it is back", &|b| newest(b, "up") == Some(1.0));
    both("and all of it", &|b| newest(b, "scrape_samples_post_metric_relabeling") == Some(10.0));
    // Both have scraped once more, so that neither is a value ahead of the other.
    both("and nothing new after that", &|b| has_settled(b));
    let (expected, got) = (histories(&theirs), histories(&ours));
    let labels = |of: &BTreeMap<Arc<Labels>, _>| -> BTreeSet<String> {
        of.keys().map(|l| samples::display(l)).collect()
    };
    assert_eq!(labels(&got), labels(&expected));
    for (series, values) in &expected {
        assert_eq!(&got[series], values, "{}", samples::display(series));
    }
    assert!(expected.len() > 12, "{} series", expected.len());
    agent.stop();
    wait::until_true("stopping ends the series", SOON, || has_ended(&ours, "up", ""));
}

#[test]
fn series_values_and_markers_are_those_of_prometheus() {
    same_as_prometheus(false);
}

#[test]
fn with_honor_labels_as_well() {
    same_as_prometheus(true);
}

#[test]
fn an_outage_and_kills_lose_no_scrape_that_was_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (target, backend) = (Target::start(), Backend::start());
    target.say(Some(PAGE.to_owned()));
    let scrape = scrape_config(&[target.address().to_string()], false);
    let mut agent = Agent::start(&weir_config(&scrape, &backend.url()), folder.path());
    wait::until_true("it sends", SOON, || newest(&backend, "up") == Some(1.0));
    backend.answer_all(503);
    let appended = "prometheus_agent_samples_appended_total";
    let (mut taken, mut killed_ms) = (0.0, 0);
    for _ in 0..3 {
        let before = agent.metrics().count(appended, &[]);
        wait::until_true("scrapes go on in an outage", SOON, || {
            agent.metrics().count(appended, &[]) >= before + 45.0
        });
        // What is counted is appended; its draft stays until it is on disk.
        taken += agent.metrics().count(appended, &[]);
        killed_ms = wait::now_ms();
        agent.crash_and_restart();
    }
    backend.accept_all();
    wait::until_true("all is delivered", SOON, || {
        agent.metrics().get("weir_agent_send_lag_frames", &[]).is_some_and(|lag| lag == 0.0)
    });
    let mut delivered: BTreeMap<(Arc<Labels>, i64), BTreeSet<u64>> = BTreeMap::new();
    for sample in backend.samples().into_iter().filter(|s| s.timestamp <= killed_ms) {
        let values = delivered.entry((sample.labels, sample.timestamp)).or_default();
        values.insert(sample.value.to_bits());
    }
    assert!(delivered.values().all(|values| values.len() == 1), "a sample with two values");
    let missing = taken - delivered.len() as f64;
    assert!(missing <= 0.0, "{missing} of {taken} samples that were taken are missing");
    let refused = agent.metrics().count("weir_agent_samples_refused_total", &[]);
    assert_eq!(refused, 0.0);
    // Samples of a series come in order: the sender of an outage must not overtake itself.
    let mut last: BTreeMap<Arc<Labels>, i64> = BTreeMap::new();
    for sample in backend.samples() {
        let before = last.insert(sample.labels.clone(), sample.timestamp).unwrap_or(i64::MIN);
        assert!(sample.timestamp >= before, "{}", samples::display(&sample.labels));
    }
}

#[test]
fn pushes_are_forwarded_and_end_with_stale_markers() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Backend::start();
    let agent =
        Agent::start(&weir_config(&scrape_config(&[], false), &backend.url()), folder.path());
    let path = "/metrics/job/backup/instance/db1";
    let answer = http::send(agent.address(), "PUT", path, &[], b"last_success 17\n", SOON).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
    wait::until_true("the push arrives", SOON, || newest(&backend, "last_success") == Some(17.0));
    let all = backend.samples();
    let pushed = all.iter().find(|s| samples::name(&s.labels) == "last_success").unwrap();
    let expected = [("instance", "db1"), ("job", "backup"), ("region", "r1")];
    assert_eq!(pushed.labels, samples::labels("last_success", &expected));
    let answer = http::send(agent.address(), "PUT", path, &[], b"last_success\n", SOON).unwrap();
    assert_eq!(answer.status, 400, "{}", answer.text());
    let answer = http::send(agent.address(), "DELETE", path, &[], b"", SOON).unwrap();
    assert_eq!(answer.status, 202, "{}", answer.text());
    wait::until_true("it ends", SOON, || has_ended(&backend, "last_success", ""));
}

#[test]
fn targets_are_shown_as_prometheus_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let (target, backend) = (Target::start(), Backend::start());
    target.say(Some(PAGE.to_owned()));
    let scrape = scrape_config(&[target.address().to_string()], false);
    let agent = Agent::start(&weir_config(&scrape, &backend.url()), folder.path());
    let data = wait::until("the target is up", SOON, || {
        let answer = http::get(agent.address(), "/api/v1/targets").map_err(|e| e.to_string())?;
        let json: serde_json::Value =
            serde_json::from_str(&answer.text()).map_err(|e| e.to_string())?;
        let one = json["data"]["activeTargets"][0].clone();
        (one["health"] == "up").then_some(one).ok_or_else(|| answer.text())
    });
    let address = target.address().to_string();
    assert_eq!(data["labels"]["instance"], address.as_str());
    assert_eq!(data["labels"]["team"], "blue");
    assert_eq!(data["discoveredLabels"]["__address__"], address.as_str());
    assert_eq!(data["scrapePool"], "app");
    assert_eq!(data["scrapeUrl"], format!("http://{address}/metrics?module=m").as_str());
    assert_eq!((&data["scrapeInterval"], &data["scrapeTimeout"]), (&"2s".into(), &"2s".into()));
    let page = http::get(agent.address(), "/targets").unwrap();
    assert!(page.status == 200 && page.text().contains(&address), "{}", page.text());
}
