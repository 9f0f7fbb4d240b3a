//! A request as the receiver sees it: decompressed, and decoded by prost.

use std::sync::Arc;

use prost::Message;
use weir_wire::oracle::{v1, v2};

use super::http::header;
use crate::messages::{decompress, floats_v1, labels_v1};
use crate::samples::{Labels, Sample};

/// A request as it came, decompressed and decoded.
#[derive(Clone, Debug)]
pub struct Request {
    /// Path.
    pub path: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its float samples.
    pub samples: Vec<Sample>,
    /// Native histograms in it.
    pub histograms: Vec<(Arc<Labels>, weir_wire::oracle::Histogram)>,
    /// Whether it was 2.0.
    pub is_v2: bool,
}

impl Request {
    /// A request from its headers and body.
    pub(super) fn decode(
        path: String,
        headers: Vec<(String, String)>,
        body: &[u8],
    ) -> Result<Self, String> {
        let bytes = match header(&headers, "content-encoding") {
            Some("zstd") => zstd::stream::decode_all(body).map_err(|e| e.to_string())?,
            _ => decompress(body)?,
        };
        let content_type = header(&headers, "content-type").unwrap_or_default();
        let is_v2 = content_type.contains("io.prometheus.write.v2.Request");
        let mut request =
            Self { path, headers, samples: Vec::new(), histograms: Vec::new(), is_v2 };
        if is_v2 {
            let message = v2::Request::decode(&bytes[..]).map_err(|e| e.to_string())?;
            read_v2(&message, &mut request)?;
        } else {
            let message = v1::WriteRequest::decode(&bytes[..]).map_err(|e| e.to_string())?;
            read_v1(&message, &mut request);
        }
        Ok(request)
    }
}

fn read_v1(message: &v1::WriteRequest, into: &mut Request) {
    into.samples = floats_v1(message);
    for series in message.timeseries.iter().filter(|series| !series.histograms.is_empty()) {
        let labels = labels_v1(series);
        let histograms = series.histograms.iter().map(|h| (Arc::clone(&labels), h.clone()));
        into.histograms.extend(histograms);
    }
}

fn read_v2(message: &v2::Request, into: &mut Request) -> Result<(), String> {
    let symbol = |at: u32| {
        let symbol = message.symbols.get(at as usize).cloned();
        symbol.ok_or_else(|| format!("symbol {at} of {}", message.symbols.len()))
    };
    for series in &message.timeseries {
        let mut labels = Labels::new();
        for pair in series.labels_refs.chunks(2) {
            let &[name, value] = pair else {
                return Err("odd label references".into());
            };
            labels.insert(symbol(name)?, symbol(value)?);
        }
        let labels = Arc::new(labels);
        into.samples.extend(series.samples.iter().map(|s| Sample {
            start: s.start_timestamp,
            ..Sample::new(&labels, s.timestamp, s.value)
        }));
        let histograms = series.histograms.iter().map(|h| (Arc::clone(&labels), h.clone()));
        into.histograms.extend(histograms);
    }
    Ok(())
}
