//! The Weir aggregation gateway, in reading order.
//!
//! [`ingest`] is the way of a request; [`pipeline`] the one critical section; [`wal`] what the log
//! holds; [`shard`] the workers; [`emit`] what leaves; [`egress`] and [`federate`] where to.
//! [`custody`] tells agents what they may forget. [`frontier`] closes windows, [`checkpoint`] and [`recover`] make a restart short. [`engine`] is all
//! that is durable, [`cluster`] the node among others, [`app`] the only file that wires everything together. `docs/ARCHITECTURE.md` has the picture.

pub mod admin;
pub mod agents;
pub mod allocator;
pub mod app;
pub mod audit;
pub mod boot;
pub mod checkpoint;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod crash;
pub mod custody;
pub mod durable;
pub mod egress;
pub mod emit;
pub mod engine;
pub mod federate;
pub mod frontier;
pub mod ingest;
pub mod metadata;
pub mod node;
pub mod outlets;
pub mod pipeline;
pub mod promises;
pub mod recover;
pub mod reload;
pub mod router;
pub mod shard;
pub mod shutdown;
pub mod tenants;
pub mod twin;
pub mod verdict;
pub mod wal;
