//! Where a tier suffers: its gateways, what is before them and behind them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::dice::Dice;
use super::faults::Fault;
use super::fleet::Fleet;
use super::node::Node;
use super::processes::{Process, WITHIN};
use super::summary::Summary;
use crate::clock::now_ms;
use crate::oracle::{Differences, Oracle, Settings};
use crate::receiver::{Receiver, Reply};

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
- {match: requests_total, interval: 10s, staleness_interval: 20s, by: [zone], outputs: [total, increase]}
- {match: in_flight, interval: 10s, staleness_interval: 20s, by: [zone], outputs: [sum_last, avg],
   keep_input: true}
"#;

/// Comes and goes with reloads; the others keep their state.
const ANOTHER_RULE: &str = "- {match: nothing_at_all, interval: 30s, outputs: [sum_last]}\n";

/// A tier's ground; one gateway is a tier of one.
pub(super) struct Ground {
    // Before their folder: a process does not outlive its files.
    nodes: Vec<Node>,
    fleet: Fleet,
    receiver: Receiver,
    oracle: Oracle,
    suffered: BTreeMap<Fault, usize>,
    another_rule: bool,
    _folder: TempDir,
}

impl Ground {
    /// Starts everything, and waits until samples are acknowledged.
    pub(super) fn prepare(
        gateway: &Path,
        gateways: usize,
        (number, seed): (usize, u64),
    ) -> Result<Self, String> {
        let text = |e: std::io::Error| e.to_string();
        let prefix = format!("weir-torture-{number}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().map_err(text)?;
        let receiver = Receiver::listen("127.0.0.1:0").map_err(text)?;
        let settings = Settings { grace_ms: GRACE_MS, ..Settings::default() };
        let oracle = Oracle::read(RULES)?.with(settings);
        let mut nodes = Node::prepare(gateway, folder.path(), gateways, &config(&receiver))?;
        for node in &mut nodes {
            node.configure(RULES)?;
            node.process.start()?;
        }
        nodes.iter_mut().try_for_each(|node| node.process.wait_ready())?;
        let addresses: Vec<SocketAddr> = nodes.iter().map(|node| node.process.address).collect();
        let fleet = Fleet::start(&addresses, seed);
        let suffered = BTreeMap::new();
        let mut ground =
            Self { nodes, fleet, receiver, oracle, suffered, another_rule: false, _folder: folder };
        ground.wait_acknowledged(0)?;
        Ok(ground)
    }

    /// Whether disks can be filled.
    pub(super) fn disk_can_be_filled(&self) -> bool {
        self.nodes.iter().all(Node::disk_can_be_filled)
    }

    /// A fault, and then samples are acknowledged again.
    pub(super) fn suffer(&mut self, fault: Fault, dice: &mut Dice) -> Result<(), String> {
        *self.suffered.entry(fault).or_default() += 1;
        let before = self.fleet.acknowledged();
        // Some come fast upon another; before others there is time for a window or two.
        let calm = if dice.between(0, 1) == 0 { (0, 300) } else { (500, 3500) };
        pause(dice.between(calm.0, calm.1));
        let gone_on = self.befall(fault, dice).and_then(|()| {
            // Now and then the next one meets it before it is back.
            let waits = !fault.is_kill() || dice.between(0, 3) > 0;
            if waits { self.wait_acknowledged(before) } else { Ok(()) }
        });
        gone_on.map_err(|why| format!("after {fault}: {why}"))?;
        if let Some(refusal) = self.fleet.refusal() {
            return Err(format!("after {fault} a sender was told {refusal}"));
        }
        Ok(())
    }

    fn befall(&mut self, fault: Fault, dice: &mut Dice) -> Result<(), String> {
        let last = self.nodes.len() as u64 - 1;
        // One gateway's faults are those of its seed, with or without tiers.
        let at = if last == 0 { 0 } else { dice.between(0, last) as usize };
        match fault {
            Fault::Kill => self.nodes[at].restart(),
            Fault::KillInReplay => {
                self.nodes[at].restart()?;
                pause(dice.between(0, 60));
                self.nodes[at].restart()
            }
            Fault::KillAtWindowEnd => {
                // A frontier a second, and the window that ends then: somewhere around it.
                let left = SHORT_MS - now_ms().rem_euclid(SHORT_MS);
                pause(u64::try_from(left % 1000).unwrap_or(0) + dice.between(0, 60));
                self.nodes[at].restart()
            }
            Fault::KillInReload => {
                self.reload(true)?;
                pause(dice.between(0, 25));
                self.nodes[at].restart()
            }
            Fault::KillAll => {
                self.nodes.iter_mut().for_each(|node| node.process.kill());
                self.nodes.iter_mut().try_for_each(Node::restart)
            }
            Fault::Stop => {
                let most = if last == 0 { 1500 } else { 5000 };
                self.nodes[at].process.signal(Signal::STOP);
                pause(dice.between(100, most));
                self.nodes[at].process.signal(Signal::CONT);
                Ok(())
            }
            Fault::Terminate => {
                self.nodes[at].process.terminate()?;
                self.nodes[at].restart()
            }
            Fault::Reload => self.reload(true),
            Fault::ReloadBroken => {
                self.nodes[at].configure("- {match: [")?;
                self.nodes[at].process.signal(Signal::HUP);
                pause(dice.between(50, 200));
                self.reload(false)
            }
            Fault::DiskFull => {
                let (wait, restarts) = (dice.between(300, 1500), dice.between(0, 3) == 0);
                self.nodes[at].fill_disk(restarts, || pause(wait))
            }
            Fault::SendersDie => {
                self.fleet.die(dice.between(1, 12) as usize);
                Ok(())
            }
            _ => {
                self.misbehave(fault, dice);
                pause(dice.between(100, 1200));
                self.receiver.accept_all();
                Ok(())
            }
        }
    }

    /// Writes the rules, once more with or without one that takes nothing, and sends SIGHUP.
    fn reload(&mut self, changed: bool) -> Result<(), String> {
        self.another_rule ^= changed;
        let another = if self.another_rule { ANOTHER_RULE } else { "" };
        for node in &self.nodes {
            node.configure(&format!("{another}{RULES}"))?;
            node.process.signal(Signal::HUP);
        }
        Ok(())
    }

    fn misbehave(&self, fault: Fault, dice: &mut Dice) {
        let delay = Duration::from_millis(dice.between(50, 400));
        let unwell = dice.between(0, 1) == 0;
        self.receiver.script(move |_| match fault {
            Fault::BackendSlow => Reply::Slow(delay),
            Fault::BackendHangs => Reply::Hang,
            Fault::BackendLoses => Reply::Lose,
            Fault::BackendResets => Reply::Reset,
            Fault::BackendFails if unwell => Reply::Status(500, Vec::new(), "unwell".into()),
            Fault::BackendFails => {
                Reply::Status(503, vec![("Retry-After".into(), "1".into())], "too busy".into())
            }
            _ => Reply::Close,
        });
    }

    fn wait_acknowledged(&mut self, before: usize) -> Result<(), String> {
        let began = Instant::now();
        while self.fleet.acknowledged() <= before {
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

    /// What the oracle says of all up to now, once the gateways have caught up. What differs is
    /// waited for, as long as that may take.
    pub(super) fn verdict(&mut self) -> Result<Differences, String> {
        self.wait_ready()?;
        let through = (now_ms() - LONG_MS).div_euclid(LONG_MS) * LONG_MS;
        self.judge(through)
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        self.nodes.iter_mut().try_for_each(|node| node.process.wait_ready())
    }

    fn judge(&mut self, through: i64) -> Result<Differences, String> {
        let frontier = |process: &Process| {
            process.metric("weir_frontier_seconds").map_or(i64::MIN, |s| (s * 1000.0) as i64)
        };
        let began = Instant::now();
        while self.nodes.iter().any(|node| frontier(&node.process) < through) {
            if began.elapsed() > WITHIN {
                return Err(format!("the frontier does not come to {through}"));
            }
            pause(50);
        }
        let began = Instant::now();
        let patience = MISSING[usize::from(self.nodes.len() > 1)];
        loop {
            // First what was sent: what arrives in between is not expected yet, and raw samples
            // that are newer than all that is expected are left for the next time.
            let mut arrivals = self.fleet.arrivals();
            arrivals.retain(|a| a.sample.timestamp <= through);
            let mut received = self.receiver.samples();
            received.retain(|s| s.timestamp <= through);
            let found = self.oracle.judge(&arrivals, &received, through);
            if found.is_empty() || began.elapsed() > patience {
                return Ok(found);
            }
            pause(1000);
        }
    }

    /// The last verdict, over everything.
    pub(super) fn end(mut self) -> Result<Summary, String> {
        self.receiver.accept_all();
        self.wait_ready()?;
        self.fleet.stop();
        // The windows of the last samples, too.
        let through = now_ms().div_euclid(LONG_MS) * LONG_MS + LONG_MS;
        let differences = self.judge(through)?;
        Ok(Summary {
            faults: std::mem::take(&mut self.suffered),
            requests: self.fleet.requests(),
            acknowledged: self.fleet.acknowledged(),
            received: self.receiver.requests_seen(),
            differences,
        })
    }
}

fn config(receiver: &Receiver) -> String {
    format!(
        "http: {{max_body_size: 1MiB}}\n\
         windows: {{grace: {GRACE_MS}ms}}\n\
         wal: {{segment_size: 2MiB, checkpoint_interval: 1s}}\n\
         remote_write:\n  - url: {}\n    name: receiver\n    queue_config: {{batch_send_deadline: \
         100ms, min_backoff: 20ms, max_backoff: 200ms}}\n",
        receiver.url()
    )
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
