//! The agent on every host: it finds targets, scrapes them, relabels, keeps what it has on disk
//! until it is delivered, and forwards it as remote write.
//!
//! Invariant: what a target served is either in the buffer, delivered, or counted as given up with
//! its reason. Not here: aggregation across hosts, which is the gateway's.

pub mod admin;
pub mod app;
pub mod beat;
pub mod beside;
pub mod buffer;
pub mod central;
pub mod cli;
pub mod custodian;
pub mod custody;
pub mod direct;
pub mod director;
pub mod discovery;
pub mod draft;
pub mod footprint;
pub mod force;
pub mod pools;
pub mod push;
pub mod receive;
pub mod reduce;
pub mod router;
pub mod schedule;
pub mod scrape;
pub mod sender_name;
pub mod storage;
pub mod target;
pub mod watermarks;
