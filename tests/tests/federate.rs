//! Without any destination the outputs stand at `/federate`, with their timestamps, and a real
//! Prometheus scrapes them: every window, however seldom it comes.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_tests::gateway::Gateway;
use weir_tests::metrics::Page;
use weir_tests::peers::Peer;
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

/// A Prometheus that has scraped the gateway once.
fn scraping(gateway: &Gateway, interval: &str) -> Peer {
    let config = format!(
        "global: {{scrape_interval: {interval}, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: weir\n    \
         honor_labels: true\n    metrics_path: /federate\n    params: {{'match[]': ['{{__name__!=\"\"}}']}}\n    \
         static_configs: [{{targets: ['{}']}}]\n",
        gateway.address()
    );
    let prometheus = peers::prometheus("prometheus", &config, gateway.folder());
    // Its discovery takes seconds before the first scrape.
    wait::until("Prometheus scrapes", SOON, || {
        let up = promql::query(prometheus.address, "up{job=\"weir\"}", wait::now_ms())?;
        let scraped = up.iter().any(|(_, value)| *value == 1.0);
        scraped.then_some(()).ok_or_else(|| format!("{up:?}"))
    });
    prometheus
}

/// Windows of one second, a scrape every five, and a kill in between.
#[test]
fn a_scraper_that_comes_seldom_gets_every_window() {
    let rules = "- {match: in_flight, interval: 1s, by: [job], outputs: [sum_last]}\n";
    let mut gateway = Gateway::start("windows: {grace: 3s}\n", rules);
    let prometheus = scraping(&gateway, "5s");
    let series = labels("in_flight", &[("instance", "a:1"), ("job", "j")]);
    let mut expected = BTreeMap::new();
    let began = (wait::now_ms() / 1000 + 1) * 1000;
    for second in 1..=16 {
        let at = began + second * 1000 - 300;
        wait::for_clock(at);
        let sample = Sample::new(&series, at, second as f64);
        sender::send_until_acknowledged(gateway.address(), &[sample], SOON);
        expected.insert(began + second * 1000, second as f64);
        if second == 9 {
            gateway.crash_and_restart();
        }
    }
    let name = "in_flight:1s_by_job_sum_last";
    wait::until("Prometheus has every window", SOON, || {
        let to = wait::now_ms();
        let stored = promql::raw_samples(prometheus.address, name, began, to)?;
        let (labels, samples) = stored.0.iter().next().ok_or("nothing is there")?;
        assert_eq!(labels.get("instance"), None, "the gateway is not the series' instance");
        let windows: BTreeMap<i64, f64> =
            samples.range(..=began + 16_000).map(|(t, v)| (*t, *v)).collect();
        if windows == expected { Ok(()) } else { Err(format!("{windows:?}, not {expected:?}")) }
    });
}

/// What Prometheus's own `/federate` says of a series without an instance, so does ours.
#[test]
fn a_series_without_an_instance_says_so_as_in_prometheus() {
    let gateway = Gateway::start("windows: {grace: 1s}\n", "");
    let prometheus = peers::prometheus("prometheus", "global: {}\n", gateway.folder());
    let now = wait::now_ms();
    let pairs: [&[(&str, &str)]; 2] = [&[("job", "j")], &[("instance", "a:1"), ("job", "j")]];
    let samples: Vec<Sample> =
        pairs.iter().map(|pairs| Sample::new(&labels("plain", pairs), now, 1.5)).collect();
    let read = |address| {
        wait::until("the page has the series", SOON, || {
            let answer =
                http::get(address, "/federate?match[]=plain").map_err(|e| e.to_string())?;
            let page = Page::parse(&answer.text());
            let mut lines: Vec<_> = page.0.iter().map(|l| (l.labels.clone(), l.value)).collect();
            lines.sort_by(|a, b| a.0.cmp(&b.0));
            if lines.len() == 2 { Ok(lines) } else { Err(answer.text()) }
        })
    };
    for address in [gateway.address(), prometheus.address] {
        let answer = sender::send_v1(address, &samples).expect("an answer");
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    let (ours, theirs) = (read(gateway.address()), read(prometheus.address));
    assert_eq!(ours, theirs);
    assert!(theirs.iter().any(|(labels, _)| labels.get("instance").is_some_and(String::is_empty)));
}

#[test]
fn a_real_prometheus_scrapes_them() {
    let mut gateway = Gateway::start("windows: {grace: 1s}\n", RULES);
    let prometheus = scraping(&gateway, "1s");
    let listen = prometheus.address;
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
