//! A network that is cut, one way or both, slow, or resets: in the end everything is right.

use std::time::Duration;

use weir_tests::proxy::Manner;

use super::{GATEWAYS, Trial};

/// Less than grace by far.
const CUT_MS: i64 = 3_500;

#[test]
fn a_gateway_that_is_cut_off_for_a_while_changes_nothing() {
    let trial = Trial::begin(true);
    for number in 0..GATEWAYS {
        let manner = if number == 1 { Manner::Reset } else { Manner::Hold };
        trial.tier.isolate(number, manner);
        trial.pause(CUT_MS);
        trial.tier.heal();
        trial.wait_samples(800);
        trial.pause(1_500);
    }
    trial.judge("each cut off once");
}

#[test]
fn a_network_that_is_cut_one_way_changes_nothing() {
    let trial = Trial::begin(true);
    for (from, to) in [(0, 1), (1, 2), (2, 0)] {
        // What is said arrives, and nobody hears that it did; then nothing arrives at all.
        for manner in [Manner::HoldAnswers, Manner::Hold] {
            trial.tier.link(from, to, manner);
            trial.pause(CUT_MS);
            trial.tier.heal();
            trial.wait_samples(500);
        }
    }
    trial.judge("each way cut twice");
}

#[test]
fn a_slow_network_changes_nothing() {
    let trial = Trial::begin(true);
    (0..GATEWAYS).for_each(|n| trial.tier.isolate(n, Manner::Delay(Duration::from_millis(60))));
    trial.pause(8_000);
    trial.tier.heal();
    trial.judge("slow links");
}
