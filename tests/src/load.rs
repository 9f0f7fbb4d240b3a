//! A scripted load for tests of durability: counters that reset, gauges, series that end and come
//! back, and some that no rule takes.
//!
//! Values are whole numbers, so that sums are exact in any order. Each tick of a fleet has its own
//! timestamp; what was acknowledged is kept for the oracle. Invariant: a sample is in the history
//! if, and only if, it was acknowledged.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use weir_model::{Label, ShardKey, VShard, vshard_of_group};

use crate::oracle::{self, Differences, Expected, Oracle, Outputs};
use crate::samples::{History, Labels, Sample, is_stale, labels, name, stale_marker};
use crate::sender::Places;
use crate::wait;

/// How long an acknowledgement may take, restarts included.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(120);

/// Several senders at work.
pub struct Load {
    shared: Arc<Shared>,
    senders: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    history: Mutex<History>,
    stopping: AtomicBool,
    acknowledged: AtomicUsize,
    tries: AtomicUsize,
    slowest_ms: AtomicI64,
}

impl Load {
    /// Starts this many senders, each with its own targets, a tick every `tick_ms`.
    pub fn start(to: SocketAddr, senders: usize, tick_ms: i64) -> Self {
        Self::spread(&[to], senders, tick_ms)
    }

    /// The same over the gateways of a tier: each try goes to any of them.
    pub fn spread(places: &[SocketAddr], senders: usize, tick_ms: i64) -> Self {
        let shared = Arc::new(Shared::default());
        let spawn = |number| {
            let shared = Arc::clone(&shared);
            let places = Places::new(places, number as u64);
            std::thread::spawn(move || send(places, number, tick_ms, &shared))
        };
        let senders = (0..senders).map(spawn).collect();
        Self { shared, senders }
    }

    /// Samples acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Requests so far, those that failed included.
    pub fn tries(&self) -> usize {
        self.shared.tries.load(Ordering::SeqCst)
    }

    /// The longest that samples took since this was asked last, from the first try to the answer.
    pub fn take_slowest(&self) -> Duration {
        let slowest = self.shared.slowest_ms.swap(0, Ordering::SeqCst);
        Duration::from_millis(u64::try_from(slowest).unwrap_or(0))
    }

    /// Stops once everything sent is acknowledged, and gives all of it.
    pub fn stop(self) -> History {
        self.shared.stopping.store(true, Ordering::SeqCst);
        for sender in self.senders {
            sender.join().expect("a sender ends well");
        }
        std::mem::take(&mut *self.shared.history.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn send(mut to: Places, number: usize, tick_ms: i64, shared: &Shared) {
    let mut tick = 0;
    loop {
        // One more tick at the end: a frontier that waits for its targets sees them caught up.
        let is_last = shared.stopping.load(Ordering::SeqCst);
        let now = wait::now_ms();
        let samples = samples_of(number, tick, now);
        let tries = to.send_until_acknowledged(&samples, ACKNOWLEDGED_WITHIN);
        shared.slowest_ms.fetch_max(wait::now_ms() - now, Ordering::SeqCst);
        shared.history.lock().unwrap_or_else(PoisonError::into_inner).add(&samples);
        shared.acknowledged.fetch_add(samples.len(), Ordering::SeqCst);
        shared.tries.fetch_add(tries, Ordering::SeqCst);
        if is_last {
            return;
        }
        tick += 1;
        wait::for_clock(now + tick_ms);
    }
}

/// What one sender says at one tick.
pub fn samples_of(sender: usize, tick: i64, now: i64) -> Vec<Sample> {
    let mut samples = Vec::new();
    for target in 0..4 {
        let instance = format!("host-{sender}-{target}:9100");
        let zone = if target % 2 == 0 { "even" } else { "odd" };
        let pairs = [("instance", instance.as_str()), ("job", "load"), ("zone", zone)];
        let seed = i64::try_from(sender * 7 + target).unwrap_or(0);
        let mut say = |name: &str, value: f64| {
            samples.push(Sample::new(&labels(name, &pairs), now, value));
        };
        // Each target's counter resets at its own pace.
        let reset_every = 37 + seed;
        say("requests_total", ((tick % reset_every) * (3 + seed)) as f64);
        say("in_flight", ((tick * 31 + seed * 17) % 101) as f64);
        say("passed_on", (tick * 1000 + seed) as f64);
        // Comes for 20 ticks, says goodbye, stays away for 20.
        match (tick + seed * 5) % 40 {
            0..20 => {
                say("sometimes_total", (tick * 2) as f64);
                say("sometimes", (tick % 13) as f64);
                say("sometimes_passed_on", tick as f64);
            }
            20 => {
                for name in ["sometimes_total", "sometimes", "sometimes_passed_on"] {
                    say(name, stale_marker());
                }
            }
            _ => {}
        }
    }
    samples
}

/// The virtual shards of so many senders' series, and of their groups.
pub fn vshards_of(senders: usize) -> Vec<VShard> {
    let (tenant, key, mut busy) = ("anonymous", ShardKey::default(), Vec::new());
    for (sender, target) in (0..senders).flat_map(|s| (0..4).map(move |t| (s, t))) {
        let instance = format!("host-{sender}-{target}:9100");
        let labels = [("instance", instance.as_str()), ("job", "load")];
        let labels = labels.map(|(name, value)| Label::new(name, value));
        busy.push(key.vshard(tenant, &labels));
    }
    let metrics = ["requests_total", "sometimes_total", "in_flight", "sometimes"];
    for (metric, zone) in metrics.iter().flat_map(|m| ["even", "odd"].map(|z| (*m, z))) {
        let pairs = [("__name__", metric), ("job", "load"), ("zone", zone)];
        let [metric, job, zone] = pairs.map(|(name, value)| Label::new(name, value));
        busy.push(vshard_of_group(tenant, [metric, job, zone].into_iter()));
        busy.push(vshard_of_group(tenant, [metric, zone].into_iter()));
    }
    busy
}

/// Whether a series is one that no rule takes.
pub fn is_passed_on(labels: &Labels) -> bool {
    name(labels).ends_with("passed_on")
}

/// What must have been passed on raw: all of it, markers too.
pub fn passed_on(history: &History) -> Outputs {
    let mut outputs = Outputs::new();
    for (labels, samples) in history.0.iter().filter(|(labels, _)| is_passed_on(labels)) {
        let expected = |(&timestamp, &value): (&i64, &f64)| {
            let marker = is_stale(value);
            (timestamp, if marker { Expected::Marker } else { Expected::Value(value) })
        };
        outputs.insert((**labels).clone(), samples.iter().map(expected).collect());
    }
    outputs
}

/// The rules that go with the load, with windows of two lengths.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Seconds of the short windows; series are stale after four of them.
    pub short_s: i64,
    /// Seconds of the long windows, a multiple of the short ones; stale after two of them.
    pub long_s: i64,
}

const COUNTERS_SHORT: &str = "total, total_prometheus, increase, rate_sum, rate_avg";
const GAUGES_SHORT: &str = "sum_last, avg_last, min_last, max_last, count_series, sum_samples, \
    sum_samples_total, count_samples, unique_samples, min, max, avg, stddev, stdvar, \
    quantiles(0.5), histogram_bucket";
const COUNTERS_LONG: &str = "total, increase";
const GAUGES_LONG: &str = "sum_last, count_series, sum_samples, avg";

impl Rules {
    /// As a rule file.
    pub fn file(&self) -> String {
        let mut file = String::new();
        for (name, metrics, interval, staleness, grouping, outputs) in [
            ("counters_short", COUNTERS, self.short_s, 4, "without: [instance]", COUNTERS_SHORT),
            ("gauges_short", GAUGES, self.short_s, 4, "without: [instance]", GAUGES_SHORT),
            ("counters_long", COUNTERS, self.long_s, 2, "by: [zone]", COUNTERS_LONG),
            ("gauges_long", GAUGES, self.long_s, 2, "by: [zone]", GAUGES_LONG),
        ] {
            let staleness = staleness * interval;
            let metrics = metrics.join("|");
            file.push_str(&format!(
                "- name: {name}\n  match: '{{__name__=~\"{metrics}\"}}'\n  interval: {interval}s\n  \
                 staleness_interval: {staleness}s\n  {grouping}\n  outputs: [{outputs}]\n"
            ));
        }
        file
    }

    /// The oracle under the same file.
    pub fn oracle(&self) -> Oracle {
        Oracle::read(&self.file()).expect("rules that the oracle reads")
    }

    /// The end of the long window that is open at a time.
    pub fn window_end(&self, at_ms: i64) -> i64 {
        let long_ms = self.long_s * 1000;
        (at_ms + long_ms - 1).div_euclid(long_ms) * long_ms
    }

    /// All that the rules must have said up to `through`, a long window's end, and all that must
    /// have been passed on.
    pub fn expected(&self, history: &History, through: i64) -> Outputs {
        self.oracle().expected(&history.in_time(), through)
    }

    /// Compares what a backend received, in its order, with [`Rules::expected`].
    pub fn compare(&self, history: &History, received: &[Sample], through: i64) -> Differences {
        oracle::compare(&self.expected(history, through), received, |labels, timestamp| {
            is_passed_on(labels) || timestamp <= through
        })
    }

    /// Compares what a backend holds with [`Rules::expected`].
    pub fn compare_stored(&self, history: &History, stored: &History, through: i64) -> Differences {
        oracle::compare_values(&self.expected(history, through), stored, |labels, timestamp| {
            is_passed_on(labels) || timestamp <= through
        })
    }
}

const COUNTERS: [&str; 2] = ["requests_total", "sometimes_total"];
const GAUGES: [&str; 2] = ["in_flight", "sometimes"];
