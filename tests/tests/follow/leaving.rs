//! Gateways that are needed no more: nobody takes them over.

use weir_tests::{http, wait};

use super::stage::{SOON, Stage};

#[test]
fn a_gateway_that_was_drained_and_is_stopped_has_left_and_is_not_taken_over() {
    let mut stage = Stage::begin("3s", "1h");
    // One that is only stopped is expected back.
    stage.gateway(2).terminate();
    assert!(stage.gateway(2).program().wait_exit(SOON).success());
    assert!(stage.has_record(2));
    stage.gateway(2).spawn();
    stage.gateway(2).wait_started();
    stage.wait_all_followed();
    stage.drain(2);
    stage.wait_samples(500);
    stage.gateway(2).terminate();
    assert!(stage.gateway(2).program().wait_exit(SOON).success());
    let log = stage.gateway(2).log();
    assert!(log.contains("it has left the tier") && !stage.has_record(2), "{log}");
    stage.wait_samples(1_000);
    let at = stage.addresses_but(2);
    stage.judge("a gateway left", &at);
}

#[test]
fn a_gateway_that_was_taken_over_ends_by_itself_once_it_is_drained() {
    let mut stage = Stage::begin("3s", "1s");
    let follower = stage.wait_followed(0, None);
    stage.gateway(0).lose_disk();
    let there = stage.wait_taken_over(0, follower);
    stage.drain(0);
    wait::until_true("it has left", SOON, || !stage.has_record(0));
    wait::until_true("it has ended", SOON, || http::get(there, "/-/ready").is_err());
    stage.wait_samples(1_000);
    let at = stage.addresses_but(0);
    stage.judge("a gateway that was taken over left", &at);
}
