//! A durable sender: queue, ordered lanes, retry, reading the backend's answer.

pub mod protocol;
pub mod retry;
pub mod verdict;
