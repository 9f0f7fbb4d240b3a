//! A rolling restart under load, as an upgrade does it, and a gateway that is frozen for a while.

use super::{GATEWAYS, Trial};

#[test]
fn a_rolling_restart_loses_doubles_and_changes_nothing() {
    let mut trial = Trial::begin(false);
    for _ in 0..2 {
        for number in 0..GATEWAYS {
            trial.tier.stop_gracefully(number);
            trial.tier.restart(number);
            trial.tier.wait_members();
            trial.wait_samples(300);
        }
    }
    trial.judge("2 rolling restarts");
}

#[test]
fn a_gateway_that_is_frozen_for_seconds_loses_doubles_and_changes_nothing() {
    let mut trial = Trial::begin(false);
    for number in 0..GATEWAYS {
        trial.tier.freeze(number);
        trial.pause(4_500);
        trial.tier.thaw(number);
        trial.wait_samples(500);
        trial.pause(1_500);
    }
    trial.judge("each frozen once");
}
