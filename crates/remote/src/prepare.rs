//! From a frame to units: labels of this destination, its relabelling, and what it does not take.
//!
//! Invariant: the same frame always gives the same units, so a resend has the same bits. Nothing
//! is dropped without being counted in [`Prepared`].

use std::sync::Arc;

use weir_model::{Label, Labels, LabelsBuilder, Relabel as _, Timestamp};
use weir_relabel::Program;
use weir_wire::records::{SeriesView, decode_series};
use weir_wire::{DecodeError, DecompressError, Decompressor, Version};

use crate::config::Destination;
use crate::frame::{self, FrameError};
use crate::unit::{Cut, Series, Unit, into_units};

/// A frame's body after decompression; the gateway writes far smaller ones.
const BODY_BYTES_MAX: usize = 256 << 20;

/// Why a frame cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Its header.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// Its compression.
    #[error(transparent)]
    Decompress(#[from] DecompressError),
    /// Its body.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// A frame's content, ready for the lanes.
#[derive(Debug)]
pub struct Prepared {
    /// When the frame was written.
    pub written_ms: Timestamp,
    /// Lanes and units.
    pub units: Vec<(usize, Unit)>,
    /// Samples of series that relabelling dropped.
    pub relabelled: usize,
    /// Native histograms left out.
    pub native_histograms: usize,
    /// Samples of series whose labels are no label set.
    pub mislabelled: usize,
}

/// Prepares frames for one destination.
#[derive(Debug)]
pub struct Preparer {
    external_labels: Vec<(String, String)>,
    relabel: Program,
    tenant_label: Option<String>,
    send_exemplars: bool,
    send_native_histograms: bool,
    send_metadata: bool,
    samples_max: usize,
    decompressor: Decompressor,
    body: Vec<u8>,
}

impl Preparer {
    /// For this destination. External labels are added where a series has none of that name.
    pub fn new(destination: &Destination, external_labels: Vec<(String, String)>) -> Self {
        Self {
            external_labels,
            relabel: destination.relabel.clone(),
            tenant_label: destination.tenant_label.clone(),
            send_exemplars: destination.send_exemplars,
            send_native_histograms: destination.send_native_histograms,
            send_metadata: destination.send_metadata,
            samples_max: destination.queue.max_samples_per_send,
            decompressor: Decompressor::default(),
            body: Vec::new(),
        }
    }

    /// Prepares the frame at this position. `was_queued` says that it was in the queue before
    /// this process began, so that an earlier one may have sent it.
    pub fn prepare(
        &mut self,
        position: u64,
        payload: &[u8],
        was_queued: bool,
    ) -> Result<Prepared, PrepareError> {
        let (header, body) = frame::read(payload)?;
        let mut unpacked = std::mem::take(&mut self.body);
        let body = match header.encoding {
            Some(encoding) => {
                let cap = BODY_BYTES_MAX;
                self.decompressor.decompress(encoding, body, cap, &mut unpacked)?;
                &unpacked
            }
            None => body,
        };
        let mut prepared = Prepared {
            written_ms: header.written_ms,
            units: Vec::new(),
            relabelled: 0,
            native_histograms: 0,
            mislabelled: 0,
        };
        let mut all = Vec::new();
        decode_series(Version::V2, body, &mut |view| {
            all.extend(self.series(&view, header.tenant, &mut prepared));
        })?;
        let template = Unit {
            position,
            tenant: Arc::from(header.tenant),
            recovered: header.recovered || was_queued,
            maybe_stored: was_queued,
            series: Vec::new(),
        };
        let how = Cut { lane: header.lane, atomic: header.atomic, samples_max: self.samples_max };
        prepared.units = into_units(all, &template, how);
        self.body = unpacked;
        Ok(prepared)
    }

    fn series(&self, view: &SeriesView<'_>, tenant: &str, counts: &mut Prepared) -> Option<Series> {
        let samples = view.samples.len() + view.histograms.len();
        let labels = match self.labels(view.labels, tenant) {
            Ok(Some(labels)) => labels,
            Ok(None) => {
                counts.relabelled += samples;
                return None;
            }
            Err(_) => {
                counts.mislabelled += samples;
                return None;
            }
        };
        let mut histograms = view.histograms;
        if !self.send_native_histograms {
            counts.native_histograms += histograms.len();
            histograms = &[];
        }
        let exemplars = if self.send_exemplars { view.exemplars } else { &[] };
        let series = Series {
            labels,
            samples: view.samples.to_vec(),
            histograms: histograms.to_vec(),
            exemplars: exemplars.to_vec(),
            metadata: view.metadata.filter(|_| self.send_metadata).cloned(),
        };
        (series.sample_count() > 0 || !series.exemplars.is_empty()).then_some(series)
    }

    /// The labels to send; `None` if the series is dropped.
    fn labels(
        &self,
        labels: &[Label<'_>],
        tenant: &str,
    ) -> Result<Option<Labels>, weir_model::LabelsError> {
        let plain = Labels::from_pairs(labels.iter().copied())?;
        let is_plain = self.external_labels.is_empty() && self.relabel.is_empty();
        if is_plain && self.tenant_label.is_none() {
            return Ok(Some(plain));
        }
        let mut builder = LabelsBuilder::from_labels(plain.iter());
        for (name, value) in &self.external_labels {
            if builder.get(name).is_empty() {
                builder.set(name, value);
            }
        }
        if !self.relabel.apply(&mut builder) {
            return Ok(None);
        }
        if let Some(label) = &self.tenant_label {
            builder.set(label, tenant);
        }
        Ok((!builder.is_empty()).then(|| builder.build()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
