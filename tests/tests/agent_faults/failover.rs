//! Two real gateways before one backend: one is killed, comes back, the other is killed.

use weir_tests::gateway::Gateway;

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
    // What the gateways had acknowledged, they deliver.
    wait::until_true("all has passed the gateways", SOON, || {
        let all = backend.samples();
        let ticks = of_job(&all, "job0", "filler").filter(|s| !is_stale(s.value));
        let ticks: BTreeSet<(String, i64)> =
            ticks.map(|s| (samples::display(&s.labels), s.timestamp)).collect();
        ticks.len() >= 5 * target.served().len()
    });
    assert_eq!(compare(&target.served(), &backend.samples(), "job0"), 0);
}
