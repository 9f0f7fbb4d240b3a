//! Agents keep what they have sent until the gateway has delivered what came of it: a gateway whose
//! disk is lost gets again what only that disk had, and says no window twice.
//!
//! What the backend has in the end is compared with what the target served, and windows with what the
//! raw series, which pass through, say of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::counting_target::CountingTarget;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::samples::{Sample, is_stale, name};
use weir_tests::wait;

const SOON: Duration = Duration::from_secs(90);
/// As long as the agent may take to come back to a gateway that has begun anew.
const GRACE: &str = "12s";
const WINDOW_MS: i64 = 2_000;
const RULES: &str = "- {match: ticks_total, interval: 2s, by: [job], staleness_interval: 4s, \
                     outputs: [total, count_samples]}\n";
const TOTAL: &str = "ticks_total:2s_by_job_total";
const COUNT: &str = "ticks_total:2s_by_job_count_samples";

const QUICK: &str = "{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 300ms}";

/// Scrapes the target so often, and sends to these.
fn agent_config(target: &CountingTarget, every: &str, to: &[(&str, String)]) -> String {
    let mut config = format!(
        "global: {{scrape_interval: {every}, scrape_timeout: {every}}}\n\
         scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{}']}}]}}]\n\
         remote_write:\n",
        target.address()
    );
    for (name, url) in to {
        config.push_str(&format!(
            "  - {{name: {name}, url: '{url}', remote_timeout: 2s, queue_config: {QUICK}}}\n"
        ));
    }
    config
}

fn write_url(gateway: &Gateway) -> String {
    format!("http://{}/api/v1/write", gateway.address())
}

/// Waits until so many more whole pages were served.
fn serve(target: &CountingTarget, more: usize) {
    let before = target.served().len();
    wait::until_true("pages are served", SOON, || target.served().len() >= before + more);
}

/// A metric of one destination.
fn of(agent: &Agent, metric: &str, destination: &str) -> f64 {
    agent.metrics().count(metric, &[("remote_name", destination)])
}

/// The pages that a receiver has, by their time: the number that each series of a page has.
fn pages(all: &[Sample]) -> BTreeMap<i64, u64> {
    let mut pages = BTreeMap::new();
    for sample in all.iter().filter(|s| name(&s.labels) == "filler" && !is_stale(s.value)) {
        let before = pages.insert(sample.timestamp, sample.value as u64);
        assert!(before.is_none_or(|number| number == sample.value as u64), "{sample:?}");
    }
    pages
}

/// How many pages of those that were served are missing.
fn missing(target: &CountingTarget, all: &[Sample]) -> usize {
    let delivered: BTreeSet<u64> = pages(all).into_values().collect();
    let served: BTreeSet<u64> = target.served().into_iter().collect();
    served.difference(&delivered).count()
}

/// The samples of an output; a timestamp that came with two values is an error.
fn output(all: &[Sample], metric: &str) -> BTreeMap<i64, f64> {
    let mut said = BTreeMap::new();
    for sample in all.iter().filter(|s| name(&s.labels) == metric && !is_stale(s.value)) {
        let before = said.insert(sample.timestamp, sample.value);
        assert!(before.is_none_or(|value| value == sample.value), "two values: {sample:?}");
    }
    said
}

/// Every window from the second to the last that was said has the increase and the number of samples
/// that the pages say. Returns how many windows these are.
fn compare_windows(all: &[Sample]) -> usize {
    let (pages, totals, counts) = (pages(all), output(all, TOTAL), output(all, COUNT));
    let at = |time: i64| pages.range(..=time).next_back().map(|(_, number)| *number as f64);
    let mut increases: BTreeMap<i64, f64> = BTreeMap::new();
    let mut last: Option<f64> = None;
    for (&time, &value) in &totals {
        let window = time.div_euclid(WINDOW_MS) * WINDOW_MS;
        let end = if window == time { time } else { window + WINDOW_MS };
        let grown = last.map_or(0.0, |last| if value < last { value } else { value - last });
        *increases.entry(end).or_default() += grown;
        last = Some(value);
    }
    let (first, newest) = (counts.keys().next(), counts.keys().next_back());
    let (first, newest) = (*first.expect("a window"), *newest.expect("a window"));
    let mut compared = 0;
    for end in (first + WINDOW_MS..=newest).step_by(WINDOW_MS as usize) {
        let served = pages.range(end - WINDOW_MS + 1..=end).count();
        let (before, after) = (at(end - WINDOW_MS), at(end));
        let grown = before.zip(after).map(|(before, after)| after - before);
        assert_eq!(counts.get(&end).copied().unwrap_or(0.0), served as f64, "samples to {end}");
        assert_eq!(increases.get(&end).copied().or(Some(0.0)), grown, "increase to {end}");
        compared += 1;
    }
    compared
}

/// Waits until the backend has so many windows.
fn wait_count(backend: &Backend, windows: usize) {
    wait::until("enough windows are delivered", SOON, || {
        let seen = output(&backend.samples(), COUNT).len();
        (seen >= windows).then_some(()).ok_or_else(|| format!("{seen} of {windows}"))
    });
}

/// Waits until the backend has the windows up to now.
fn wait_windows(backend: &Backend) {
    let now = wait::now_ms();
    wait::until("windows are delivered", SOON, || {
        let newest = output(&backend.samples(), COUNT).keys().next_back().copied();
        let reached = newest.filter(|newest| *newest >= now);
        reached.map(|_| ()).ok_or_else(|| format!("the newest is {newest:?}, now was {now}"))
    });
}

#[test]
fn what_a_lost_disk_had_comes_again_and_every_window_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend, stock) = (CountingTarget::start(3), Backend::start(), Backend::start());
    let mut gateway = Gateway::start(&sending_to(&backend.url(), GRACE, ""), RULES);
    let to = [("weir", write_url(&gateway)), ("stock", stock.url())];
    let mut agent = Agent::start(&agent_config(&target, "500ms", &to), folder.path());
    wait_windows(&backend);
    backend.answer_all(503);
    // What was delivered until then, the agent is told.
    wait::until("the agent knows of the delivered windows", SOON, || {
        let through = of(&agent, "weir_agent_delivered_through_seconds", "weir");
        let newest = output(&backend.samples(), COUNT).keys().next_back().copied();
        let newest = newest.expect("a window") as f64 / 1e3;
        (through >= newest).then_some(()).ok_or_else(|| format!("{through} of {newest}"))
    });
    serve(&target, 20);
    agent.crash_and_restart();
    serve(&target, 10);
    let held = of(&agent, "weir_agent_retained_frames", "weir");
    // A frame has the scrapes of a second: two.
    assert!(held >= 10.0, "{held} frames are held");
    assert_eq!(of(&agent, "weir_agent_retained_frames", "stock"), 0.0, "it releases at once");
    gateway.lose_disk();
    serve(&target, 3);
    gateway.spawn();
    gateway.wait_ready();
    wait::until_true("the agent sends again", SOON, || {
        agent.metrics().count("weir_agent_resends_total", &[]) == 1.0
    });
    let resent = agent.metrics().count("weir_agent_resent_frames_total", &[]);
    assert!(resent >= 10.0, "{resent} frames were sent again");
    serve(&target, 10);
    let peak = of(&agent, "weir_agent_retained_frames", "weir");
    backend.accept_all();
    wait_windows(&backend);
    wait::until("what is delivered is released", SOON, || {
        let held = of(&agent, "weir_agent_retained_frames", "weir");
        (held < peak * 0.75).then_some(()).ok_or_else(|| format!("{held} of {peak}"))
    });
    gateway.assert_audited();
    let late = gateway.metrics().count("weir_samples_total", &[("class", "late")]);
    assert_eq!(late, 0.0, "nothing that came again was late");
    wait_count(&backend, 12);
    agent.stop();
    wait::until_true("raw series arrive", SOON, || missing(&target, &backend.samples()) <= 3);
    // A kill of the agent costs it the pages of its second, and the one in hand.
    assert!(missing(&target, &stock.samples()) <= 3);
    let compared = compare_windows(&backend.samples());
    assert!(compared >= 8, "{compared} windows were compared");
}

#[test]
fn an_unchanged_disk_gets_nothing_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(3), Backend::start());
    let mut gateway = Gateway::start(&sending_to(&backend.url(), GRACE, ""), RULES);
    let to = [("weir", write_url(&gateway))];
    let mut agent = Agent::start(&agent_config(&target, "500ms", &to), folder.path());
    wait_windows(&backend);
    let held = of(&agent, "weir_agent_retained_frames", "weir");
    assert!(held > 0.0, "what feeds open windows is held");
    gateway.crash_and_restart();
    serve(&target, 4);
    agent.crash_and_restart();
    wait_windows(&backend);
    wait_count(&backend, 8);
    assert_eq!(agent.metrics().count("weir_agent_resends_total", &[]), 0.0);
    agent.stop();
    gateway.assert_audited();
    let all = backend.samples();
    assert!(missing(&target, &all) <= 3);
    assert!(compare_windows(&all) >= 5);
}

#[test]
fn a_full_buffer_gives_up_what_was_acknowledged_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start_noisy(3, 10_000), Backend::start());
    backend.answer_all(503);
    let gateway = Gateway::start(&sending_to(&backend.url(), GRACE, ""), "");
    let config = agent_config(&target, "500ms", &[("weir", write_url(&gateway))]);
    let agent = Agent::start_with(&config, folder.path(), &["--buffer.max-size=16MiB"]);
    // It fills slowly, so that a busy gateway has acknowledged what must make room.
    wait::until_true("the buffer is full", 2 * SOON, || {
        let given_up = "weir_agent_retained_given_up_frames_total";
        agent.metrics().count(given_up, &[("reason", "size")]) >= 10.0
    });
    let page = agent.metrics();
    assert!(page.count("weir_agent_retained_frames", &[]) > 0.0, "the newest are held");
    assert_eq!(page.count("weir_agent_samples_refused_total", &[]), 0.0);
    assert_eq!(page.count("prometheus_remote_storage_samples_dropped_total", &[]), 0.0);
}
