//! A buffer's disk that is full: what finds no room is refused and counted, and nothing else is lost. And
//! an agent that may write nowhere else.
//!
//! The folder is a tmpfs. Who may not mount one (no root) fills the buffer's own bound instead, in
//! which case the oldest samples are given up and counted.

#![allow(clippy::print_stdout, reason = "says what is not tested")]

use weir_tests::disk::SmallDisk;

use super::*;

#[test]
fn a_full_disk_refuses_new_samples_keeps_the_old_ones_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let storage = folder.path().join("weir-agent");
    std::fs::create_dir(&storage).expect("a folder");
    let disk = SmallDisk::mount(&storage, 8);
    if !disk.is_mounted() {
        println!("no tmpfs can be mounted here: a full disk is not tested");
        return;
    }
    let (target, backend) = (CountingTarget::start_noisy(0, 20_000), Backend::start());
    // Segments of 1 MiB: one is written, one is spare.
    let config = config(&[&target], &backend.url());
    let agent = Agent::start_with(&config, folder.path(), &["--buffer.max-size=16MiB"]);
    wait_up(&backend, "job0", 1.0);
    backend.answer_all(503);
    disk.fill();
    let refused = |agent: &Agent| agent.metrics().count("weir_agent_samples_refused_total", &[]);
    wait::until_true("the disk is full", SOON, || refused(&agent) > 0.0);
    serve(&target, 2);
    disk.free();
    let at_least = refused(&agent);
    wait::until("samples are taken again", SOON, || {
        let before = agent.metrics().count("prometheus_agent_samples_appended_total", &[]);
        serve(&target, 1);
        let after = agent.metrics().count("prometheus_agent_samples_appended_total", &[]);
        (after > before).then_some(()).ok_or_else(|| format!("{after} are appended"))
    });
    backend.accept_all();
    wait_up(&backend, "job0", 1.0);
    serve(&target, 2);
    // A page has its series, the number, and the five of the report.
    let refused = refused(&agent);
    assert!(refused >= at_least);
    let missing = stop_and_compare(agent, &target, &backend, "job0");
    let pages = refused / 20_006.0;
    assert_eq!(missing as f64, pages, "{refused} samples were refused");
}

#[test]
fn with_a_read_only_root_nothing_is_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(5), Backend::start());
    let config = config(&[&target], &backend.url());
    let Some(agent) = Agent::start_sealed(&config, folder.path()) else {
        println!("no namespace can be made here: a read-only root is not tested");
        return;
    };
    wait_up(&backend, "job0", 1.0);
    serve(&target, 2);
    agent.hang_up();
    let reloaded = || agent.log().contains("the configuration was read again");
    wait::until_true("it reloads", SOON, reloaded);
    serve(&target, 2);
    let failures = agent.metrics().count("weir_agent_draft_failures_total", &[]);
    assert_eq!(failures, 0.0);
    assert_eq!(stop_and_compare(agent, &target, &backend, "job0"), 0);
}
