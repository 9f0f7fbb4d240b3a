//! The load generator: it makes traffic, stands in for the backend, and computes on its own what must
//! come out.
//!
//! Invariant: nothing here shares code with what it checks: not the aggregation, not the gateway.

pub mod messages;
pub mod oracle;
pub mod receiver;
pub mod samples;
pub mod torture;
