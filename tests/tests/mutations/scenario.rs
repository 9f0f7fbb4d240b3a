//! The run that all mistakes but one are met in: ticks, silence, a kill, ticks, and the verdict.

use std::time::Duration;

use weir_model::mutation::Mutation;
use weir_tests::backend::Backend;
use weir_tests::gateway::{Gateway, sending_to};
use weir_tests::oracle::{Arrival, Differences, Oracle, Settings, compare, compare_histograms};
use weir_tests::samples::{Labels, Sample, labels};
use weir_tests::situations::{LONG_MS, RULES, TICK_MS, WINDOW_MS, samples_at};
use weir_tests::{sender, wait};

const GRACE_MS: i64 = 3_000;
/// Small files, for there are many gateways.
pub(crate) const SMALL: &str = "http: {max_body_size: 1MiB}\n";
const TICKS: i64 = 36;
/// Before this tick everybody is silent for a while, and the gateway is killed.
const KILLED_AT: i64 = 22;
const SILENCE_MS: i64 = 3_000;
const SOON: Duration = Duration::from_secs(120);
/// A frontier that follows the clock is not so far behind it.
const FAR_MS: i64 = 60_000;
/// How long it is waited for what never comes, once the frontier is there.
const SETTLED: Duration = Duration::from_secs(4);
/// The same where no mistake is made, so that it only is late.
const LATE: Duration = Duration::from_secs(60);

/// A gateway that makes a mistake, and all that it acknowledged.
struct Stage {
    errs: bool,
    backend: Backend,
    gateway: Gateway,
    arrivals: Vec<Arrival>,
    /// The late series' newest sample.
    late: i64,
}

/// Runs the load through a gateway that makes this mistake: what the oracle finds.
pub(crate) fn run(mistake: Option<Mutation>, long_replay: bool) -> Differences {
    let mut stage = Stage::set(mistake, long_replay);
    // A window's end, so that the grid of ticks has it.
    let begin = (wait::now_ms() / LONG_MS + 1) * LONG_MS;
    let mut shift = 0;
    for tick in 0..TICKS {
        if tick == KILLED_AT {
            wait::for_clock(begin + tick * TICK_MS + SILENCE_MS);
            stage.gateway.crash_and_restart();
            let resumed = (wait::now_ms() - begin - tick * TICK_MS) / WINDOW_MS + 1;
            shift = resumed * WINDOW_MS;
        }
        let now = begin + shift + tick * TICK_MS;
        wait::for_clock(now);
        stage.tick(tick, now);
    }
    stage.judge()
}

impl Stage {
    fn set(mistake: Option<Mutation>, long_replay: bool) -> Self {
        let backend = Backend::start();
        let every = if long_replay { "1h" } else { "1s" };
        let config = format!(
            "{}{}wal: {{segment_size: 2MiB, checkpoint_interval: {every}}}\n",
            SMALL,
            sending_to(
                &backend.url(),
                // The late series' target never catches up, and nobody shall wait for it.
                &format!("{GRACE_MS}ms, backlog_wait_max: 3s"),
                "    send_native_histograms: true\n"
            )
        );
        let mut gateway = Gateway::prepare(&config, RULES);
        gateway.mutate(mistake.map(Mutation::name));
        gateway.launch();
        Self { errs: mistake.is_some(), backend, gateway, arrivals: Vec::new(), late: 0 }
    }

    fn tick(&mut self, tick: i64, now: i64) {
        let samples = samples_at(tick, now);
        self.send(&samples);
        if tick % 5 == 0 {
            // A sender whose answer got lost.
            self.send(&samples);
        }
        let behind = self.frontier();
        let at = behind.saturating_sub(100);
        // In a new data directory the frontier is far back at first and then jumps: on which side of that a
        // sample came nobody could say.
        if at > self.late && now.saturating_sub(behind) < FAR_MS {
            self.late = at;
            let pairs = [("instance", "late:1"), ("job", "load")];
            self.send(&[Sample::new(&labels("c_late_total", &pairs), at, (5 * tick) as f64)]);
        }
    }

    fn send(&mut self, samples: &[Sample]) {
        let behind = self.frontier();
        sender::send_v2_until_acknowledged(self.gateway.address(), samples, SOON);
        let before = self.frontier_of_all();
        let arrival = |s: &Sample| Arrival::between(s, behind, before);
        self.arrivals.extend(samples.iter().map(arrival));
    }

    /// Where it has certainly not come past with what is logged: workers are ahead of what is published, by much
    /// on a busy machine, until the emitter has heard of it.
    fn frontier_of_all(&self) -> i64 {
        let position = |name| self.gateway.metrics().count(name, &[]);
        let logged = position("weir_wal_position");
        let is_there = || position("weir_emit_position") >= logged;
        wait::until_true("the emitter has heard of all that is logged", SOON, is_there);
        self.frontier()
    }

    /// Where the frontier has certainly come to.
    fn frontier(&self) -> i64 {
        let seconds = self.gateway.metrics().get("weir_frontier_seconds", &[]);
        seconds.map_or(i64::MIN, |s| (s * 1000.0).round() as i64)
    }

    fn judge(self) -> Differences {
        let newest = self.arrivals.iter().map(|a| a.sample.timestamp).max().unwrap_or_default();
        // Two windows more: what is silent ends, and what is late arrives.
        let through = (newest + 2 * WINDOW_MS) / LONG_MS * LONG_MS + LONG_MS;
        self.gateway.wait_frontier(through, SOON);
        let settings = Settings { grace_ms: GRACE_MS, ..Settings::default() };
        let oracle = Oracle::read(RULES).expect("rules that the oracle reads").with(settings);
        let histograms = oracle.expected_histograms(&self.arrivals, through);
        let look = || {
            let received = self.backend.samples();
            let mut found = oracle.judge(&self.arrivals, &received, through);
            let received = self.backend.histograms();
            let received = received.iter().map(|(labels, h)| (&**labels, h));
            found.add(compare_histograms(&histograms, received, through));
            found
        };
        let mut found = Differences::default();
        wait::perhaps(if self.errs { SETTLED } else { LATE }, || {
            found = look();
            // The last window's frame may be on its way at the kill; raw samples are through.
            let raw = oracle.passed(&self.arrivals);
            let is_raw = |labels: &Labels, _| raw.contains_key(labels);
            found.resent = compare(&raw, &self.backend.samples(), is_raw).resent;
            found.is_empty()
        });
        found
    }
}
