//! One destination's configuration: Prometheus's own `remote_write` block and a few keys beyond it.
//!
//! Invariant: a [`Destination`] cannot be wrong: texts are parsed, bounds hold, and names are
//! unique. Files of secrets and certificates are not read here.
//!
//! Two defaults differ from Prometheus's, because samples were acknowledged before they came
//! here and may not be dropped lightly: `retry_on_http_429` and `send_native_histograms` are on.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_http::HttpClientConfig;
use weir_model::Millis;
use weir_relabel::Program;

use crate::retry::Backoff;
use crate::shares::{self, Share};
use crate::verdict::Kind;
use weir_wire::{Encoding, Version};

pub mod raw;
mod same;
mod validate;

pub use validate::validate;

/// What a program speaks where a block does not say; other defaults are the same for all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Defaults {
    /// `protobuf_message`, for backends that may speak it.
    pub protocol: Version,
    /// `compression`, for backends that may take it.
    pub compression: Encoding,
    /// `queue_config.max_samples_per_send`.
    pub max_samples_per_send: usize,
    /// `queue_config.backlog_speed_max`.
    pub backlog_speed_max: u32,
}

/// What Prometheus speaks, and every receiver understands.
pub const PROMETHEUS: Defaults = Defaults {
    protocol: Version::V1,
    compression: Encoding::Snappy,
    max_samples_per_send: 2000,
    backlog_speed_max: 0,
};

/// Where samples go, and how.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `name`: names the durable cursor and labels the metrics. Default: a hash of the URL, so
    /// give names before a URL is going to change.
    pub name: String,
    /// `url`: `http://` or `https://`. No default. With `urls` the first of them.
    pub url: String,
    /// `urls`, Weir's own: endpoints that all lead to the same place, such as the gateways of a
    /// tier. Here all but the first. Each sender prefers one of them, by a hash of its host.
    pub other_urls: Vec<String>,
    /// `round_robin_dns`: the addresses of the URL's name are endpoints as those of `urls` are.
    /// Default false.
    pub round_robin_dns: bool,
    /// `remote_timeout`: for one request, answer included. Default 30s.
    pub timeout: Duration,
    /// `headers`: added to every request; those that remote write sets itself are refused.
    pub headers: BTreeMap<String, String>,
    /// `write_relabel_configs`: run on every series, after the external labels were added.
    pub relabel: Program,
    /// `send_exemplars`. Default false.
    pub send_exemplars: bool,
    /// `send_native_histograms`: where false they are dropped and counted. Default true
    /// (Prometheus: false), but false for M3, which would lose them in silence.
    pub send_native_histograms: bool,
    /// `protobuf_message`: 2.0 falls back to 1.0 when the backend does not know it, and is never
    /// spoken to M3 and VictoriaMetrics. Default: the program's.
    pub protocol: Version,
    /// `compression`: `snappy` or `zstd` (VictoriaMetrics, newer receivers); zstd falls back.
    /// Default: the program's.
    pub compression: Encoding,
    /// The keys of the HTTP client: credentials, TLS, proxy, redirects, HTTP/2.
    pub client: HttpClientConfig,
    /// `queue_config`.
    pub queue: Queue,
    /// `metadata_config`: `send`, whether metadata goes along. Default true. It goes with its
    /// samples; `send_interval` and `max_samples_per_send` are accepted and have no effect.
    pub send_metadata: bool,
    /// `kind`: which backend it is. Default auto.
    pub kind: Kind,
    /// `tenant_header`: the header that carries the tenant (`X-Scope-OrgID`). Default none.
    pub tenant_header: Option<String>,
    /// `tenant_label`: the label that carries the tenant; it replaces one of the same name.
    /// Default none.
    pub tenant_label: Option<String>,
    /// `direct`, Weir's own: whether an agent may go to the owners of its targets, where this is a
    /// tier. Default true.
    pub direct: bool,
    /// Which frames it takes; not configured.
    pub share: Share,
}

impl Destination {
    /// The part of it that goes to one member of a tier, at `url` where one is known, and else where
    /// the whole goes.
    pub fn branch(&self, member: &str, url: Option<&str>) -> Self {
        let mut others: Vec<String> = self.urls().map(str::to_owned).collect();
        let first = url.map_or_else(|| others.remove(0), str::to_owned);
        others.retain(|other| *other != first);
        let owner = shares::owner_number(&self.name, member);
        Self {
            name: shares::branch_name(&self.name, member),
            round_robin_dns: self.round_robin_dns && others.is_empty(),
            url: first,
            other_urls: others,
            share: Share::Branch {
                trunk: self.name.clone(),
                trunk_url: self.url.clone(),
                member: member.to_owned(),
                owner,
            },
            ..self.clone()
        }
    }

    /// The URLs of all endpoints.
    pub fn urls(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.url).chain(&self.other_urls).map(String::as_str)
    }
}

/// How the queue is read, and what happens when it grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queue {
    /// `capacity`: samples that are held in memory for each shard; the rest waits on disk.
    /// Default 10000, at least `max_samples_per_send`.
    pub capacity: usize,
    /// `max_shards`: requests on their way at once. Default 50. (`min_shards` is accepted and has
    /// no effect: a request is only made when there is something to put in it.)
    pub max_shards: usize,
    /// `max_samples_per_send`. Default: the program's.
    pub max_samples_per_send: usize,
    /// `batch_send_deadline`: how long samples wait for a request to fill. Default 5s.
    pub batch_send_deadline: Duration,
    /// `min_backoff` (30ms) and `max_backoff` (5s).
    pub backoff: Backoff,
    /// `retry_on_http_429`: where false a 429 drops the request. Default true (Prometheus: false).
    pub retry_on_429: bool,
    /// `sample_age_limit`: older samples are not sent, but counted. Default 0s: none.
    pub sample_age_limit: Option<Millis>,
    /// `backlog_speed_max`, Weir's own: what was written more than 30 s ago is sent at most so many
    /// times as fast as it was written; 0 is no bound. Default: the program's.
    pub backlog_speed_max: u32,
    /// `on_full`: `block` (503 to senders) or `drop_oldest`. Default: block for a sole
    /// destination, drop_oldest where there are several, so that a dead one stops nobody.
    pub on_full: OnFull,
    /// `max_bytes`: undelivered bytes on disk past which the queue is full. Default 4GiB.
    pub max_bytes: u64,
    /// `max_age`: frames written longer ago are given up. Set it to what the backend would refuse
    /// anyway (M3's bufferPast, Cortex's out-of-order window). Default 0s: none.
    pub max_age: Option<Millis>,
}

/// What happens when a queue is full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFull {
    /// Senders get 503 until there is room.
    #[default]
    Block,
    /// The oldest frames are given up, and counted.
    DropOldest,
}

#[cfg(test)]
mod tests;
