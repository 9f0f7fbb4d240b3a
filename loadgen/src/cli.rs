//! The command line: flags, and help from which one can begin.
//!
//! Invariant: what is wrong with the arguments is said all at once, before anything is sent.

pub mod check;
pub mod run;
pub mod targets;

use clap::{Parser, Subcommand};

use crate::receiver::cli::ReceiveArgs;
use crate::receiver::script;
use crate::torture;
use crate::torture::cli::TortureArgs;

/// The load generator's arguments.
#[derive(Clone, Debug, Parser)]
#[command(name = "weir-loadgen", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Send remote write at a pace, and report how it went.
    #[command(after_help = run::AFTER)]
    Run(Box<run::RunArgs>),
    /// Be scrape targets whose pages move, for an agent or a Prometheus to scrape.
    #[command(after_help = targets::AFTER)]
    Targets(targets::TargetsArgs),
    /// Stand in for the backend: record what arrives, and misbehave as a script says.
    #[command(after_help = script::HELP)]
    Receive(ReceiveArgs),
    /// Run a gateway among faults, and compare what comes out with what must.
    #[command(after_help = torture::cli::AFTER)]
    Torture(TortureArgs),
}

const ABOUT: &str = "\
Generates load for a Weir gateway (or anything that takes remote write), and measures what comes of it.

Traffic looks like production's: services in pods with counters, gauges and histograms, restarts,
deploys, HA pairs, late and repeated samples. It is sent at a pace that does not wait for answers,
so that latency counts from when a request was due.";

const AFTER: &str = "\
Examples:
  weir-loadgen run --target http://127.0.0.1:9201/api/v1/push --series 100k
      as 100 pods of a Kubernetes cluster would for a minute, every series every 10 s
  weir-loadgen run --target http://127.0.0.1:9201/api/v1/push --series 1M --find-limit --max-p99 100ms
      how much this gateway takes
  weir-loadgen targets --targets 20 --series 2000
      20 pages to scrape
  weir-loadgen torture --faults 50
      a gateway that is killed, frozen, and loses its backend, under the oracle

docs/LOADGEN.md says how to size a gateway with it.";

#[cfg(test)]
mod tests;
