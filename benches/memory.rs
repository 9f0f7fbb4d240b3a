//! Bytes that a series takes: labels, alias, dedup, open windows and output groups.
//!
//! A million series; in each of two hours a tenth of the targets goes and as many new ones come,
//! spread over the hour. What has gone is remembered for an hour (a counter that comes back goes
//! on), so more series are in memory than are active. Two accounts: the worker's own
//! (`memory_bytes`, which `/metrics` shows by part) and the allocator's. No criterion: nothing is
//! timed.

use weir_benches::path::GRACE_MS;
use weir_benches::{INTERVAL_MS, Load, REQUEST_SAMPLES, Spent, Worker, allocated_bytes};
use weir_benches::{START_MS, bench_series, measuring};

/// Steps of churn in an hour; so often are all series seen in the bench.
const STEPS: i64 = 5;
const STEP_ROUNDS: i64 = 3_600_000 / INTERVAL_MS / STEPS;

struct Account {
    /// The worker before it knew any series, and what the bench itself holds.
    before: usize,
    active: usize,
}

impl Account {
    #[expect(clippy::print_stdout, reason = "a bench's result")]
    fn report(&self, when: &str, worker: &Worker, bodies: &[Vec<u8>]) {
        let bodies: usize = bodies.iter().map(Vec::capacity).sum();
        let allocated = allocated_bytes().saturating_sub(self.before + bodies);
        let (series, labels) = worker.shard.memory_bytes();
        let known: u64 = worker.shard.series_by_tenant().values().sum();
        let each = |bytes: usize| bytes as f64 / self.active as f64;
        println!(
            "{when}: {} active, {known} known; bytes an active series: worker's account {:.1} \
             (series {:.1}, label pairs {:.1}), allocator's {:.1} ({:.1} a known series)",
            self.active,
            each(series + labels),
            each(series),
            each(labels),
            each(allocated),
            allocated as f64 / known as f64,
        );
        let (own, all) = (series + labels, allocated);
        assert!(own <= all + all / 20, "the worker counts {own} bytes, the allocator {all}");
    }
}

fn main() {
    let requests = bench_series() / REQUEST_SAMPLES;
    let before = allocated_bytes();
    let mut worker = Worker::new(Load::RW1);
    let mut bodies = Load::RW1.bodies(0..requests);
    let account = Account { before, active: requests * REQUEST_SAMPLES };
    let mut spent = Spent::default();
    let mut round = 0;
    for _ in 0..6 {
        worker.round(&bodies, round, &mut spent);
        round += 1;
    }
    account.report("new", &worker, &bodies);

    let hours = if measuring() { 2 } else { 1 };
    let (mut next, mut oldest) = (requests, 0);
    for hour in 1..=hours {
        for step in 1..=STEPS {
            round += STEP_ROUNDS - 6;
            let due = requests * step as usize / (10 * STEPS as usize)
                - requests * (step as usize - 1) / (10 * STEPS as usize);
            for fresh in Load::RW1.bodies(next..next + due) {
                bodies[oldest % requests] = fresh;
                oldest += 1;
            }
            next += due;
            // As long without samples in the bench, so that the frontier is where it should be.
            worker.pass(START_MS + round * INTERVAL_MS - GRACE_MS, &mut spent);
            for _ in 0..6 {
                worker.round(&bodies, round, &mut spent);
                round += 1;
            }
        }
        account.report(&format!("after {hour} h of 10 % churn"), &worker, &bodies);
    }
}
