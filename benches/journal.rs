//! Append and group commit on the machine's own disk, in a temporary folder.
//!
//! Records are compressed requests of 2,000 samples. Times are wall times: a commit is mostly
//! waiting for the disk. `WEIR_BENCH_DIR` names another disk's folder.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::{Load, REQUEST_SAMPLES, measuring};
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Importance, Journal, Reservation};

/// Waits for room as a sender that is told 503 does.
fn room(journal: &Journal, bytes: usize) -> Reservation {
    loop {
        if let Ok(room) = journal.reserve(bytes as u64, Importance::Ordinary) {
            return room;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// `count` records from each of `senders`, each of which waits for its last one to be durable.
fn run(journal: &Journal, bodies: &[Bytes], senders: usize, count: u64) -> Duration {
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for sender in 0..senders {
            scope.spawn(move || {
                for at in 0..count as usize {
                    let body = &bodies[(sender + at) % bodies.len()];
                    let room = room(journal, body.len());
                    let position =
                        journal.append(room, 1, vec![body.clone()]).expect("the journal runs");
                    journal.wait_durable(position).expect("the journal runs");
                    if sender == 0 {
                        // Keep the last hundred, so that files are used again.
                        journal.cut_below(position.saturating_sub(100)).expect("a working disk");
                    }
                }
            });
        }
    });
    begin.elapsed()
}

fn journal(criterion: &mut Criterion) {
    let bodies: Vec<Bytes> = Load::RW1.bodies(0..8).into_iter().map(Bytes::from).collect();
    let base = std::env::var_os("WEIR_BENCH_DIR").map(PathBuf::from);
    let base = base.unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::tempdir_in(base).expect("a folder");
    let mut group = criterion.benchmark_group("journal");
    for senders in [1, 4, 32] {
        let config = Config {
            segment_bytes: if measuring() { 64 << 20 } else { 1 << 20 },
            ..Config::new(dir.path().join(senders.to_string()))
        };
        let (journal, _) = Journal::open(Arc::new(DiskFs), config).expect("an empty folder");
        group.throughput(Throughput::Elements((senders * REQUEST_SAMPLES) as u64));
        group.bench_function(BenchmarkId::new("commit", senders), |bencher| {
            bencher.iter_custom(|count| run(&journal, &bodies, senders, count));
        });
        journal.close().expect("the journal runs");
    }
    group.finish();
}

criterion_group!(
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = journal
);
criterion_main!(benches);
