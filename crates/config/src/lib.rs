//! Configuration files as people want them read: every problem at once, each with file, line and
//! key, and with what was probably meant.
//!
//! A program declares its file as serde types whose single values stay [`Text`], reads it with
//! [`Source::read`], and turns texts into values with a [`Check`], which collects what is wrong.
//! What keys mean is the program's; [`expand`] and [`files`] hold what Prometheus does to values
//! wherever they stand.
//!
//! Invariant: no message repeats the file's text around a fault, for that could be a secret.

mod check;
pub mod expand;
pub mod files;
mod nearest;
mod problem;
mod schema;
mod source;
mod units;
mod unread;

pub use check::{Check, Text};
pub use nearest::{Foreign, explain_unknown_field, nearest};
pub use problem::{ConfigErrors, Problem};
pub use schema::{Shape, Step, shape_at};
pub use source::Source;
pub use units::{Size, SizeError};
pub use unread::Unread;
