//! What a real backend holds, for a comparison with what it must hold.
//!
//! Prometheus is asked by remote read, the only way in which it tells stale markers, or by PromQL;
//! VictoriaMetrics by its export, which tells NaN for every kind of NaN, so that markers are left
//! out of the comparison there.

pub mod remote_read;

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::Value;

use crate::receiver::http;
use crate::samples::{History, Labels};

/// Which backend it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// Prometheus, or what has its remote read.
    Prometheus,
    /// VictoriaMetrics.
    VictoriaMetrics,
}

/// All samples that a backend holds of the series that match, in a range of milliseconds.
pub fn held(
    backend: Backend,
    at: SocketAddr,
    names: &str,
    (from_ms, to_ms): (i64, i64),
) -> Result<History, String> {
    match backend {
        Backend::Prometheus => remote_read::read(at, names, from_ms, to_ms),
        Backend::VictoriaMetrics => {
            let seconds = |ms: i64| ms as f64 / 1000.0;
            let range = format!("&start={:.3}&end={:.3}", seconds(from_ms), seconds(to_ms));
            let mut history = export_in(at, &format!("{{__name__=~{names:?}}}"), &range)?;
            for samples in history.0.values_mut() {
                samples.retain(|t, v| (from_ms..=to_ms).contains(t) && !v.is_nan());
            }
            Ok(history)
        }
    }
}

/// All raw samples in a Prometheus of the series that match, in a range of milliseconds (end
/// included); stale markers are not told by it.
pub fn raw_samples(
    at: SocketAddr,
    selector: &str,
    from_ms: i64,
    to_ms: i64,
) -> Result<History, String> {
    // A range selector in an instant query gives the samples as they are stored.
    let seconds = (to_ms - from_ms + 999) / 1000;
    let expression = format!("{selector}[{seconds}s]");
    let path =
        format!("/api/v1/query?query={}&time={:.3}", escape(&expression), to_ms as f64 / 1000.0);
    let mut history = History::default();
    for entry in ask(at, &path)? {
        let samples = history.0.entry(Arc::new(labels(&entry["metric"]))).or_default();
        for pair in entry["values"].as_array().into_iter().flatten() {
            let timestamp = (pair[0].as_f64().ok_or("no timestamp")? * 1000.0).round() as i64;
            samples.insert(timestamp, pair[1].as_str().and_then(number).ok_or("no value")?);
        }
    }
    Ok(history)
}

/// All raw samples in a VictoriaMetrics of the series that match. NaNs, markers among them, come
/// as NaN: its export does not tell them apart.
pub fn export(at: SocketAddr, selector: &str) -> Result<History, String> {
    export_in(at, selector, "")
}

fn export_in(at: SocketAddr, selector: &str, range: &str) -> Result<History, String> {
    http::get(at, "/internal/force_flush").map_err(|e| e.to_string())?;
    let selector = escape(selector);
    let path = format!("/api/v1/export?reduce_mem_usage=1&match[]={selector}{range}");
    let answer = http::get(at, &path).map_err(|e| e.to_string())?;
    if answer.status != 200 {
        return Err(answer.text());
    }
    let mut history = History::default();
    for line in answer.text().lines() {
        // It writes infinities and some NaNs as they are, which is no JSON.
        let (metric, values) = line.split_once("\"values\":").ok_or("no values")?;
        let values =
            values.replace("+Inf", "\"+Inf\"").replace("-Inf", "\"-Inf\"").replace("NaN", "null");
        let line = format!("{metric}\"values\":{values}");
        let entry: Value = serde_json::from_str(&line).map_err(|e| format!("{e}: {line}"))?;
        let samples = history.0.entry(Arc::new(labels(&entry["metric"]))).or_default();
        let timestamps = entry["timestamps"].as_array().into_iter().flatten();
        let values = entry["values"].as_array().into_iter().flatten();
        for (timestamp, value) in timestamps.zip(values) {
            let value = value.as_f64().or_else(|| value.as_str().and_then(number));
            samples.insert(timestamp.as_i64().ok_or("no timestamp")?, value.unwrap_or(f64::NAN));
        }
    }
    Ok(history)
}

/// The result of a query.
pub fn ask(at: SocketAddr, path: &str) -> Result<Vec<Value>, String> {
    let answer = http::get(at, path).map_err(|e| e.to_string())?;
    let value: Value = serde_json::from_slice(&answer.body).map_err(|e| e.to_string())?;
    let result = value["data"]["result"].as_array().cloned();
    result.ok_or_else(|| format!("{}: {}", answer.status, answer.text()))
}

/// A series' labels, as the API writes them.
pub fn labels(metric: &Value) -> Labels {
    let pairs = metric.as_object().into_iter().flatten();
    pairs.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect()
}

/// A sample's value, as the API writes it.
pub fn number(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Infinity" => Some(f64::INFINITY),
        "-Inf" | "-Infinity" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

/// Percent-encodes everything but letters and digits.
pub fn escape(text: &str) -> String {
    let escaped = |b: u8| match b {
        b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(escaped).collect()
}
