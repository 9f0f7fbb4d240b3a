//! Prometheus relabelling, compiled once.
//!
//! A [`RelabelConfig`] is one entry of a `relabel_configs` list as it is written; a [`Program`]
//! is the whole list, validated and ready to run on a label set. Which regular expressions may
//! be written and how they match is decided by [`weir_model::re2`].
//!
//! Sans-I/O: no files, no clock. A program is immutable and may be shared between threads.

mod apply;
mod config;
mod program;
mod template;

pub use config::{Action, RelabelConfig, UnknownAction};
pub use program::{Program, RelabelError, RelabelErrorKind};
