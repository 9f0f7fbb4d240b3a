//! A machine is gone with its disk.

use std::time::{Duration, Instant};

use weir_tests::wait;

use super::stage::{Stage, say};

/// What the default sessions and the default delay promise.
const WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_gateway_that_is_gone_with_its_disk_is_taken_over_within_20_s() {
    let mut stage = Stage::begin("10s", "2s");
    let follower = stage.wait_followed(0, None);
    let killed = Instant::now();
    stage.gateway(0).lose_disk();
    let there = stage.wait_taken_over(0, follower);
    let took = killed.elapsed();
    say(&format!("taken over after {:.1} s\n", took.as_secs_f64()));
    assert!(took < wait::stretched(WITHIN), "it took {took:?}");
    stage.wait_samples(2_000);
    let at = [stage.addresses_but(0), vec![there]].concat();
    stage.judge("a machine is gone", &at);
}
