//! PromQL answers over the reduced streams as over the raw ones, with real programs all around.
//!
//! Debian's Prometheus (agent mode) and vmagent scrape node_exporter, each other and a scripted
//! page, and push to the gateway and, raw, to a VictoriaMetrics of their own. The gateway reduces
//! and writes to a Prometheus and to another VictoriaMetrics. The raw series are read back and
//! every window is computed anew; counters reset, series vanish and return, the page goes down, and
//! the gateway is killed in between.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use weir_tests::gateway::Gateway;
use weir_tests::oracle::{Expected, Grouping, Outputs, Rule, compare_values};
use weir_tests::peers::{self, EAGER_QUEUE, Peer};
use weir_tests::processes::free_address;
use weir_tests::samples::{History, Labels, stale_marker};
use weir_tests::target::Target;
use weir_tests::{promql, wait};

const SOON: Duration = Duration::from_secs(60);
/// Prometheus sends the marker of a vanished target 1.1 scrape intervals late, batches wait a
/// second, and the gateway is away for a moment.
const GRACE_MS: i64 = 10_000;
const INTERVAL_MS: i64 = 5_000;
const COUNTERS: [&str; 3] =
    ["scripted_total", "node_cpu_seconds_total", "prometheus_http_requests_total"];
const GAUGES: [&str; 4] = ["scripted_gauge", "node_load1", "up", "go_goroutines"];
const COUNTER_OUTPUTS: &str = "total, total_prometheus, increase";
const GAUGE_OUTPUTS: &str = "sum_last, avg_last, min_last, max_last, count_series, sum_samples, \
    count_samples, min, max, avg";

fn rules() -> String {
    let rule = |metrics: &[&str], outputs: &str| {
        format!(
            "- match: '{{__name__=~\"{}\"}}'\n  interval: 5s\n  without: [instance]\n  \
             keep_input: true\n  outputs: [{outputs}]\n",
            metrics.join("|")
        )
    };
    rule(&COUNTERS, COUNTER_OUTPUTS) + &rule(&GAUGES, GAUGE_OUTPUTS)
}

fn oracle_rules() -> [Rule; 2] {
    let rule = |metrics: &[&'static str], outputs: &'static str| Rule {
        metrics: metrics.to_vec(),
        interval: "5s".into(),
        interval_ms: INTERVAL_MS,
        staleness_ms: 300_000,
        grouping: Grouping::Without(vec!["instance"]),
        outputs: outputs.split(',').map(str::trim).collect(),
    };
    [rule(&COUNTERS, COUNTER_OUTPUTS), rule(&GAUGES, GAUGE_OUTPUTS)]
}

/// All the real programs.
struct Stage {
    gateway: Gateway,
    page: Target,
    prometheus: Peer,
    victoria: Peer,
    raw: Peer,
    _node: Peer,
    _agents: [Peer; 2],
    // Last, so that it goes when those who write there are gone.
    _folder: TempDir,
}

impl Stage {
    fn set() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let prometheus = peers::prometheus("prometheus", "global: {}\n", folder.path());
        let victoria = peers::victoria_metrics("victoria", folder.path());
        let raw = peers::victoria_metrics("raw", folder.path());
        let node = peers::node_exporter(folder.path());
        let page = Target::start();
        page.say(Some(page_at(0)));
        let mut config = format!("windows: {{grace: {GRACE_MS}ms}}\nremote_write:\n");
        for (name, peer) in [("prometheus", &prometheus), ("victoria", &victoria)] {
            let url = peer.write_url();
            config.push_str(&format!("  - {{url: '{url}', name: {name}, {EAGER_QUEUE}}}\n"));
        }
        let gateway = Gateway::start(&config, &rules());
        let urls = [format!("http://{}/api/v1/write", gateway.address()), raw.write_url()];
        let (agent, vmagent) = (free_address(), free_address());
        let scrape = |sender: &str| {
            let jobs = [
                ("node", node.address),
                ("prometheus", agent),
                ("vmagent", vmagent),
                ("page", page.address()),
            ];
            scrape_config(sender, &jobs)
        };
        let agents = [
            peers::prometheus_agent(agent, &scrape("prometheus"), &urls, folder.path()),
            peers::vmagent(vmagent, &scrape("vmagent"), &urls, folder.path()),
        ];
        Self {
            gateway,
            page,
            prometheus,
            victoria,
            raw,
            _node: node,
            _agents: agents,
            _folder: folder,
        }
    }

    /// Two minutes of what happens to real targets.
    fn play(&mut self) -> i64 {
        let began = wait::now_ms();
        for second in 0..110 {
            wait::for_clock(began + second * 1000);
            // The page is down from 30 to 40: its series get markers, and return.
            self.page.say((!(30..40).contains(&second)).then(|| page_at(second)));
            if second == 65 {
                self.gateway.kill();
            }
            if second == 67 {
                self.gateway.spawn();
                self.gateway.wait_ready();
            }
        }
        wait::now_ms()
    }

    /// Raw samples, with markers told from other NaNs by there being no other.
    fn raw_history(&self) -> History {
        let mut history = History::default();
        let names = [&COUNTERS[..], &GAUGES[..]].concat().join("|");
        let selector = format!("{{__name__=~\"{names}\"}}");
        let exported = promql::export(self.raw.address, &selector).expect("an export");
        for (labels, mut samples) in exported.0 {
            samples.values_mut().filter(|v| v.is_nan()).for_each(|v| *v = stale_marker());
            history.0.insert(labels, samples);
        }
        history
    }
}

/// Counters that reset at different times, a gauge, and series that come and go.
fn page_at(second: i64) -> String {
    let mut page = String::from("# TYPE scripted_total counter\n");
    for (path, reset_every, pace) in [("/a", 17, 3), ("/b", 41, 7), ("/c", 1000, 11)] {
        let value = (second % reset_every) * pace;
        page.push_str(&format!("scripted_total{{path=\"{path}\"}} {value}\n"));
    }
    if second / 15 % 2 == 1 {
        page.push_str(&format!("scripted_total{{path=\"/sometimes\"}} {}\n", second * 5));
    }
    page.push_str("# TYPE scripted_gauge gauge\n");
    page.push_str(&format!("scripted_gauge{{kind=\"always\"}} {}\n", second * 31 % 101));
    if second / 10 % 2 == 0 {
        page.push_str("scripted_gauge{kind=\"sometimes\"} 1.25\n");
    }
    page
}

fn scrape_config(sender: &str, jobs: &[(&str, SocketAddr)]) -> String {
    let mut text =
        String::from("global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n");
    for (job, address) in jobs {
        // One page is scraped as two instances, so that there is something to reduce.
        let port = address.port();
        text.push_str(&format!(
            "  - job_name: {job}\n    static_configs:\n      \
             - {{targets: ['{address}', 'localhost:{port}'], labels: {{sender: {sender}}}}}\n"
        ));
    }
    text
}

#[test]
fn reduced_streams_answer_as_the_raw_ones() {
    let mut stage = Stage::set();
    let ended = stage.play();
    let through = (ended - 2_000).div_euclid(INTERVAL_MS) * INTERVAL_MS;
    stage.gateway.wait_frontier(through, SOON);
    let expected = settled_expectation(&stage, through);
    check_backends(&stage, &expected, through);
    check_rates(&stage, through);
    let late = stage.gateway.metrics().count("weir_samples_total", &[("class", "late")]);
    assert_eq!(late, 0.0, "samples within grace were late");
    stage.gateway.assert_audited();
}

/// What the oracle computes from the raw backend, once all senders have caught up there.
fn settled_expectation(stage: &Stage, through: i64) -> Outputs {
    let history = wait::until("raw samples are there", SOON, || {
        let history = stage.raw_history();
        let newest = |job: &str, sender: &str| {
            let of = |l: &Labels| {
                l.get("job").is_some_and(|j| j == job)
                    && l.get("sender").is_some_and(|s| s == sender)
            };
            let newest =
                history.0.iter().filter(|(l, _)| of(l)).filter_map(|(_, s)| s.keys().next_back());
            newest.max().copied().unwrap_or(0)
        };
        for sender in ["prometheus", "vmagent"] {
            let newest = newest("node", sender);
            if newest < through {
                return Err(format!("{sender} has sent up to {newest}, not {through}"));
            }
        }
        Ok(history)
    });
    let mut expected = Outputs::new();
    for rule in oracle_rules() {
        expected.extend(rule.outputs(&history, through));
    }
    assert!(expected.len() > 40, "only {} output series", expected.len());
    expected
}

fn check_backends(stage: &Stage, expected: &Outputs, through: i64) {
    let relevant = |_: &Labels, timestamp: i64| timestamp <= through;
    // VictoriaMetrics's export tells markers as NaN.
    wait::until("VictoriaMetrics holds what the oracle computes", SOON, || {
        let mut stored =
            promql::export(stage.victoria.address, "{__name__=~\".*:5s_without_instance_.*\"}")?;
        for value in stored.0.values_mut().flat_map(BTreeMap::values_mut).filter(|v| v.is_nan()) {
            *value = stale_marker();
        }
        compare_values(expected, &stored, relevant).into_result()
    });
    // Prometheus leaves markers out of what a range selector gives.
    let mut without_markers = expected.clone();
    for samples in without_markers.values_mut() {
        samples.retain(|_, expected| *expected != Expected::Marker);
    }
    without_markers.retain(|_, samples| !samples.is_empty());
    wait::until("Prometheus holds what the oracle computes", SOON, || {
        let selector = "{__name__=~\".*:5s_without_instance_.*\"}";
        let stored =
            promql::raw_samples(stage.prometheus.address, selector, through - 600_000, through)?;
        compare_values(&without_markers, &stored, relevant).into_result()
    });
}

/// `rate` over the reduced counter and over the raw ones differ by no more than the raw increase
/// at the edges of the range, divided by the range. What `rate` does not see at the edges it takes
/// for as much as the average, so the average counts too where the true increase there is less.
fn check_rates(stage: &Stage, through: i64) {
    let range_ms = 60_000;
    let mut compared = 0;
    for metric in COUNTERS {
        for end in [through - 20_000, through - 10_000, through] {
            let ask = |expression: &str| {
                let vector =
                    promql::query(stage.prometheus.address, expression, end).expect("an answer");
                let unnamed = vector.into_iter().map(|(mut labels, value)| {
                    labels.remove("__name__");
                    (labels, value)
                });
                unnamed.collect::<BTreeMap<Labels, f64>>()
            };
            let raw = ask(&format!("sum without (instance) (rate({metric}[60s]))"));
            let reduced = ask(&format!("rate({metric}:5s_without_instance_total_prometheus[60s])"));
            // Reduced samples stand 5 s apart, so an edge is as wide, and one interval more where
            // the raw extrapolation differs.
            let edge = 2 * INTERVAL_MS;
            let grown = |at: i64| {
                let path = format!("sum without (instance) (increase({metric}[{}s]))", edge / 1000);
                let vector = promql::query(stage.prometheus.address, &path, at).expect("an answer");
                vector.into_iter().collect::<BTreeMap<Labels, f64>>()
            };
            let (first, last) = (grown(end - range_ms + edge), grown(end));
            // A series that comes and goes has its edges inside of the range.
            let stays = |l: &Labels| l.get("path").is_none_or(|path| path != "/sometimes");
            for (labels, raw) in raw.iter().filter(|(labels, _)| stays(labels)) {
                let Some(reduced) = reduced.get(labels) else {
                    panic!("{metric} has no reduced rate for {labels:?}");
                };
                let at_edges = first.get(labels).unwrap_or(&0.0) + last.get(labels).unwrap_or(&0.0);
                let average = raw * 2.0 * INTERVAL_MS as f64 / 1000.0;
                let allowed = at_edges.max(average) * 1000.0 / range_ms as f64 + 1e-9;
                let apart = (raw - reduced).abs();
                assert!(
                    apart <= allowed,
                    "{metric} {labels:?} at {end}: raw {raw}, reduced {reduced}, {allowed} allowed"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 20, "only {compared} rates were compared");
}
