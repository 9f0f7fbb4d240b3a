//! Prometheus's remote read: the samples of a series as they are stored, stale markers among them.
//!
//! What PromQL answers leaves markers out, so a test of what has arrived asks here. The messages
//! are the few fields of `prompb/remote.proto` that this needs.

use std::net::SocketAddr;
use std::sync::Arc;

use prost::Message;
use weir_wire::oracle::v1;

use crate::messages::{decompress, snappy};
use crate::receiver::http;
use crate::samples::{History, Labels};

#[derive(Clone, PartialEq, Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
}

#[derive(Clone, PartialEq, Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start_timestamp_ms: i64,
    #[prost(int64, tag = "2")]
    end_timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<Matcher>,
}

#[derive(Clone, PartialEq, Message)]
struct Matcher {
    /// 2 is `=~`.
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct ReadResponse {
    #[prost(message, repeated, tag = "1")]
    results: Vec<QueryResult>,
}

#[derive(Clone, PartialEq, Message)]
struct QueryResult {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<v1::TimeSeries>,
}

/// All samples in a range of milliseconds (both ends included) of the metrics whose whole name
/// matches a regular expression.
pub fn read(at: SocketAddr, names: &str, from_ms: i64, to_ms: i64) -> Result<History, String> {
    let matcher = Matcher { kind: 2, name: "__name__".into(), value: names.into() };
    let query =
        Query { start_timestamp_ms: from_ms, end_timestamp_ms: to_ms, matchers: vec![matcher] };
    let body = snappy(&ReadRequest { queries: vec![query] }.encode_to_vec());
    let headers = [
        ("Content-Type", "application/x-protobuf"),
        ("Content-Encoding", "snappy"),
        ("X-Prometheus-Remote-Read-Version", "0.1.0"),
    ];
    let answer = http::post(at, "/api/v1/read", &headers, &body).map_err(|e| e.to_string())?;
    if answer.status != 200 {
        return Err(format!("{}: {}", answer.status, answer.text()));
    }
    let bytes = decompress(&answer.body)?;
    let response = ReadResponse::decode(&bytes[..]).map_err(|e| e.to_string())?;
    let mut history = History::default();
    for series in response.results.into_iter().flat_map(|result| result.timeseries) {
        let labels: Labels = series.labels.into_iter().map(|l| (l.name, l.value)).collect();
        let samples = history.0.entry(Arc::new(labels)).or_default();
        samples.extend(series.samples.iter().map(|s| (s.timestamp, s.value)));
    }
    Ok(history)
}
