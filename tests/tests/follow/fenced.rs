//! A gateway that was thought dead, and was not.

use super::stage::{SOON, Stage, name};

#[test]
fn a_gateway_that_wakes_up_after_it_was_taken_over_ends_and_has_said_nothing_wrong() {
    let mut stage = Stage::begin("6s", "2s");
    let follower = stage.wait_followed(0, None);
    stage.gateway(0).program().signal(rustix::process::Signal::STOP);
    let there = stage.wait_taken_over(0, follower);
    stage.wait_samples(1_000);
    stage.gateway(0).program().signal(rustix::process::Signal::CONT);
    let status = stage.gateway(0).program().wait_exit(SOON);
    assert!(!status.success());
    let log = stage.gateway(0).log();
    assert!(log.contains(&format!("{} has taken gw-0 over", name(follower))), "{log}");
    // Nor does it come back by itself.
    stage.gateway(0).spawn();
    let status = stage.gateway(0).program().wait_exit(SOON);
    assert!(!status.success());
    let log = stage.gateway(0).log();
    assert!(log.contains("This data directory is out of date"), "{log}");
    let at = [stage.addresses_but(0), vec![there]].concat();
    stage.judge_but("a gateway woke up too late", &at, true);
}
