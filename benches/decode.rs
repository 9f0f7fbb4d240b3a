//! What a sample costs from compressed bytes to columns, remote write 1.0 and 2.0.
//!
//! Requests of 2,000 samples with eleven labels. Memory is kept between requests, unlike in
//! `fold`, so that the figures are those of the decoder alone.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_benches::{Decoder, Load, REQUEST_SAMPLES, measuring, thread_time};
use weir_model::Columns;
use weir_wire::{Encoding, Version};

/// Different requests, so that neither branches nor caches know them by heart.
const REQUESTS: usize = 64;

const LOADS: [Load; 4] = [
    Load { version: Version::V1, encoding: Encoding::Snappy },
    Load { version: Version::V1, encoding: Encoding::Zstd },
    Load { version: Version::V2, encoding: Encoding::Snappy },
    Load { version: Version::V2, encoding: Encoding::Zstd },
];

/// Decompresses and decodes `count` requests: CPU time of either step.
fn run(load: Load, bodies: &[Vec<u8>], count: u64) -> [Duration; 2] {
    let mut decoder = Decoder::new(load);
    let (mut plain, mut columns) = (Vec::new(), Columns::default());
    let mut spent = [Duration::ZERO; 2];
    for at in 0..count {
        let body = &bodies[at as usize % bodies.len()];
        let begin = thread_time();
        decoder.decompress(body, &mut plain);
        let decompressed = thread_time();
        let decoded = decoder.decode(std::mem::take(&mut plain), &mut columns);
        spent[1] += thread_time() - decompressed;
        spent[0] += decompressed - begin;
        assert_eq!(columns.sample_count(), REQUEST_SAMPLES as u64);
        plain = decoded.into_bytes();
    }
    spent
}

fn decode(criterion: &mut Criterion) {
    let requests = if measuring() { REQUESTS } else { 2 };
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(REQUEST_SAMPLES as u64));
    for load in LOADS {
        let bodies = load.bodies(0..requests);
        let name = format!("{}-{}", load.version, load.encoding.as_str());
        for (step, of) in [("decompress", 0), ("decode", 1)] {
            group.bench_function(BenchmarkId::new(step, &name), |bencher| {
                bencher.iter_custom(|count| run(load, &bodies, count)[of]);
            });
        }
    }
    group.finish();
}

criterion_group!(
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(Duration::from_secs(3));
    targets = decode
);
criterion_main!(benches);
