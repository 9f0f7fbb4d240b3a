//! Remote write messages by prost, both versions, there and back: nothing of Weir's own codecs.
//!
//! What is sent to the code under test, and what is heard from it, is put together and taken apart
//! here, so that a mistake of its encoders or decoders cannot cancel itself out.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message;
use weir_wire::oracle::{Count, Histogram, ZeroCount, v1, v2};

use crate::oracle::NativeHistogram;
use crate::receiver::Request;
use crate::receiver::http::header;
use crate::samples::{Labels, Sample};

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
        let place = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
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
    snap::raw::Encoder::new().compress_vec(bytes).unwrap_or_default()
}

/// A request from its headers and body.
pub(crate) fn decode(
    path: String,
    headers: Vec<(String, String)>,
    body: &[u8],
) -> Result<Request, String> {
    let bytes = match header(&headers, "content-encoding") {
        Some("zstd") => zstd::stream::decode_all(body).map_err(|e| e.to_string())?,
        _ => decompress(body)?,
    };
    let content_type = header(&headers, "content-type").unwrap_or_default();
    let is_v2 = content_type.contains("io.prometheus.write.v2.Request");
    let mut request = Request { path, headers, samples: Vec::new(), histograms: Vec::new(), is_v2 };
    if is_v2 {
        let message = v2::Request::decode(&bytes[..]).map_err(|e| e.to_string())?;
        read_v2(&message, &mut request)?;
    } else {
        let message = v1::WriteRequest::decode(&bytes[..]).map_err(|e| e.to_string())?;
        read_v1(&message, &mut request);
    }
    Ok(request)
}

/// Snappy's block format, up to 64 MiB of it.
pub fn decompress(body: &[u8]) -> Result<Vec<u8>, String> {
    let length = snap::raw::decompress_len(body).map_err(|e| e.to_string())?;
    let mut bytes = vec![0; length.min(64 << 20)];
    snap::raw::Decoder::new().decompress(body, &mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn read_v1(message: &v1::WriteRequest, into: &mut Request) {
    for series in &message.timeseries {
        let pairs = series.labels.iter().map(|l| (l.name.clone(), l.value.clone()));
        let labels: Arc<Labels> = Arc::new(pairs.collect());
        let samples = series.samples.iter().map(|s| Sample::new(&labels, s.timestamp, s.value));
        into.samples.extend(samples);
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

/// A histogram as the oracle looks at it.
pub fn native(histogram: &Histogram) -> NativeHistogram {
    let number = |n: u64| n as f64;
    let buckets = |spans: &[weir_wire::oracle::BucketSpan], deltas: &[i64], counts: &[f64]| {
        let mut summed = 0;
        let integers = deltas.iter().map(|delta| {
            summed += delta;
            summed as f64
        });
        let counts: Vec<f64> = if counts.is_empty() { integers.collect() } else { counts.to_vec() };
        let mut at = 0;
        let mut places = Vec::new();
        for span in spans {
            at += span.offset;
            for _ in 0..span.length {
                places.push(at);
                at += 1;
            }
        }
        places.into_iter().zip(counts).collect()
    };
    let h = histogram;
    NativeHistogram {
        timestamp: h.timestamp,
        count: match h.count {
            Some(Count::Int(n)) => number(n),
            Some(Count::Float(n)) => n,
            None => 0.0,
        },
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        zero_count: match h.zero_count {
            Some(ZeroCount::Int(n)) => number(n),
            Some(ZeroCount::Float(n)) => n,
            None => 0.0,
        },
        positive: buckets(&h.positive_spans, &h.positive_deltas, &h.positive_counts),
        negative: buckets(&h.negative_spans, &h.negative_deltas, &h.negative_counts),
    }
}
