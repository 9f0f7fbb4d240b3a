//! Samples that leave as they came: from a batch's outcome to the body of a PASS frame.
//!
//! Series are written with the labels that the shard knows them by (sorted, relabelled, without
//! the replica label); values keep their bits.

use weir_aggregate::shard::{Outcome, Shard};
use weir_model::{Columns, NativeHistogram, Sample};
use weir_wire::encode::v2::Writer;

use crate::metadata::Families;
use crate::pipeline::BatchWork;

/// Writes bodies of PASS frames; keeps its memory between batches.
#[derive(Debug, Default)]
pub struct PassWriter {
    writer: Writer,
    samples: Vec<Sample>,
    histograms: Vec<NativeHistogram>,
}

impl PassWriter {
    /// The body for all that passed of a batch; `None` if nothing did.
    pub fn write(
        &mut self,
        shard: &Shard,
        work: &BatchWork,
        outcome: &Outcome,
        families: &Families,
    ) -> Option<Vec<u8>> {
        if outcome.passes.is_empty() {
            return None;
        }
        let columns = &*work.batch.columns;
        let mut floats = outcome.passed.iter();
        let mut histograms = outcome.passed_histograms.iter();
        for pass in &outcome.passes {
            self.samples.clear();
            self.histograms.clear();
            let places = floats.by_ref().take(pass.floats as usize);
            self.samples.extend(places.map(|&at| columns.sample(at as usize)));
            let places = histograms.by_ref().take(pass.histograms as usize);
            self.histograms
                .extend(places.filter_map(|&at| columns.histograms.get(at as usize).cloned()));
            self.samples.sort_by_key(|s| s.timestamp);
            let labels = shard.labels(pass.vshard, pass.series);
            let name = labels.clone().find(|l| l.name == weir_model::labels::METRIC_NAME);
            let metadata = name.and_then(|l| families.of(work.batch.tenant, l.value));
            let exemplars = exemplars(columns, pass.entry);
            self.writer.series(
                labels,
                &self.samples,
                &self.histograms,
                exemplars,
                metadata.as_deref(),
            );
        }
        let mut body = Vec::with_capacity(self.writer.encoded_len());
        self.writer.finish(&mut body);
        self.writer.reset();
        Some(body)
    }
}

fn exemplars(columns: &Columns, entry: u32) -> &[weir_model::Exemplar] {
    columns.entries.get(entry as usize).map_or(&[], |entry| columns.exemplars_of(entry))
}
