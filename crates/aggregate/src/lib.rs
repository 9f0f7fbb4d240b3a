//! Rules, matcher, dedup, windows and outputs: a state machine in which time is an argument.
//!
//! The way of a sample: [`shard`] takes a batch, finds each entry's series by its [`alias`] (or
//! meets it for the first time, `birth`), asks the HA pair ([`ha`]) and puts the sample in its
//! place among the series' last ones ([`recent`]). Folding (`fold`) adds it to the open windows
//! of its rules ([`cells`], [`accumulator`]). When the frontier passes a window's end, [`sweep`]
//! closes it into one partial for each output group; [`home`] merges the partials of all workers
//! and says what the outputs say ([`output`]). [`snapshot`] turns a virtual shard into bytes, and
//! `reconfigure` carries it over into another rule set.
//!
//! No I/O, no clock, no randomness but hash seeds that nothing depends on: state after a log
//! position is a function of the log.

pub mod accumulator;
pub mod alias;
pub mod arena;
mod bind;
pub mod birth;
pub mod cells;
pub mod codec;
pub mod decisions;
pub mod exchange;
mod fold;
pub mod group;
pub mod ha;
mod histogram_fold;
pub mod home;
pub mod index;
pub mod label_sets;
pub mod matcher;
mod met;
pub mod output;
pub mod plan;
pub mod recent;
mod reconfigure;
pub mod rule;
pub mod segments;
pub mod shard;
pub mod snapshot;
pub mod sweep;
pub mod target;
pub mod vshard;
pub mod window;
