//! An agent whose clock is wrong: what it stamps is taken by its timestamps, refused or late as the
//! documents say, each sample once, and it goes on as soon as the clock is right.
//!
//! The clock is libfaketime's, the agent's alone. What arrives is compared with what the target served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::clocks::Clock;
use weir_tests::counting_target::CountingTarget;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::samples::{Sample, is_stale, name};
use weir_tests::{packages, wait};

const SOON: Duration = Duration::from_secs(90);
const RULES: &str = "- {match: ticks_total, interval: 2s, by: [job], outputs: [count_samples]}\n";
const COUNT: &str = "ticks_total:2s_by_job_count_samples";
/// Past `windows.future_max`, which is ten minutes.
const FAR_AHEAD: i64 = 1_200;
/// Behind the frontier, which is `grace` behind; and as far ahead.
const AWAY: i64 = 20;

/// The samples of a metric that are no stale markers.
fn of<'a>(all: &'a [Sample], metric: &'a str) -> impl Iterator<Item = &'a Sample> {
    all.iter().filter(move |s| name(&s.labels) == metric && !is_stale(s.value))
}

/// The numbers of the pages that have arrived: `filler` passes through.
fn pages(all: &[Sample]) -> BTreeSet<u64> {
    of(all, "filler").map(|s| s.value as u64).collect()
}

/// Waits until so many more pages are served, and until the last of them has arrived.
fn wait_page(target: &CountingTarget, backend: &Backend, more: usize) {
    let before = target.served().len();
    wait::until_true("pages are served", SOON, || target.served().len() >= before + more);
    let page = target.served()[before + more - 1];
    wait::until_true("the page arrives", SOON, || {
        pages(&backend.samples()).last().is_some_and(|&last| last >= page)
    });
}

#[test]
fn an_agent_whose_clock_is_wrong_goes_on_when_it_is_right_and_nothing_counts_twice() {
    packages::find("faketime");
    let (backend, target) = (Backend::start(), CountingTarget::start(1));
    let gateway = Gateway::start(&sending_to(&backend.url(), "4s", ""), RULES);
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::find(folder.path()).expect("its library is installed");
    let config = format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 450ms}}\n\
         scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{}']}}]}}]\n\
         remote_write:\n  - url: http://{}/api/v1/write\n    queue_config: \
         {{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 300ms}}\n",
        target.address(),
        gateway.address()
    );
    let agent = Agent::start_with_clock(&config, folder.path(), clock.clone());
    let count = |metric: &str| gateway.metrics().count(metric, &[]);
    wait_page(&target, &backend, 3);

    clock.set(FAR_AHEAD).expect("it is set");
    let first_ahead = target.served().len();
    wait::until_true("what is too far ahead is refused", SOON, || {
        count("weir_refused_samples_total") > 0.0
    });
    clock.set(0).expect("it is set");
    wait_page(&target, &backend, 3);
    let refused = first_ahead..target.served().len();

    clock.set(-AWAY).expect("it is set");
    wait::until_true("what is behind the frontier is late", SOON, || {
        count("weir_rule_late_samples_total") > 0.0
    });
    clock.set(0).expect("it is set");
    wait_page(&target, &backend, 3);

    clock.set(AWAY).expect("it is set");
    wait::until_true("what is a little ahead is taken", SOON, || {
        let ahead = wait::now_ms() + AWAY * 500;
        of(&backend.samples(), "filler").any(|s| s.timestamp > ahead)
    });
    clock.set(0).expect("it is set");
    wait_page(&target, &backend, 3);
    assert!(!agent.log().contains("panicked"), "{}", agent.log());
    let served = target.served();
    // Killed: without stale markers, which may be late as well.
    drop(agent);

    wait::until("every sample is in a window or late", SOON, || {
        let all = backend.samples();
        let arrived = pages(&all).len() as f64;
        let windows: BTreeMap<i64, f64> = of(&all, COUNT).map(|s| (s.timestamp, s.value)).collect();
        assert_eq!(windows.len(), of(&all, COUNT).count(), "a window is said twice");
        let counted: f64 = windows.values().sum();
        let late = count("weir_rule_late_samples_total");
        let all_there = counted <= arrived && counted + late >= arrived;
        all_there.then_some(()).ok_or_else(|| format!("{counted} + {late} late of {arrived}"))
    });
    let arrived = pages(&backend.samples());
    let missing = |(at, page): &(usize, &u64)| !arrived.contains(page) && !refused.contains(at);
    // The last pages may be in the kill's beat.
    let newest = arrived.last().copied().unwrap_or_default();
    let seen = served.iter().enumerate().filter(|(_, page)| **page <= newest);
    let lost: Vec<(usize, &u64)> = seen.filter(missing).collect();
    // On a busy machine a page that was served whole may be read too late: then `up` says so.
    let failed = of(&backend.samples(), "up").filter(|s| s.value == 0.0).count();
    assert!(lost.len() <= failed, "{lost:?} of {served:?}; {failed} failed; ahead {refused:?}");
    gateway.assert_audited();
}
