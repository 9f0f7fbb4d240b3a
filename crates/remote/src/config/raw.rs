//! A `remote_write` block as it is written: serde only, every key optional, nothing judged.
//!
//! Unknown keys are errors. What keys mean, and their defaults, stands in [`super`].

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use weir_config::Unread;

use super::secret::Secret;

/// One entry of `remote_write`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RemoteWrite {
    /// Where to send.
    pub url: String,
    /// For one request.
    pub remote_timeout: Option<String>,
    /// Added to every request.
    pub headers: BTreeMap<String, String>,
    /// Run on every series before it is sent.
    pub write_relabel_configs: Vec<weir_relabel::RelabelConfig>,
    /// Names the durable cursor.
    pub name: Option<String>,
    /// Whether exemplars are sent.
    pub send_exemplars: Option<bool>,
    /// Whether native histograms are sent.
    pub send_native_histograms: Option<bool>,
    /// `prometheus.WriteRequest` or `io.prometheus.write.v2.Request`.
    pub protobuf_message: Option<String>,
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// The `Authorization` header.
    pub authorization: Option<Authorization>,
    /// Client credentials grant.
    pub oauth2: Option<OAuth2>,
    /// Known, and refused.
    pub sigv4: Option<Unread>,
    /// Known, and refused.
    pub azuread: Option<Unread>,
    /// Known, and refused.
    pub google_iam: Option<Unread>,
    /// Certificates.
    pub tls_config: Option<Tls>,
    /// An HTTP proxy.
    pub proxy_url: Option<Secret>,
    /// Known, and refused.
    pub no_proxy: Option<String>,
    /// Known, and refused.
    pub proxy_from_environment: Option<bool>,
    /// Known, and refused.
    pub proxy_connect_header: Option<Unread>,
    /// Whether redirects are followed.
    pub follow_redirects: Option<bool>,
    /// Whether HTTP/2 is offered.
    pub enable_http2: Option<bool>,
    /// Known, and without effect.
    pub round_robin_dns: Option<bool>,
    /// Batches, lanes, backoff.
    pub queue_config: QueueConfig,
    /// Metadata of metric families.
    pub metadata_config: MetadataConfig,
    /// `snappy` or `zstd`.
    pub compression: Option<String>,
    /// Which backend it is.
    pub kind: Option<String>,
    /// `block` or `drop_oldest`.
    pub on_full: Option<String>,
    /// When the queue is full.
    pub max_bytes: Option<String>,
    /// When a frame is given up.
    pub max_age: Option<String>,
    /// The header that carries the tenant.
    pub tenant_header: Option<String>,
    /// The label that carries the tenant.
    pub tenant_label: Option<String>,
}

/// `queue_config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the keys are explained at their domain types")]
pub struct QueueConfig {
    pub capacity: Option<u64>,
    pub max_shards: Option<u64>,
    pub min_shards: Option<u64>,
    pub max_samples_per_send: Option<u64>,
    pub batch_send_deadline: Option<String>,
    pub min_backoff: Option<String>,
    pub max_backoff: Option<String>,
    pub retry_on_http_429: Option<bool>,
    pub sample_age_limit: Option<String>,
}

/// `metadata_config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the keys are explained at their domain types")]
pub struct MetadataConfig {
    pub send: Option<bool>,
    pub send_interval: Option<String>,
    pub max_samples_per_send: Option<u64>,
}

/// `basic_auth`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the keys are Prometheus's own")]
pub struct BasicAuth {
    pub username: Option<String>,
    pub username_file: Option<PathBuf>,
    pub password: Option<Secret>,
    pub password_file: Option<PathBuf>,
}

/// `authorization`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the keys are Prometheus's own")]
pub struct Authorization {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub credentials: Option<Secret>,
    pub credentials_file: Option<PathBuf>,
}

/// `oauth2`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the keys are Prometheus's own")]
pub struct OAuth2 {
    pub client_id: String,
    pub client_secret: Option<Secret>,
    pub client_secret_file: Option<PathBuf>,
    pub scopes: Vec<String>,
    pub token_url: String,
    pub endpoint_params: BTreeMap<String, String>,
    pub tls_config: Option<Tls>,
    pub proxy_url: Option<Secret>,
}

/// `tls_config`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the keys are Prometheus's own")]
pub struct Tls {
    pub ca: Option<String>,
    pub ca_file: Option<PathBuf>,
    pub cert: Option<String>,
    pub cert_file: Option<PathBuf>,
    pub key: Option<Secret>,
    pub key_file: Option<PathBuf>,
    pub server_name: Option<String>,
    pub insecure_skip_verify: Option<bool>,
    pub min_version: Option<String>,
    pub max_version: Option<String>,
}
