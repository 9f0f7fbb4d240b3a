//! Where a tier suffers: its gateways, what is before them and behind them.

mod befall;
mod verdict;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::Plan;
use super::dice::Dice;
use super::faults::{Fault, Victims};
use super::field::Field;
use super::fleet::Fleet;
use super::node::Node;
use super::pause;
use super::processes::WITHIN;
use crate::oracle::{Oracle, Settings};
use crate::receiver::Receiver;

/// Longer than any fault, so that nothing that was acknowledged may be late.
const GRACE_MS: i64 = 10_000;
/// The windows of the shorter rules.
const SHORT_MS: i64 = 2_000;
/// The windows of the longer rules, a multiple.
const LONG_MS: i64 = 10_000;
/// What is not there is waited for: a tier waits for a gateway that is away, a minute at most.
const MISSING: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(75)];

const RULES: &str = r#"
- match: '{__name__=~"requests_total|sometimes_total"}'
  interval: 2s
  staleness_interval: 8s
  without: [instance]
  outputs: [total, total_prometheus, increase, rate_sum, rate_avg]
- match: ['in_flight', '{__name__="sometimes"}']
  interval: 2s
  staleness_interval: 8s
  without: [instance]
  outputs: [sum_last, avg_last, min_last, max_last, count_series, sum_samples, sum_samples_total,
    count_samples, unique_samples, last, min, max, avg, stddev, stdvar, "quantiles(0.5, 0.99)",
    histogram_bucket]
- {match: sizes, interval: 2s, staleness_interval: 8s, without: [instance], outputs: [total, increase]}
- {match: requests_total, interval: 10s, staleness_interval: 20s, by: [zone], outputs: [total, increase]}
- {match: in_flight, interval: 10s, staleness_interval: 20s, by: [zone], outputs: [sum_last, avg],
   keep_input: true}
"#;

/// Comes and goes with reloads; the others keep their state.
const ANOTHER_RULE: &str = "- {match: nothing_at_all, interval: 30s, outputs: [sum_last]}\n";

/// A tier's ground; one gateway is a tier of one.
pub(super) struct Ground {
    /// Their binary, which has the commands of administrators too.
    gateway: PathBuf,
    // Before their folder: a process does not outlive its files.
    nodes: Vec<Node>,
    field: Option<Field>,
    fleet: Fleet,
    receiver: Receiver,
    oracle: Oracle,
    suffered: BTreeMap<Fault, usize>,
    another_rule: bool,
    moves: bool,
    _folder: TempDir,
}

impl Ground {
    /// Starts everything, and waits until samples are acknowledged.
    pub(super) fn prepare(plan: &Plan, (number, seed): (usize, u64)) -> Result<Self, String> {
        let text = |e: std::io::Error| e.to_string();
        let prefix = format!("weir-torture-{number}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().map_err(text)?;
        let receiver = Receiver::listen("127.0.0.1:0").map_err(text)?;
        let settings = Settings { grace_ms: GRACE_MS, ..Settings::default() };
        let oracle = Oracle::read(RULES)?.with(settings);
        let (count, config) = (plan.gateways.max(1), config(&receiver));
        let mut nodes = Node::prepare(&plan.gateway, folder.path(), (count, plan.clocks), &config)?;
        for node in &mut nodes {
            node.configure(RULES)?;
            node.process.start()?;
        }
        nodes.iter_mut().try_for_each(|node| node.process.wait_ready())?;
        let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.process.address).collect();
        let field = || Field::start(&plan.agent, folder.path(), plan.agents, &addresses);
        let field = if plan.agents > 0 { Some(field()?) } else { None };
        let fleet = Fleet::start(&addresses, plan.senders, seed);
        let suffered = BTreeMap::new();
        let mut ground = Self {
            gateway: plan.gateway.clone(),
            nodes,
            field,
            fleet,
            receiver,
            oracle,
            suffered,
            another_rule: false,
            moves: plan.moves && count > 1,
            _folder: folder,
        };
        ground.wait_progress(0)?;
        Ok(ground)
    }

    /// What there is that may suffer.
    pub(super) fn victims(&self) -> Victims {
        let disks = self.nodes.iter().all(Node::disk_can_be_filled);
        Victims {
            disks: disks && self.field.as_ref().is_none_or(Field::disks_can_be_filled),
            several: self.nodes.len() > 1,
            moves: self.moves,
            senders: self.fleet.senders() > 0,
            clocks: self.nodes.iter().all(|node| node.process.clock().is_some()),
            agents: self.field.is_some(),
        }
    }

    /// What grows while the tier works: samples acknowledged; without senders of its own, samples that
    /// reach the backend.
    fn progress(&self) -> usize {
        if self.fleet.senders() > 0 {
            self.fleet.acknowledged()
        } else {
            self.receiver.sample_count()
        }
    }

    /// A fault, and then samples are acknowledged again.
    pub(super) fn suffer(&mut self, fault: Fault, dice: &mut Dice) -> Result<(), String> {
        *self.suffered.entry(fault).or_default() += 1;
        let before = self.progress();
        // Some come fast upon another; before others there is time for a window or two.
        let calm = if dice.between(0, 1) == 0 { (0, 300) } else { (500, 3500) };
        pause(dice.between(calm.0, calm.1));
        let gone_on = self.befall(fault, dice).and_then(|()| {
            // Now and then the next one meets it before it is back.
            let waits = !fault.is_kill() || dice.between(0, 3) > 0;
            if waits { self.wait_progress(before) } else { Ok(()) }
        });
        gone_on.map_err(|why| format!("after {fault}: {why}"))?;
        if let Some(refusal) = self.fleet.refusal() {
            return Err(format!("after {fault} a sender was told {refusal}"));
        }
        Ok(())
    }

    fn wait_progress(&mut self, before: usize) -> Result<(), String> {
        let began = Instant::now();
        while self.progress() <= before {
            if let Some(why) = self.field.as_mut().and_then(Field::ended) {
                return Err(why);
            }
            let late = began.elapsed() > WITHIN;
            for node in &mut self.nodes {
                let ended = !node.process.is_running();
                if ended || late {
                    let why =
                        if ended { "it has ended" } else { "nothing is acknowledged any more" };
                    return Err(format!("{why}; its log:\n{}", node.process.log_end()));
                }
            }
            pause(5);
        }
        Ok(())
    }
}

fn config(receiver: &Receiver) -> String {
    format!(
        "http: {{max_body_size: 1MiB}}\n\
         windows: {{grace: {GRACE_MS}ms}}\n\
         wal: {{segment_size: 2MiB, max_size: 8MiB, checkpoint_interval: 1s}}\n\
         remote_write:\n  - url: {}\n    name: receiver\n    queue_config: {{batch_send_deadline: \
         100ms, min_backoff: 20ms, max_backoff: 200ms}}\n",
        receiver.url()
    )
}
