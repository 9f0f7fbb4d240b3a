//! One place manages all agents: a change is taken by all that it is for and by no others, a bad one
//! harms nobody, and agents go on and start without their gateway.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use weir_tests::agent::Agent;
use weir_tests::gateway::Gateway;
use weir_tests::target::Target;
use weir_tests::{http, wait};

const SOON: Duration = Duration::from_secs(60);
const AGENTS: usize = 50;

const CONFIG: &str = "\
windows: {grace: 2s}
agents:
  - {name: eu-prod, match: '{env=\"prod\",region=~\"eu-.*\"}', config_file: prod.yml}
  - {name: test, match: '{env=\"test\"}', config_file: test.yml}
";

/// A job of this name, whose only target nobody serves: `up` is forwarded all the same.
fn job(name: &str) -> String {
    format!(
        "global:\n  scrape_interval: 5s\n  external_labels: {{host: '${{agent}}'}}\n\
         scrape_configs:\n  - job_name: {name}\n    static_configs: [{{targets: ['127.0.0.1:1']}}]\n"
    )
}

/// A gateway with agents that ask it.
struct Fleet {
    gateway: Gateway,
    agents: Vec<Agent>,
    /// They go with it.
    _folders: Vec<TempDir>,
}

impl Fleet {
    fn start() -> Self {
        let mut gateway = Gateway::prepare(CONFIG, "");
        write(&gateway, "prod.yml", &job("prod-1"));
        write(&gateway, "test.yml", &job("test-1"));
        gateway.launch();
        let url = format!("http://{}", gateway.address());
        let folders: Vec<TempDir> =
            (0..AGENTS).map(|_| tempfile::tempdir().expect("a folder")).collect();
        let place = |at: usize| if is_prod(at) { ["env=prod", "region=eu-1"] } else { TEST };
        let agents = folders.iter().enumerate();
        let agents = agents.map(|(at, folder)| {
            Agent::start_central(&url, &format!("agent-{at}"), &place(at), folder.path())
        });
        let agents = agents.collect();
        Self { gateway, agents, _folders: folders }
    }

    /// State and version of each agent, as the gateway lists them.
    fn seen(&self) -> BTreeMap<String, (String, String)> {
        let answer = http::get(self.gateway.address(), "/api/v1/agents").expect("agents");
        let page: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let agents = page["agents"].as_array().expect("a list").iter();
        let seen = |agent: &Value| (text(&agent["state"]), text(&agent["report"]["config"]));
        agents.map(|agent| (text(&agent["name"]), seen(agent))).collect()
    }

    /// Waits until every agent runs what it is to run, and says what that is.
    fn wait_current(&self) -> BTreeMap<String, String> {
        wait::until("all agents are current", SOON, || {
            let seen = self.seen();
            let current = seen.values().filter(|(state, _)| state == "current").count();
            if current == AGENTS {
                return Ok(seen.into_iter().map(|(name, (_, version))| (name, version)).collect());
            }
            Err(format!("{current} of {} are", seen.len()))
        })
    }

    /// Panics unless each agent scrapes the job of its kind.
    fn assert_jobs(&self, prod: &str, test: &str) {
        for (at, agent) in self.agents.iter().enumerate() {
            assert_eq!(jobs(agent), [if is_prod(at) { prod } else { test }], "agent {at}");
        }
    }

    fn reload(&self) -> http::Answer {
        http::post(self.gateway.address(), "/-/reload", &[], &[]).expect("an answer")
    }
}

const TEST: [&str; 2] = ["env=test", "region=eu-1"];

fn is_prod(at: usize) -> bool {
    at % 5 < 3
}

fn write(gateway: &Gateway, name: &str, text: &str) {
    fs::write(gateway.folder().join(name), text).expect("written");
}

/// The jobs of an agent's targets.
fn jobs(agent: &Agent) -> Vec<String> {
    let answer = http::get(agent.address(), "/api/v1/targets").expect("targets");
    let page: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let targets = page["data"]["activeTargets"].as_array().expect("a list").iter();
    targets.map(|t| t["scrapePool"].as_str().unwrap_or_default().to_owned()).collect()
}

fn differing(one: &BTreeMap<String, String>, other: &BTreeMap<String, String>) -> Vec<usize> {
    let changed = one.iter().filter(|(name, version)| other.get(*name) != Some(version));
    let mut places: Vec<usize> =
        changed.filter_map(|(name, _)| name.strip_prefix("agent-")?.parse().ok()).collect();
    places.sort_unstable();
    places
}

#[test]
fn fifty_agents_follow_one_gateway() {
    let mut fleet = Fleet::start();
    let first = fleet.wait_current();
    fleet.assert_jobs("prod-1", "test-1");
    // Without a remote_write they send to the gateway that they have their configuration from.
    let received = |page: &weir_tests::metrics::Page| {
        page.count("weir_received_samples_total", &[]) >= (5 * AGENTS) as f64
    };
    fleet.gateway.wait_metrics("samples of all agents", SOON, received);

    // One change, taken by those that it is for.
    write(&fleet.gateway, "prod.yml", &job("prod-2"));
    assert_eq!(fleet.reload().status, 200);
    let second = fleet.wait_current();
    let prod: Vec<usize> = (0..AGENTS).filter(|at| is_prod(*at)).collect();
    assert_eq!(differing(&first, &second), prod);
    fleet.assert_jobs("prod-2", "test-1");

    // A bad one is refused by the gateway, with file and line.
    write(&fleet.gateway, "test.yml", &job("test-2").replace("static_configs", "static_config"));
    let answer = fleet.reload();
    let said = answer.text();
    assert_eq!(answer.status, 400, "{said}");
    assert!(said.contains("test.yml:6: scrape_configs[0].static_config: "), "{said}");
    assert_eq!(fleet.wait_current(), second);

    // One that only the agents' hosts can judge is refused by them.
    let variable = job("test-3").replace("${agent}", "${NOT_SET_ON_ANY_HOST}");
    write(&fleet.gateway, "test.yml", &variable);
    assert_eq!(fleet.reload().status, 200);
    let states = wait::until("the agents say so", SOON, || {
        let page = fleet.gateway.metrics();
        let in_state = |state| page.count("weir_agents", &[("state", state)]) as usize;
        let refused = (in_state("refused"), in_state("current"));
        if refused.0 == AGENTS - prod.len() { Ok(refused) } else { Err(format!("{refused:?}")) }
    });
    assert_eq!(states, (AGENTS - prod.len(), prod.len()));
    let page = http::get(fleet.gateway.address(), "/").expect("the page").text();
    assert!(page.contains("NOT_SET_ON_ANY_HOST is not set"), "{page}");
    fleet.assert_jobs("prod-2", "test-1");
    assert_away_is_harmless(&mut fleet);
}

/// The gateway goes away: agents go on, and start with what they had; and they take what it has when
/// it is back.
fn assert_away_is_harmless(fleet: &mut Fleet) {
    fleet.gateway.kill();
    write(&fleet.gateway, "prod.yml", &job("prod-4"));
    write(&fleet.gateway, "test.yml", &job("test-4"));
    for agent in fleet.agents.iter_mut().take(5) {
        agent.crash_and_restart();
    }
    fleet.assert_jobs("prod-2", "test-1");
    let url = format!("http://{}", fleet.gateway.address());
    let folder = tempfile::tempdir().expect("a folder");
    let late = Agent::start_central(&url, "late", &TEST, folder.path());
    assert!(jobs(&late).is_empty(), "it has never had a configuration");
    fleet.gateway.spawn();
    fleet.gateway.wait_ready();
    wait::until_true("all take the newest", SOON, || {
        let states: Vec<String> = fleet.seen().into_values().map(|(state, _)| state).collect();
        states.len() == AGENTS + 1 && states.iter().all(|state| state == "current")
    });
    fleet.assert_jobs("prod-4", "test-4");
    assert_eq!(jobs(&late), ["test-4"]);
}

/// Wrong in meaning, in form, in kind, and no text at all.
const BAD: [&str; 4] =
    ["scrape_configs: [{job_name: a, scrape_interval: never}]", "{", "alerting: {}", "\u{0}"];

#[test]
fn an_agent_refuses_what_it_cannot_read_and_goes_on() {
    let (gateway, folder) = (Target::start(), tempfile::tempdir().expect("a folder"));
    gateway.say(Some(job("good")));
    let url = format!("http://{}", gateway.address());
    let mut agent = Agent::start_central(&url, "a", &[], folder.path());
    wait::until_true("it takes the good one", SOON, || jobs(&agent) == ["good"]);
    let is_good = |agent: &Agent| {
        agent.metrics().count("prometheus_config_last_reload_successful", &[]) == 1.0
    };
    for (turn, bad) in BAD.into_iter().enumerate() {
        gateway.say(Some(bad.to_owned()));
        wait::until_true("it refuses the bad one", SOON, || !is_good(&agent));
        assert_eq!(jobs(&agent).len(), 1, "what ran goes on: {bad:?}");
        let good = format!("good-{turn}");
        gateway.say(Some(job(&good)));
        wait::until_true("it takes the next good one", SOON, || jobs(&agent) == [good.as_str()]);
        assert!(is_good(&agent));
    }
    let kept = folder.path().join("weir-agent/gateway.yml");
    wait::until_true("it is kept on disk", SOON, || {
        fs::read_to_string(&kept).is_ok_and(|text| text == job("good-3"))
    });
    gateway.say(Some("scrape_configs: [".to_owned()));
    agent.crash_and_restart();
    assert_eq!(jobs(&agent), ["good-3"], "the disk has the last good one");
    gateway.say(Some(job("better")));
    wait::until_true("it takes a better one", SOON, || jobs(&agent) == ["better"]);
    assert!(is_good(&agent));
}
