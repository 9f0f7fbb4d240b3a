//! One destination's configuration: Prometheus's own `remote_write` block and a few keys beyond it.
//!
//! Invariant: a [`Destination`] cannot be wrong: texts are parsed, bounds hold, and names are
//! unique. Authentication and TLS stay plain data, for this crate sees no HTTP client; files are
//! not read here.
//!
//! Two defaults differ from Prometheus's, because samples were acknowledged before they came
//! here and may not be dropped lightly: `retry_on_http_429` and `send_native_histograms` are on.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_model::Millis;
use weir_relabel::Program;

use crate::retry::Backoff;
use crate::verdict::Kind;
use weir_wire::{Encoding, Version};

pub mod raw;
pub mod secret;
mod validate;

pub use secret::{Secret, SecretSource, TextSource};
pub use validate::{ConfigError, validate};

/// Where samples go, and how.
#[derive(Clone, Debug)]
pub struct Destination {
    /// `name`: names the durable cursor and labels the metrics. Default: a hash of the URL, so
    /// give names before a URL is going to change.
    pub name: String,
    /// `url`: `http://` or `https://`. No default.
    pub url: String,
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
    /// spoken to M3 and VictoriaMetrics. Default 1.0.
    pub protocol: Version,
    /// `compression`: `snappy` or `zstd` (VictoriaMetrics, newer receivers); zstd falls back.
    /// Default snappy.
    pub compression: Encoding,
    /// `basic_auth`, `authorization` or `oauth2`: at most one.
    pub auth: Auth,
    /// `tls_config`.
    pub tls: Tls,
    /// `proxy_url`: an HTTP proxy. Default none.
    pub proxy_url: Option<Secret>,
    /// `follow_redirects`. Default true.
    pub follow_redirects: bool,
    /// `enable_http2`. Default true.
    pub enable_http2: bool,
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
    /// `max_samples_per_send`. Default 2000.
    pub max_samples_per_send: usize,
    /// `batch_send_deadline`: how long samples wait for a request to fill. Default 5s.
    pub batch_send_deadline: Duration,
    /// `min_backoff` (30ms) and `max_backoff` (5s).
    pub backoff: Backoff,
    /// `retry_on_http_429`: where false a 429 drops the request. Default true (Prometheus: false).
    pub retry_on_429: bool,
    /// `sample_age_limit`: older samples are not sent, but counted. Default 0s: none.
    pub sample_age_limit: Option<Millis>,
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

/// How requests prove who sends them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `basic_auth`.
    Basic {
        /// User.
        username: TextSource,
        /// Password; `None` is an empty one.
        password: Option<SecretSource>,
    },
    /// `authorization`.
    Authorization {
        /// The scheme, `Bearer` by default.
        scheme: String,
        /// What follows it.
        credentials: SecretSource,
    },
    /// `oauth2`, client credentials grant.
    OAuth2(Box<OAuth2>),
}

/// `oauth2`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OAuth2 {
    /// Client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretSource,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Where to ask.
    pub token_url: String,
    /// Further parameters of the token request.
    pub endpoint_params: BTreeMap<String, String>,
    /// TLS to the token's server.
    pub tls: Tls,
    /// Proxy to the token's server.
    pub proxy_url: Option<Secret>,
}

/// `tls_config`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// `ca` or `ca_file`: who signed the server's certificate. Default: the system's roots.
    pub ca: Option<TextSource>,
    /// `cert` and `key`, or their files: the client's own certificate.
    pub identity: Option<TlsIdentity>,
    /// `server_name`: the name to verify. Default: the URL's host.
    pub server_name: Option<String>,
    /// `insecure_skip_verify`. Default false.
    pub insecure_skip_verify: bool,
    /// `min_version`: `TLS12` or `TLS13`.
    pub min_version: Option<TlsVersion>,
    /// `max_version`: `TLS12` or `TLS13`.
    pub max_version: Option<TlsVersion>,
}

/// A client certificate and its key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TlsIdentity {
    /// Certificate chain, PEM.
    pub cert: TextSource,
    /// Private key, PEM.
    pub key: SecretSource,
}

/// TLS versions that are spoken at all.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TlsVersion {
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

#[cfg(test)]
mod tests;
