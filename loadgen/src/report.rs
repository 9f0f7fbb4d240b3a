//! What a run was, in one value: for the table, the page and the JSON.
//!
//! Invariant: every figure is measured, or absent; what is derived says from what. In reading order:
//! [`timeline`] is what happened second by second, [`bounds`] what was asked of it, [`machine`]
//! where; [`table`], [`page`] and [`json`] show them.

pub mod bounds;
pub mod checked;
pub mod json;
pub mod machine;
pub mod page;
pub mod plot;
pub mod progress;
pub mod quantiles;
pub mod table;
pub mod timeline;

use serde::Serialize;

use crate::sender::Tally;
use bounds::Verdict;
use checked::Checked;
use machine::Machine;
use quantiles::Quantiles;
use timeline::Moment;

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The program's version.
    pub version: String,
    /// The command line, less secrets.
    pub command: String,
    /// Milliseconds since the epoch.
    pub started_ms: i64,
    /// Seconds of load.
    pub seconds: f64,
    /// Whether it was ended before its time.
    pub interrupted: bool,
    /// Where it ran.
    pub machine: Machine,
    /// What was sent.
    pub load: Load,
    /// Counts of the whole run.
    pub totals: Tally,
    /// From when a request was due to its acknowledgement.
    pub latency: Times,
    /// From when a request was sent to its acknowledgement.
    pub service: Times,
    /// Samples a second that were acknowledged, on average.
    pub rate: f64,
    /// Samples a second that were asked for, on average.
    pub rate_asked: f64,
    /// What was seen of the target.
    pub target: Target,
    /// CPU seconds of the load generator itself.
    pub own_cpu: Option<f64>,
    /// Rates tried in search of the limit.
    pub trials: Vec<Trial>,
    /// The greatest rate that held its bounds, where it was looked for.
    pub limit: Option<f64>,
    /// What was asked, and whether it was met.
    pub bounds: Vec<Verdict>,
    /// What the oracle found, where it was asked.
    pub checked: Option<Checked>,
    /// Second by second.
    pub timeline: Vec<Moment>,
}

/// What was sent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Load {
    /// Where to.
    pub url: String,
    /// Name of the preset, or of the folder that was replayed.
    pub preset: String,
    /// Seed.
    pub seed: u64,
    /// Series, both replicas' counted.
    pub series: u64,
    /// Targets.
    pub targets: u64,
    /// Version of remote write.
    pub protocol: String,
    /// How bodies were compressed.
    pub compression: String,
    /// Samples of a request.
    pub samples_per_request: u64,
    /// Connections.
    pub connections: u64,
    /// Memory of the prepared bodies.
    pub body_bytes: u64,
}

/// Quantiles of times in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Times {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl From<&Quantiles> for Times {
    fn from(quantiles: &Quantiles) -> Self {
        let at = |share| quantiles.quantile(share);
        Self { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: quantiles.max() }
    }
}

/// What was seen of the target, over the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Target {
    /// CPU seconds it took.
    pub cpu: Option<f64>,
    /// Acknowledged samples for each of its CPU seconds.
    pub samples_per_cpu_second: Option<f64>,
    /// Greatest resident memory, bytes.
    pub resident: Option<f64>,
    /// Greatest lag of a destination, seconds.
    pub queue_lag: Option<f64>,
    /// Samples in for each sample out.
    pub reduction: Option<f64>,
    /// Series alive at the end.
    pub active_series: Option<f64>,
}

/// One rate that was tried.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trial {
    /// Samples a second.
    pub rate: f64,
    /// Acknowledged samples a second.
    pub acknowledged: f64,
    /// 99th percentile of the latency, seconds.
    pub p99: f64,
    /// Share of attempts that failed.
    pub error_ratio: f64,
    /// Why it did not pass; none: it passed.
    pub failed: Option<String>,
}

#[cfg(test)]
pub(crate) mod tests;
