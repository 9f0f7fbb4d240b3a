//! From what was discovered to what is scraped.
//!
//! Invariant: a [`Target`] has an address, an interval, a timeout not above it, and a label
//! `instance`; none of its series' labels begins with `__`. Targets of equal labels and URL are one.
//! As Prometheus 3's `PopulateLabels`: a port is neither added nor taken away. Whether the URL can
//! be requested is found out by the scrape, which then fails visibly.

use std::collections::BTreeSet;

use thiserror::Error;
use weir_model::{Labels, LabelsBuilder, Millis, Relabel};
use xxhash_rust::xxh3::Xxh3;

use crate::discovery::{Group, LabelMap};
use weir_agent_config::ScrapeConfig;

mod url;

/// One endpoint to scrape.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// The labels that its series get: without those that begin with `__`.
    pub labels: Labels,
    /// Its labels before relabelling, for display.
    pub discovered: Labels,
    /// What is requested.
    pub url: String,
    /// `__scrape_interval__`
    pub interval: Millis,
    /// `__scrape_timeout__`
    pub timeout: Millis,
    /// Hash over the labels after relabelling and the URL: stable across restarts and hosts.
    pub identity: u64,
}

/// Why a discovered target cannot be scraped.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TargetError {
    /// `__address__` is absent or empty.
    #[error("no address")]
    NoAddress,
    /// `__address__` with a path.
    #[error("{0:?} is not a valid hostname")]
    Address(String),
    /// `__scrape_interval__` or `__scrape_timeout__` is no duration.
    #[error("error parsing {what}: {reason}")]
    Duration {
        /// Which of the two.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// An interval or timeout of nothing.
    #[error("{0} cannot be 0")]
    Zero(&'static str),
    /// More timeout than interval.
    #[error("scrape timeout cannot be greater than scrape interval ({timeout} > {interval})")]
    Timeout {
        /// `__scrape_timeout__`
        timeout: Millis,
        /// `__scrape_interval__`
        interval: Millis,
    },
}

/// What becomes of all groups of a job.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Targets {
    /// What is scraped, each once, in the order in which it was found.
    pub active: Vec<Target>,
    /// Labels before relabelling of targets that relabelling dropped: the first ones.
    pub dropped: Vec<Labels>,
    /// How many relabelling dropped in all.
    pub dropped_count: usize,
    /// Why others cannot be scraped: the first ones, with group and place.
    pub failures: Vec<String>,
    /// How many cannot be scraped in all.
    pub failure_count: usize,
    /// There are more than the job's `target_limit`: every scrape is to fail.
    pub over_limit: bool,
}

impl Targets {
    /// Builds the targets of a job.
    pub fn build<'a>(config: &ScrapeConfig, groups: impl IntoIterator<Item = &'a Group>) -> Self {
        let mut built = Self::default();
        let mut known = BTreeSet::new();
        for group in groups {
            for (place, labels) in group.targets.iter().enumerate() {
                let discovered = discovered(config, labels, &group.labels);
                match target(config, &discovered) {
                    Ok(Some(target)) => {
                        if known.insert(target.identity) {
                            built.active.push(target);
                        }
                    }
                    Ok(None) => {
                        built.dropped_count += 1;
                        if built.dropped.len() < config.keep_dropped_targets {
                            built.dropped.push(discovered.build());
                        }
                    }
                    Err(error) => {
                        built.failure_count += 1;
                        if built.failures.len() < FAILURES_KEPT {
                            let source = &group.source;
                            built.failures.push(format!("target {place} of {source}: {error}"));
                        }
                    }
                }
            }
        }
        built.over_limit = config.target_limit.is_some_and(|max| built.active.len() > max.get());
        built
    }
}

/// A target's labels before relabelling: its own, the group's, and the job's settings where neither
/// says otherwise.
fn discovered(config: &ScrapeConfig, own: &LabelMap, group: &LabelMap) -> LabelsBuilder {
    let mut labels = LabelsBuilder::default();
    // The target's own come last: they win, and an empty one hides the group's.
    for (name, value) in group.iter().chain(own) {
        labels.set(name, value);
    }
    let (interval, timeout) = (config.interval.to_string(), config.timeout.to_string());
    let defaults = [
        ("job", config.job_name.as_str()),
        ("__scrape_interval__", &interval),
        ("__scrape_timeout__", &timeout),
        ("__metrics_path__", &config.metrics_path),
        ("__scheme__", config.scheme.as_str()),
    ];
    for (name, value) in defaults {
        if labels.get(name).is_empty() {
            labels.set(name, value);
        }
    }
    for (name, values) in &config.params {
        let name = format!("{PARAM}{name}");
        if let (Some(value), true) = (values.first(), labels.get(&name).is_empty()) {
            labels.set(&name, value);
        }
    }
    labels
}

/// Relabels; `None` if that drops the target.
fn target(
    config: &ScrapeConfig,
    discovered: &LabelsBuilder,
) -> Result<Option<Target>, TargetError> {
    let mut labels = discovered.clone();
    if !config.relabel.apply(&mut labels) {
        return Ok(None);
    }
    let address = labels.get("__address__").to_owned();
    if address.is_empty() {
        return Err(TargetError::NoAddress);
    }
    if address.contains('/') {
        return Err(TargetError::Address(address));
    }
    let interval = duration(&labels, "__scrape_interval__", "scrape interval")?;
    let timeout = duration(&labels, "__scrape_timeout__", "scrape timeout")?;
    if timeout > interval {
        return Err(TargetError::Timeout { timeout, interval });
    }
    labels.retain(|name, _| !name.starts_with("__meta_"));
    if labels.get("instance").is_empty() {
        labels.set("instance", &address);
    }
    let url = url::url(&labels, &config.params);
    let identity = identity(&labels.build(), &url);
    labels.retain(|name, _| !name.starts_with("__"));
    let (labels, discovered) = (labels.build(), discovered.build());
    Ok(Some(Target { labels, discovered, url, interval, timeout, identity }))
}

fn duration(
    labels: &LabelsBuilder,
    label: &str,
    what: &'static str,
) -> Result<Millis, TargetError> {
    let parsed: Result<Millis, _> = labels.get(label).parse();
    match parsed {
        Ok(Millis(0)) => Err(TargetError::Zero(what)),
        Ok(duration) => Ok(duration),
        Err(error) => Err(TargetError::Duration { what, reason: error.to_string() }),
    }
}

fn identity(labels: &Labels, url: &str) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(labels.canonical());
    // A label's length stands before it, so nothing of the URL can pass for one.
    hash.update(&[0]);
    hash.update(url.as_bytes());
    hash.digest()
}

const PARAM: &str = "__param_";
/// Enough to see what is wrong; the rest is only counted.
const FAILURES_KEPT: usize = 20;

#[cfg(test)]
mod tests;
