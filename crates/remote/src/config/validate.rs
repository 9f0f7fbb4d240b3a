//! From what is written to what is meant: all errors at once, each with the key it belongs to.
//!
//! What the keys of the HTTP client may say is checked by `weir_http`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use weir_config::{Check, Size, Text};
use weir_http::config::{check_header, check_url};
use weir_model::Millis;
use weir_relabel::Program;
use xxhash_rust::xxh3::xxh3_64;

use super::raw::{QueueConfig, RemoteWrite};
use super::{Defaults, Destination, OnFull, Queue};
use crate::retry::Backoff;
use crate::shares::Share;
use crate::verdict::Kind;
use weir_wire::{Encoding, Version};

/// Turns the whole `remote_write` list into destinations, and reports what is wrong to `check`, by
/// keys such as `remote_write[0].queue_config.capacity`. Where it reports anything, what comes back
/// is of no use.
pub fn validate(
    blocks: &[RemoteWrite],
    defaults: &Defaults,
    check: &mut Check<'_>,
) -> Vec<Destination> {
    let mut names = BTreeSet::new();
    let each = blocks.iter().enumerate().map(|(index, block)| {
        check.within(&format!("remote_write[{index}]"), |check| {
            let destination = destination(block, blocks.len() == 1, defaults, check);
            if !names.insert(destination.name.clone()) {
                let message = format!(
                    "{:?} is the name of an earlier entry; each needs its own, for its cursor",
                    destination.name
                );
                check.error("name", message);
            }
            destination
        })
    });
    each.collect()
}

fn duration(key: &str, text: &Text, default: Millis, check: &mut Check<'_>) -> Millis {
    check.duration(key, text, default, Millis(0)..=Millis(i64::MAX))
}

/// A duration for which 0 means that there is no limit.
fn limit(key: &str, text: &Text, check: &mut Check<'_>) -> Option<Millis> {
    let limit = duration(key, text, Millis(0), check);
    (limit > Millis(0)).then_some(limit)
}

fn count(
    key: &str,
    number: Option<u64>,
    default: usize,
    max: usize,
    check: &mut Check<'_>,
) -> usize {
    let Some(number) = number else {
        return default;
    };
    match usize::try_from(number) {
        Ok(number) if (1..=max).contains(&number) => number,
        _ => {
            check.error(key, format!("{number} is not between 1 and {max}"));
            default
        }
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

fn destination(
    block: &RemoteWrite,
    is_sole: bool,
    defaults: &Defaults,
    check: &mut Check<'_>,
) -> Destination {
    let mut urls = urls(block, check);
    refuse_unsupported(block, check);
    let client = block.http_client();
    client.check(check);
    let kind = check.choice("kind", &block.kind, Kind::Auto, &KINDS);
    let protocol = protocol(block, kind, defaults, check);
    let relabel = Program::compile(&block.write_relabel_configs).unwrap_or_else(|errors| {
        for error in errors {
            check.error("write_relabel_configs", error);
        }
        Program::default()
    });
    let tenant_header = block.tenant_header.clone();
    if let Some(header) = &tenant_header {
        check_header("tenant_header", header, check);
    }
    if block.tenant_label.as_ref().is_some_and(String::is_empty) {
        check.error("tenant_label", "a label needs a name; leave the key out instead");
    }
    let timeout = duration("remote_timeout", &block.remote_timeout, Millis(30_000), check);
    let metadata = &block.metadata_config;
    let interval = &metadata.send_interval;
    duration("metadata_config.send_interval", interval, Millis(60_000), check);
    Destination {
        name: name(block, check),
        url: if urls.is_empty() { String::new() } else { urls.remove(0) },
        other_urls: urls,
        round_robin_dns: block.round_robin_dns == Some(true),
        timeout: timeout.to_std().max(Duration::from_millis(1)),
        headers: headers(block, check),
        relabel,
        send_exemplars: block.send_exemplars.unwrap_or(false),
        send_native_histograms: block.send_native_histograms.unwrap_or(kind != Kind::M3),
        protocol,
        compression: compression(block, kind, defaults, check),
        client,
        queue: queue(block, is_sole, defaults, check),
        send_metadata: metadata.send.unwrap_or(true),
        kind,
        tenant_header,
        tenant_label: block.tenant_label.clone(),
        direct: block.direct.unwrap_or(true),
        share: Share::Trunk,
    }
}

const URL_EXAMPLE: &str = "https://host:9090/api/v1/write";

/// All endpoints' URLs.
fn urls(block: &RemoteWrite, check: &mut Check<'_>) -> Vec<String> {
    if block.urls.is_empty() {
        check_url("url", &block.url, URL_EXAMPLE, check);
        let is_proxied = block.proxy_url.is_some() || block.proxy_from_environment == Some(true);
        if block.round_robin_dns == Some(true) && is_proxied {
            check
                .error("round_robin_dns", "names are resolved by the proxy; leave one of them out");
        }
        return vec![block.url.clone()];
    }
    if !block.url.is_empty() {
        check.error("url", "use one of url and urls");
    }
    if block.name.is_none() {
        check.error("name", "is missing; with urls it names the cursor, whatever the list says");
    }
    if block.round_robin_dns == Some(true) {
        check.error("round_robin_dns", "goes with url; urls are endpoints themselves");
    }
    let mut seen = BTreeSet::new();
    for (at, url) in block.urls.iter().enumerate() {
        let key = format!("urls[{at}]");
        check_url(&key, url, URL_EXAMPLE, check);
        if !seen.insert(url.split(['?', '#']).next()) {
            check.error(&key, "differs from an earlier one in its query at most");
        }
    }
    block.urls.clone()
}

fn refuse_unsupported(block: &RemoteWrite, check: &mut Check<'_>) {
    let refused = [
        ("sigv4", block.sigv4.is_some(), "put aws-sigv4-proxy in between"),
        ("azuread", block.azuread.is_some(), "use oauth2"),
        ("google_iam", block.google_iam.is_some(), "use authorization"),
    ];
    for (key, _, advice) in refused.into_iter().filter(|(_, is_set, _)| *is_set) {
        check.error(key, format!("is not supported; {advice}"));
    }
}

fn headers(block: &RemoteWrite, check: &mut Check<'_>) -> BTreeMap<String, String> {
    for (name, value) in &block.headers {
        check_header("headers", name, check);
        if value.chars().any(char::is_control) {
            check.error("headers", format!("the value of {name:?} has control characters"));
        }
        let tenant = block.tenant_header.as_ref();
        if tenant.is_some_and(|t| t.eq_ignore_ascii_case(name)) {
            check.error("headers", format!("{name:?} is the tenant_header"));
        }
    }
    block.headers.clone()
}

fn compression(
    block: &RemoteWrite,
    kind: Kind,
    defaults: &Defaults,
    check: &mut Check<'_>,
) -> Encoding {
    let default = if kind.may_take_zstd() { defaults.compression } else { Encoding::Snappy };
    check.choice("compression", &block.compression, default, &COMPRESSIONS)
}

fn protocol(
    block: &RemoteWrite,
    kind: Kind,
    defaults: &Defaults,
    check: &mut Check<'_>,
) -> Version {
    let text = &block.protobuf_message;
    let default = if kind.may_speak_v2() { defaults.protocol } else { Version::V1 };
    let protocol = check.choice("protobuf_message", text, default, &MESSAGES);
    if protocol == Version::V2 && !kind.may_speak_v2() {
        check.error(
            "protobuf_message",
            "m3 and victoriametrics read a 2.0 request as an empty one, and lose it in silence; \
             use prometheus.WriteRequest",
        );
    }
    protocol
}

fn name(block: &RemoteWrite, check: &mut Check<'_>) -> String {
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

fn queue(block: &RemoteWrite, is_sole: bool, defaults: &Defaults, check: &mut Check<'_>) -> Queue {
    let raw = &block.queue_config;
    let key = |name: &str| format!("queue_config.{name}");
    let (samples, most) = (raw.max_samples_per_send, defaults.max_samples_per_send);
    let max_samples = count(&key("max_samples_per_send"), samples, most, SAMPLES_MAX, check);
    let max_shards = count(&key("max_shards"), raw.max_shards, 50, SHARDS_MAX, check);
    let min_shards = count(&key("min_shards"), raw.min_shards, 1, SHARDS_MAX, check);
    if min_shards > max_shards {
        let message = format!("{min_shards} is more than max_shards, {max_shards}");
        check.error(&key("min_shards"), message);
    }
    let capacity = count(&key("capacity"), raw.capacity, 10_000, CAPACITY_MAX, check);
    let deadline = &raw.batch_send_deadline;
    let on_full = if is_sole { OnFull::Block } else { OnFull::DropOldest };
    Queue {
        capacity: capacity.max(max_samples),
        max_shards,
        max_samples_per_send: max_samples,
        batch_send_deadline: duration(&key("batch_send_deadline"), deadline, Millis(5000), check)
            .to_std(),
        backoff: backoff(raw, check),
        retry_on_429: raw.retry_on_http_429.unwrap_or(true),
        sample_age_limit: limit(&key("sample_age_limit"), &raw.sample_age_limit, check),
        backlog_speed_max: raw.backlog_speed_max.unwrap_or(defaults.backlog_speed_max),
        on_full: check.choice("on_full", &block.on_full, on_full, &ON_FULL),
        max_bytes: check
            .size("max_bytes", &block.max_bytes, MAX_BYTES_DEFAULT, Size(1)..=Size(1 << 50))
            .0,
        max_age: limit("max_age", &block.max_age, check),
    }
}

fn backoff(raw: &QueueConfig, check: &mut Check<'_>) -> Backoff {
    let min_key = "queue_config.min_backoff";
    let min = duration(min_key, &raw.min_backoff, Millis(30), check);
    let max_key = "queue_config.max_backoff";
    let max = duration(max_key, &raw.max_backoff, Millis(5000), check);
    if min <= Millis(0) {
        check.error(min_key, "must be more than 0s: a dead backend is not to be hammered");
    }
    if min > max {
        check.error(max_key, format!("{max} is less than min_backoff, {min}"));
    }
    Backoff { min: min.to_std(), max: max.to_std() }
}

const MAX_BYTES_DEFAULT: Size = Size(4 << 30);
