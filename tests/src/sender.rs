//! A scripted remote write sender: prost's messages, snap and zstd, nothing of Weir's encoders.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use weir_wire::oracle::{v1, v2};

use crate::http::{self, Answer};
use crate::samples::{Labels, Sample};
use crate::wait;

/// `Content-Type` of remote write 1.0.
pub const TYPE_V1: &str = "application/x-protobuf";
/// `Content-Type` of remote write 2.0.
pub const TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

/// A 1.0 message; samples of one series stay together, in their order.
pub fn message_v1(samples: &[Sample]) -> v1::WriteRequest {
    let timeseries = by_series(samples).into_iter().map(|(labels, samples)| v1::TimeSeries {
        labels: label_list(&labels),
        samples: samples
            .iter()
            .map(|s| v1::Sample { value: s.value, timestamp: s.timestamp })
            .collect(),
        ..v1::TimeSeries::default()
    });
    v1::WriteRequest { timeseries: timeseries.collect(), metadata: Vec::new() }
}

/// A 2.0 message.
pub fn message_v2(samples: &[Sample]) -> v2::Request {
    let mut symbols = Symbols::default();
    let mut timeseries = Vec::new();
    for (labels, samples) in by_series(samples) {
        let refs = labels.iter().flat_map(|(k, v)| [symbols.place(k), symbols.place(v)]);
        let labels_refs = refs.collect();
        let samples = samples.iter().map(|s| v2::Sample {
            value: s.value,
            timestamp: s.timestamp,
            start_timestamp: s.start,
        });
        let samples = samples.collect();
        timeseries.push(v2::TimeSeries { labels_refs, samples, ..v2::TimeSeries::default() });
    }
    v2::Request { symbols: symbols.list, timeseries }
}

/// The strings of a 2.0 message, the empty one first.
#[derive(Debug)]
pub struct Symbols {
    /// In the order of their numbers.
    pub list: Vec<String>,
    places: BTreeMap<String, u32>,
}

impl Default for Symbols {
    fn default() -> Self {
        let list = vec![String::new()];
        Self { list, places: BTreeMap::from([(String::new(), 0)]) }
    }
}

impl Symbols {
    /// A string's number.
    pub fn place(&mut self, text: &str) -> u32 {
        if let Some(&place) = self.places.get(text) {
            return place;
        }
        let place = u32::try_from(self.list.len()).expect("few symbols");
        self.list.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }
}

/// Labels as 1.0 writes them.
pub fn label_list(labels: &Labels) -> Vec<v1::Label> {
    let label =
        |(name, value): (&String, &String)| v1::Label { name: name.clone(), value: value.clone() };
    labels.iter().map(label).collect()
}

fn by_series(samples: &[Sample]) -> Vec<(Arc<Labels>, Vec<&Sample>)> {
    let mut places: BTreeMap<&Arc<Labels>, usize> = BTreeMap::new();
    let mut series: Vec<(Arc<Labels>, Vec<&Sample>)> = Vec::new();
    for sample in samples {
        let at = *places.entry(&sample.labels).or_insert_with(|| {
            series.push((Arc::clone(&sample.labels), Vec::new()));
            series.len() - 1
        });
        series[at].1.push(sample);
    }
    series
}

/// Snappy's block format.
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).expect("it compresses")
}

/// Posts bytes as remote write.
pub fn post(to: SocketAddr, content_type: &str, encoding: &str, body: &[u8]) -> io::Result<Answer> {
    let version = if content_type == TYPE_V2 { "2.0.0" } else { "0.1.0" };
    let headers = [
        ("Content-Type", content_type),
        ("Content-Encoding", encoding),
        ("X-Prometheus-Remote-Write-Version", version),
        ("User-Agent", "weir-tests"),
    ];
    http::post(to, "/api/v1/write", &headers, body)
}

/// Posts samples as 1.0, snappy.
pub fn send_v1(to: SocketAddr, samples: &[Sample]) -> io::Result<Answer> {
    post(to, TYPE_V1, "snappy", &snappy(&message_v1(samples).encode_to_vec()))
}

/// Posts samples as 2.0, snappy.
pub fn send_v2(to: SocketAddr, samples: &[Sample]) -> io::Result<Answer> {
    post(to, TYPE_V2, "snappy", &snappy(&message_v2(samples).encode_to_vec()))
}

/// Posts samples as 1.0 until they are acknowledged, as Prometheus does: 5xx and broken
/// connections are tried again, anything else is an error of the gateway. Tells how often it tried.
pub fn send_until_acknowledged(to: SocketAddr, samples: &[Sample], within: Duration) -> usize {
    let body = snappy(&message_v1(samples).encode_to_vec());
    let began = Instant::now();
    let mut tries = 0;
    wait::until("samples are acknowledged", within, || {
        tries += 1;
        match post(to, TYPE_V1, "snappy", &body) {
            Ok(answer) if answer.status == 204 => Ok(tries),
            Ok(answer) if answer.status >= 500 => {
                Err(format!("{}: {}", answer.status, answer.text()))
            }
            Ok(answer) => {
                panic!("{} after {:?}: {}", answer.status, began.elapsed(), answer.text())
            }
            Err(error) => Err(error.to_string()),
        }
    })
}
