//! Without any destination the newest outputs stand at `/federate`, with their timestamps, and a
//! real Prometheus scrapes them.

use std::time::Duration;

use weir_tests::gateway::Gateway;
use weir_tests::metrics::Page;
use weir_tests::samples::{Sample, labels};
use weir_tests::{http, peers, promql, sender, wait};

const SOON: Duration = Duration::from_secs(60);
const RULES: &str = "- match: in_flight\n  interval: 2s\n  without: [instance]\n  outputs: [sum_last, count_series]\n";
const SUM: &str = "in_flight:2s_without_instance_sum_last";

fn say(gateway: &Gateway, values: [f64; 2]) -> i64 {
    let now = wait::now_ms();
    let series = |instance: &str| labels("in_flight", &[("instance", instance), ("job", "j")]);
    let samples =
        [Sample::new(&series("a:1"), now, values[0]), Sample::new(&series("b:1"), now, values[1])];
    sender::send_until_acknowledged(gateway.address(), &samples, SOON);
    (now + 1999).div_euclid(2000) * 2000
}

#[test]
fn outputs_stand_at_federate_with_the_ends_of_their_windows() {
    let gateway = Gateway::start("windows: {grace: 1s}\n", RULES);
    let end = say(&gateway, [3.0, 4.0]);
    gateway.wait_frontier(end, SOON);
    let path = format!("/federate?match[]={}", promql::escape("{__name__=~\"in_flight:.*\"}"));
    let page = wait::until("the outputs are there", SOON, || {
        let answer = http::get(gateway.address(), &path).map_err(|e| e.to_string())?;
        let page = Page::parse(&answer.text());
        page.get(SUM, &[("job", "j")]).map(|_| page).ok_or_else(|| answer.text())
    });
    assert_eq!(page.get(SUM, &[]), Some(7.0));
    assert_eq!(page.get("in_flight:2s_without_instance_count_series", &[]), Some(2.0));
    for line in &page.0 {
        let timestamp = line.timestamp.expect("a timestamp");
        assert!(timestamp >= end && timestamp % 2000 == 0, "{line:?}");
    }
    let nothing = format!("/federate?match[]={}", promql::escape("{__name__=\"nothing\"}"));
    assert!(
        http::get(gateway.address(), &nothing).unwrap().text().lines().all(|l| l.starts_with('#'))
    );
    gateway.assert_audited();
}

#[test]
fn a_real_prometheus_scrapes_them() {
    let mut gateway = Gateway::start("windows: {grace: 1s}\n", RULES);
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: weir\n    \
         honor_labels: true\n    metrics_path: /federate\n    params: {{'match[]': ['{{__name__!=\"\"}}']}}\n    \
         static_configs: [{{targets: ['{}']}}]\n",
        gateway.address()
    );
    let prometheus = peers::prometheus("prometheus", &config, gateway.folder());
    let listen = prometheus.address;
    // Its discovery takes seconds before the first scrape.
    wait::until("Prometheus scrapes", SOON, || {
        let up = promql::query(listen, "up{job=\"weir\"}", wait::now_ms())?;
        let scraped = up.iter().any(|(_, value)| *value == 1.0);
        scraped.then_some(()).ok_or_else(|| format!("{up:?}"))
    });
    let mut ends = Vec::new();
    for (round, values) in [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]].into_iter().enumerate() {
        let end = say(&gateway, values);
        ends.push((end, values[0] + values[1]));
        gateway.wait_frontier(end, SOON);
        wait_stored(listen, end, values[0] + values[1]);
        if round == 1 {
            gateway.crash_and_restart();
        }
    }
    for (end, value) in ends {
        wait_stored(listen, end, value);
    }
}

/// Waits until Prometheus has this value at this very time.
fn wait_stored(prometheus: std::net::SocketAddr, end: i64, value: f64) {
    wait::until(&format!("{SUM} of {end} is in Prometheus"), SOON, || {
        let stored = promql::raw_samples(prometheus, SUM, end - 30_000, end)?;
        let found = stored.0.values().find_map(|samples| samples.get(&end).copied());
        (found == Some(value)).then_some(()).ok_or_else(|| format!("{stored:?}"))
    });
}
