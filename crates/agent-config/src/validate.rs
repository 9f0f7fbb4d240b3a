//! From what is written to what is meant: all errors at once, each with its key and line.
//!
//! Invariant: where anything is reported as an error, what comes back is of no use, and the caller
//! drops it. No file is opened here.

use weir_config::Check;
use weir_config::expand::external_labels;
use weir_remote::config::{Defaults, validate as destinations};
use weir_wire::{Encoding, Version};

use super::raw::{Global, Raw};
use super::{Config, Host};

mod discovery;
mod http;
mod job;
mod kubernetes;
mod limits;

pub(super) use job::Jobs;

/// All of the file but for the jobs of other files.
/// What goes out is what stands in the buffer, where the other side takes it: the bodies as they were
/// written, whose samples are at most so many.
const SPOKEN: Defaults = Defaults {
    protocol: Version::V2,
    compression: Encoding::Zstd,
    max_samples_per_send: crate::BODY_SAMPLES_MAX,
    backlog_speed_max: 5,
};

pub(super) fn validate(
    raw: Raw,
    global: &Global,
    host: &Host<'_>,
    jobs: &mut Jobs<'_>,
    check: &mut Check<'_>,
) -> Config {
    server_sections(&raw, check);
    without_effect(&raw, global, check);
    let labels = global.external_labels.clone().unwrap_or_default();
    let external_labels = external_labels("global.external_labels", labels, host.env, check);
    jobs.add(&raw.scrape_configs.unwrap_or_default(), host.folder, check);
    let own = raw.remote_write.unwrap_or_default();
    let blocks = if own.is_empty() { host.remote_write } else { &own };
    if blocks.is_empty() {
        check.error("remote_write", "names no destination; an agent forwards what it scrapes");
    }
    let mut destinations = destinations(blocks, &SPOKEN, check);
    for destination in &mut destinations {
        destination.client.resolve(host.folder);
    }
    Config { scrape: Vec::new(), external_labels, destinations, warnings: Vec::new() }
}

/// What Prometheus refuses in agent mode too.
fn server_sections(raw: &Raw, check: &mut Check<'_>) {
    let sections = [
        ("rule_files", raw.rule_files, "an agent evaluates no rules; keep them in the backend"),
        ("alerting", raw.alerting, "an agent sends no alerts; keep it where rules are evaluated"),
        ("remote_read", raw.remote_read, "an agent answers no queries; ask the backend"),
        (
            "storage",
            raw.storage,
            "an agent stores nothing for queries; how much it buffers is said by flags",
        ),
    ];
    for (key, given, message) in sections {
        if given.is_some() {
            check.error(key, message);
        }
    }
}

fn without_effect(raw: &Raw, global: &Global, check: &mut Check<'_>) {
    const RULES: &str = "an agent evaluates no rules";
    let keys = [
        ("runtime", raw.runtime, "it is about Go"),
        ("tracing", raw.tracing, "an agent exports no traces"),
        ("otlp", raw.otlp, "an agent takes no OTLP; send it to a collector"),
        ("global.evaluation_interval", global.evaluation_interval, RULES),
        ("global.rule_query_offset", global.rule_query_offset, RULES),
        ("global.query_log_file", global.query_log_file, "an agent answers no queries"),
        ("global.scrape_failure_log_file", global.scrape_failure_log_file, FAILURE_LOG),
    ];
    for (key, given, reason) in keys {
        // A file with rules' intervals is what everyone has; it needs no word.
        if given.is_some() && reason != RULES {
            check.warn(key, format!("has no effect: {reason}"));
        }
    }
}

const FAILURE_LOG: &str = "failed scrapes are in the agent's log and on its page of targets";
