//! What a sample of a known series costs from compressed bytes to its window: decompress, decode,
//! route, dedup, fold.
//!
//! A million series, scraped every 10 s, the frontier 30 s behind: most samples wait for their
//! window's end, so closing is part of the price. One iteration is one scrape of all series.

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::{Load, REQUEST_SAMPLES, Spent, Worker, bench_series};

const STEPS: [&str; 5] = ["decompress", "decode", "route", "take", "close"];

/// Scrapes before measuring, until as many series' samples wait as ever will.
const WARM_UP: i64 = 6;

fn fold(criterion: &mut Criterion) {
    let bodies = Load::RW1.bodies(0..bench_series() / REQUEST_SAMPLES);
    let samples = (bodies.len() * REQUEST_SAMPLES) as u64;
    let mut worker = Worker::new(Load::RW1);
    for round in 0..WARM_UP {
        worker.round(&bodies, round, &mut Spent::default());
    }
    let mut round = WARM_UP;
    let mut steps: Vec<[f64; 5]> = Vec::new();
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(samples));
    group.bench_function("total_without_3", |bencher| {
        bencher.iter_custom(|count| {
            let mut all = Duration::ZERO;
            for _ in 0..count {
                let mut spent = Spent::default();
                worker.round(&bodies, round, &mut spent);
                round += 1;
                all += spent.total();
                steps.push(spent.ns_a_sample());
            }
            all
        });
    });
    group.finish();
    assert_eq!(worker.folded, round as u64 * samples, "every sample is folded once");
    report(&steps);
}

/// Medians by step, which add up to what criterion shows only roughly.
#[expect(clippy::print_stdout, reason = "a bench's result")]
fn report(steps: &[[f64; 5]]) {
    let median = |of: usize| {
        let mut times: Vec<f64> = steps.iter().map(|step| step[of]).collect();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let mut totals: Vec<f64> = steps.iter().map(|step| step.iter().sum()).collect();
    totals.sort_by(f64::total_cmp);
    println!("CPU ns a sample, median of {} scrapes (least in parentheses):", steps.len());
    for (of, name) in STEPS.iter().enumerate() {
        let least = steps.iter().map(|step| step[of]).fold(f64::INFINITY, f64::min);
        println!("  {name:<11}{:>7.1}  ({least:.1})", median(of));
    }
    println!("  {:<11}{:>7.1}  ({:.1})", "all", totals[totals.len() / 2], totals[0]);
}

criterion_group!(
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(10));
    targets = fold
);
criterion_main!(benches);
