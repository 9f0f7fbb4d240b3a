//! Whatever fails beside the agent, it loses nothing but what its design allows, and says what.
//!
//! Each test compares what the backend has in the end with what the targets served: their pages
//! are numbered. `receivers` are the other side of sending, `targets` that of scraping, `disk` is
//! what lies under the buffer, `failover` has two real gateways.

mod disk;
mod failover;
mod receivers;
mod targets;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::counting_target::CountingTarget;
use weir_tests::samples::{self, Sample, is_stale};
use weir_tests::wait;

const SOON: Duration = Duration::from_secs(60);

/// Scrapes these targets, a job for each, twice a second.
fn scraping(targets: &[&CountingTarget]) -> String {
    let mut config = "global: {scrape_interval: 500ms, scrape_timeout: 400ms}\n\
                      scrape_configs:\n"
        .to_owned();
    for (number, target) in targets.iter().enumerate() {
        config.push_str(&format!(
            "  - {{job_name: job{number}, static_configs: [{{targets: ['{}']}}]}}\n",
            target.address()
        ));
    }
    config
}

const QUICK: &str = "{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 300ms}";

/// The same, and sends to this URL.
fn config(targets: &[&CountingTarget], url: &str) -> String {
    let scraping = scraping(targets);
    format!(
        "{scraping}remote_write:\n  - {{url: '{url}', remote_timeout: 1s, queue_config: {QUICK}}}\n"
    )
}

/// The samples of one job, by metric.
fn of_job<'a>(all: &'a [Sample], job: &str, metric: &str) -> impl Iterator<Item = &'a Sample> {
    let is_mine = move |s: &&Sample| {
        samples::name(&s.labels) == metric && s.labels.get("job").is_some_and(|j| j == job)
    };
    all.iter().filter(is_mine)
}

/// Waits until so many more whole pages were served.
fn serve(target: &CountingTarget, more: usize) {
    let before = target.served().len();
    wait::until_true("pages are served", SOON, || target.served().len() >= before + more);
}

/// Waits until the newest `up` of a job is this.
fn wait_up(backend: &Backend, job: &str, up: f64) {
    let what = format!("up of {job} is {up}");
    wait::until_true(&what, SOON, || {
        let all = backend.samples();
        let newest = of_job(&all, job, "up").max_by_key(|s| s.timestamp).map(|s| s.value);
        newest == Some(up)
    });
}

/// Waits until the agent has caught up.
fn wait_delivered(agent: &Agent) {
    wait::until_true("the backlog is delivered", SOON, || {
        agent.metrics().get("weir_agent_send_lag_frames", &[]).is_some_and(|lag| lag == 0.0)
    });
}

/// Stops the agent once it has caught up, and compares.
fn stop_and_compare(agent: Agent, target: &CountingTarget, backend: &Backend, job: &str) -> usize {
    wait_delivered(&agent);
    agent.stop();
    compare(&target.served(), &backend.samples(), job)
}

/// Every page that is there is one that was served, whole, under one timestamp and with one value for
/// each series, and in order. Returns how many are missing.
fn compare(served: &[u64], all: &[Sample], job: &str) -> usize {
    missing(served, all, job).len()
}

/// [`compare`], and which ones are missing.
fn missing(served: &[u64], all: &[Sample], job: &str) -> BTreeSet<u64> {
    let mut numbered = BTreeMap::new();
    let pages = pages(all, job);
    let series = pages.values().map(BTreeMap::len).max().unwrap_or_default();
    for (timestamp, page) in &pages {
        assert_eq!(page.len(), series, "the page of {timestamp} came in part");
        let numbers: BTreeSet<u64> = page.values().flatten().copied().collect();
        assert_eq!(numbers.len(), 1, "two pages under one timestamp {timestamp}: {numbers:?}");
        numbered.extend(numbers.into_iter().map(|number| (*timestamp, number)));
    }
    let numbers: Vec<u64> = numbered.values().copied().collect();
    assert!(numbers.is_sorted(), "time and numbers of pages disagree: {numbers:?}");
    let invented: Vec<&u64> = numbers.iter().filter(|number| !served.contains(number)).collect();
    assert!(invented.is_empty(), "pages that were not served whole: {invented:?}");
    unexcused(served, &numbered, all, job)
}

/// A job's samples by time and series.
fn pages(all: &[Sample], job: &str) -> BTreeMap<i64, BTreeMap<String, BTreeSet<u64>>> {
    let mut pages: BTreeMap<i64, BTreeMap<String, BTreeSet<u64>>> = BTreeMap::new();
    for metric in ["ticks_total", "filler"] {
        for sample in of_job(all, job, metric).filter(|s| !is_stale(s.value)) {
            let page = pages.entry(sample.timestamp).or_default();
            let values = page.entry(samples::display(&sample.labels)).or_default();
            values.insert(sample.value as u64);
        }
    }
    pages
}

/// The pages that were served and are not there, but for those of scrapes that failed in the same gap by what
/// `up` says: on a busy machine a page that was served whole may be read too late.
fn unexcused(
    served: &[u64],
    delivered: &BTreeMap<i64, u64>,
    all: &[Sample],
    job: &str,
) -> BTreeSet<u64> {
    let failed: Vec<i64> =
        of_job(all, job, "up").filter(|s| s.value == 0.0).map(|s| s.timestamp).collect();
    let ends = [(i64::MIN, 0), (i64::MAX, u64::MAX)];
    let edges: BTreeMap<i64, u64> = delivered.iter().map(|(t, n)| (*t, *n)).chain(ends).collect();
    let mut missing = BTreeSet::new();
    for ((from, first), (to, last)) in edges.iter().zip(edges.iter().skip(1)) {
        let absent = served.iter().filter(|number| (first + 1..*last).contains(number));
        let excuses = failed.iter().filter(|at| (from..to).contains(at)).count();
        missing.extend(absent.skip(excuses));
    }
    missing
}
