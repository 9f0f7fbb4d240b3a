//! Asking real backends: Prometheus's query API, and VictoriaMetrics's export of raw samples.

use std::net::SocketAddr;

use serde_json::Value;
use weir_loadgen::oracle::stored::{ask, labels, number};

use crate::samples::Labels;

pub use weir_loadgen::oracle::stored::{escape, export, raw_samples};

/// A vector: series and value.
pub type Vector = Vec<(Labels, f64)>;

/// An instant query at a time in milliseconds.
pub fn query(at: SocketAddr, expression: &str, time_ms: i64) -> Result<Vector, String> {
    let time = time_ms as f64 / 1000.0;
    let path = format!("/api/v1/query?query={}&time={time:.3}", escape(expression));
    let result = ask(at, &path)?;
    let series = |entry: &Value| {
        let value = entry["value"][1].as_str().and_then(number);
        Ok((labels(&entry["metric"]), value.ok_or("no value")?))
    };
    result.iter().map(series).collect()
}
