//! Whole series back out of an encoded request: for send queues and `/federate`, not for ingest.
//!
//! Unlike [`crate::decode()`], labels are read here, and must be readable.

use weir_model::{Columns, Exemplar, Label, Metadata, NativeHistogram, Sample};

use crate::body::labels_in;
use crate::decode::{Hints, walk};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::negotiate::Version;

/// One series of a request.
#[derive(Clone, Copy, Debug)]
pub struct SeriesView<'a> {
    /// Its labels as they stand.
    pub labels: &'a [Label<'a>],
    /// Its float samples.
    pub samples: &'a [Sample],
    /// Its native histograms.
    pub histograms: &'a [NativeHistogram],
    /// Its exemplars.
    pub exemplars: &'a [Exemplar],
    /// Its metadata (2.0).
    pub metadata: Option<&'a Metadata>,
}

/// Hands each series of a decompressed request to `each`, in order, and returns the metadata of
/// families (1.0). Nothing is handed over if the request as a whole cannot be read; labels that
/// cannot be are found when their turn comes.
pub fn decode_series(
    version: Version,
    bytes: &[u8],
    each: &mut dyn FnMut(SeriesView<'_>),
) -> Result<Vec<Metadata>, DecodeError> {
    let mut columns = Columns::default();
    let tables = walk(version, bytes, None, &mut columns, &mut Hints::default())?;
    let (mut labels, mut samples) = (Vec::new(), Vec::new());
    for (number, entry) in columns.entries.iter().enumerate() {
        labels.clear();
        labels_in(version, bytes, &tables, entry.block, &mut labels).map_err(|e| {
            let start = match version {
                Version::V1 => entry.block.start as usize,
                Version::V2 => 0,
            };
            DecodeError::new(start, DecodeErrorKind::Labels(e)).in_series(number)
        })?;
        samples.clear();
        samples.extend(entry.samples().map(|at| columns.sample(at)));
        let metadata = columns.extra(entry).and_then(|e| e.metadata);
        each(SeriesView {
            labels: &labels,
            samples: &samples,
            histograms: columns.histograms_of(entry),
            exemplars: columns.exemplars_of(entry),
            metadata: metadata.and_then(|place| columns.series_metadata.get(place as usize)),
        });
    }
    Ok(columns.metadata)
}
