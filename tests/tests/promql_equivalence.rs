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
use weir_tests::oracle::{Expected, Oracle, Outputs, compare_values};
use weir_tests::peers::{self, EAGER_QUEUE, Peer};
use weir_tests::processes::free_address;
use weir_tests::samples::{History, Labels, name, stale_marker};
use weir_tests::target::Target;
use weir_tests::{promql, wait};

const SOON: Duration = Duration::from_secs(60);
/// Prometheus sends the marker of a vanished target 1.1 scrape intervals late, batches wait a
/// second, and the gateway is away for a moment.
const GRACE_MS: i64 = 15_000;
const INTERVAL_MS: i64 = 5_000;
/// Of `rate`: a whole number of windows, as `[5m]` is of ten seconds.
const RANGE_MS: i64 = 60_000;
/// What a range does not see of a series that is scraped every second all the time.
const SCRAPES_BLIND_MS: i64 = 2_500;
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
    check_gauges(&stage, through);
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
    let oracle = Oracle::read(&rules()).expect("rules that the oracle reads");
    let mut expected = oracle.expected(&history.in_time(), through);
    // Their inputs are kept as well, and compared below.
    expected.retain(|labels, _| name(labels).contains(":5s_"));
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

/// What PromQL answers, by labels without the name.
fn answers(stage: &Stage, expression: &str, at: i64) -> BTreeMap<Labels, f64> {
    let vector = promql::query(stage.prometheus.address, expression, at).expect("an answer");
    let unnamed = vector.into_iter().map(|(mut labels, value)| {
        labels.remove("__name__");
        (labels, value)
    });
    unnamed.collect()
}

/// At a window's end `sum_last` and `count_series` are PromQL's `sum` and `count` of the raw series,
/// which Prometheus has as well: before, while and after targets are away.
fn check_gauges(stage: &Stage, through: i64) {
    let mut compared = 0;
    for gauge in GAUGES {
        for end in (0..12).map(|at| through - at * 2 * INTERVAL_MS) {
            for (function, output) in [("sum", "sum_last"), ("count", "count_series")] {
                let raw = answers(stage, &format!("{function} without (instance) ({gauge})"), end);
                let reduced = format!("{gauge}:5s_without_instance_{output}");
                // Nothing older than this very window's end.
                let reduced = answers(stage, &format!("last_over_time({reduced}[1s])"), end);
                let series = |all: &BTreeMap<Labels, f64>| all.keys().cloned().collect::<Vec<_>>();
                assert_eq!(series(&raw), series(&reduced), "{function} of {gauge} at {end}");
                for (labels, raw) in raw {
                    let apart = (raw - reduced[&labels]).abs();
                    assert!(apart <= 1e-9 * raw.abs().max(1.0), "{gauge} {labels:?} at {end}");
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 200, "only {compared} sums and counts were compared");
}

/// Over a range from window end to window end `rate` of the reduced counter sees every raw increase.
/// That of the raw ones does not see what stands between the range's ends and their first and last
/// scrape, and takes as much as the average for it: the two differ by no more than that.
fn check_rates(stage: &Stage, through: i64) {
    let history = stage.raw_history();
    let mut compared = 0;
    for metric in COUNTERS {
        for end in [through - 20_000, through - 10_000, through] {
            let raw = answers(stage, &format!("sum without (instance) (rate({metric}[60s]))"), end);
            let reduced = format!("rate({metric}:5s_without_instance_total_prometheus[60s])");
            let reduced = answers(stage, &reduced, end);
            for (labels, raw) in &raw {
                let Some(reduced) = reduced.get(labels) else {
                    panic!("{metric} has no reduced rate for {labels:?}");
                };
                let allowed = allowed_apart(&history, metric, labels, end);
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

/// By how much two rates over a minute may differ, from the raw samples alone: the increase between
/// the range's ends and the first and last scrape in it, or what an average increase would be there.
fn allowed_apart(history: &History, metric: &str, group: &Labels, end: i64) -> f64 {
    let start = end - RANGE_MS;
    let is_member = |labels: &Labels| {
        let same = labels.iter().filter(|(k, _)| !["__name__", "instance"].contains(&k.as_str()));
        name(labels) == metric && same.eq(group.iter())
    };
    let mut allowed = 1e-9;
    for samples in history.0.iter().filter(|(l, _)| is_member(l)).map(|(_, samples)| samples) {
        let numbers: Vec<(i64, f64)> =
            samples.iter().filter(|(_, v)| !v.is_nan()).map(|(t, v)| (*t, *v)).collect();
        let grown = |from: usize, to: usize| -> f64 {
            let steps = numbers[from..=to].windows(2);
            steps.map(|w| if w[1].1 >= w[0].1 { w[1].1 - w[0].1 } else { w[1].1 }).sum()
        };
        let first = numbers.partition_point(|(t, _)| *t < start);
        let after = numbers.partition_point(|(t, _)| *t <= end);
        if after < first + 2 {
            continue;
        }
        let last = after - 1;
        let (before, next) = (first.saturating_sub(1), after.min(numbers.len() - 1));
        let edges = grown(before, first) + grown(last, next);
        let seen_ms = numbers[last].0 - numbers[first].0;
        // A series that is away at an end of the range has its last window there, up to an interval
        // before its last scrape, and `rate` goes on from there for up to 1.1 intervals.
        let mut blind_ms = RANGE_MS - seen_ms;
        if blind_ms > SCRAPES_BLIND_MS {
            blind_ms = 2 * INTERVAL_MS;
        }
        let average = grown(first, last) * blind_ms as f64 / seen_ms as f64;
        allowed += edges.max(average) * 1000.0 / RANGE_MS as f64;
    }
    allowed
}
