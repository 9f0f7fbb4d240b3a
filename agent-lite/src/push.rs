//! Short-lived jobs: what they push is kept as pages, and scraped like a target.
//!
//! [`grouping`] reads a group's key from the path, [`store`] keeps the groups. A group that is
//! deleted, or to which nobody pushes any more, ends as a target does: with stale markers. [`pushes`]
//! answers requests and has the pages scraped.

mod family;
pub mod grouping;
mod pushes;
pub mod store;

pub use family::PushError;
pub use grouping::{GroupingError, GroupingKey};
pub use pushes::Pushes;
pub use store::{Limits, Replace, Store};
