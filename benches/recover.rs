//! Recovery on one core: read the journal back, decompress, decode, route, take, close.
//!
//! A log of one minute at 10 s, from an empty state: the first scrape's series are born, those of
//! the other five are known. Every sample in it is applied; a checkpoint that let some be skipped
//! would flatter the figure. The frontier's records of the gateway stand between the batches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::load::scrapes;
use weir_benches::path::GRACE_MS;
use weir_benches::{
    INTERVAL_MS, Load, REQUEST_SAMPLES, START_MS, Spent, Worker, bench_series, thread_time,
};
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Importance, Item, Journal};

const ROUNDS: usize = 6;
const BATCH: u8 = 1;
const FRONTIER: u8 = 2;

/// Writes the log; the frontier moves once in a scrape.
fn write(journal: &Journal, requests: usize) {
    let append = |kind: u8, payload: Vec<u8>| loop {
        if let Ok(room) = journal.reserve(payload.len() as u64, Importance::Ordinary) {
            break journal.append(room, kind, vec![Bytes::from(payload)]).expect("it runs");
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    for (at, body) in scrapes(requests, ROUNDS).into_iter().enumerate() {
        append(BATCH, body);
        if (at + 1) % requests == 0 {
            let end = START_MS + ((at + 1) / requests) as i64 * INTERVAL_MS;
            append(FRONTIER, (end - GRACE_MS).to_le_bytes().to_vec());
        }
    }
    journal.wait_durable(journal.next_position() - 1).expect("it runs");
}

/// Reads the log into a new worker: CPU time of the first scrape, and of the others.
fn replay(journal: &Journal, samples: u64) -> [Duration; 2] {
    let mut worker = Worker::new(Load::RW1);
    let mut spent = Spent::default();
    let mut reader = journal.reader(journal.first());
    let begin = thread_time();
    let mut first = Duration::ZERO;
    while let Some(item) = reader.next().expect("a sound log") {
        let Item::Record(record) = item else { panic!("{item:?}") };
        match record.kind {
            BATCH => {
                worker.request(&record.payload, None, &mut spent);
            }
            FRONTIER => {
                let bytes = record.payload[..].try_into().expect("eight bytes");
                worker.pass(i64::from_le_bytes(bytes), &mut spent);
                if first == Duration::ZERO {
                    first = thread_time() - begin;
                }
            }
            other => panic!("kind {other}"),
        }
    }
    let all = thread_time() - begin;
    assert_eq!(worker.folded, ROUNDS as u64 * samples, "every sample is applied");
    [first, all - first]
}

fn recover(criterion: &mut Criterion) {
    let requests = bench_series() / REQUEST_SAMPLES;
    let samples = (requests * REQUEST_SAMPLES) as u64;
    let dir = tempfile::tempdir().expect("a folder");
    let (journal, _) =
        Journal::open(Arc::new(DiskFs), Config::new(dir.path().join("log"))).expect("an empty one");
    write(&journal, requests);
    let mut group = criterion.benchmark_group("recover");
    // Which of the two parts count: births, known series.
    for (part, rounds, counts) in
        [("births", 1, [1, 0]), ("known", ROUNDS - 1, [0, 1]), ("all", ROUNDS, [1, 1])]
    {
        group.throughput(Throughput::Elements(rounds as u64 * samples));
        group.bench_function(BenchmarkId::new(part, samples), |bencher| {
            let once = || {
                let [births, known] = replay(&journal, samples);
                births * counts[0] + known * counts[1]
            };
            bencher.iter_custom(|count| (0..count).map(|_| once()).sum());
        });
    }
    group.finish();
}

criterion_group!(
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_secs(10));
    targets = recover
);
criterion_main!(benches);
