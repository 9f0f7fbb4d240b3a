//! A durable sender: queue, ordered lanes, retry, reading the backend's answer.

pub mod config;
pub mod cursor;
pub mod protocol;
pub mod retry;
pub mod split;
pub mod unit;
pub mod verdict;
