//! Bodies out of the reducer: what passed of a scrape, and what outputs say.
//!
//! Invariant: a body is a whole 2.0 request in zstd, as the scrape's own are. Outputs have no
//! metadata here: a page's stands with the series that were on it.

use weir_aggregate::home::Emission;
use weir_aggregate::shard::{Outcome, Shard};
use weir_model::Columns;
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
}

impl BodyWriter {
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
        });
        self.finish()
    }

    /// What outputs say.
    pub(super) fn outputs(&mut self, emissions: &[Emission]) -> Result<Vec<Body>, SinkError> {
        let mut bodies = Vec::new();
        for emission in emissions {
            let histogram = emission.histogram.as_deref().map_or(&[][..], std::slice::from_ref);
            let labels = emission.labels.iter();
            self.writer.series(labels, &emission.samples, histogram, &[], None);
            if self.writer.encoded_len() > BODY_BYTES {
                bodies.extend(self.finish()?);
            }
        }
        bodies.extend(self.finish()?);
        Ok(bodies)
    }

    fn finish(&mut self) -> Result<Option<Body>, SinkError> {
        let samples = self.writer.sample_count() as usize;
        if samples == 0 {
            return Ok(None);
        }
        self.plain.clear();
        self.writer.finish(&mut self.plain);
        self.writer.reset();
        let packed = self.compressor.compress(Encoding::Zstd, &self.plain, &mut self.packed);
        packed.map_err(|why| SinkError(format!("zstd: {why}")))?;
        Ok(Some(Body { bytes: self.packed.as_slice().into(), samples }))
    }
}
