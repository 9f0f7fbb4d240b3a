//! Two real gateways before one backend: one is killed, comes back, the other is killed; both stand
//! behind one address and take turns.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_tests::gateway::Gateway;
use weir_tests::http;
use weir_tests::stub::{self, Request, Stub};

use super::*;

fn gateway(backend: &Backend) -> Gateway {
    let url = backend.url();
    Gateway::start(&format!("remote_write: [{{url: '{url}', queue_config: {QUICK}}}]\n"), "")
}

#[test]
fn killed_gateways_lose_nothing_and_repeat_nothing_that_differs() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(5), Backend::start());
    let mut gateways = [gateway(&backend), gateway(&backend)];
    let urls = gateways.each_ref().map(|g| format!("http://{}/api/v1/write", g.address()));
    let scraping = scraping(&[&target]);
    let config = format!(
        "{scraping}remote_write:\n  - {{name: tier, urls: {urls:?}, remote_timeout: 2s, \
         queue_config: {QUICK}}}\n"
    );
    let agent = Agent::start(&config, folder.path());
    wait_up(&backend, "job0", 1.0);
    let in_use = |agent: &Agent| -> usize {
        let page = agent.metrics();
        let is_used =
            |url: &String| page.get("weir_agent_endpoint", &[("endpoint", url)]).is_some();
        urls.iter().position(is_used).expect("one is in use")
    };
    let first = in_use(&agent);
    serve(&target, 2);
    gateways[first].kill();
    wait::until_true("the other one is taken", SOON, || in_use(&agent) != first);
    serve(&target, 2);
    gateways[first].crash_and_restart();
    gateways[1 - first].kill();
    wait::until_true("the first one is taken again", SOON, || in_use(&agent) == first);
    serve(&target, 2);
    gateways[1 - first].crash_and_restart();
    assert!(agent.metrics().count("weir_agent_failovers_total", &[]) >= 2.0);
    agent.stop();
    wait_passed(&target, &backend);
    assert_eq!(compare(&target.served(), &backend.samples(), "job0"), 0);
}

/// Waits until the gateways have delivered what they had acknowledged.
fn wait_passed(target: &CountingTarget, backend: &Backend) {
    wait::until("all has passed the gateways", SOON, || {
        let all = backend.samples();
        // Six series: fillers, and the one of the counter.
        let whole = pages(&all, "job0").into_iter().filter(|(_, page)| page.len() == 6);
        let whole = whole.map(|(at, page)| (at, page.into_values().flatten().max().unwrap_or(0)));
        let missing = unexcused(&target.served(), &whole.collect(), &all, "job0");
        missing.is_empty().then_some(()).ok_or_else(|| format!("pages {missing:?} are missing"))
    });
}

/// A balancer that knows nothing of tiers: what a gateway says of custody, the next request is not for.
#[test]
fn two_gateways_that_take_turns_behind_one_address_lose_nothing_and_get_little_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (CountingTarget::start(5), Backend::start());
    let gateways = [gateway(&backend), gateway(&backend)];
    let addresses = gateways.each_ref().map(Gateway::address);
    let turn = AtomicUsize::new(0);
    let [writes, questions] = [0, 0].map(|none| Arc::new(AtomicUsize::new(none)));
    let counted = [(WRITE, Arc::clone(&writes)), (CUSTODY, Arc::clone(&questions))];
    let balancer = Stub::start(move |request| {
        for (path, count) in &counted {
            count.fetch_add(usize::from(request.path() == *path), Ordering::SeqCst);
        }
        pass(request, addresses[turn.fetch_add(1, Ordering::SeqCst) % 2])
    });
    let scraping = scraping(&[&target]);
    let config = format!(
        "{scraping}remote_write:\n  - {{url: 'http://{}{WRITE}', remote_timeout: 2s, \
         queue_config: {QUICK}}}\n",
        balancer.address()
    );
    let agent = Agent::start(&config, folder.path());
    wait_up(&backend, "job0", 1.0);
    wait::until_true("it has met both", SOON, || questions.load(Ordering::SeqCst) >= 5);
    let (before, pages) = (writes.load(Ordering::SeqCst), target.served().len());
    serve(&target, 10);
    wait_delivered(&agent);
    let posts = writes.load(Ordering::SeqCst) - before;
    let pages = target.served().len() - pages;
    assert!(posts <= 2 * pages, "{posts} requests for {pages} pages");
    let resends = agent.metrics().count("weir_agent_resends_total", &[]);
    assert!(resends <= 1.0, "{resends} times everything was sent again");
    agent.stop();
    wait_passed(&target, &backend);
    assert_eq!(compare(&target.served(), &backend.samples(), "job0"), 0);
    gateways.iter().for_each(Gateway::assert_audited);
}

/// Has a gateway answer.
fn pass(request: &Request, to: SocketAddr) -> stub::Reply {
    let own = ["host", "connection", "content-length"];
    let headers = request.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers: Vec<(&str, &str)> = headers.map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let Request { method, target, body, .. } = request;
    let Ok(answer) = http::send(to, method, target, &headers, body, SOON) else {
        return stub::Reply::status("502 Bad Gateway");
    };
    let status = match answer.status {
        200 => "200 OK",
        204 => "204 No Content",
        400 => "400 Bad Request",
        404 => "404 Not Found",
        409 => "409 Conflict",
        421 => "421 Misdirected Request",
        503 => "503 Service Unavailable",
        other => panic!("a gateway answered {other}"),
    };
    let written = answer.headers.iter().filter_map(|(name, value)| {
        let name = WRITTEN.into_iter().find(|written| written.eq_ignore_ascii_case(name))?;
        Some((name, value.clone()))
    });
    stub::Reply { status, headers: written.collect(), body: answer.body }
}

const WRITE: &str = "/api/v1/write";
const CUSTODY: &str = "/api/v1/agents/custody";
/// What a sender of remote write 2.0 looks for in an answer.
const WRITTEN: [&str; 4] = [
    "X-Prometheus-Remote-Write-Samples-Written",
    "X-Prometheus-Remote-Write-Histograms-Written",
    "X-Prometheus-Remote-Write-Exemplars-Written",
    "Retry-After",
];
