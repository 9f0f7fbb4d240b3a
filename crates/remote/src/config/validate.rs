//! From what is written to what is meant: all errors at once, each with the key it belongs to.
//!
//! Invariant: no `Destination` without an empty list of errors.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use weir_model::Millis;
use weir_relabel::Program;
use xxhash_rust::xxh3::xxh3_64;

use super::raw;
use super::{Destination, OnFull, Queue};
use crate::retry::Backoff;
use crate::verdict::Kind;
use weir_wire::{Encoding, Version};

mod access;

/// One thing that is wrong with the configuration.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{at}: {message}")]
pub struct ConfigError {
    /// The key, as a path from the top: `remote_write[0].queue_config.capacity`.
    pub at: String,
    /// What is wrong, and what is allowed.
    pub message: String,
}

/// Turns the whole `remote_write` list into destinations, or says everything that is wrong.
pub fn validate(blocks: &[raw::RemoteWrite]) -> Result<Vec<Destination>, Vec<ConfigError>> {
    let mut errors = Vec::new();
    let mut destinations = Vec::new();
    let mut names = BTreeSet::new();
    for (index, block) in blocks.iter().enumerate() {
        let mut check = Check { prefix: format!("remote_write[{index}]"), errors: &mut errors };
        let destination = destination(block, blocks.len() == 1, &mut check);
        if !names.insert(destination.name.clone()) {
            let message = format!(
                "{:?} is the name of an earlier entry; each needs its own, for its cursor",
                destination.name
            );
            check.error("name", message);
        }
        destinations.push(destination);
    }
    if errors.is_empty() { Ok(destinations) } else { Err(errors) }
}

/// Collects errors under one entry's path.
struct Check<'a> {
    prefix: String,
    errors: &'a mut Vec<ConfigError>,
}

impl Check<'_> {
    fn error(&mut self, key: &str, message: impl fmt::Display) {
        self.errors.push(ConfigError {
            at: format!("{}.{key}", self.prefix),
            message: message.to_string(),
        });
    }

    fn duration(&mut self, key: &str, text: Option<&String>, default: Millis) -> Millis {
        text.map_or(Ok(default), |t| t.parse()).unwrap_or_else(|error| {
            self.error(key, error);
            default
        })
    }

    /// A duration for which 0 means that there is no limit.
    fn limit(&mut self, key: &str, text: Option<&String>) -> Option<Millis> {
        let limit = self.duration(key, text, Millis(0));
        (limit > Millis(0)).then_some(limit)
    }

    fn count(&mut self, key: &str, number: Option<u64>, default: usize, max: usize) -> usize {
        let Some(number) = number else {
            return default;
        };
        match usize::try_from(number) {
            Ok(number) if (1..=max).contains(&number) => number,
            _ => {
                self.error(key, format!("{number} is not between 1 and {max}"));
                default
            }
        }
    }

    fn choice<T: Copy>(
        &mut self,
        key: &str,
        text: Option<&String>,
        choices: &[(&str, T)],
        default: T,
    ) -> T {
        let Some(text) = text else {
            return default;
        };
        let found = choices.iter().find(|(name, _)| name == text);
        found.map_or_else(
            || {
                let names: Vec<&str> = choices.iter().map(|&(name, _)| name).collect();
                self.error(key, format!("{text:?} is not one of {}", names.join(", ")));
                default
            },
            |&(_, value)| value,
        )
    }
}

const MESSAGES: [(&str, Version); 2] =
    [(Version::V1.message(), Version::V1), (Version::V2.message(), Version::V2)];

const COMPRESSIONS: [(&str, Encoding); 2] =
    [("snappy", Encoding::Snappy), ("zstd", Encoding::Zstd)];

const KINDS: [(&str, Kind); 7] = [
    ("auto", Kind::Auto),
    ("prometheus", Kind::Prometheus),
    ("cortex", Kind::Cortex),
    ("mimir", Kind::Mimir),
    ("m3", Kind::M3),
    ("victoriametrics", Kind::VictoriaMetrics),
    ("thanos", Kind::Thanos),
];

const ON_FULL: [(&str, OnFull); 2] =
    [("block", OnFull::Block), ("drop_oldest", OnFull::DropOldest)];

fn destination(block: &raw::RemoteWrite, is_sole: bool, check: &mut Check<'_>) -> Destination {
    access::check_url("url", &block.url, check);
    access::refuse_unsupported(block, check);
    let kind = check.choice("kind", block.kind.as_ref(), &KINDS, Kind::Auto);
    let protocol = protocol(block, kind, check);
    let relabel = Program::compile(&block.write_relabel_configs).unwrap_or_else(|errors| {
        for error in errors {
            check.error("write_relabel_configs", error);
        }
        Program::default()
    });
    let tenant_header = block.tenant_header.clone();
    if let Some(header) = &tenant_header {
        access::check_header("tenant_header", header, check);
    }
    if block.tenant_label.as_ref().is_some_and(String::is_empty) {
        check.error("tenant_label", "a label needs a name; leave the key out instead");
    }
    let timeout = check.duration("remote_timeout", block.remote_timeout.as_ref(), Millis(30_000));
    let metadata = &block.metadata_config;
    check.duration(
        "metadata_config.send_interval",
        metadata.send_interval.as_ref(),
        Millis(60_000),
    );
    Destination {
        name: name(block, check),
        url: block.url.clone(),
        timeout: timeout.to_std().max(Duration::from_millis(1)),
        headers: access::headers(block, check),
        relabel,
        send_exemplars: block.send_exemplars.unwrap_or(false),
        send_native_histograms: block.send_native_histograms.unwrap_or(kind != Kind::M3),
        protocol,
        compression: check.choice(
            "compression",
            block.compression.as_ref(),
            &COMPRESSIONS,
            Encoding::Snappy,
        ),
        auth: access::auth(block, check),
        tls: access::tls("tls_config", block.tls_config.as_ref(), check),
        proxy_url: access::proxy("proxy_url", block.proxy_url.as_ref(), check),
        follow_redirects: block.follow_redirects.unwrap_or(true),
        enable_http2: block.enable_http2.unwrap_or(true),
        queue: queue(block, is_sole, check),
        send_metadata: metadata.send.unwrap_or(true),
        kind,
        tenant_header,
        tenant_label: block.tenant_label.clone(),
    }
}

fn protocol(block: &raw::RemoteWrite, kind: Kind, check: &mut Check<'_>) -> Version {
    let text = block.protobuf_message.as_ref();
    let protocol = check.choice("protobuf_message", text, &MESSAGES, Version::V1);
    if protocol == Version::V2 && !kind.may_speak_v2() {
        check.error(
            "protobuf_message",
            "m3 and victoriametrics read a 2.0 request as an empty one, and lose it in silence; \
             use prometheus.WriteRequest",
        );
    }
    protocol
}

fn name(block: &raw::RemoteWrite, check: &mut Check<'_>) -> String {
    let Some(name) = &block.name else {
        return format!("{:06x}", xxh3_64(block.url.as_bytes()) >> 40);
    };
    let is_legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(is_legal) {
        check.error("name", format!("{name:?} is not 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'"));
    }
    name.clone()
}

/// Prometheus's own bounds leave these open; they only keep memory finite.
const SHARDS_MAX: usize = 1000;
const SAMPLES_MAX: usize = 1_000_000;
const CAPACITY_MAX: usize = 10_000_000;

fn queue(block: &raw::RemoteWrite, is_sole: bool, check: &mut Check<'_>) -> Queue {
    let raw = &block.queue_config;
    let key = |name: &str| format!("queue_config.{name}");
    let samples = raw.max_samples_per_send;
    let max_samples = check.count(&key("max_samples_per_send"), samples, 2000, SAMPLES_MAX);
    let max_shards = check.count(&key("max_shards"), raw.max_shards, 50, SHARDS_MAX);
    let min_shards = check.count(&key("min_shards"), raw.min_shards, 1, SHARDS_MAX);
    if min_shards > max_shards {
        let message = format!("{min_shards} is more than max_shards, {max_shards}");
        check.error(&key("min_shards"), message);
    }
    let capacity = check.count(&key("capacity"), raw.capacity, 10_000, CAPACITY_MAX);
    let deadline = raw.batch_send_deadline.as_ref();
    let on_full = if is_sole { OnFull::Block } else { OnFull::DropOldest };
    Queue {
        capacity: capacity.max(max_samples),
        max_shards,
        max_samples_per_send: max_samples,
        batch_send_deadline: check
            .duration(&key("batch_send_deadline"), deadline, Millis(5000))
            .to_std(),
        backoff: backoff(raw, check),
        retry_on_429: raw.retry_on_http_429.unwrap_or(true),
        sample_age_limit: check.limit(&key("sample_age_limit"), raw.sample_age_limit.as_ref()),
        on_full: check.choice("on_full", block.on_full.as_ref(), &ON_FULL, on_full),
        max_bytes: max_bytes(block, check),
        max_age: check.limit("max_age", block.max_age.as_ref()),
    }
}

fn backoff(raw: &raw::QueueConfig, check: &mut Check<'_>) -> Backoff {
    let min_key = "queue_config.min_backoff";
    let min = check.duration(min_key, raw.min_backoff.as_ref(), Millis(30));
    let max_key = "queue_config.max_backoff";
    let max = check.duration(max_key, raw.max_backoff.as_ref(), Millis(5000));
    if min <= Millis(0) {
        check.error(min_key, "must be more than 0s: a dead backend is not to be hammered");
    }
    if min > max {
        check.error(max_key, format!("{max} is less than min_backoff, {min}"));
    }
    Backoff { min: min.to_std(), max: max.to_std() }
}

const MAX_BYTES_DEFAULT: u64 = 4 << 30;

fn max_bytes(block: &raw::RemoteWrite, check: &mut Check<'_>) -> u64 {
    let Some(text) = &block.max_bytes else {
        return MAX_BYTES_DEFAULT;
    };
    match text.parse::<Bytes>() {
        Ok(Bytes(bytes)) if bytes > 0 => bytes,
        _ => {
            let message = format!("{text:?} is not a size; write it as 512MiB, 4GiB or 1TiB");
            check.error("max_bytes", message);
            MAX_BYTES_DEFAULT
        }
    }
}

/// A size, as Prometheus writes it: units are powers of 1024 with or without the `i`.
struct Bytes(u64);

impl FromStr for Bytes {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let number: u64 = digits.parse().map_err(|_| ())?;
        let shift = match &text[digits.len()..] {
            "" | "B" => 0,
            "KB" | "KiB" => 10,
            "MB" | "MiB" => 20,
            "GB" | "GiB" => 30,
            "TB" | "TiB" => 40,
            _ => return Err(()),
        };
        number.checked_mul(1 << shift).map(Self).ok_or(())
    }
}
