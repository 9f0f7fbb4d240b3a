//! Checks a run: what was acknowledged against what the target sent on.
//!
//! The run tells which requests were acknowledged; the workload makes their samples again, the oracle
//! computes from them what every rule must have said, and the receiver has what came. Invariant: what
//! cannot be known is not held against the target: a sample that came behind now − grace may have
//! been late or not, and a request that was given up may have been taken. Not here: a target that knows series of an earlier run.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::now_ms;
use crate::oracle::{Arrival, Differences, Oracle, Settings};
use crate::receiver::Receiver;
use crate::sender::Observer;
use crate::samples::Sample;
use crate::workload::{Request, Workload};

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
    receiver: Receiver,
    grace: Duration,
}

impl Check {
    /// Reads the rules that the target runs, and listens for what it sends on.
    pub fn begin(
        rules: &Path,
        listen: &str,
        grace: Duration,
        tenant: Option<&str>,
        elects: bool,
    ) -> Result<Self, String> {
        let wrong = |why: &dyn std::fmt::Display| format!("--rules {}: {why}", rules.display());
        let text = std::fs::read_to_string(rules).map_err(|e| wrong(&e))?;
        let grace_ms = grace.as_millis() as i64;
        let mut settings = Settings { grace_ms, elects, ..Settings::default() };
        if let Some(tenant) = tenant {
            tenant.clone_into(&mut settings.tenant);
        }
        let oracle = Oracle::read(&text).map_err(|e| wrong(&e))?.with(settings);
        let receiver = Receiver::listen(listen).map_err(|e| format!("--receive {listen}: {e}"))?;
        Ok(Self { oracle, receiver, grace })
    }

    /// Where the target has to send its outputs.
    pub fn url(&self) -> String {
        self.receiver.url()
    }

    /// Waits until every window up to now has closed and its outputs have come, and compares; what is
    /// missing is waited for. `stop`
    /// ends the waiting: then windows that are still open count as lost.
    pub fn end(self, ledger: &Ledger, workload: &Workload, stop: &AtomicBool) -> Differences {
        let through = now_ms();
        self.wait_closed(stop);
        let quiet = Instant::now();
        loop {
            self.wait_quiet(through, stop);
            let found = self.judge(ledger, workload, through);
            let waits = quiet.elapsed() < MISSING && !stop.load(Ordering::Relaxed);
            if found.lost.is_empty() || !waits {
                return found;
            }
        }
    }

    fn judge(&self, ledger: &Ledger, workload: &Workload, through: i64) -> Differences {
        let grace_ms = self.grace.as_millis() as i64;
        let mut arrivals = Vec::new();
        for (request, answered_ms) in &*held(&ledger.acknowledged) {
            // Where the frontier stood is known from above only: it may have waited for others.
            let before = answered_ms - grace_ms;
            let samples = workload.samples(request);
            arrivals.extend(samples.iter().map(|s| Arrival::between(s, i64::MIN, before)));
        }
        let perhaps = held(&ledger.doubtful);
        let perhaps: Vec<Sample> = perhaps.iter().flat_map(|r| workload.samples(r)).collect();
        let doubts = self.oracle.doubts(&arrivals, &perhaps);
        let received = self.receiver.samples();
        let mut found = self.oracle.judge_but(&doubts, &arrivals, &received, through);
        let histograms = self.receiver.histograms();
        let histograms = histograms.iter().map(|(labels, h)| (&**labels, h));
        found.add(self.oracle.judge_histograms(&doubts, &arrivals, histograms, through));
        found
    }

    fn wait_closed(&self, stop: &AtomicBool) {
        let begun = Instant::now();
        while begun.elapsed() < self.grace + SLACK && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
    }

    fn wait_quiet(&self, through: i64, stop: &AtomicBool) {
        let begun = Instant::now();
        let stopped = || stop.load(Ordering::Relaxed);
        let there = || self.receiver.count(|sample| sample.timestamp <= through);
        let (mut seen, mut since) = (there(), Instant::now());
        while since.elapsed() < QUIET && begun.elapsed() < PATIENCE && !stopped() {
            std::thread::sleep(LOOK);
            let now = there();
            if now != seen {
                (seen, since) = (now, Instant::now());
            }
        }
    }
}
