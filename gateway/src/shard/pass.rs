//! Samples that leave as they came: from a batch's outcome to the body of a PASS frame.
//!
//! Series are written with the labels that the shard knows them by (sorted, relabelled, without
//! the replica label); values keep their bits.

use weir_aggregate::shard::{Outcome, Shard};
use weir_model::Columns;
use weir_wire::encode::v2::Writer;

use crate::metadata::Families;
use crate::pipeline::BatchWork;

/// Writes bodies of PASS frames; keeps its memory between batches.
#[derive(Debug, Default)]
pub struct PassWriter {
    writer: Writer,
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
        outcome.each_pass(columns, |pass, samples, histograms| {
            let labels = shard.labels(pass.vshard, pass.series);
            let name = labels.clone().find(|l| l.name == weir_model::labels::METRIC_NAME);
            let metadata = name.and_then(|l| families.of(work.batch.tenant, l.value));
            let exemplars = exemplars(columns, pass.entry);
            self.writer.series(labels, samples, histograms, exemplars, metadata.as_deref());
        });
        let mut body = Vec::with_capacity(self.writer.encoded_len());
        self.writer.finish(&mut body);
        self.writer.reset();
        Some(body)
    }
}

fn exemplars(columns: &Columns, entry: u32) -> &[weir_model::Exemplar] {
    columns.entries.get(entry as usize).map_or(&[], |entry| columns.exemplars_of(entry))
}
