//! One entry of `scrape_configs`.
//!
//! Invariant: jobs have names, each its own, over all files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use weir_config::Check;
use weir_relabel::{Program, RelabelConfig};

use super::http::{Bearer, client};
use super::limits::{Defaults, bytes, convert_classic, count, factor, interval, names, protocols};
use super::{FAILURE_LOG, discovery};
use crate::raw::{Global, ScrapeBlock};
use crate::{
    Escaping, Host, KEEP_DROPPED_TARGETS, NameScheme, Scheme, ScrapeConfig, ScrapeLimits,
    ScrapeProtocol, default_protocols,
};

/// The jobs of all files.
pub(crate) struct Jobs<'a> {
    defaults: Defaults,
    host: Host<'a>,
    jobs: Vec<ScrapeConfig>,
    names: BTreeSet<String>,
}

impl<'a> Jobs<'a> {
    /// No jobs yet; `global` says what they have in common.
    pub(crate) fn new(global: &Global, host: Host<'a>, check: &mut Check<'_>) -> Self {
        let defaults = check.within("global", |check| Defaults::new(global, check));
        Self { defaults, host, jobs: Vec::new(), names: BTreeSet::new() }
    }

    /// The jobs of one file, whose other files lie in `folder`.
    pub(crate) fn add(&mut self, blocks: &[ScrapeBlock], folder: &Path, check: &mut Check<'_>) {
        let host = Host { folder, ..self.host };
        for (index, block) in blocks.iter().enumerate() {
            let job = check.within(&format!("scrape_configs[{index}]"), |check| {
                let job = job(block, &self.defaults, &host, check);
                if job.job_name.is_empty() {
                    check.error("job_name", "is missing");
                } else if !self.names.insert(job.job_name.clone()) {
                    check.error("job_name", format!("{:?} is an earlier job's name", job.job_name));
                }
                job
            });
            self.jobs.push(job);
        }
    }

    /// All of them.
    pub(crate) fn finish(self) -> Vec<ScrapeConfig> {
        self.jobs
    }
}

fn job(
    block: &ScrapeBlock,
    defaults: &Defaults,
    host: &Host<'_>,
    check: &mut Check<'_>,
) -> ScrapeConfig {
    let every = interval("scrape_interval", &block.scrape_interval, defaults.interval, check);
    let timeout = defaults.timeout.min(every);
    let timeout = interval("scrape_timeout", &block.scrape_timeout, timeout, check);
    if timeout > every {
        let message = format!("{timeout} is greater than the scrape interval, {every}");
        check.error("scrape_timeout", message);
    }
    refuse(block, check);
    let flag = |key: &str, text, default, check: &mut Check<'_>| check.flag(key, text, default);
    let native = &block.scrape_native_histograms;
    let native = flag("scrape_native_histograms", native, defaults.native_histograms, check);
    let names = names(&block.metric_name_validation_scheme, defaults.names, check);
    let bearer = Bearer { token: &block.bearer_token, file: &block.bearer_token_file };
    let keep = &block.keep_dropped_targets;
    let keep = count("keep_dropped_targets", keep, defaults.keep_dropped_targets, check);
    let schemes = [("http", Scheme::Http), ("https", Scheme::Https)];
    ScrapeConfig {
        job_name: block.job_name.clone().unwrap_or_default(),
        interval: every,
        timeout,
        metrics_path: check.word("metrics_path", &block.metrics_path, "/metrics"),
        scheme: check.choice("scheme", &block.scheme, Scheme::Http, &schemes),
        params: params(block),
        honor_labels: flag("honor_labels", &block.honor_labels, false, check),
        honor_timestamps: flag("honor_timestamps", &block.honor_timestamps, true, check),
        track_timestamps_staleness: flag(
            "track_timestamps_staleness",
            &block.track_timestamps_staleness,
            false,
            check,
        ),
        protocols: job_protocols(block, defaults, native, check),
        fallback_protocol: block.fallback_scrape_protocol.as_ref().and_then(|_| {
            let text = &block.fallback_scrape_protocol;
            let words = ScrapeProtocol::ALL.map(|protocol| (protocol.name(), Some(protocol)));
            check.choice("fallback_scrape_protocol", text, None, &words)
        }),
        native_histograms: native,
        classic_histograms: classic(block, defaults, check),
        extra_metrics: flag(
            "extra_scrape_metrics",
            &block.extra_scrape_metrics,
            defaults.extra_metrics,
            check,
        ),
        compression: flag("enable_compression", &block.enable_compression, true, check),
        limits: limits(block, &defaults.limits, check),
        target_limit: count("target_limit", &block.target_limit, defaults.target_limit, check),
        keep_dropped_targets: keep.map_or(KEEP_DROPPED_TARGETS, std::num::NonZeroUsize::get),
        names,
        escaping: escaping(block, defaults, names, check),
        relabel: program("relabel_configs", block.relabel_configs.as_deref(), check),
        metric_relabel: program(
            "metric_relabel_configs",
            block.metric_relabel_configs.as_deref(),
            check,
        ),
        client: client(block.http_client(), &bearer, host, check),
        discovery: discovery::mechanisms(block, host, check),
    }
}

fn refuse(block: &ScrapeBlock, check: &mut Check<'_>) {
    convert_classic(&block.convert_classic_histograms_to_nhcb, check);
    for key in block.foreign_mechanisms() {
        let name = key.trim_end_matches("_sd_configs");
        check.error(
            key,
            format!(
                "{name} is not discovered by this agent; serve the targets to http_sd_configs, or \
                 write them into a file of file_sd_configs"
            ),
        );
    }
    if block.scrape_failure_log_file.is_some() {
        check.warn("scrape_failure_log_file", format!("has no effect: {FAILURE_LOG}"));
    }
}

fn params(block: &ScrapeBlock) -> BTreeMap<String, Vec<String>> {
    let params = block.params.iter().flatten();
    params.map(|(name, values)| (name.clone(), values.clone().unwrap_or_default())).collect()
}

fn job_protocols(
    block: &ScrapeBlock,
    defaults: &Defaults,
    native: bool,
    check: &mut Check<'_>,
) -> Vec<ScrapeProtocol> {
    let own = block.scrape_protocols.as_ref().map(|names| protocols(names, check));
    let own = own.or_else(|| defaults.protocols.clone()).filter(|list| !list.is_empty());
    own.unwrap_or_else(|| default_protocols(native))
}

fn classic(block: &ScrapeBlock, defaults: &Defaults, check: &mut Check<'_>) -> bool {
    let (new, old) = ("always_scrape_classic_histograms", "scrape_classic_histograms");
    if block.scrape_classic_histograms.is_some() {
        check.warn(old, format!("is the older name of {new}"));
    }
    let default = check.flag(old, &block.scrape_classic_histograms, defaults.classic_histograms);
    check.flag(new, &block.always_scrape_classic_histograms, default)
}

fn limits(block: &ScrapeBlock, defaults: &ScrapeLimits, check: &mut Check<'_>) -> ScrapeLimits {
    let name_bytes = &block.label_name_length_limit;
    let value_bytes = &block.label_value_length_limit;
    ScrapeLimits {
        body_bytes: bytes("body_size_limit", &block.body_size_limit, defaults.body_bytes, check),
        samples: count("sample_limit", &block.sample_limit, defaults.samples, check),
        labels: count("label_limit", &block.label_limit, defaults.labels, check),
        label_name_bytes: count(
            "label_name_length_limit",
            name_bytes,
            defaults.label_name_bytes,
            check,
        ),
        label_value_bytes: count(
            "label_value_length_limit",
            value_bytes,
            defaults.label_value_bytes,
            check,
        ),
        native_buckets: count(
            "native_histogram_bucket_limit",
            &block.native_histogram_bucket_limit,
            None,
            check,
        ),
        native_min_factor: factor(
            "native_histogram_min_bucket_factor",
            &block.native_histogram_min_bucket_factor,
            check,
        ),
    }
}

fn escaping(
    block: &ScrapeBlock,
    defaults: &Defaults,
    names: NameScheme,
    check: &mut Check<'_>,
) -> Escaping {
    let default = match names {
        NameScheme::Utf8 => Escaping::AllowUtf8,
        NameScheme::Legacy => Escaping::Underscores,
    };
    let key = "metric_name_escaping_scheme";
    let text = block.metric_name_escaping_scheme.as_ref().or(defaults.escaping.as_ref()).cloned();
    let schemes = [
        ("allow-utf-8", Escaping::AllowUtf8),
        ("underscores", Escaping::Underscores),
        ("dots", Escaping::Dots),
        ("values", Escaping::Values),
        ("", default),
    ];
    let escaping = check.choice(key, &text, default, &schemes);
    if escaping == Escaping::AllowUtf8 && names == NameScheme::Legacy {
        check.error(key, "allow-utf-8 needs metric_name_validation_scheme: utf8");
    }
    escaping
}

/// A list of relabelling rules; each error stands at its rule.
fn program(key: &str, rules: Option<&[RelabelConfig]>, check: &mut Check<'_>) -> Program {
    match Program::compile(rules.unwrap_or_default()) {
        Ok(program) => program,
        Err(errors) => {
            for error in errors {
                check.error(&format!("{key}[{}]", error.rule - 1), error.kind);
            }
            Program::default()
        }
    }
}
