//! What a sample costs to decompress and decode. Run it by hand, optimised:
//! `cargo test --release -p weir-wire speed -- --nocapture`. As a test it checks only that every
//! sample of the workload comes through.

use std::time::Instant;

use weir_model::{BlockHasher, Columns, ShardKey};

use crate::oracle::Workload;
use crate::{Compressor, DecodeContext, Decompressor, Encoding, Hints, Version, decode};

/// Samples of a request, as Prometheus sends them by default.
const SAMPLES: usize = 2000;
/// Different requests, so that neither branches nor caches know them by heart.
const REQUESTS: usize = 16;
const ROUNDS: usize = if cfg!(debug_assertions) { 1 } else { 100 };

fn measure(version: Version, encoding: Encoding) {
    let workload = Workload::default();
    let mut encoder = Compressor::default();
    let requests: Vec<Vec<u8>> = (0..REQUESTS)
        .map(|n| {
            let plain = match version {
                Version::V1 => workload.v1_bytes(n * SAMPLES, SAMPLES),
                Version::V2 => workload.v2_bytes(n * SAMPLES, SAMPLES),
            };
            let mut packed = Vec::new();
            encoder.compress(encoding, &plain, &mut packed).unwrap();
            packed
        })
        .collect();
    let (hasher, shard_key) = (BlockHasher::new(1), ShardKey::default());
    let ctx =
        DecodeContext { hasher: &hasher, shard_key: &shard_key, tenant: "anonymous", tenant_id: 0 };
    let (mut columns, mut hints) = (Columns::default(), Hints::default());
    let (mut decoder, mut bytes) = (Decompressor::default(), Vec::new());
    let (mut unpacking, mut decoding, mut counting) = (Vec::new(), Vec::new(), Vec::new());
    let mut plain_len = 0;
    for _ in 0..ROUNDS {
        for request in &requests {
            let begin = Instant::now();
            decoder.decompress(encoding, request, 1 << 25, &mut bytes).unwrap();
            let unpacked = Instant::now();
            plain_len = bytes.len();
            let body = decode(version, bytes, &ctx, &mut columns, &mut hints).unwrap();
            decoding.push(unpacked.elapsed());
            unpacking.push(unpacked - begin);
            let counted = Instant::now();
            assert_eq!(body.sample_fields(&columns), SAMPLES as u64);
            counting.push(counted.elapsed());
            assert_eq!(columns.sample_count(), SAMPLES as u64);
            bytes = body.into_bytes();
        }
    }
    let median_ns = |times: &mut Vec<std::time::Duration>| {
        times.sort();
        times[times.len() / 2].as_nanos() as f64 / SAMPLES as f64
    };
    let packed: usize = requests.iter().map(Vec::len).sum();
    println!(
        "{version} {}: {:.0} B raw, {:.1} B packed, decompress {:.1} ns, decode {:.1} ns, count {:.1} ns a \
         sample",
        encoding.as_str(),
        plain_len as f64 / SAMPLES as f64,
        packed as f64 / (REQUESTS * SAMPLES) as f64,
        median_ns(&mut unpacking),
        median_ns(&mut decoding),
        median_ns(&mut counting),
    );
}

#[test]
fn speed_of_the_workload() {
    for version in [Version::V1, Version::V2] {
        measure(version, Encoding::Snappy);
        measure(version, Encoding::Zstd);
    }
}
