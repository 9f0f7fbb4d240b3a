//! Watermarks: with agents only, outputs leave within seconds after their window's end; with one
//! sender that promises nothing, after grace; and nothing of a backlog that an agent works off is
//! late.

use std::time::Duration;

use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::samples::{Sample, labels, name};
use weir_tests::target::Target;
use weir_tests::{early, sender, wait};

const SOON: Duration = Duration::from_secs(90);
const RULES: &str = "- {match: '{__name__=\"load\"}', interval: 5s, by: [job], outputs: [sum_last, count_samples]}\n";
const OUTPUT: &str = "load:5s_by_job_sum_last";
/// An agent's file: one target, scraped every second.
fn agent_config(gateway: &Gateway, target: &Target, more: &str) -> String {
    format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 900ms}}\n\
         scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{}']}}]}}]\n\
         remote_write:\n  - url: http://{}/api/v1/write\n    queue_config: \
         {{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 300ms{more}}}\n",
        target.address(),
        gateway.address()
    )
}

/// Waits for the output of a window that ends after `after`; how long after its end it arrived.
fn lag_after(backend: &Backend, output: &str, after: i64) -> (i64, i64) {
    wait::until("the output of the next window", SOON, || {
        let end = early::newest(backend, output).filter(|end| *end > after).ok_or("not yet")?;
        Ok((end, wait::now_ms() - end))
    })
}

#[test]
fn with_agents_only_windows_close_early_and_with_others_after_grace() {
    const GRACE_MS: i64 = 12_000;
    let (backend, target) = (Backend::start(), Target::start());
    target.say(Some("load 1\n".to_owned()));
    let gateway = Gateway::start(&sending_to(&backend.url(), "12s", ""), RULES);
    let folders = [0, 1].map(|_| tempfile::tempdir().expect("a folder"));
    let agents = folders.iter().zip(["a", "b"]).map(|(folder, name)| {
        Agent::start_named(name, &agent_config(&gateway, &target, ""), folder.path())
    });
    let _agents: Vec<Agent> = agents.collect();
    early::wait_for(&backend, OUTPUT, 3);
    let promising = gateway.metrics().get("weir_watermarked_agents", &[]);
    assert_eq!(promising, Some(2.0));

    let other = labels("load", &[("job", "stock"), ("instance", "s")]);
    let stock = Sample::new(&other, wait::now_ms(), 1.0);
    sender::send_until_acknowledged(gateway.address(), &[stock], SOON);
    // What was closed meanwhile is on its way; the window after it waits.
    let sent = wait::now_ms();
    let (_, lag_ms) = lag_after(&backend, OUTPUT, sent);
    assert!(lag_ms >= GRACE_MS, "a window closed {lag_ms} ms after its end");
    gateway.assert_audited();
}

/// The settings of one who sets none: a scrape each 5 s, and a beat of 5 s.
#[test]
fn windows_leave_early_at_default_settings() {
    const RULES: &str =
        "- {match: '{__name__=\"load\"}', interval: 10s, by: [job], outputs: [sum_last]}\n";
    const OUTPUT: &str = "load:10s_by_job_sum_last";
    let (backend, target) = (Backend::start(), Target::start());
    target.say(Some("load 1\n".to_owned()));
    let gateway = Gateway::start(&sending_to(&backend.url(), "30s", ""), RULES);
    let config = format!(
        "global: {{scrape_interval: 5s, scrape_timeout: 4s}}\n\
         scrape_configs: [{{job_name: app, static_configs: [{{targets: ['{}']}}]}}]\n\
         remote_write: [{{url: 'http://{}/api/v1/write'}}]\n",
        target.address(),
        gateway.address()
    );
    let folder = tempfile::tempdir().expect("a folder");
    let _agent = Agent::start_named("a", &config, folder.path());
    early::wait_for(&backend, OUTPUT, 2);
    gateway.assert_audited();
}

#[test]
fn nothing_of_a_backlog_is_late() {
    const GRACE: &str = "4s";
    let (backend, target) = (Backend::start(), Target::start());
    target.say(Some("load 1\n".to_owned()));
    let sending = sending_to(&backend.url(), GRACE, "");
    let slow = format!(
        "{sending}limits: {{defaults: {{samples_per_second: 5, status_over_limit: 503}}}}\n"
    );
    let mut gateway = Gateway::start(&sending, RULES);
    let folder = tempfile::tempdir().expect("a folder");
    let few = ", max_samples_per_send: 3, max_shards: 1";
    let agent = Agent::start_named("a", &agent_config(&gateway, &target, few), folder.path());
    lag_after(&backend, OUTPUT, 0);
    // Fewer samples are let in than the agent scrapes.
    gateway.configure(&slow, RULES);
    gateway.hang_up();
    wait::until("a backlog of more than grace", SOON, || {
        let lag = agent.metrics().count("weir_agent_send_lag_seconds", &[]);
        if lag > 10.0 { Ok(()) } else { Err(format!("{lag} s")) }
    });
    let waits = gateway.metrics().get("weir_frontier_catching_up", &[]);
    assert_eq!(waits, Some(1.0), "windows wait for it");
    gateway.configure(&sending, RULES);
    gateway.hang_up();
    let lifted = wait::now_ms();
    lag_after(&backend, OUTPUT, lifted);
    let page = gateway.metrics();
    assert_eq!(page.count("weir_samples_total", &[("class", "late")]), 0.0);
    assert_eq!(page.count("weir_rule_late_samples_total", &[]), 0.0);
    // Every window between the first and the last is there.
    let all = backend.samples();
    let counts = all.iter().filter(|s| name(&s.labels) == "load:5s_by_job_count_samples");
    let mut counts: Vec<(i64, f64)> = counts.map(|s| (s.timestamp, s.value)).collect();
    counts.sort_by_key(|(end, _)| *end);
    let whole = &counts[1..];
    assert!(whole.windows(2).all(|two| two[1].0 - two[0].0 == 5_000), "{counts:?}");
    gateway.assert_audited();
}
