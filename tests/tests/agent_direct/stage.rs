//! Three gateways, two targets for each of them, and an agent that knows one gateway.
//!
//! Targets count their pages, so that what the backend must have is known exactly.

use std::collections::{BTreeMap, BTreeSet};
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

pub(crate) const SOON: Duration = Duration::from_secs(90);
pub(crate) const GATEWAYS: usize = 3;

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

pub(crate) struct Stage {
    pub(crate) backend: Backend,
    pub(crate) tier: Tier,
    pub(crate) targets: Vec<(String, CountingTarget)>,
    pub(crate) agent: Agent,
    _folder: tempfile::TempDir,
}

impl Stage {
    /// Three gateways, two targets for each, and an agent that knows one gateway.
    pub(crate) fn start(rules: &str, more: &str) -> Self {
        let backend = Backend::start();
        let tier = Tier::start(GATEWAYS, &sending_to(&backend.url(), "20s", ""), rules);
        let targets: Vec<_> =
            instances(2).into_iter().map(|name| (name, CountingTarget::start(3))).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let agent = agent(&tier, &targets, more, folder.path());
        Self { backend, tier, targets, agent, _folder: folder }
    }

    pub(crate) fn forwarded(&self) -> f64 {
        self.tier.sum("weir_forwarded_requests_total", &[])
            + self.tier.sum("weir_forward_cut_requests_total", &[])
    }

    /// Waits until each target has served so many more pages.
    pub(crate) fn serve(&self, more: usize) {
        let served = |(_, target): &(String, CountingTarget)| target.served().len();
        let before: Vec<usize> = self.targets.iter().map(served).collect();
        wait::until_true("pages are served", SOON, || {
            self.targets.iter().zip(&before).all(|(target, before)| served(target) >= before + more)
        });
    }

    /// Waits until pages come and none is sent on.
    pub(crate) fn wait_direct(&self) {
        wait::until("nothing is sent on", SOON, || {
            let before = self.forwarded();
            self.serve(4);
            let more = self.forwarded() - before;
            (more == 0.0).then_some(()).ok_or_else(|| format!("{more} requests were"))
        });
    }

    /// Waits until the backend has every page that was served until now.
    pub(crate) fn wait_all(&self) {
        let served: Vec<BTreeSet<u64>> =
            self.targets.iter().map(|(_, target)| target.served().into_iter().collect()).collect();
        wait::until("all pages arrive", SOON, || {
            let all = self.backend.samples();
            let missing = |((instance, _), served): (&(String, _), &BTreeSet<u64>)| {
                let arrived = pages(&all, instance).into_values().collect();
                // A page that came too late for its scrape is no page.
                served.difference(&arrived).count().saturating_sub(failed(&all, instance))
            };
            let missing: Vec<usize> = self.targets.iter().zip(&served).map(missing).collect();
            let is_all = missing.iter().all(|&count| count == 0);
            is_all.then_some(()).ok_or_else(|| format!("missing: {missing:?}"))
        });
    }

    pub(crate) fn admin(&self, words: &[&str]) {
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

/// How many of its scrapes have failed.
fn failed(all: &[Sample], instance: &str) -> usize {
    let of = all.iter().filter(|s| name(&s.labels) == "up" && s.value == 0.0);
    of.filter(|s| s.labels.get("instance").is_some_and(|own| own == instance)).count()
}

/// When an instance's pages were scraped, and their numbers, as the series say that pass as they come.
pub(crate) fn pages(all: &[Sample], instance: &str) -> BTreeMap<i64, u64> {
    let of = all.iter().filter(|s| name(&s.labels) == "filler" && !is_stale(s.value));
    let of = of.filter(|s| s.labels.get("instance").is_some_and(|own| own == instance));
    of.map(|s| (s.timestamp, s.value as u64)).collect()
}
