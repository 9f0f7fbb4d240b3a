//! The walkers against prost: whatever bytes prost takes, the walkers take, and find the same in
//! them; whatever the walkers take beyond that differs in the text of labels alone.

mod cached;
mod encode;
pub(crate) mod fixtures;
mod generate;
mod hostile;
mod same;
mod speed;
