//! A tier of three becomes one of five, and of three again, under load.

use std::time::Duration;

use weir_tests::etcd::Etcd;
use weir_tests::tier::name;
use weir_tests::wait;

use super::stage::{FIRST, SOON, Stage, say};

const ALL: usize = FIRST + 2;
/// For a sender, tries again included. A lot of virtual shards takes nothing for less than a second; a
/// busy machine gets some more.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2_000);

#[test]
fn a_tier_that_grows_and_shrinks_says_what_one_gateway_says() {
    let mut stage = Stage::begin(None);
    (FIRST..ALL).for_each(|_| stage.add());
    stage.list(ALL);
    stage.reload(FIRST);
    grow(&mut stage);
    // The last one first: what it owned is the others' then, and stays in the tier.
    for going in (FIRST..ALL).rev() {
        drain(&mut stage, going);
        stage.list(going);
        stage.reload(going);
        stop(&mut stage, going);
    }
    stage.judge("3 to 5 to 3 gateways");
}

#[test]
fn a_tier_that_etcd_keeps_grows_and_shrinks_too() {
    let mut stage = Stage::begin(Some(Etcd::start()));
    (FIRST..ALL).for_each(|_| stage.add());
    grow(&mut stage);
    for going in (FIRST..ALL).rev() {
        drain(&mut stage, going);
        stop(&mut stage, going);
    }
    stage.judge("3 to 5 to 3 gateways by etcd");
}

/// Starts those that are new, and gives them their share.
fn grow(stage: &mut Stage) {
    for gateway in &mut stage.gateways[FIRST..] {
        gateway.spawn();
        gateway.wait_started();
    }
    stage.wait_up(ALL);
    stage.load.take_slowest();
    let moved = stage.admin(0, &["rebalance"]).expect("it moves");
    let table = stage.wait_agreed(ALL);
    let owned: Vec<usize> = (0..ALL).map(|at| table.owned_by(&name(at)).len()).collect();
    assert!(owned.iter().all(|&owned| (700..950).contains(&owned)), "{owned:?}");
    assert_quick(stage, ALL, &moved);
    stage.wait_samples(1_000);
    stage.probe(ALL);
    let taken = stage.sum(ALL, "weir_moves_total", &[("outcome", "taken")]);
    assert_eq!(stage.sum(ALL, "weir_moves_total", &[("outcome", "given")]), taken);
    assert!(taken > 1_400.0, "{taken}");
}

/// Takes everything from the last one, and waits until it has told all it knows.
fn drain(stage: &mut Stage, going: usize) {
    let moved = stage.admin(0, &["drain", &name(going)]).expect("it moves");
    assert_quick(stage, going + 1, &moved);
    let table = stage.wait_agreed(going + 1);
    assert!(table.owned_by(&name(going)).is_empty());
    stage.gateways[going].wait_metrics("it has delivered", SOON, |page| {
        let lag = |metric| page.count(metric, &[]);
        lag("weir_remote_lag_frames") + lag("weir_partials_lag_seconds") == 0.0
    });
}

/// Stops the last one, which has nothing left.
fn stop(stage: &mut Stage, going: usize) {
    let gateway = &mut stage.gateways[going];
    gateway.terminate();
    let status = gateway.program().wait_exit(SOON);
    assert!(status.success(), "{status}");
    let table = stage.wait_agreed(going);
    assert_eq!((0..going).map(|at| table.owned_by(&name(at)).len()).sum::<usize>(), 4096);
    stage.probe(going);
    stage.wait_samples(500);
}

/// Panics if senders or virtual shards had to wait for long.
fn assert_quick(stage: &Stage, members: usize, moved: &str) {
    let (slowest, pause) = (stage.load.take_slowest(), stage.longest_pause(members));
    let moved = moved.trim();
    say(&format!("{moved}; slowest answer {slowest:?}, last pauses up to {pause} s\n"));
    assert!(slowest < wait::stretched(PATIENCE), "samples waited for {slowest:?}");
    let most = wait::stretched(PAUSE).as_secs_f64();
    assert!(pause < most, "virtual shards paused for {pause} s");
}
