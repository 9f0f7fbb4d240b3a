//! The agent's configuration, validated: types that cannot be wrong. Agents read it, and a gateway
//! that keeps configurations for them checks it with the same code before it gives one out.
//!
//! Invariant: texts are parsed, relabelling is compiled, defaults of `global` are filled in. What
//! the keys are called stands in [`raw`], how a text is read in [`load()`], and how an agent asks for
//! one in [`control`]; what it promises where it sends to in [`watermark`],
//! what it is told there of what it has sent in [`custody`]. Nothing here acts on a configuration.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use weir_config::Problem;
use weir_http::ClientConfig;
use weir_model::Millis;
use weir_relabel::Program;
use weir_remote::config::Destination;
pub use weir_wire::exposition::protocol::{Escaping, ScrapeProtocol};

use discovery::Mechanism;

pub mod control;
pub mod custody;
pub mod discovery;
mod host;
mod load;
mod raw;
mod report;
pub mod steps;
mod validate;
pub mod watermark;

pub use host::{Env, Host};
pub use load::{load, read, read_for_others};
pub use report::check_report;

/// Samples of a request that the agent writes, and so of one that its senders put together.
pub const BODY_SAMPLES_MAX: usize = 25_000;

/// The whole file.
#[derive(Clone, Debug)]
pub struct Config {
    /// `scrape_configs`, and those of `scrape_config_files`.
    pub scrape: Vec<ScrapeConfig>,
    /// `global.external_labels`, with environment variables replaced.
    pub external_labels: BTreeMap<String, String>,
    /// `remote_write`: at least one.
    pub destinations: Vec<Destination>,
    /// What is odd, though it works.
    pub warnings: Vec<Problem>,
}

/// One entry of `scrape_configs`.
#[derive(Clone, Debug)]
pub struct ScrapeConfig {
    /// `job_name`: unique.
    pub job_name: String,
    /// `scrape_interval`. Default: the global one, 1m.
    pub interval: Millis,
    /// `scrape_timeout`: not above the interval. Default: the global one, 10s.
    pub timeout: Millis,
    /// `metrics_path`. Default `/metrics`.
    pub metrics_path: String,
    /// `scheme`. Default http.
    pub scheme: Scheme,
    /// `params`: of the URL's query.
    pub params: BTreeMap<String, Vec<String>>,
    /// `honor_labels`: a target's own `job` and `instance` win. Default false.
    pub honor_labels: bool,
    /// `honor_timestamps`: timestamps on a page count. Default true.
    pub honor_timestamps: bool,
    /// `track_timestamps_staleness`: stale markers for them too. Default false.
    pub track_timestamps_staleness: bool,
    /// `scrape_protocols`: in the order of preference.
    pub protocols: Vec<ScrapeProtocol>,
    /// `fallback_scrape_protocol`: for a page without a usable content type. Default none: such a
    /// scrape fails.
    pub fallback_protocol: Option<ScrapeProtocol>,
    /// `scrape_native_histograms`. Default false.
    pub native_histograms: bool,
    /// `always_scrape_classic_histograms`: classic parts beside native ones. Default false.
    pub classic_histograms: bool,
    /// `extra_scrape_metrics`: limits and body size as series. Default false.
    pub extra_metrics: bool,
    /// `enable_compression`: pages may come as gzip. Default true.
    pub compression: bool,
    /// What a page may hold.
    pub limits: ScrapeLimits,
    /// `target_limit`: with more targets none is scraped.
    pub target_limit: Option<NonZeroUsize>,
    /// `keep_dropped_targets`: how many dropped ones are kept for display.
    pub keep_dropped_targets: usize,
    /// `metric_name_validation_scheme`. Default utf8.
    pub names: NameScheme,
    /// `metric_name_escaping_scheme`. Default allow-utf-8, or underscores for legacy names.
    pub escaping: Escaping,
    /// `relabel_configs`: run on each target.
    pub relabel: Program,
    /// `metric_relabel_configs`: run on each series.
    pub metric_relabel: Program,
    /// How targets are asked: credentials, TLS, proxy, headers.
    pub client: ClientConfig,
    /// `*_sd_configs` and `static_configs`.
    pub discovery: Vec<Mechanism>,
}

/// Bounds of one page; a page past one of them is not taken at all.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct ScrapeLimits {
    /// `body_size_limit`: bytes, uncompressed.
    pub body_bytes: Option<NonZeroUsize>,
    /// `sample_limit`: after relabelling.
    pub samples: Option<NonZeroUsize>,
    /// `label_limit`: labels of a series.
    pub labels: Option<NonZeroUsize>,
    /// `label_name_length_limit`: bytes.
    pub label_name_bytes: Option<NonZeroUsize>,
    /// `label_value_length_limit`: bytes.
    pub label_value_bytes: Option<NonZeroUsize>,
    /// `native_histogram_bucket_limit`: buckets above it are merged.
    pub native_buckets: Option<NonZeroUsize>,
    /// `native_histogram_min_bucket_factor`: finer buckets are merged; 0 is none.
    pub native_min_factor: f64,
}

/// How a target is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scheme {
    /// Plain.
    #[default]
    Http,
    /// Encrypted.
    Https,
}

/// Which names of metrics and labels are taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NameScheme {
    /// Any UTF-8.
    #[default]
    Utf8,
    /// Letters, digits, underscores, and colons in metrics.
    Legacy,
}

impl Scheme {
    /// As in a URL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// What is accepted where a job says nothing; protobuf first if native histograms are wanted.
fn default_protocols(native_histograms: bool) -> Vec<ScrapeProtocol> {
    match native_histograms {
        true => ScrapeProtocol::DEFAULT_NATIVE.to_vec(),
        false => ScrapeProtocol::DEFAULT.to_vec(),
    }
}

impl ScrapeConfig {
    /// A job of this name with Prometheus's defaults and no targets.
    pub fn new(job_name: &str) -> Self {
        Self {
            job_name: job_name.to_owned(),
            interval: Millis::from_secs(60),
            timeout: Millis::from_secs(10),
            metrics_path: "/metrics".to_owned(),
            scheme: Scheme::Http,
            params: BTreeMap::new(),
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            protocols: default_protocols(false),
            fallback_protocol: None,
            native_histograms: false,
            classic_histograms: false,
            extra_metrics: false,
            compression: true,
            limits: ScrapeLimits::default(),
            target_limit: None,
            keep_dropped_targets: KEEP_DROPPED_TARGETS,
            names: NameScheme::Utf8,
            escaping: Escaping::AllowUtf8,
            relabel: Program::default(),
            metric_relabel: Program::default(),
            client: ClientConfig::default(),
            discovery: Vec::new(),
        }
    }
}

/// Dropped targets kept where the configuration says 0, which for Prometheus is all of them.
pub const KEEP_DROPPED_TARGETS: usize = 1000;

#[cfg(test)]
mod tests;
