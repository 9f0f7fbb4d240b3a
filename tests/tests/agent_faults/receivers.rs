//! Receivers that are away, hang, forget to answer or refuse something.

use weir_tests::backend::Reply;

use super::*;

/// A backend that takes pages, then behaves like this while six more are served, then well again.
fn outage(reply: fn() -> Reply) {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(5), Backend::start());
    let agent = Agent::start(&config(&[&target], &backend.url()), folder.path());
    wait_up(&backend, "job0", 1.0);
    backend.script(move |_| reply());
    serve(&target, 6);
    backend.accept_all();
    serve(&target, 2);
    assert_eq!(stop_and_compare(agent, &target, &backend, "job0"), 0);
}

#[test]
fn a_receiver_that_is_away_for_a_while_gets_everything_afterwards() {
    outage(|| Reply::Close);
}

#[test]
fn one_that_asks_for_a_pause_gets_everything_afterwards() {
    outage(|| Reply::Status(503, vec![("Retry-After".into(), "1".into())], String::new()));
}

#[test]
fn one_that_hangs_gets_everything_once_its_time_is_over() {
    outage(|| Reply::Hang);
}

/// It had stored what it did not answer: the same samples come again, and are the same.
#[test]
fn one_that_restarts_before_it_answers_gets_repeats_and_no_others() {
    outage(|| Reply::Lose);
}

/// With the settings that one gets who sets none, scrapes wait up to five seconds for their beat.
#[test]
fn kills_between_beats_lose_no_finished_scrape() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(5), Backend::start());
    let scraping = scraping(&[&target]);
    let config = format!("{scraping}remote_write: [{{url: '{}'}}]\n", backend.url());
    let mut agent = Agent::start(&config, folder.path());
    wait_up(&backend, "job0", 1.0);
    let scrapes = |agent: &Agent| agent.metrics().count("weir_agent_scrapes_total", &[]);
    let (mut finished, mut recovered) = (BTreeSet::new(), 0.0);
    for _ in 0..4 {
        wait::until_true("a scrape ends", SOON, || scrapes(&agent) >= 1.0);
        let (served, before) = (target.served(), scrapes(&agent));
        wait::until_true("two more end", SOON, || scrapes(&agent) >= before + 2.0);
        finished.extend(served);
        agent.crash_and_restart();
        recovered += agent.metrics().count("weir_agent_draft_samples_recovered_total", &[]);
    }
    assert!(recovered > 0.0, "all kills came just after a beat");
    serve(&target, 2);
    wait_delivered(&agent);
    agent.stop();
    let missing = missing(&target.served(), &backend.samples(), "job0");
    let lost: Vec<_> = missing.intersection(&finished).collect();
    assert!(lost.is_empty(), "{lost:?} of {finished:?}");
}

#[test]
fn a_kill_in_an_outage_loses_no_page_but_the_one_in_hand() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(5), Backend::start());
    let mut agent = Agent::start(&config(&[&target], &backend.url()), folder.path());
    wait_up(&backend, "job0", 1.0);
    backend.answer_all(503);
    let kills = 3;
    for _ in 0..kills {
        serve(&target, 3);
        agent.crash_and_restart();
    }
    backend.accept_all();
    serve(&target, 2);
    let missing = stop_and_compare(agent, &target, &backend, "job0");
    assert!(missing <= kills, "{missing} pages are missing after {kills} kills");
}

#[test]
fn one_refused_series_costs_no_other_sample() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(600), Backend::start());
    let is_refused = |s: &Sample| s.labels.get("n").is_some_and(|n| n == "77");
    let agent = Agent::start(&config(&[&target], &backend.url()), folder.path());
    wait_up(&backend, "job0", 1.0);
    backend.script(move |request| {
        if request.samples.iter().any(is_refused) {
            Reply::Status(400, Vec::new(), "label value refused".into())
        } else {
            Reply::Accept
        }
    });
    serve(&target, 3);
    let refused = "weir_agent_set_aside_samples_total";
    let set_aside = |agent: &Agent| agent.metrics().count(refused, &[("reason", "labels")]);
    wait::until_true("it is set aside", SOON, || set_aside(&agent) >= 3.0);
    let counted = agent.metrics();
    let all: f64 = counted.count(refused, &[]);
    agent.stop();
    let others: Vec<Sample> = backend.samples().into_iter().filter(|s| !is_refused(s)).collect();
    assert_eq!(compare(&target.served(), &others, "job0"), 0);
    assert_eq!(all, counted.count(refused, &[("reason", "labels")]), "for no other reason");
}

/// Large pages go out as they stand in the buffer: whole, in zstd, and once.
#[test]
fn a_receiver_of_snappy_alone_gets_the_same_pages() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(600), Backend::start());
    let encoding = |request: &weir_tests::backend::Request| {
        weir_tests::http::header(&request.headers, "content-encoding").map(str::to_owned)
    };
    let agent = Agent::start(&config(&[&target], &backend.url()), folder.path());
    wait_up(&backend, "job0", 1.0);
    serve(&target, 1);
    let before = backend.accepted();
    assert!(before.iter().all(|r| encoding(r).as_deref() == Some("zstd") && r.is_v2));
    backend.script(move |request| match encoding(request).as_deref() {
        Some("zstd") => Reply::Status(415, Vec::new(), "snappy only".into()),
        _ => Reply::Accept,
    });
    serve(&target, 3);
    assert_eq!(stop_and_compare(agent, &target, &backend, "job0"), 0);
    let after = backend.accepted();
    let last = after.last().expect("it sends");
    assert!(last.is_v2 && encoding(last).as_deref() == Some("snappy"));
}
