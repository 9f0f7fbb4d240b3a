//! Many connections that send a workload at a pace.
//!
//! Each connection is a plain thread with its own slots and their bodies, one request at a time, so
//! a series' samples stay in order as with a shard of a Prometheus. In reading order: [`endpoint`]
//! says where to, [`routes`] which of several places, [`owners`] what a tier says of that, [`connection`] carries a body there, [`answer`]
//! reads what comes back, [`retry`] what it means, [`tally`] counts, and [`fleet`] keeps the connections.
//!
//! Invariant: a connection waits for nothing but its schedule, its server and its own retries. What
//! it cannot send in time is late, and counted so; nothing queues.

pub mod answer;
pub mod connection;
pub mod endpoint;
pub mod fleet;
pub mod owners;
pub mod retry;
pub mod routes;
pub mod tally;
mod turns;
mod worker;

pub use endpoint::Endpoint;
pub use fleet::{Drive, Fleet, FleetConfig};
pub use routes::Spread;
pub use tally::Tally;

use crate::workload::Request;

/// Hears of what was acknowledged.
///
/// The seam for whoever checks what a gateway made of it: a [`Request`] is a few numbers, and
/// [`crate::workload::Workload::samples`] turns it into samples again, so the history of a run need
/// not be kept while it lasts. It is called from all connections, after the answer and before the
/// next request, once for each time that a request was acknowledged: repeats come twice. Of a replay
/// only the number and the time mean anything.
pub trait Observer: Send + Sync {
    /// All samples of this request were answered 2xx.
    fn on_acknowledged(&self, request: &Request);

    /// It was never acknowledged, and yet some of it may have been taken: an answer was lost, or said so.
    fn on_doubtful(&self, request: &Request);
}

/// Hears nothing.
impl Observer for () {
    fn on_acknowledged(&self, _: &Request) {}
    fn on_doubtful(&self, _: &Request) {}
}
