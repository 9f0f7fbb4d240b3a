//! What happens to the gateway, step by step, and what the world knows of it.
//!
//! The same steps in every run: samples every five seconds of event time, windows of 10 s and 60 s
//! that close one by one and several at once, checkpoints, a reload, deliveries, cuts. A step that
//! fails is tried again after the restart, as a sender does; what was acknowledged goes into the
//! history, from which the oracle computes what must have left.

use std::path::Path;
use std::time::{Duration, Instant};

use weir_gateway::config::{Config, Overrides, load};
use weir_journal::fs::faulty::FaultyFs;
use weir_tests::load::{Rules, samples_of};
use weir_tests::oracle::Differences;
use weir_tests::samples::{History, Sample, labels};
use weir_tests::wait;

use super::twin::{DIR, Stop, Twin};

const RULES: Rules = Rules { short_s: 10, long_s: 60 };
const TICK_MS: i64 = 5_000;
/// Ticks of the whole script: past the end of two long windows.
const TICKS: i64 = 30;
/// Behind the newest sample.
const GRACE_MS: i64 = 10_000;
/// Senders whose samples stand in one request.
const SENDERS: usize = 12;
/// So small that the log has several segments.
const SEGMENT_BYTES: u64 = 16 << 10;
const ANOTHER_RULE: &str =
    "- {name: another, match: nothing_at_all, interval: 30s, outputs: [sum_last]}\n";

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Samples of this tick.
    Send(i64),
    /// The frontier follows this tick.
    Frontier(i64),
    Checkpoint,
    Reload,
    Deliver,
    Cut,
}

/// What the world outside knows.
#[derive(Clone)]
pub(crate) struct World {
    /// The moment of tick 0: where a long window begins, some hours ago.
    base: i64,
    pub(crate) steps: Vec<Step>,
    /// The next one.
    pub(crate) at: usize,
    /// Acknowledged.
    pub(crate) history: History,
    /// What the destination was sent, in order.
    pub(crate) received: Vec<Sample>,
    configs: [Config; 2],
    /// Which of both is in the file.
    config: usize,
}

impl World {
    pub(crate) fn new() -> Self {
        let now = wait::now_ms() - 3 * 3_600_000;
        let long_ms = RULES.long_s * 1000;
        Self {
            base: now - now.rem_euclid(long_ms),
            steps: steps(),
            at: 0,
            history: History::default(),
            received: Vec::new(),
            configs: [config(""), config(ANOTHER_RULE)],
            config: 0,
        }
    }

    /// The configuration in the file.
    pub(crate) fn config(&self) -> &Config {
        &self.configs[self.config]
    }

    /// Starts a gateway on this disk.
    pub(crate) fn start(&self, fs: &FaultyFs) -> Result<Twin, Stop> {
        Twin::start(fs, self.config())
    }

    /// Does what is left to do up to a step.
    pub(crate) fn run(&mut self, twin: &mut Twin, until: usize) -> Result<(), Stop> {
        let began = Instant::now();
        while self.at < until {
            match self.step(twin) {
                // The next file is not made yet: who is refused comes again.
                Err(_) if !twin.is_over() && began.elapsed() < Duration::from_secs(30) => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                done => done?,
            }
        }
        Ok(())
    }

    /// Does the next step; it is the next one still if it fails.
    pub(crate) fn step(&mut self, twin: &mut Twin) -> Result<(), Stop> {
        match self.steps[self.at] {
            Step::Send(tick) => {
                let samples = self.samples(tick);
                twin.send(&samples)?;
                self.history.add(&samples);
            }
            Step::Frontier(tick) => twin.frontier(self.behind(tick))?,
            Step::Checkpoint => twin.checkpoint()?,
            Step::Reload => {
                self.config = 1;
                twin.reload(self.config())?;
            }
            Step::Deliver => {
                twin.settle()?;
                twin.deliver(&mut self.received)?;
            }
            Step::Cut => twin.cut()?,
        }
        self.at += 1;
        Ok(())
    }

    /// Samples of one tick.
    pub(crate) fn samples(&self, tick: i64) -> Vec<Sample> {
        let of = |sender| samples_of(sender, tick, self.base + tick * TICK_MS);
        (0..SENDERS).flat_map(of).collect()
    }

    /// Samples of a tick that no rule takes, of series of their own, some 5 KB that do not compress.
    pub(crate) fn more_samples(&self, tick: i64, number: u64) -> Vec<Sample> {
        let sample = |n: u64| {
            let noise = (number * 64 + n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let noise =
                (0..8).map(|i| format!("{:016x}", noise.rotate_left(7 * i).wrapping_mul(noise)));
            let noise: String = noise.collect();
            let labels = labels("more_passed_on", &[("instance", "host:9100"), ("noise", &noise)]);
            Sample::new(&labels, self.base + tick * TICK_MS, n as f64)
        };
        (0..32).map(sample).collect()
    }

    /// Where the frontier belongs after a tick.
    pub(crate) fn behind(&self, tick: i64) -> i64 {
        self.base + tick * TICK_MS - GRACE_MS
    }

    /// What the destination has against what it must have, after the last step.
    pub(crate) fn compare(&self) -> Differences {
        let through = self.base + TICKS * TICK_MS - GRACE_MS;
        let through = through - through.rem_euclid(RULES.long_s * 1000);
        RULES.compare(&self.history, &self.received, through)
    }
}

fn steps() -> Vec<Step> {
    let mut steps = Vec::new();
    for tick in 0..TICKS {
        steps.push(Step::Send(tick));
        // As after a pause: three short windows and a long one close at once.
        let pause = (9..14).contains(&tick);
        if tick % 2 == 0 && !pause {
            steps.push(Step::Frontier(tick));
        }
        match tick {
            3 | 12 | 18 => steps.push(Step::Checkpoint),
            20 => steps.push(Step::Reload),
            _ => {}
        }
        if tick % 5 == 4 {
            steps.extend([Step::Deliver, Step::Cut]);
        }
    }
    steps.extend([Step::Frontier(TICKS), Step::Deliver]);
    steps
}

fn config(more_rules: &str) -> Config {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("it is written");
    };
    write("rules.yml", &format!("{}{more_rules}", RULES.file()));
    // A key of its own: replay must place series by it from the first record on.
    write(
        "weir.yml",
        "rule_files: [rules.yml]\ncluster: {shard_key: {labels: [zone, instance]}}\n",
    );
    let overrides = Overrides { data_dir: Some(Path::new(DIR).into()), ..Overrides::default() };
    let file = folder.path().join("weir.yml");
    let mut config = load(Some(&file), &overrides, &|_| None).expect("a configuration");
    config.wal.segment_bytes = SEGMENT_BYTES;
    config
}
