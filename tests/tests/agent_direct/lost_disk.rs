//! A member of a tier loses its disk while the backend is away: agents send again what it had, the others
//! tell it again what they had told it, and every window of every output is right and said once.
//!
//! What must have come out is computed from the pages that targets served; when each was scraped say series
//! that pass as they come.

use std::collections::BTreeMap;

use weir_tests::metrics::Page;
use weir_tests::samples::{Sample, is_stale, name};
use weir_tests::{tier, wait};

use crate::stage::{GATEWAYS, SOON, Stage, pages};

const WINDOW_MS: i64 = 2_000;
const RULES: &str = "- {match: ticks_total, interval: 2s, by: [job], staleness_interval: 4s, \
                     outputs: [total, count_samples]}\n\
                     - {match: ticks_total, interval: 2s, by: [instance], staleness_interval: 4s, \
                     outputs: [total, count_samples]}\n";
const OF_ALL: &str = "ticks_total:2s_by_job";
const OF_EACH: &str = "ticks_total:2s_by_instance";
/// Neither the one that the agent knows from its configuration, nor the last.
const LOST: usize = 1;

/// The samples of one output of a group; a timestamp that came with two values is an error.
fn output(all: &[Sample], metric: &str, instance: Option<&str>) -> BTreeMap<i64, f64> {
    let is_own = |s: &&Sample| s.labels.get("instance").map(|own| own.as_ref()) == instance;
    let mut said = BTreeMap::new();
    for sample in all.iter().filter(|s| name(&s.labels) == metric && !is_stale(s.value)) {
        if is_own(&sample) {
            let before = said.insert(sample.timestamp, sample.value);
            assert!(before.is_none_or(|value| value == sample.value), "two values: {sample:?}");
        }
    }
    said
}

/// By how much a total grew in each window; one that begins anew says a 0 first.
fn increases(totals: &BTreeMap<i64, f64>) -> BTreeMap<i64, f64> {
    let (mut all, mut last): (BTreeMap<i64, f64>, Option<f64>) = Default::default();
    for (&time, &value) in totals {
        let grown = last.map_or(0.0, |last| if value < last { value } else { value - last });
        let window = time.div_euclid(WINDOW_MS) * WINDOW_MS;
        let end = if window == time { time } else { window + WINDOW_MS };
        *all.entry(end).or_default() += grown;
        last = Some(value);
    }
    all
}

/// Every window of a group, from when all its instances have been scraped to the last that was said, has what
/// their pages say. How many windows these are.
fn compare(
    all: &[Sample],
    prefix: &str,
    instance: Option<&str>,
    of: &[BTreeMap<i64, u64>],
) -> usize {
    let counts = output(all, &format!("{prefix}_count_samples"), instance);
    let grown = increases(&output(all, &format!("{prefix}_total"), instance));
    let (first, newest) = (counts.keys().next(), counts.keys().next_back());
    let (first, newest) = (*first.expect("a window"), *newest.expect("a window"));
    // The first page of a target counts nothing.
    let seen = of.iter().filter_map(|pages| pages.keys().next()).max().copied().unwrap_or(first);
    let first = first.max(seen - seen.rem_euclid(WINDOW_MS) + WINDOW_MS);
    let ends = (first + WINDOW_MS..=newest).step_by(WINDOW_MS as usize);
    let mut wrong = Vec::new();
    for end in ends.clone() {
        let served: usize = of.iter().map(|p| p.range(end - WINDOW_MS + 1..=end).count()).sum();
        let at = |pages: &BTreeMap<i64, u64>, time| {
            pages.range(..=time).next_back().map_or(0.0, |(_, &number)| number as f64)
        };
        let expected: f64 = of.iter().map(|p| at(p, end) - at(p, end - WINDOW_MS)).sum();
        let (got, expected) = ((counts.get(&end), grown.get(&end)), (served as f64, expected));
        if got != (Some(&expected.0), Some(&expected.1)) {
            wrong.push(format!("to {end}: {got:?}, not {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{prefix} of {instance:?} from {first} to {newest}: {wrong:#?}");
    ends.count()
}

/// The window that all outputs have come to.
fn reached(stage: &Stage) -> i64 {
    let all = stage.backend.samples();
    let newest = |instance: Option<&str>| {
        let prefix = if instance.is_some() { OF_EACH } else { OF_ALL };
        let said = output(&all, &format!("{prefix}_count_samples"), instance);
        said.keys().next_back().copied().unwrap_or(0)
    };
    let each = stage.targets.iter().map(|(instance, _)| newest(Some(instance)));
    each.chain([newest(None)]).min().unwrap_or(0)
}

/// The newest window of any output.
fn newest(stage: &Stage) -> i64 {
    let all = stage.backend.samples();
    let said = all.iter().filter(|s| name(&s.labels).ends_with("_count_samples"));
    said.map(|s| s.timestamp).max().unwrap_or(0)
}

fn wait_windows(stage: &Stage) {
    let now = wait::now_ms();
    wait::until("windows are delivered", SOON, || {
        let reached = reached(stage);
        (reached >= now).then_some(()).ok_or_else(|| format!("{} ms to go", now - reached))
    });
}

fn of_branch(stage: &Stage, metric: &str, number: usize) -> f64 {
    let branch = format!("tier/{}", tier::name(number));
    stage.agent.metrics().count(metric, &[("remote_name", branch.as_str())])
}

/// The backend goes away at a moment at which the agent knows of all that it has.
fn go_away(stage: &Stage) {
    wait::until("the agent knows what is delivered", SOON, || {
        let is_even = || {
            let page = &stage.tier.metrics()[LOST];
            let through = page.count("weir_custody_delivered_through_seconds", &[]);
            reached(stage) == newest(stage) && (through * 1e3).round() as i64 == newest(stage)
        };
        wait::until_true("all outputs are as far", SOON, is_even);
        stage.backend.answer_all(503);
        let knows = || {
            let through = of_branch(stage, "weir_agent_delivered_through_seconds", LOST);
            (through * 1e3).round() as i64 >= newest(stage)
        };
        if wait::perhaps(std::time::Duration::from_secs(12), knows) {
            return Ok(());
        }
        let through = of_branch(stage, "weir_agent_delivered_through_seconds", LOST);
        let known = format!("{} ms short", newest(stage) - (through * 1e3) as i64);
        stage.backend.accept_all();
        wait_windows(stage);
        Err(known)
    });
}

#[test]
fn what_a_member_s_lost_disk_had_comes_again_and_every_window_is_right() {
    let mut stage = Stage::start(RULES, "");
    stage.wait_direct();
    wait_windows(&stage);
    wait::until_true("what each member got is kept", SOON, || {
        (0..GATEWAYS).all(|at| of_branch(&stage, "weir_agent_retained_frames", at) > 0.0)
    });
    wait_windows(&stage);
    let told = |direction| {
        let page = &stage.tier.metrics()[LOST];
        page.count("weir_partials_rows_total", &[("direction", direction)])
    };
    assert!(told("in") > 0.0 && told("out") > 0.0, "groups live here and elsewhere");
    go_away(&stage);
    let away = newest(&stage);
    stage.serve(16);
    // Once its streams stood still while a member lost its disk, and it was not told again what had come before.
    wait::until_true("windows are closed that are not delivered", SOON, || {
        let frontier = |page: &Page| (page.count("weir_frontier_seconds", &[]) * 1e3) as i64;
        stage.tier.metrics().iter().all(|page| frontier(page) >= away + 4 * WINDOW_MS)
    });
    stage.tier.gateway(LOST).lose_disk();
    stage.serve(4);
    stage.tier.restart(LOST);
    wait::until_true("the agent sends again", SOON, || {
        stage.agent.metrics().count("weir_agent_resends_total", &[]) == 1.0
    });
    stage.serve(4);
    let peak = of_branch(&stage, "weir_agent_retained_frames", LOST);
    stage.backend.accept_all();
    wait_windows(&stage);
    wait::until("what is delivered is released", SOON, || {
        let held = of_branch(&stage, "weir_agent_retained_frames", LOST);
        (held < peak * 0.75).then_some(()).ok_or_else(|| format!("{held} of {peak}"))
    });
    stage.tier.assert_audited();
    assert_eq!(stage.tier.sum("weir_samples_total", &[("class", "late")]), 0.0);
    assert_eq!(stage.tier.sum("weir_partials_late_total", &[]), 0.0);
    assert_eq!(stage.tier.sum("weir_windows_incomplete_total", &[]), 0.0);
    stage.wait_all();
    let all = stage.backend.samples();
    let each: Vec<_> = stage.targets.iter().map(|(instance, _)| pages(&all, instance)).collect();
    let mut compared = compare(&all, OF_ALL, None, &each);
    for ((instance, _), pages) in stage.targets.iter().zip(&each) {
        compared += compare(&all, OF_EACH, Some(instance), std::slice::from_ref(pages));
    }
    assert!(compared >= 7 * 15, "{compared} windows were compared");
}
