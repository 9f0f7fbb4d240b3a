//! Writes remote write 1.0 (`prometheus.WriteRequest`).

use weir_model::{Exemplar, Label, Metadata, NativeHistogram, Sample};

use super::histogram::put_histogram;
use super::{put_double, put_message, put_text, put_varint};

/// A 1.0 request under construction. Start timestamps and units of series have no place in 1.0.
#[derive(Debug, Default)]
pub struct Writer {
    request: Vec<u8>,
    samples: u64,
}

impl Writer {
    /// Adds a series. Its labels must be sorted by name, its samples by time, as the protocol asks;
    /// metadata on a series does not exist in 1.0 and is not written: see [`Writer::metadata`].
    pub fn series<'a>(
        &mut self,
        labels: impl Iterator<Item = Label<'a>>,
        samples: &[Sample],
        histograms: &[NativeHistogram],
        exemplars: &[Exemplar],
        _metadata: Option<&Metadata>,
    ) {
        put_message(&mut self.request, 1, |out| {
            for label in labels {
                put_label(out, label.name, label.value);
            }
            for sample in samples {
                put_message(out, 2, |out| {
                    put_double(out, 1, sample.value);
                    put_varint(out, 2, sample.timestamp as u64);
                });
            }
            for exemplar in exemplars {
                put_message(out, 3, |out| put_exemplar(out, exemplar));
            }
            for histogram in histograms {
                put_message(out, 4, |out| put_histogram(out, histogram, false));
            }
        });
        self.samples += (samples.len() + histograms.len()) as u64;
    }

    /// Adds the metadata of a family.
    pub fn metadata(&mut self, metadata: &Metadata) {
        put_message(&mut self.request, 3, |out| {
            put_varint(out, 1, metadata.kind as u64);
            put_text(out, 2, &metadata.family);
            put_text(out, 4, &metadata.help);
            put_text(out, 5, &metadata.unit);
        });
    }

    /// Bytes of the request so far, before compression.
    pub fn encoded_len(&self) -> usize {
        self.request.len()
    }

    /// Samples of both kinds so far.
    pub fn sample_count(&self) -> u64 {
        self.samples
    }

    /// Appends the request to `out` and begins a new one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.request);
        self.reset();
    }

    /// Throws the request away and begins a new one.
    pub fn reset(&mut self) {
        self.request.clear();
        self.samples = 0;
    }
}

fn put_label(out: &mut Vec<u8>, name: &str, value: &str) {
    put_message(out, 1, |out| {
        put_text(out, 1, name);
        put_text(out, 2, value);
    });
}

fn put_exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    for (name, value) in &exemplar.labels {
        put_label(out, name, value);
    }
    put_double(out, 2, exemplar.value);
    put_varint(out, 3, exemplar.timestamp as u64);
}
