//! Dashboards and alerts against a real Prometheus that scrapes gateways and agents at work.
//!
//! Invariant: no query of a dashboard is empty but for those that a healthy system has nothing to say
//! to, which are named here, and of those every metric is on somebody's page. No alert is up.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use weir_loadgen::ports::lasting_address;
use weir_tests::agent::Agent;
use weir_tests::etcd::Etcd;
use weir_tests::gateway::Gateway;
use weir_tests::peers::{self, Peer};
use weir_tests::samples::{Sample, labels};
use weir_tests::{http, promql, sender, wait};

use crate::queries::{self, Query};

/// Queries of dashboards that are empty while all is well.
const EMPTY_WHEN_WELL: [&str; 13] = [
    "weir-agent/Discovery that fails/A",
    "weir-agent/Lost for good/A",
    "weir-agent/Lost for good/B",
    "weir-agent/Lost for good/C",
    "weir-agent/Scrapes left out/A",
    "weir-agent/Scrapes that fail, by agent/A",
    "weir-agent/Targets by job/B",
    "weir-gateway/Connections/B",
    "weir-gateway/Groups by rule/B",
    "weir-gateway/Lost for good/A",
    "weir-gateway/Lost for good/B",
    "weir-gateway/Lost for good/C",
    "weir-gateway/Read back/B",
];

/// Alerts whose condition the traffic of this test meets: a sample that is refused on purpose.
const PROVOKED: [&str; 1] = ["WeirSamplesRefused"];

const WITHIN: Duration = Duration::from_secs(120);

const RULES: &str = "\
- {name: cpu, match: node_cpu_seconds_total, interval: 2s, without: [cpu], outputs: [total]}
- {name: sent, match: sent, interval: 2s, without: [n], outputs: [sum_last]}
";

/// Programs at work, and who watches them.
struct Region {
    backend: Peer,
    gateways: [Gateway; 2],
    /// Two, each the other's follower.
    tier: [Gateway; 2],
    agents: [Agent; 2],
    _node: Peer,
    _etcd: Etcd,
    _folders: [TempDir; 3],
}

impl Region {
    fn start() -> Self {
        let folders = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let [ours, first, second] = &folders;
        let node = peers::node_exporter(ours.path());
        let scrapes = |job: &str| {
            format!(
                "global: {{scrape_interval: 1s}}\nscrape_configs:\n  - {{job_name: {job}, \
                 static_configs: [{{targets: ['{}']}}]}}\n",
                node.address
            )
        };
        // Who is to be watched is found in a file that is written once all run.
        let watch = |job: &str| {
            let file = ours.path().join(format!("{job}.json"));
            format!(
                "  - {{job_name: {job}, file_sd_configs: [{{files: ['{}']}}]}}\n",
                file.display()
            )
        };
        let config = format!(
            "global: {{scrape_interval: 1s}}\nscrape_configs:\n{}{}",
            watch("weir-gateway"),
            watch("weir-agent")
        );
        let backend = prometheus(&config, ours);
        let eager = format!(
            "windows: {{grace: 2s}}\nwal: {{checkpoint_interval: 1s, max_size: 1GiB}}\n\
             queue: {{max_size: 1GiB}}\nagents: [{{name: all, config_file: central.yml}}]\n\
             remote_write: [{{name: prometheus, url: '{}', kind: prometheus, {}}}]\n",
            backend.write_url(),
            peers::EAGER_QUEUE
        );
        let mut gateway = Gateway::prepare(&eager, RULES);
        fs::write(gateway.folder().join("central.yml"), scrapes("central")).expect("a file");
        gateway.launch();
        let federating =
            Gateway::start("windows: {grace: 2s}\nwal: {checkpoint_interval: 1s}\n", RULES);
        let own = format!(
            "{}remote_write: [{{name: tier, url: 'http://{}/api/v1/write', {}}}]\n",
            scrapes("node"),
            gateway.address(),
            peers::EAGER_QUEUE
        );
        let agents = [
            Agent::start(&own, first.path()),
            Agent::start_central(&format!("http://{}", gateway.address()), "c", &[], second.path()),
        ];
        let gateways = [gateway, federating];
        let destination = format!(
            "windows: {{grace: 2s}}\nwal: {{checkpoint_interval: 1s, max_size: 1GiB}}\n\
             queue: {{max_size: 1GiB}}\n\
             remote_write: [{{name: prometheus, url: '{}', kind: prometheus, {}}}]\n",
            backend.write_url(),
            peers::EAGER_QUEUE
        );
        let etcd = Etcd::start();
        let tier = followed(&etcd, &destination);
        let watched = gateways.iter().chain(&tier).map(Gateway::address);
        let watched: Vec<SocketAddr> = watched.collect();
        write_targets(ours, "weir-gateway", &watched);
        write_targets(ours, "weir-agent", &agents.each_ref().map(Agent::address));
        Self { backend, gateways, tier, agents, _node: node, _etcd: etcd, _folders: folders }
    }

    /// Names of all metrics that are on somebody's page.
    fn metrics(&self) -> BTreeSet<String> {
        let gateways = self.gateways.iter().chain(&self.tier).map(Gateway::metrics);
        let pages = gateways.chain(self.agents.iter().map(Agent::metrics));
        let lines = pages.flat_map(|page| page.0);
        lines.map(|line| line.labels["__name__"].clone()).collect()
    }

    /// Whether a query has an answer now.
    fn answers(&self, query: &Query) -> bool {
        let found = promql::query(self.backend.address, &query.expression, wait::now_ms());
        !found.unwrap_or_else(|e| panic!("{}: {e}", query.name)).is_empty()
    }
}

/// A tier of two in step with each other.
fn followed(etcd: &Etcd, config: &str) -> [Gateway; 2] {
    let url = etcd.url();
    let prepare = |name: &str| {
        let listen = lasting_address().expect("a free port");
        let cluster = format!(
            "cluster: {{name: {name}, listen: '{listen}', replication_factor: 2, \
             etcd: {{endpoints: ['{url}']}}}}\n"
        );
        Gateway::prepare(&format!("{config}{cluster}"), RULES)
    };
    let mut tier = ["gw-0", "gw-1"].map(prepare);
    tier.iter_mut().for_each(Gateway::spawn);
    tier.iter_mut().for_each(Gateway::wait_started);
    for gateway in &tier {
        gateway.wait_metrics("it is followed", WITHIN, |page| {
            page.count("weir_follower_in_step", &[]) == 1.0
        });
    }
    tier
}

/// A Prometheus that can be asked: its own metrics are there before that.
fn prometheus(config: &str, folder: &TempDir) -> Peer {
    let peer = peers::prometheus("prometheus", config, folder.path());
    wait::until("Prometheus is ready", WITHIN, || {
        let answer = http::get(peer.address, "/-/ready").map_err(|e| e.to_string())?;
        (answer.status == 200).then_some(()).ok_or_else(|| answer.text())
    });
    peer
}

fn write_targets(folder: &TempDir, job: &str, addresses: &[SocketAddr]) {
    let targets: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    let text = serde_json::json!([{"targets": targets}]).to_string();
    fs::write(folder.path().join(format!("{job}.json")), text).expect("a file");
}

/// What agents do not send: a sample that is refused, one that passes, and some for the other gateway.
fn send(region: &Region) {
    let now = wait::now_ms();
    let series = |n: &str| labels("sent", &[("job", "j"), ("instance", "i"), ("n", n)]);
    for gateway in &region.gateways {
        let samples =
            [Sample::new(&series("1"), now, 1.0), Sample::new(&labels("raw", &[]), now, 1.0)];
        let answer = sender::send_v1(gateway.address(), &samples).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    // Targets of both members, and groups of both.
    let of_tier = |n: u32| {
        let (instance, name) = (format!("h{n}"), format!("tier_{n}"));
        let labels = labels("sent", &[("job", &name), ("instance", &instance), ("n", "1")]);
        Sample::new(&labels, now, 1.0)
    };
    let samples: Vec<Sample> = (0..40).map(of_tier).collect();
    let answer = sender::send_v1(region.tier[0].address(), &samples).expect("an answer");
    assert_eq!(answer.status, 204, "{}", answer.text());
    // More than windows.future_max ahead.
    let ahead = [Sample::new(&series("2"), now + 3_600_000, 1.0)];
    let answer = sender::send_v1(region.gateways[0].address(), &ahead).expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text());
}

fn names(queries: &[Query]) -> String {
    let lines = queries.iter().map(|query| format!("{}: {}", query.name, query.expression));
    lines.collect::<Vec<_>>().join("\n  ")
}

#[test]
fn dashboards_show_and_alerts_watch_what_there_is() {
    let region = Region::start();
    let (dashboards, alerts) = (queries::of_dashboards("10s"), queries::of_alerts());
    let known: BTreeSet<&str> = dashboards.iter().map(|query| query.name.as_str()).collect();
    for name in EMPTY_WHEN_WELL {
        assert!(known.contains(name), "{name} is no query");
    }
    let is_listed = |query: &Query| EMPTY_WHEN_WELL.contains(&query.name.as_str());
    let (quiet, mut open): (Vec<Query>, Vec<Query>) = dashboards.into_iter().partition(is_listed);
    wait::until("every panel shows something", WITHIN, || {
        send(&region);
        open.retain(|query| !region.answers(query));
        open.is_empty().then_some(()).ok_or_else(|| format!("\n  {}", names(&open)))
    });
    let unprovoked = alerts.into_iter().filter(|query| !PROVOKED.contains(&query.name.as_str()));
    let mut up: Vec<Query> = unprovoked.chain(quiet).collect();
    wait::until("no alert is up, and no panel shows trouble", WITHIN, || {
        up.retain(|query| region.answers(query));
        up.is_empty().then_some(()).ok_or_else(|| format!("\n  {}", names(&up)))
    });
    assert_metrics_are_there(&region);
}

/// Every metric that a query names is on a page, also where the query is empty.
fn assert_metrics_are_there(region: &Region) {
    let there = region.metrics();
    let mut missing = BTreeSet::new();
    for query in queries::of_dashboards("10s").into_iter().chain(queries::of_alerts()) {
        for metric in query.metrics() {
            if !there.contains(metric) {
                missing.insert(format!("{metric} ({})", query.name));
            }
        }
    }
    crate::files::assert_none(&missing.into_iter().collect::<Vec<_>>());
}
