//! Where one gateway suffers: its folder, its process, what is before it and behind it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use super::dice::Dice;
use super::faults::Fault;
use super::fleet::Fleet;
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
/// What the data folder may take where it is a disk of its own.
const DISK_MIB: u32 = 192;

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

/// One gateway's ground.
pub(super) struct Ground {
    // Before its folder: a process does not outlive its files.
    process: Process,
    fleet: Fleet,
    receiver: Receiver,
    oracle: Oracle,
    suffered: BTreeMap<Fault, usize>,
    another_rule: bool,
    /// The data folder is a tmpfs.
    mounted: bool,
    folder: TempDir,
}

impl Ground {
    /// Starts everything, and waits until samples are acknowledged.
    pub(super) fn prepare(gateway: &Path, number: usize) -> Result<Self, String> {
        let text = |e: std::io::Error| e.to_string();
        let prefix = format!("weir-torture-{number}-");
        let folder = tempfile::Builder::new().prefix(&prefix).tempdir().map_err(text)?;
        let data = folder.path().join("data");
        fs::create_dir(&data).map_err(text)?;
        let receiver = Receiver::listen("127.0.0.1:0").map_err(text)?;
        let settings = Settings { grace_ms: GRACE_MS, ..Settings::default() };
        let oracle = Oracle::read(RULES)?.with(settings);
        configure(folder.path(), &receiver, RULES)?;
        let mounted = mount(&data);
        let mut process = Process::new(gateway, folder.path());
        let started = process.start().and_then(|()| process.wait_ready());
        if let Err(why) = started {
            unmount(mounted, &data);
            return Err(why);
        }
        let fleet = Fleet::start(process.address);
        let suffered = BTreeMap::new();
        let another_rule = false;
        let mut ground =
            Self { process, fleet, receiver, oracle, suffered, another_rule, mounted, folder };
        ground.wait_acknowledged(0)?;
        Ok(ground)
    }

    /// Whether its disk can be filled.
    pub(super) fn disk_can_be_filled(&self) -> bool {
        self.mounted
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
        match fault {
            Fault::Kill => self.restart(),
            Fault::KillInReplay => {
                self.restart()?;
                pause(dice.between(0, 60));
                self.restart()
            }
            Fault::KillAtWindowEnd => {
                // A frontier a second, and the window that ends then: somewhere around it.
                let left = SHORT_MS - now_ms().rem_euclid(SHORT_MS);
                pause(u64::try_from(left % 1000).unwrap_or(0) + dice.between(0, 60));
                self.restart()
            }
            Fault::KillInReload => {
                self.reload(true)?;
                pause(dice.between(0, 25));
                self.restart()
            }
            Fault::Stop => {
                self.process.signal(Signal::STOP);
                pause(dice.between(100, 1500));
                self.process.signal(Signal::CONT);
                Ok(())
            }
            Fault::Terminate => {
                self.process.terminate()?;
                self.restart()
            }
            Fault::Reload => self.reload(true),
            Fault::ReloadBroken => {
                configure(self.folder.path(), &self.receiver, "- {match: [")?;
                self.process.signal(Signal::HUP);
                pause(dice.between(50, 200));
                self.reload(false)
            }
            Fault::DiskFull => self.fill_disk(dice),
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

    fn restart(&mut self) -> Result<(), String> {
        self.process.kill();
        self.process.start()
    }

    /// Writes the rules, once more with or without one that takes nothing, and sends SIGHUP.
    fn reload(&mut self, changed: bool) -> Result<(), String> {
        self.another_rule ^= changed;
        let another = if self.another_rule { ANOTHER_RULE } else { "" };
        configure(self.folder.path(), &self.receiver, &format!("{another}{RULES}"))?;
        self.process.signal(Signal::HUP);
        Ok(())
    }

    fn fill_disk(&mut self, dice: &mut Dice) -> Result<(), String> {
        let ballast = self.folder.path().join("data/ballast");
        let mut file = File::create(&ballast).map_err(|e| e.to_string())?;
        while file.write_all(&[1; 64 << 10]).is_ok() {}
        drop(file);
        pause(dice.between(300, 1500));
        if dice.between(0, 3) == 0 {
            // One that starts on a full disk waits for room.
            self.process.kill();
            let started = self.process.start();
            pause(dice.between(100, 500));
            fs::remove_file(&ballast).map_err(|e| e.to_string())?;
            return started.or_else(|_| self.restart());
        }
        fs::remove_file(&ballast).map_err(|e| e.to_string())
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
            let ended = !self.process.is_running();
            if ended || began.elapsed() > WITHIN {
                let why = if ended { "it has ended" } else { "nothing is acknowledged any more" };
                return Err(format!("{why}; its log:\n{}", self.process.log_end()));
            }
            pause(5);
        }
        Ok(())
    }

    /// What the oracle says of all up to now, once the gateway has caught up. What differs is waited
    /// for, as long as that may take.
    pub(super) fn verdict(&mut self) -> Result<Differences, String> {
        self.process.wait_ready()?;
        let through = (now_ms() - LONG_MS).div_euclid(LONG_MS) * LONG_MS;
        self.judge(through)
    }

    fn judge(&mut self, through: i64) -> Result<Differences, String> {
        let frontier = |process: &Process| {
            process.metric("weir_frontier_seconds").map_or(i64::MIN, |s| (s * 1000.0) as i64)
        };
        let began = Instant::now();
        while frontier(&self.process) < through {
            if began.elapsed() > WITHIN {
                return Err(format!("the frontier does not come to {through}"));
            }
            pause(50);
        }
        let began = Instant::now();
        loop {
            // First what was sent: what arrives in between is not expected yet, and raw samples
            // that are newer than all that is expected are left for the next time.
            let mut arrivals = self.fleet.arrivals();
            arrivals.retain(|a| a.sample.timestamp <= through);
            let mut received = self.receiver.samples();
            received.retain(|s| s.timestamp <= through);
            let found = self.oracle.judge(&arrivals, &received, through);
            if found.is_empty() || began.elapsed() > Duration::from_secs(30) {
                return Ok(found);
            }
            pause(1000);
        }
    }

    /// The last verdict, over everything.
    pub(super) fn end(mut self) -> Result<Summary, String> {
        self.receiver.accept_all();
        self.process.wait_ready()?;
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

impl Drop for Ground {
    fn drop(&mut self) {
        self.process.kill();
        unmount(self.mounted, &self.folder.path().join("data"));
    }
}

fn configure(folder: &Path, receiver: &Receiver, rules: &str) -> Result<(), String> {
    let rules_file = folder.join("rules.yml");
    let config = format!(
        "rule_files: [{rules_file:?}]\n\
         http: {{max_body_size: 1MiB}}\n\
         windows: {{grace: {GRACE_MS}ms}}\n\
         wal: {{segment_size: 2MiB, checkpoint_interval: 1s}}\n\
         remote_write:\n  - url: {}\n    name: receiver\n    queue_config: {{batch_send_deadline: \
         100ms, min_backoff: 20ms, max_backoff: 200ms}}\n",
        receiver.url()
    );
    fs::write(&rules_file, rules).map_err(|e| e.to_string())?;
    fs::write(folder.join("weir.yml"), config).map_err(|e| e.to_string())
}

/// Gives the data folder a small disk of its own. Whoever may not mount has none to fill.
fn mount(at: &Path) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", &format!("size={DISK_MIB}m"), "tmpfs"]).arg(at);
    mount.output().is_ok_and(|output| output.status.success())
}

fn unmount(mounted: bool, at: &Path) {
    if mounted {
        // Lazily: the process may still be about to end.
        Command::new("umount").arg("-l").arg(at).output().ok();
    }
}

fn pause(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}
