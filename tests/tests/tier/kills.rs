//! `kill -9` of any gateway, and of all at once, loses, doubles and changes nothing.

use weir_tests::dice::Dice;

use super::{GATEWAYS, Trial};

const KILLS: usize = 20;
const SEED: u64 = 11;

#[test]
fn kills_of_any_gateway_lose_double_and_change_nothing() {
    let mut trial = Trial::begin(false);
    let mut dice = Dice::new(SEED);
    for kill in 0..KILLS {
        let number = dice.between(0, GATEWAYS as u64 - 1) as usize;
        trial.pause(dice.between(100, 1_200) as i64);
        trial.tier.kill(number);
        if kill % 3 == 0 {
            // The others stand alone for a while.
            trial.pause(dice.between(0, 1_500) as i64);
        }
        trial.tier.restart(number);
        if kill % 2 == 0 {
            trial.wait_samples(200);
        }
    }
    trial.judge(&format!("{KILLS} kills"));
}

#[test]
fn a_tier_that_loses_all_its_gateways_at_once_goes_on_as_if_nothing_was() {
    let mut trial = Trial::begin(false);
    for _ in 0..3 {
        trial.pause(2_500);
        (0..GATEWAYS).for_each(|number| trial.tier.kill(number));
        (0..GATEWAYS).for_each(|number| trial.tier.spawn(number));
        (0..GATEWAYS).for_each(|number| trial.tier.gateway(number).wait_started());
        trial.wait_samples(500);
    }
    trial.judge("3 ends of a whole tier");
}
