//! From a frame to units: labels of this destination, its relabelling, and what it does not take.
//!
//! Invariant: the same frame always gives the same units, so a resend has the same bits. Nothing
//! is dropped without being counted in [`Prepared`].

use std::sync::Arc;

use bytes::Bytes;
use weir_model::{Label, Labels, LabelsBuilder, Relabel as _, Timestamp};
use weir_relabel::Program;
use weir_wire::records::{SeriesView, decode_series};
use weir_wire::{DecodeError, DecompressError, Decompressor, Encoding, Version};

use crate::config::Destination;
use crate::frame::{self, FrameError, FrameHeader};
use crate::packed::{BODY_BYTES_MAX, Packed};
use crate::unit::{Cut, Series, Unit, into_lane, into_units};

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

impl Prepared {
    fn new(written_ms: Timestamp, units: Vec<(usize, Unit)>) -> Self {
        Self { written_ms, units, relabelled: 0, native_histograms: 0, mislabelled: 0 }
    }
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
    /// Whether samples may become too old while they wait, so that each has to be looked at.
    ages: bool,
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
            ages: destination.queue.sample_age_limit.is_some(),
            decompressor: Decompressor::default(),
            body: Vec::new(),
        }
    }

    /// Prepares the frame at this position. `was_queued` says that it was in the queue before
    /// this process began, so that an earlier one may have sent it.
    pub fn prepare(
        &mut self,
        position: u64,
        payload: &Bytes,
        was_queued: bool,
    ) -> Result<Prepared, PrepareError> {
        let (header, body) = frame::read(payload)?;
        let template = Unit {
            position,
            tenant: Arc::from(header.tenant),
            recovered: header.recovered || was_queued,
            maybe_stored: was_queued,
            series: Vec::new(),
            packed: None,
        };
        if let Some(packed) = self.packed(&header, body, payload) {
            let lane = into_lane(header.lane.unwrap_or_default());
            let unit = Unit { packed: Some(packed), ..template };
            return Ok(Prepared::new(header.written_ms, vec![(lane, unit)]));
        }
        let mut unpacked = std::mem::take(&mut self.body);
        let body = match header.encoding {
            Some(encoding) => {
                let cap = BODY_BYTES_MAX;
                self.decompressor.decompress(encoding, body, cap, &mut unpacked)?;
                &unpacked
            }
            None => body,
        };
        let mut prepared = Prepared::new(header.written_ms, Vec::new());
        let mut all = Vec::new();
        decode_series(Version::V2, body, &mut |view| {
            all.extend(self.series(&view, header.tenant, &mut prepared));
        })?;
        let how = Cut { lane: header.lane, atomic: header.atomic, samples_max: self.samples_max };
        prepared.units = into_units(all, &template, how);
        self.body = unpacked;
        Ok(prepared)
    }

    /// The body as it stands, if this destination takes all that is in it, and nothing else.
    fn packed(&self, header: &FrameHeader<'_>, body: &[u8], payload: &Bytes) -> Option<Packed> {
        let summary = header.summary.filter(|_| header.encoding == Some(Encoding::Zstd))?;
        let samples = usize::try_from(summary.samples).ok().filter(|&s| s <= self.samples_max)?;
        let adds = !self.external_labels.is_empty() || self.tenant_label.is_some();
        let leaves_out = !self.relabel.is_empty()
            || self.ages
            || !self.send_metadata
            || (!self.send_exemplars && summary.exemplars > 0)
            || (!self.send_native_histograms && summary.histograms > 0);
        let is_whole = header.lane.is_some() && !adds && !leaves_out;
        is_whole.then(|| Packed {
            body: payload.slice_ref(body),
            samples,
            plain_bytes: usize::try_from(summary.plain_bytes).unwrap_or(usize::MAX),
        })
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
