//! The load generator: it makes traffic, stands in for the backend, and computes on its own what must
//! come out.
//!
//! In reading order: a [`workload`] says which samples there are, or a [`replay`] (either is a
//! [`source`]), a [`body`] carries them, [`pacing`]
//! says when, a [`sender`] sends them, [`run`] puts a run together, [`watch`] looks at the target,
//! and a [`report`] says how it went. [`limit`] searches for the greatest rate; [`targets`] are
//! scraped instead of sending. A [`receiver`] stands in for the backend and misbehaves by a script, and
//! the [`oracle`] says what must have reached it; a [`check`] is both beside a run; [`torture`] does both around a gateway among faults.
//!
//! Invariant: nothing here shares code with what it checks: not the aggregation, not the gateway.

pub mod body;
pub mod check;
pub mod cli;
mod clock;
pub mod limit;
pub mod messages;
pub mod oracle;
pub mod pacing;
pub mod ports;
pub mod receiver;
pub mod replay;
pub mod report;
pub mod run;
pub mod samples;
pub mod seed;
pub mod sender;
pub mod source;
pub mod targets;
pub mod torture;
pub mod units;
pub mod watch;
pub mod workload;
