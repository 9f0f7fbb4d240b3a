//! Members that speak TLS to each other: requests that are sent on, parts, marks and moves go by it.

use weir_tests::certificates::Authority;
use weir_tests::tier::{Tier, name};
use weir_tests::wait;

use super::moves::{admin_until_done, is_raw};
use super::{SOON, Trial, say};

#[test]
fn over_tls_new_certificates_a_kill_and_a_move_change_nothing() {
    let mut trial = Trial::begin_with(Tier::start_secured);
    let sent_on = |trial: &Trial| trial.tier.sum("weir_forwarded_requests_total", &[]);
    wait::until_true("requests are sent on", SOON, || sent_on(&trial) > 100.0);
    // Another authority's. Connections go on; one that is made anew needs certificates that are new on both sides.
    let authority = Authority::new();
    for number in 0..trial.tier.len() {
        authority.issue(trial.tier.gateway(number).folder());
    }
    trial.tier.kill(1);
    trial.pause(500);
    trial.tier.restart(1);
    trial.tier.wait_members();
    trial.wait_samples(500);
    admin_until_done(&trial.tier, 0, &["drain", &name(2)]);
    trial.wait_samples(500);
    say(&format!("{} requests were sent on over TLS\n", sent_on(&trial)));
    trial.judge_but("a tier with certificates", is_raw);
}
