//! The vocabulary of Weir: what a series, a sample, a batch and a partial aggregate are.
//!
//! Values and their arithmetic only. No I/O, no clock, no randomness of its own: seeds and
//! times are arguments. Every other crate may see this one; it sees none.

pub mod audit;
pub mod batch;
pub mod block_hash;
pub mod distinct;
pub mod histogram;
pub mod labels;
pub mod metadata;
pub mod mutation;
pub mod re2;
pub mod sample;
pub mod series;
pub mod sketch;
pub mod symbols;
pub mod time;
pub mod varint;
pub mod vmrange;

pub use audit::{Class, ClassCounts};
pub use batch::{Batch, Block, Columns, Entry, Extra, LabelSource, TenantId};
pub use block_hash::BlockHasher;
pub use histogram::NativeHistogram;
pub use labels::{Label, Labels, LabelsBuilder, LabelsError};
pub use metadata::{Exemplar, Metadata, MetricType};
pub use sample::{STALE_NAN, Sample, is_stale};
pub use series::{ShardKey, VSHARDS, VShard, vshard_of_group};
pub use time::{Millis, Timestamp};

/// A relabelling program, as the crates that must not see `weir-relabel` know it.
pub trait Relabel: Send + Sync {
    /// Rewrites the labels; `false` means that the series is dropped.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool;
}
