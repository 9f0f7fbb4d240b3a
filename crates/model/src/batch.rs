//! The columns that pass between stages: one decoded request.
//!
//! A batch borrows nothing and copies no label: an entry says where its labels stand in the body,
//! and [`LabelSource`] reads them there when a series is met for the first time. Entries keep the
//! order of the request.

use std::ops::Range;
use std::sync::Arc;

use crate::histogram::NativeHistogram;
use crate::labels::{Label, LabelsError};
use crate::metadata::{Exemplar, Metadata};
use crate::series::VShard;
use crate::{Sample, Timestamp};

/// A tenant, numbered by the process; records carry its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TenantId(pub u32);

/// Where an entry's labels stand: bytes of the body (1.0), or label references (2.0).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block {
    /// First unit.
    pub start: u32,
    /// Number of units.
    pub len: u32,
}

/// Reads the labels of an entry out of the body that it came in.
pub trait LabelSource: Send + Sync {
    /// Appends the block's labels as they stand: unsorted, not validated but for UTF-8.
    fn labels<'a>(&'a self, block: Block, out: &mut Vec<Label<'a>>) -> Result<(), LabelsError>;

    /// Appends what sets a block apart from one `before` it, if that is values alone: the places
    /// of labels in the block, ascending, and their values there. `None` if it is more, or if it
    /// cannot be told without reading all labels; `before` has been read without an error.
    fn changed_values<'a>(
        &'a self,
        before: Block,
        block: Block,
        out: &mut Vec<(usize, &'a str)>,
    ) -> Option<()>;
}

/// One time series of a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Entry {
    /// Seeded hash of tenant and label block: the key of the alias table.
    pub hash: u128,
    /// Where its labels are.
    pub block: Block,
    /// First of its samples in the sample columns.
    pub samples_start: u32,
    /// Number of its samples.
    pub samples_len: u32,
    /// One more than its place in [`Columns::extras`]; 0 for most, which have floats only.
    pub extra: u32,
    /// The virtual shard that owns it.
    pub vshard: VShard,
}

impl Entry {
    /// Its samples' places in the columns.
    #[inline]
    pub fn samples(&self) -> Range<usize> {
        let start = self.samples_start as usize;
        start..start + self.samples_len as usize
    }
}

/// What few entries have: places in the columns of rarer things.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// In [`Columns::histograms`].
    pub histograms: Range<u32>,
    /// In [`Columns::exemplars`].
    pub exemplars: Range<u32>,
    /// In [`Columns::series_metadata`].
    pub metadata: Option<u32>,
}

/// A request as columns.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// One for each time series of the request, in its order.
    pub entries: Vec<Entry>,
    /// Float samples' timestamps.
    pub timestamps: Vec<Timestamp>,
    /// Their values, bits preserved.
    pub values: Vec<f64>,
    /// Their start timestamps; empty where no sample has one.
    pub starts: Vec<Timestamp>,
    /// See [`Extra`].
    pub extras: Vec<Extra>,
    /// Native histograms.
    pub histograms: Vec<NativeHistogram>,
    /// Exemplars.
    pub exemplars: Vec<Exemplar>,
    /// Metadata that stands on a series (2.0).
    pub series_metadata: Vec<Metadata>,
    /// Metadata of families (1.0).
    pub metadata: Vec<Metadata>,
}

impl Columns {
    /// Empties the columns and keeps their memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.timestamps.clear();
        self.values.clear();
        self.starts.clear();
        self.extras.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.series_metadata.clear();
        self.metadata.clear();
    }

    /// Makes room for so many series with a float sample each.
    pub fn reserve(&mut self, series: usize) {
        self.entries.reserve(series);
        self.timestamps.reserve(series);
        self.values.reserve(series);
    }

    /// The float sample at this place.
    #[inline]
    pub fn sample(&self, at: usize) -> Sample {
        let start = self.starts.get(at).copied().unwrap_or(0);
        Sample { timestamp: self.timestamps[at], value: self.values[at], start }
    }

    /// What an entry has beside floats.
    pub fn extra(&self, entry: &Entry) -> Option<&Extra> {
        self.extras.get((entry.extra as usize).checked_sub(1)?)
    }

    /// An entry's native histograms.
    pub fn histograms_of(&self, entry: &Entry) -> &[NativeHistogram] {
        self.extra(entry).map_or(&[], |e| &self.histograms[place(&e.histograms)])
    }

    /// An entry's exemplars.
    pub fn exemplars_of(&self, entry: &Entry) -> &[Exemplar] {
        self.extra(entry).map_or(&[], |e| &self.exemplars[place(&e.exemplars)])
    }

    /// Samples of both kinds.
    pub fn sample_count(&self) -> u64 {
        (self.timestamps.len() + self.histograms.len()) as u64
    }
}

fn place(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

/// A request on its way to the shards, shared between them.
#[derive(Clone)]
pub struct Batch {
    /// Whose it is.
    pub tenant: TenantId,
    /// Milliseconds since the epoch when it was received.
    pub received: Timestamp,
    /// Its content.
    pub columns: Arc<Columns>,
    /// Where its labels can be read.
    pub source: Arc<dyn LabelSource>,
}
