//! A real Prometheus gets the raw stream whole over kills of the gateway, markers too.
//!
//! Prometheus rolls a remote write request back for one sample that is older than what it has, and
//! after a kill the gateway cannot know what it has. So some kills fall while a backlog drains, when
//! the request on its way and those before it hold many samples of each series. What Prometheus
//! has stored is read back and compared with what the senders had acknowledged: nothing may be lost
//! or wrong, and nothing set aside. `WEIR_KILLS` says how many kills (12 by default, 40 s).

use std::time::Duration;

use rustix::process::Signal;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::load::{Load, Rules};
use weir_tests::peers::{self, Peer};
use weir_tests::{remote_read, wait};

const RULES: Rules = Rules { short_s: 2, long_s: 6 };
/// Longer than a restart, so that nothing that was acknowledged came late.
const GRACE: &str = "10s";
const SOON: Duration = Duration::from_secs(60);
/// Until the last window is closed: what a gateway was down for adds up while senders may not have come back, and
/// counts for nobody for a minute more.
const AT_LAST: Duration = Duration::from_secs(180);
/// How long Prometheus stands still, for a backlog of as many samples of each series.
const STANDSTILL_MS: i64 = 1_500;

#[test]
fn prometheus_holds_every_raw_sample_that_was_acknowledged() {
    let kills = std::env::var("WEIR_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12);
    let folder = tempfile::tempdir().expect("a folder");
    let prometheus = peers::prometheus("prometheus", "global: {}\n", folder.path());
    let kind = "    kind: prometheus\n";
    let mut gateway =
        Gateway::start(&sending_to(&prometheus.write_url(), GRACE, kind), &RULES.file());
    let began = wait::now_ms();
    let load = Load::start(gateway.address(), 6, 50);
    for kill in 0..kills {
        let before = load.acknowledged();
        wait::until_true("a good load", SOON, || load.acknowledged() > before + 1_000);
        strike(kill, &mut gateway, &prometheus);
        gateway.spawn();
        gateway.wait_ready();
    }
    let last_tick = wait::now_ms();
    let history = load.stop();
    let through = RULES.window_end(last_tick) - RULES.long_s * 1000;
    gateway.wait_frontier(through, AT_LAST);
    wait::until("Prometheus holds what was acknowledged", SOON, || {
        let now = wait::now_ms();
        let names = ".*passed_on|.*:[0-9]+s_.*";
        let stored = remote_read::read(prometheus.address, names, began - 60_000, now)?;
        RULES.compare_stored(&history, &stored, through).into_result()
    });
    let page = gateway.metrics();
    for counter in ["set_aside", "given_up", "failed"] {
        let counter = format!("weir_remote_{counter}_samples_total");
        assert_eq!(page.count(&counter, &[]), 0.0, "{counter}");
    }
    assert_eq!(page.count("weir_samples_total", &[("class", "late")]), 0.0, "late within grace");
    gateway.assert_audited();
}

/// Every other kill falls while a backlog drains, at some distance from its beginning.
fn strike(kill: i64, gateway: &mut Gateway, prometheus: &Peer) {
    if kill % 2 == 0 {
        gateway.kill();
        return;
    }
    prometheus.program.signal(Signal::STOP);
    wait::for_clock(wait::now_ms() + STANDSTILL_MS);
    prometheus.program.signal(Signal::CONT);
    wait::for_clock(wait::now_ms() + kill * 11 % 60);
    gateway.kill();
}
