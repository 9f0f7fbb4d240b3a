//! Remote write messages by prost, both versions: nothing of Weir's own codecs.
//!
//! What is sent to the code under test is put together here, and what is heard from it is taken apart
//! by prost too (`receiver/request.rs`), so that a mistake of its encoders or decoders cannot cancel
//! itself out.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_wire::oracle::{Histogram, v1, v2};

use crate::samples::{Labels, Sample};

mod native;

pub use native::{native, wire};

/// A 1.0 message; samples of one series stay together, in their order.
pub fn message_v1(samples: &[Sample]) -> v1::WriteRequest {
    let timeseries = by_series(samples).into_iter().map(|(labels, samples)| v1::TimeSeries {
        labels: label_list(&labels),
        samples: floats(&samples)
            .map(|s| v1::Sample { value: s.value, timestamp: s.timestamp })
            .collect(),
        histograms: samples.iter().filter_map(|s| wire(s)).collect(),
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
        let histograms = samples.iter().filter_map(|s| {
            let start_timestamp = s.start;
            Some(Histogram { start_timestamp, ..wire(s)? })
        });
        let histograms = histograms.collect();
        let samples = floats(&samples).map(|s| v2::Sample {
            value: s.value,
            timestamp: s.timestamp,
            start_timestamp: s.start,
        });
        let samples = samples.collect();
        let series = v2::TimeSeries { labels_refs, samples, histograms, ..Default::default() };
        timeseries.push(series);
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

fn floats<'a>(samples: &'a [&Sample]) -> impl Iterator<Item = &'a Sample> {
    samples.iter().copied().filter(|s| s.histogram.is_none())
}

/// The samples of a 1.0 message, native histograms among them.
pub fn samples_v1(message: &v1::WriteRequest) -> Vec<Sample> {
    let mut samples = floats_v1(message);
    for series in message.timeseries.iter().filter(|series| !series.histograms.is_empty()) {
        let labels = labels_v1(series);
        samples.extend(series.histograms.iter().map(|h| Sample::native(&labels, native(h))));
    }
    samples
}

/// The float samples of a 1.0 message.
pub fn floats_v1(message: &v1::WriteRequest) -> Vec<Sample> {
    let each = message.timeseries.iter().flat_map(|series| {
        let labels = labels_v1(series);
        series.samples.iter().map(move |s| Sample::new(&labels, s.timestamp, s.value))
    });
    each.collect()
}

/// A 1.0 series' labels.
pub(crate) fn labels_v1(series: &v1::TimeSeries) -> Arc<Labels> {
    let pairs = series.labels.iter().map(|l| (l.name.clone(), l.value.clone()));
    Arc::new(pairs.collect())
}

/// Snappy's block format.
pub fn snappy(bytes: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(bytes).unwrap_or_default()
}

/// Snappy's block format, up to 64 MiB of it.
pub fn decompress(body: &[u8]) -> Result<Vec<u8>, String> {
    let length = snap::raw::decompress_len(body).map_err(|e| e.to_string())?;
    let mut bytes = vec![0; length.min(64 << 20)];
    snap::raw::Decoder::new().decompress(body, &mut bytes).map_err(|e| e.to_string())?;
    Ok(bytes)
}
