//! `weir-loadgen targets`: arguments.

use clap::Args;

use crate::units;
use crate::workload::presets::Preset;

/// Arguments of `targets`.
#[derive(Clone, Debug, Args)]
pub struct TargetsArgs {
    /// How many targets, each on a port of its own.
    #[arg(long, value_parser = units::count, default_value = "10")]
    pub targets: u64,
    /// Series on each page.
    #[arg(long, value_parser = units::count, default_value = "1000")]
    pub series: u64,
    /// Which series.
    #[arg(long, value_enum, default_value = "kubernetes")]
    pub preset: Preset,
    /// Serve captured pages instead: the *.txt files of a folder, one after the other.
    #[arg(long, value_name = "FOLDER")]
    pub pages: Option<std::path::PathBuf>,
    /// Address of the first target; the others have the ports after it. With port 0 each takes a
    /// free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Where to serve the list of targets for http_sd_configs.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub discovery: std::net::SocketAddr,
    /// Where to write the list for file_sd_configs.
    #[arg(long, value_name = "FILE")]
    pub file_sd: Option<std::path::PathBuf>,
    /// The same seed, the same pages.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Examples.
pub const AFTER: &str = "\
Example:
  weir-loadgen targets --targets 20 --series 2000 --discovery 127.0.0.1:9099

  prometheus.yml of the agent, or of a Prometheus:
    scrape_configs:
      - job_name: load
        http_sd_configs: [{url: http://127.0.0.1:9099/targets}]

Pages are text, or OpenMetrics where Accept prefers it, and have the classic series only: native
histograms are left out. Values move with the clock. Ends with Ctrl-C.";
