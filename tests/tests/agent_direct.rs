//! Agents go to the owners of their targets: nothing is sent on between gateways any more, moves are
//! followed, an owner that is away is waited for, and every owner hears the agent's watermark.
//!
//! Targets count their pages, so that what the backend must have is known exactly.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use weir_model::{Label, ShardKey};
use weir_ring::{Member, Table};
use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::counting_target::CountingTarget;
use weir_tests::gateway::{binary, sending_to};
use weir_tests::samples::{Sample, is_stale, name};
use weir_tests::tier::{self, Tier};
use weir_tests::wait;

const SOON: Duration = Duration::from_secs(90);
const GATEWAYS: usize = 3;

/// So many instances for each member of a tier that has just begun, as `docs/WIRE.md` places them.
fn instances(each: usize) -> Vec<String> {
    let member = |number| Member {
        name: tier::name(number),
        address: String::new(),
        push: String::new(),
        capacity: 1,
    };
    let table = Table::fill((0..GATEWAYS).map(member).collect()).expect("members");
    let owner = |instance: &String| {
        let labels = [Label::new("instance", instance), Label::new("job", "app")];
        table.owner(ShardKey::default().vshard("anonymous", &labels)).name.clone()
    };
    let all: Vec<String> = (0..200).map(|number| format!("host-{number}:9100")).collect();
    let of = |number: usize| {
        let own = all.iter().filter(move |instance| owner(instance) == tier::name(number));
        own.take(each).cloned().collect::<Vec<_>>()
    };
    (0..GATEWAYS).flat_map(of).collect()
}

struct Stage {
    backend: Backend,
    tier: Tier,
    targets: Vec<(String, CountingTarget)>,
    agent: Agent,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Three gateways, two targets for each, and an agent that knows one gateway.
    fn start(rules: &str, more: &str) -> Self {
        let backend = Backend::start();
        let tier = Tier::start(GATEWAYS, &sending_to(&backend.url(), "20s", ""), rules);
        let targets: Vec<_> =
            instances(2).into_iter().map(|name| (name, CountingTarget::start(3))).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let agent = agent(&tier, &targets, more, folder.path());
        Self { backend, tier, targets, agent, _folder: folder }
    }

    fn forwarded(&self) -> f64 {
        self.tier.sum("weir_forwarded_requests_total", &[])
            + self.tier.sum("weir_forward_cut_requests_total", &[])
    }

    /// Waits until each target has served so many more pages.
    fn serve(&self, more: usize) {
        let served = |(_, target): &(String, CountingTarget)| target.served().len();
        let before: Vec<usize> = self.targets.iter().map(served).collect();
        wait::until_true("pages are served", SOON, || {
            self.targets.iter().zip(&before).all(|(target, before)| served(target) >= before + more)
        });
    }

    /// Waits until pages come and none is sent on.
    fn wait_direct(&self) {
        wait::until("nothing is sent on", SOON, || {
            let before = self.forwarded();
            self.serve(4);
            let more = self.forwarded() - before;
            (more == 0.0).then_some(()).ok_or_else(|| format!("{more} requests were"))
        });
    }

    /// Waits until the backend has every page that was served until now.
    fn wait_all(&self) {
        let served: Vec<BTreeSet<u64>> =
            self.targets.iter().map(|(_, target)| target.served().into_iter().collect()).collect();
        wait::until("all pages arrive", SOON, || {
            let all = self.backend.samples();
            let missing = |((instance, _), served): (&(String, _), &BTreeSet<u64>)| {
                served.difference(&pages(&all, instance)).count()
            };
            let missing: Vec<usize> = self.targets.iter().zip(&served).map(missing).collect();
            let is_all = missing.iter().all(|&count| count == 0);
            is_all.then_some(()).ok_or_else(|| format!("missing: {missing:?}"))
        });
    }

    fn admin(&self, words: &[&str]) {
        let address = format!("http://{}", self.tier.addresses()[0]);
        let mut command = Command::new(binary());
        let done = command.arg("admin").args(words).args(["--address", &address]).output();
        let done = done.expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }
}

fn agent(tier: &Tier, targets: &[(String, CountingTarget)], more: &str, folder: &Path) -> Agent {
    let mut config = "global: {scrape_interval: 500ms, scrape_timeout: 450ms}\n\
                      scrape_configs:\n  - job_name: app\n    static_configs:\n"
        .to_owned();
    for (instance, target) in targets {
        config.push_str(&format!(
            "      - {{targets: ['{}'], labels: {{instance: '{instance}'}}}}\n",
            target.address()
        ));
    }
    config.push_str(&format!(
        "remote_write:\n  - {{name: tier, url: 'http://{}/api/v1/write', remote_timeout: 2s{more}, \
         queue_config: {{batch_send_deadline: 100ms, min_backoff: 30ms, max_backoff: 300ms}}}}\n",
        tier.addresses()[0]
    ));
    Agent::start_named("a", &config, folder)
}

/// The numbers of an instance's pages.
fn pages(all: &[Sample], instance: &str) -> BTreeSet<u64> {
    let of = all.iter().filter(|s| name(&s.labels) == "ticks_total" && !is_stale(s.value));
    let of = of.filter(|s| s.labels.get("instance").is_some_and(|own| own == instance));
    of.map(|s| s.value as u64).collect()
}

#[test]
fn an_agent_goes_to_owners_follows_moves_and_waits_for_one_that_is_away() {
    let mut stage = Stage::start("", "");
    stage.wait_direct();
    assert_eq!(stage.agent.metrics().count("weir_agent_owners", &[]), GATEWAYS as f64);
    stage.wait_all();

    stage.admin(&["drain", &tier::name(1)]);
    stage.wait_direct();
    stage.admin(&["rebalance"]);
    stage.wait_direct();
    stage.wait_all();

    stage.tier.kill(2);
    stage.serve(6);
    stage.tier.restart(2);
    stage.wait_all();
    stage.wait_direct();

    stage.agent.crash_and_restart();
    stage.wait_direct();
    stage.tier.assert_audited();
}

#[test]
fn an_agent_that_may_not_goes_where_it_is_told() {
    let stage = Stage::start("", ", direct: false");
    stage.wait_all();
    let before = stage.forwarded();
    stage.serve(4);
    stage.wait_all();
    assert!(stage.forwarded() > before);
    assert_eq!(stage.agent.metrics().count("weir_agent_owners", &[]), 0.0);
}

#[test]
fn every_owner_hears_the_watermark_and_outputs_leave_early() {
    const EARLY_MS: i64 = 3_000;
    let rules = "- {match: ticks_total, interval: 5s, by: [job], outputs: [count_samples]}\n";
    let stage = Stage::start(rules, "");
    let newest = || {
        let all = stage.backend.samples();
        let output = "ticks_total:5s_by_job_count_samples";
        all.iter().filter(|s| name(&s.labels) == output).map(|s| s.timestamp).max()
    };
    // A machine that is busy for a moment is given another try.
    let (mut early, mut last, mut lag_ms) = (0, wait::now_ms(), i64::MAX);
    wait::until("three windows in turn leave early", SOON, || {
        if let Some(end) = newest().filter(|end| *end > last) {
            (last, lag_ms) = (end, wait::now_ms() - end);
            early = if lag_ms <= EARLY_MS { early + 1 } else { 0 };
        }
        if early == 3 { Ok(()) } else { Err(format!("the last left {lag_ms} ms after its end")) }
    });
    for page in stage.tier.metrics() {
        assert_eq!(page.get("weir_watermarked_agents", &[]), Some(1.0));
    }
    stage.tier.assert_audited();
}
