//! A durable sender: queue, ordered lanes, retry, reading the backend's answer.

pub mod config;
pub mod cursor;
mod delivery;
pub mod frame;
pub mod lanes;
pub mod metrics;
pub mod outbox;
pub mod protocol;
pub mod retry;
pub mod split;
pub mod unit;
pub mod verdict;
