//! SIGTERM drains and exits with 0; a second one exits at once; neither loses anything.

use std::time::Duration;

use weir_tests::backend::{Backend, Reply};
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::load::{Load, Rules};
use weir_tests::samples::{Sample, labels};
use weir_tests::{sender, wait};

const RULES: Rules = Rules { short_s: 2, long_s: 6 };
const SOON: Duration = Duration::from_secs(30);
/// Until the last window is closed: what a gateway was down for adds up while senders may not have come back, and
/// counts for nobody for a minute more.
const AT_LAST: Duration = Duration::from_secs(180);

#[test]
fn a_gateway_that_is_stopped_and_started_under_load_goes_on_with_the_same_windows() {
    let backend = Backend::start();
    let mut gateway = Gateway::start(&sending_to(&backend.url(), "5s", ""), &RULES.file());
    let load = Load::start(gateway.address(), 2, 200);
    for round in 1..=4 {
        let enough = load.acknowledged() + 400;
        wait::until_true("some load", SOON, || load.acknowledged() > enough);
        gateway.terminate();
        if round % 2 == 0 {
            gateway.terminate();
        }
        let status = gateway.program().wait_exit(SOON);
        if round % 2 == 1 {
            assert_eq!(status.code(), Some(0), "round {round}: {status}");
        }
        gateway.spawn();
        gateway.wait_ready();
    }
    let history = load.stop();
    let through = RULES.window_end(wait::now_ms()) - RULES.long_s * 1000;
    gateway.wait_frontier(through, AT_LAST);
    wait::until("everything arrives as computed", SOON, || {
        RULES.compare(&history, &backend.samples(), through).into_result()
    });
    gateway.assert_audited();
}

#[test]
fn what_waits_in_the_queue_is_sent_before_the_exit() {
    let backend = Backend::start();
    backend.answer_all(503);
    let mut gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let sample = Sample::new(&labels("queued", &[("instance", "a:1")]), wait::now_ms(), 1.0);
    sender::send_until_acknowledged(gateway.address(), &[sample], SOON);
    wait::until_true("it was tried", SOON, || backend.requests_seen() > 0);
    gateway.terminate();
    backend.accept_all();
    assert_eq!(gateway.program().wait_exit(SOON).code(), Some(0));
    assert_eq!(backend.samples().len(), 1, "it was sent while draining");
}

#[test]
fn a_backend_that_hangs_does_not_keep_it_past_its_deadline_and_nothing_is_lost() {
    let backend = Backend::start();
    backend.script(|_| Reply::Hang);
    let mut gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let sample = Sample::new(&labels("queued", &[("instance", "a:1")]), wait::now_ms(), 1.0);
    sender::send_until_acknowledged(gateway.address(), &[sample], SOON);
    wait::until_true("it hangs in the backend", SOON, || backend.requests_seen() > 0);
    gateway.terminate();
    gateway.program().wait_exit(Duration::from_secs(60));
    backend.accept_all();
    gateway.spawn();
    wait::until_true("it is sent after the restart", SOON, || !backend.samples().is_empty());
}

#[test]
fn a_second_sigterm_exits_at_once() {
    let backend = Backend::start();
    backend.script(|_| Reply::Hang);
    let mut gateway = Gateway::start(&sending_to(&backend.url(), "2s", ""), "");
    let sample = Sample::new(&labels("queued", &[("instance", "a:1")]), wait::now_ms(), 1.0);
    sender::send_until_acknowledged(gateway.address(), std::slice::from_ref(&sample), SOON);
    wait::until_true("it hangs in the backend", SOON, || backend.requests_seen() > 0);
    gateway.terminate();
    // Until the first has been seen, two signals may be one.
    let to = gateway.address();
    wait::until_true(
        "it stops accepting",
        SOON,
        || !matches!(sender::send_v1(to, std::slice::from_ref(&sample)), Ok(answer) if answer.status == 204),
    );
    gateway.terminate();
    // In order it would take `shutdown_deadline`, 30 s.
    gateway.program().wait_exit(Duration::from_secs(15));
    backend.accept_all();
    gateway.spawn();
    wait::until_true("it is sent after the restart", SOON, || !backend.samples().is_empty());
    assert!(backend.samples().iter().all(|s| s.labels == sample.labels));
}
