//! Bodies out of the reducer: what passed of a scrape, and what outputs say.
//!
//! Invariant: a body is a whole 2.0 request in zstd, as the scrape's own are. Outputs have no
//! metadata here: a page's stands with the series that were on it.

use weir_aggregate::home::Emission;
use weir_aggregate::shard::{Outcome, Shard};
use weir_model::{Columns, Label};
use weir_remote::Summary;
use weir_wire::encode::v2::Writer;
use weir_wire::{Compressor, Encoding};

use crate::scrape::{Body, SinkError};

/// Encoded bytes of a body, before compression, after which another begins.
const BODY_BYTES: usize = 4 << 20;

/// Writer and compressor, used again for all bodies.
#[derive(Debug, Default)]
pub(super) struct BodyWriter {
    writer: Writer,
    compressor: Compressor,
    plain: Vec<u8>,
    packed: Vec<u8>,
    external_labels: Vec<(String, String)>,
    /// Of the body in hand; its bytes are known at its end.
    summary: Summary,
}

impl BodyWriter {
    /// With what outputs get that lack it; scrapes have it already.
    pub(super) fn new(external_labels: Vec<(String, String)>) -> Self {
        Self { external_labels, ..Self::default() }
    }

    /// Outputs get these from now on.
    pub(super) fn set_external_labels(&mut self, external_labels: Vec<(String, String)>) {
        self.external_labels = external_labels;
    }

    /// What no rule took of a scrape; `None` if nothing is left.
    pub(super) fn passed(
        &mut self,
        shard: &Shard,
        columns: &Columns,
        outcome: &Outcome,
    ) -> Result<Option<Body>, SinkError> {
        outcome.each_pass(columns, |pass, samples, histograms| {
            let entry = columns.entries.get(pass.entry as usize);
            let extra = entry.and_then(|entry| columns.extra(entry));
            let metadata = extra.and_then(|extra| extra.metadata);
            let metadata = metadata.and_then(|at| columns.series_metadata.get(at as usize));
            let exemplars = entry.map_or(&[][..], |entry| columns.exemplars_of(entry));
            let labels = shard.labels(pass.vshard, pass.series);
            self.writer.series(labels, samples, histograms, exemplars, metadata);
            self.summary.histograms += histograms.len() as u64;
            self.summary.exemplars += exemplars.len() as u64;
        });
        self.finish()
    }

    /// What outputs say.
    pub(super) fn outputs(&mut self, emissions: &[Emission]) -> Result<Vec<Body>, SinkError> {
        let mut bodies = Vec::new();
        for emission in emissions {
            let histogram = emission.histogram.as_deref().map_or(&[][..], std::slice::from_ref);
            let lacks =
                |(name, _): &&(String, String)| emission.labels.iter().all(|l| l.name != name);
            let external = self.external_labels.iter().filter(lacks);
            let external = external.map(|(name, value)| Label { name, value });
            let mut labels: Vec<Label<'_>> = emission.labels.iter().chain(external).collect();
            labels.sort_unstable_by_key(|label| label.name);
            self.writer.series(labels.into_iter(), &emission.samples, histogram, &[], None);
            self.summary.histograms += histogram.len() as u64;
            if self.writer.encoded_len() > BODY_BYTES {
                bodies.extend(self.finish()?);
            }
        }
        bodies.extend(self.finish()?);
        Ok(bodies)
    }

    fn finish(&mut self) -> Result<Option<Body>, SinkError> {
        let samples = self.writer.sample_count();
        let summary = std::mem::take(&mut self.summary);
        if samples == 0 {
            return Ok(None);
        }
        self.plain.clear();
        self.writer.finish(&mut self.plain);
        self.writer.reset();
        let packed = self.compressor.compress(Encoding::Zstd, &self.plain, &mut self.packed);
        packed.map_err(|why| SinkError(format!("zstd: {why}")))?;
        let summary = Summary { samples, plain_bytes: self.plain.len() as u64, ..summary };
        Ok(Some(Body { bytes: self.packed.as_slice().into(), summary, owner: None, draft: 0 }))
    }
}
