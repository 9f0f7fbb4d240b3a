//! The harness of the end-to-end tests: real programs, real sockets, an independent oracle.
//!
//! Each file of `tests/` proves one promise of the binaries. What they share is here:
//! [`processes`] runs programs, [`packages`] finds Debian's, [`peers`] and [`etcd`] start them, [`gateway`] and
//! [`agent`] are the programs under test,
//! [`sender`], [`load`], [`target`], [`counting_target`], [`stub`] and [`backend`] are its scripted
//! peers, [`tier`] is several gateways and [`proxy`] the links between them, [`situations`] a load
//! that meets whatever may go wrong, [`disk`] is a small one, [`certificates`] are made for each test, [`promql`] and [`remote_read`] ask the real ones, and [`oracle`]
//! (the load generator's) computes on its own what must come out.
//!
//! Invariant: nothing here uses the code under test, except for `weir-wire`'s prost messages, which
//! are its oracle. No test waits for time to pass where it can wait for a condition: [`wait`] is
//! the one place that sleeps.

pub mod agent;
pub mod binaries;
pub mod certificates;
pub mod counting_target;
pub mod disk;
pub mod early;
pub mod etcd;
pub mod gateway;
pub mod load;
pub mod metrics;
pub mod packages;
pub mod peers;
pub mod processes;
pub mod promql;
pub mod proxy;
pub mod sender;
pub mod situations;
pub mod stub;
pub mod target;
pub mod tier;
pub mod wait;

pub use weir_loadgen::oracle::stored::remote_read;
pub use weir_loadgen::receiver::http;
pub use weir_loadgen::torture::{clocks, dice};
pub use weir_loadgen::{oracle, samples};

/// The receiver that stands in for a backend, in the test's own process.
pub mod backend {
    pub use weir_loadgen::receiver::{Receiver as Backend, Reply, Request};
}
