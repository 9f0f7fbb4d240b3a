//! The vocabulary of Weir: what a series, a sample, a batch and a partial aggregate are.
//!
//! Values and their arithmetic only. No I/O, no clock, no randomness of its own: seeds and
//! times are arguments. Every other crate may see this one; it sees none.

pub mod labels;
pub mod time;
pub mod varint;

pub use labels::{Label, Labels, LabelsBuilder, LabelsError};
pub use time::{Millis, Timestamp};

/// A relabelling program, as the crates that must not see `weir-relabel` know it.
pub trait Relabel: Send + Sync {
    /// Rewrites the labels; `false` means that the series is dropped.
    fn apply(&self, labels: &mut LabelsBuilder) -> bool;
}
