//! Requests as a large Kubernetes cluster sends them: eleven labels, about 300 bytes a sample
//! before compression, all series of a target together.

use std::collections::HashMap;

use prost::Message;

use super::{v1, v2};

/// Which series, and at what time.
#[derive(Clone, Copy, Debug)]
pub struct Workload {
    /// Number of series that one target has.
    pub series_per_target: usize,
    /// Milliseconds since the epoch of every sample.
    pub timestamp: i64,
}

impl Default for Workload {
    fn default() -> Self {
        Self { series_per_target: 1000, timestamp: 1_760_000_000_000 }
    }
}

/// Labels of series `number`, in the order of names.
pub fn labels_of(number: usize, series_per_target: usize) -> [(&'static str, String); 11] {
    let (target, metric) = (number / series_per_target, number % series_per_target);
    const METRICS: [&str; 5] = [
        "http_server_requests_total",
        "grpc_server_handled_messages_total",
        "process_network_bytes_total",
        "kv_store_operations_total",
        "queue_consumer_lag_records",
    ];
    const METHODS: [&str; 4] = ["GET", "POST", "DELETE", "PATCH"];
    let family = METRICS[metric / 4 % METRICS.len()];
    [
        ("__name__", format!("{family}_{}", metric / 40)),
        ("cluster", "eu-west-1a".into()),
        ("container", format!("service-{:02}", target % 40)),
        ("handler", format!("/api/v1/resource/{:03}", metric % 97)),
        ("instance", format!("10.{}.{}.{}:8080", target >> 16, target >> 8 & 255, target & 255)),
        ("job", format!("team-{:02}/service-{:02}", target % 12, target % 40)),
        ("method", METHODS[metric % 4].into()),
        ("namespace", format!("team-{:02}", target % 12)),
        ("pod", format!("service-{:02}-7d9f8b6c5d-{target:05x}", target % 40)),
        ("shard", format!("{:02}", target % 16)),
        ("version", format!("v2.{}.1-3f9a", target % 7)),
    ]
}

fn value_of(number: usize) -> f64 {
    (number.wrapping_mul(2_654_435_761) % 10_000_000) as f64
}

impl Workload {
    /// Series `first..first + count` as 1.0.
    pub fn v1(&self, first: usize, count: usize) -> v1::WriteRequest {
        let series = |number| v1::TimeSeries {
            labels: labels_of(number, self.series_per_target)
                .map(|(name, value)| v1::Label { name: name.into(), value })
                .into(),
            samples: vec![v1::Sample { value: value_of(number), timestamp: self.timestamp }],
            ..Default::default()
        };
        v1::WriteRequest {
            timeseries: (first..first + count).map(series).collect(),
            metadata: Vec::new(),
        }
    }

    /// The same series as 2.0, with metadata on each, as Prometheus sends them.
    pub fn v2(&self, first: usize, count: usize) -> v2::Request {
        let mut symbols = vec![String::new()];
        let mut places = HashMap::from([(String::new(), 0u32)]);
        let mut intern = |text: &str| {
            *places.entry(text.to_owned()).or_insert_with(|| {
                symbols.push(text.to_owned());
                symbols.len() as u32 - 1
            })
        };
        let mut series = |number| {
            let labels = labels_of(number, self.series_per_target);
            let help = format!("What {} counts.", labels[0].1);
            v2::TimeSeries {
                labels_refs: (labels.iter())
                    .flat_map(|(name, value)| [intern(name), intern(value)])
                    .collect(),
                samples: vec![v2::Sample {
                    value: value_of(number),
                    timestamp: self.timestamp,
                    start_timestamp: 0,
                }],
                metadata: Some(v2::Metadata { kind: 1, help_ref: intern(&help), unit_ref: 0 }),
                ..Default::default()
            }
        };
        let timeseries = (first..first + count).map(&mut series).collect();
        v2::Request { symbols, timeseries }
    }

    /// [`Workload::v1`] as bytes.
    pub fn v1_bytes(&self, first: usize, count: usize) -> Vec<u8> {
        self.v1(first, count).encode_to_vec()
    }

    /// [`Workload::v2`] as bytes.
    pub fn v2_bytes(&self, first: usize, count: usize) -> Vec<u8> {
        self.v2(first, count).encode_to_vec()
    }
}
