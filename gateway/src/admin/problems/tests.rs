//! Each problem is seen, and says what to do.

use super::*;
use crate::admin::sample::{NOW_MS, ill, view, well};

fn found(status: Status) -> Vec<Problem> {
    view(status).problems
}

fn words(problems: &[Problem]) -> String {
    problems.iter().map(|p| format!("{:?}: {}\n", p.severity, p.what)).collect()
}

#[test]
fn a_gateway_at_work_has_no_problems() {
    assert_eq!(words(&found(well())), "");
}

#[test]
fn everything_wrong_is_said_and_the_worst_comes_first() {
    let problems = found(ill());
    let text = words(&problems);
    for part in [
        "Critical: The audit does not balance: −7 samples",
        "Critical: The start has lost 3 log records to the disk and set 1 aside",
        "Critical: The disk under the log is full",
        "Critical: The send queue is full for archive",
        "Critical: Destination archive is down for 12 min 34 s: connect to mimir:9009: <refused>",
        "Critical: Windows do not close: event time is 6 min 40 s behind",
        "Warning: The disk under the send queue is nearly full: 286 MiB left",
        "Warning: Destination prometheus loses 120 samples/s for good",
        "Warning: Rule container_cpu_usage_seconds_total:10s_without_pod_total: 120 groups are over",
        "Warning: Rule http_requests_total:1m_by_service_code_total: 10.0 k samples/s come too late",
        "Warning: etcd does not answer: no answer in time",
        "Warning: Member gw-eu-3 of the tier is away: cannot connect: <refused>",
        "Warning: The last reload failed: weir.yml:14: windows.grace: \"30\" has no unit (and 1 more)",
        "Warning: 1 agents refuse the configuration that they are to run",
        "Notice: Configuration: rules.yml:3: enable_windows has no effect",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(problems.is_sorted_by_key(|p| p.severity));
    assert!(problems.iter().all(|p| p.advice.len() > 20), "each says what to do");
}

#[test]
fn a_start_says_how_far_it_is_and_nothing_about_lag() {
    let mut status = well();
    status.node.ready = false;
    status.replay.at = 100 + 3_900 / 4;
    status.frontier.closed_ms = NOW_MS - 3_600_000;
    let text = words(&found(status));
    assert_eq!(text, "Warning: This gateway is reading its log back: 25.0 %\n");
}

#[test]
fn a_new_gateway_is_told_what_comes_next() {
    let mut status = Status { now_ms: NOW_MS, ..Status::default() };
    status.node.started_ms = NOW_MS - 3_000;
    status.node.ready = true;
    status.node.listen = "127.0.0.1:9201".into();
    let problems = problems(&status, &Rates::between(None, &status));
    assert!(problems.iter().all(|p| p.severity == Severity::Notice), "{}", words(&problems));
    assert!(problems.iter().any(|p| p.advice.contains("http://127.0.0.1:9201/api/v1/write")));
}

#[test]
fn the_clock_in_doubt_explains_windows_that_stand_still() {
    let mut status = well();
    status.frontier.clock_in_doubt = true;
    status.frontier.closed_ms = NOW_MS - 3_600_000;
    assert_eq!(words(&found(status)), "Critical: The clock has jumped\n");
}

#[test]
fn catching_up_is_no_trouble() {
    let mut status = well();
    status.frontier.catching_up = true;
    status.frontier.closed_ms = NOW_MS - 200_000;
    let text = words(&found(status));
    assert_eq!(text, "Notice: Windows wait for senders to catch up (3 min 20 s behind)\n");
}

#[test]
fn a_few_late_samples_are_nothing_to_shout_about() {
    let mut status = well();
    // 205 M samples in all, 1.025 M in the span: 0.1 % are 1,025.
    status.rules[1].late_dropped = 900;
    assert_eq!(words(&found(status.clone())), "");
    status.rules[1].late_dropped = 1_200;
    assert!(words(&found(status)).starts_with("Warning: Rule http_requests_total"));
}
