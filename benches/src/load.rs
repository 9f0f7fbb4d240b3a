//! The load: which series, in which requests, and their bodies as they come off the wire.
//!
//! Each request holds two targets of 1,000 series. The series of 28 targets or so meet in one
//! output series of the rule, as the pods of a service do: a million series make 36,000 groups.

use prost::Message;
use weir_model::Timestamp;
use weir_wire::oracle::Workload;
use weir_wire::{Compressor, Encoding, Version};

/// Series of a target.
pub const TARGET_SERIES: usize = 1000;

/// Samples of a request.
pub const REQUEST_SAMPLES: usize = 2 * TARGET_SERIES;

/// Distance of scrapes, and the rule's window.
pub const INTERVAL_MS: i64 = 10_000;

/// Timestamp of the first scrape, the beginning of a window.
pub const START_MS: Timestamp = 1_760_000_000_000;

/// The rule of the load.
pub const RULE: &str = "
- interval: 10s
  without: [pod, instance, shard]
  outputs: [total]
";

/// Requests whose targets differ in what the rule keeps; then they repeat with other pods.
const REQUESTS_OF_GROUPS: usize = 18;

/// Targets after which every label of the workload but `pod` and `instance` repeats, save `shard`.
const TARGET_PERIOD: usize = 840;

/// A version and an encoding.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Remote write 1.0 or 2.0.
    pub version: Version,
    /// How bodies are compressed.
    pub encoding: Encoding,
}

impl Load {
    /// Remote write 1.0 in snappy, what the targets are stated for.
    pub const RW1: Self = Self { version: Version::V1, encoding: Encoding::Snappy };

    /// The number of the first series of a request.
    pub fn first_series(request: usize) -> usize {
        let (round, place) = (request / REQUESTS_OF_GROUPS, request % REQUESTS_OF_GROUPS);
        (TARGET_PERIOD * round + 2 * place) * TARGET_SERIES
    }

    /// When the targets of a request are scraped, in milliseconds after the round's begin.
    pub fn offset_ms(request: usize) -> i64 {
        (request as i64 * 20) % INTERVAL_MS + 1
    }

    /// The plain body of a request, all samples at one time.
    pub fn plain(&self, request: usize, timestamp: Timestamp) -> Vec<u8> {
        let workload = Workload { series_per_target: TARGET_SERIES, timestamp };
        let first = Self::first_series(request);
        match self.version {
            Version::V1 => workload.v1_bytes(first, REQUEST_SAMPLES),
            Version::V2 => workload.v2_bytes(first, REQUEST_SAMPLES),
        }
    }

    /// The compressed bodies of these requests in the first scrape.
    pub fn bodies(&self, requests: std::ops::Range<usize>) -> Vec<Vec<u8>> {
        let mut compressor = Compressor::default();
        let body = |request| {
            let plain = self.plain(request, START_MS + Self::offset_ms(request));
            compress(&mut compressor, self.encoding, &plain)
        };
        requests.map(body).collect()
    }
}

/// The compressed 1.0 bodies of `rounds` scrapes of these requests, in the order of time; counters
/// grow by 3 each time.
pub fn scrapes(requests: usize, rounds: usize) -> Vec<Vec<u8>> {
    let mut compressor = Compressor::default();
    let mut bodies = vec![Vec::new(); requests * rounds];
    for request in 0..requests {
        let timestamp = START_MS + Load::offset_ms(request);
        let workload = Workload { series_per_target: TARGET_SERIES, timestamp };
        let mut message = workload.v1(Load::first_series(request), REQUEST_SAMPLES);
        for round in 0..rounds {
            let plain = message.encode_to_vec();
            bodies[round * requests + request] =
                compress(&mut compressor, Encoding::Snappy, &plain);
            for sample in message.timeseries.iter_mut().flat_map(|series| &mut series.samples) {
                sample.timestamp += INTERVAL_MS;
                sample.value += 3.0;
            }
        }
    }
    bodies
}

fn compress(compressor: &mut Compressor, encoding: Encoding, plain: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    compressor.compress(encoding, plain, &mut packed).expect("memory suffices");
    packed
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use weir_wire::oracle::labels_of;

    use super::*;

    #[test]
    fn a_million_series_make_36_000_groups() {
        let mut groups = BTreeSet::new();
        let mut targets = BTreeSet::new();
        for request in 0..500 {
            let first = Load::first_series(request) / TARGET_SERIES;
            for target in [first, first + 1] {
                assert!(targets.insert(target));
                // The labels of a target's series that the rule keeps, but those of the metric.
                let labels = labels_of(target * TARGET_SERIES, TARGET_SERIES);
                let kept = |name: &str| !["pod", "instance", "shard"].contains(&name);
                let kept = labels.into_iter().filter(|(name, _)| kept(name));
                groups.insert(kept.map(|(_, value)| value).collect::<Vec<_>>());
            }
        }
        assert_eq!(targets.len() * TARGET_SERIES, 1_000_000);
        assert_eq!(groups.len() * TARGET_SERIES, 36_000);
    }

    #[test]
    fn scrapes_are_a_round_apart() {
        let bodies = scrapes(2, 3);
        assert_eq!(bodies.len(), 6);
        assert_eq!(bodies[0], Load::RW1.bodies(0..1)[0]);
        assert_ne!(bodies[0], bodies[2]);
    }
}
