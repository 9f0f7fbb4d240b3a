//! Undisturbed, every output of every window is what the oracle computes, and everything that no
//! rule takes passes through.

use std::time::Duration;

use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::load::{Load, Rules};
use weir_tests::wait;

const RULES: Rules = Rules { short_s: 2, long_s: 6 };
const SOON: Duration = Duration::from_secs(30);

#[test]
fn every_output_is_what_the_oracle_computes() {
    let backend = Backend::start();
    let gateway = Gateway::start(&sending_to(&backend.url(), "3s", ""), &RULES.file());
    let load = Load::start(gateway.address(), 3, 100);
    // Long enough for every series to end and to come back.
    wait::until_true("a good load", Duration::from_secs(90), || load.acknowledged() > 15_000);
    let history = load.stop();
    let through = RULES.window_end(wait::now_ms()) - RULES.long_s * 1000;
    gateway.wait_frontier(through, SOON);
    wait::until("everything arrives as computed", SOON, || {
        RULES.compare(&history, &backend.samples(), through).into_result()
    });
    gateway.assert_audited();
}
