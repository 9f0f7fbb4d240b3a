//! Checks a run: what was acknowledged against what the target sent on.
//!
//! The run tells which requests were acknowledged; the workload makes their samples again, the oracle
//! computes from them what every rule must have said, and the [`outlet`] has what came. Invariant: what
//! cannot be known is not held against the target: a sample that came behind now − grace may have
//! been late or not, and a request that was given up may have been taken. Not here: a target that knows series of an earlier run.

pub mod outlet;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::oracle::{Arrival, Differences, Doubts, Oracle, Settings, compare_values};
use crate::receiver::Receiver;
use crate::samples::Sample;
use crate::sender::Observer;
use crate::workload::{Request, Workload};

pub use outlet::{Outlet, Store};

/// Samples that are checked at most: all of them are held in memory, twice.
pub const SAMPLES_MOST: f64 = 5e6;
/// The frontier is moved once a second, and outputs take their way.
const SLACK: Duration = Duration::from_secs(3);
/// What was to come is there when none of it has come for this long; later windows go on.
const QUIET: Duration = Duration::from_secs(3);
/// What a tier lacks may wait for a node that is away, a minute at most, and then some.
const MISSING: Duration = Duration::from_secs(75);
/// How long outputs may go on coming.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(500);

/// What became of requests, in the order of the answers.
#[derive(Debug, Default)]
pub struct Ledger {
    acknowledged: Mutex<Vec<(Request, i64)>>,
    /// Perhaps taken, for all that anybody knows.
    doubtful: Mutex<Vec<Request>>,
}

impl Observer for Ledger {
    fn on_acknowledged(&self, request: &Request) {
        held(&self.acknowledged).push((*request, now_ms()));
    }

    fn on_doubtful(&self, request: &Request) {
        held(&self.doubtful).push(*request);
    }
}

impl Ledger {
    /// Requests that nobody can tell of whether they were taken.
    pub fn doubtful(&self) -> usize {
        held(&self.doubtful).len()
    }
}

fn held<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A check that has begun.
pub struct Check {
    oracle: Oracle,
    outlet: Outlet,
    grace: Duration,
}

impl Check {
    /// Of a target that runs these rules and sends on to that.
    pub fn begin(rules: &str, outlet: Outlet, settings: Settings) -> Result<Self, String> {
        let grace = Duration::from_millis(u64::try_from(settings.grace_ms).unwrap_or(0));
        Ok(Self { oracle: Oracle::read(rules)?.with(settings), outlet, grace })
    }

    /// Where the target has to send its outputs, or where they are read.
    pub fn url(&self) -> String {
        match &self.outlet {
            Outlet::Received(receiver) => receiver.url(),
            Outlet::Stored(store) => store.url(),
        }
    }

    /// Waits until every window up to now has closed and its outputs have come, and compares; what is
    /// missing is waited for. `stop`
    /// ends the waiting: then windows that are still open count as lost.
    pub fn end(
        self,
        ledger: &Ledger,
        workload: &Workload,
        stop: &AtomicBool,
    ) -> Result<Differences, String> {
        let through = now_ms();
        wait(self.grace + SLACK, stop);
        let quiet = Instant::now();
        loop {
            match &self.outlet {
                Outlet::Received(receiver) => wait_quiet(receiver, through, stop),
                Outlet::Stored(_) => wait(QUIET, stop),
            }
            let found = self.judge(ledger, workload, through);
            let waits = quiet.elapsed() < MISSING && !stop.load(Ordering::Relaxed);
            if found.as_ref().is_ok_and(|found| found.lost.is_empty()) || !waits {
                return found;
            }
        }
    }

    fn judge(
        &self,
        ledger: &Ledger,
        workload: &Workload,
        through: i64,
    ) -> Result<Differences, String> {
        let arrivals = self.arrivals(ledger, workload);
        let perhaps = held(&ledger.doubtful);
        let perhaps: Vec<Sample> = perhaps.iter().flat_map(|r| workload.samples(r)).collect();
        let doubts = self.oracle.doubts(&arrivals, &perhaps);
        match &self.outlet {
            Outlet::Received(receiver) => {
                let received = receiver.samples();
                let mut found = self.oracle.judge_but(&doubts, &arrivals, &received, through);
                let histograms = receiver.histograms();
                let histograms = histograms.iter().map(|(labels, h)| (&**labels, h));
                found.add(self.oracle.judge_histograms(&doubts, &arrivals, histograms, through));
                Ok(found)
            }
            Outlet::Stored(store) => self.judge_stored(store, &doubts, &arrivals, through),
        }
    }

    fn judge_stored(
        &self,
        store: &Store,
        doubts: &Doubts,
        arrivals: &[Arrival],
        through: i64,
    ) -> Result<Differences, String> {
        let alone = self.oracle.expected(arrivals, through);
        let stored = store.read(&alone, through)?;
        // Groups without room are told from the others by what has come.
        let folds = alone.keys().any(|labels| labels.contains_key("__overflow__"));
        let mut expected = if folds {
            let spoken = stored.0.keys().map(|labels| &**labels).collect();
            self.oracle.expected_beside(arrivals, through, &spoken)
        } else {
            alone
        };
        let unjudged = doubts.leave_out(&mut expected) + store.leave_out_untold(&mut expected);
        let raw = self.oracle.passed(arrivals);
        let found = compare_values(&expected, &stored, |labels, t| {
            (t <= through || raw.contains_key(labels)) && !doubts.cover(labels, t)
        });
        let histograms = self.oracle.expected_histograms(arrivals, through);
        let untold: usize = histograms.values().map(|samples| samples.len()).sum();
        Ok(Differences { unjudged: unjudged + untold, ..found })
    }

    fn arrivals(&self, ledger: &Ledger, workload: &Workload) -> Vec<Arrival> {
        let grace_ms = self.grace.as_millis() as i64;
        let mut arrivals = Vec::new();
        for (request, answered_ms) in &*held(&ledger.acknowledged) {
            // Where the frontier stood is known from above only: it may have waited for others.
            let before = answered_ms - grace_ms;
            let samples = workload.samples(request);
            arrivals.extend(samples.iter().map(|s| Arrival::between(s, i64::MIN, before)));
        }
        arrivals
    }
}

fn wait(time: Duration, stop: &AtomicBool) {
    let begun = Instant::now();
    while begun.elapsed() < time && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
    }
}

/// Until nothing of what is due has come for some time.
fn wait_quiet(receiver: &Receiver, through: i64, stop: &AtomicBool) {
    let begun = Instant::now();
    let stopped = || stop.load(Ordering::Relaxed);
    let there = || receiver.count(|sample| sample.timestamp <= through);
    let (mut seen, mut since) = (there(), Instant::now());
    while since.elapsed() < QUIET && begun.elapsed() < PATIENCE && !stopped() {
        std::thread::sleep(LOOK);
        let now = there();
        if now != seen {
            (seen, since) = (now, Instant::now());
        }
    }
}
