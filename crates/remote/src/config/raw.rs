//! A `remote_write` block as it is written: serde only, every key optional, nothing judged.
//!
//! Unknown keys are errors. What keys mean, and their defaults, stands in [`super`]; the keys of
//! the HTTP client in [`weir_http::config`].

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_config::Unread;

weir_http::http_client_block! {
    /// One entry of `remote_write`.
    #[derive(Clone, Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct RemoteWrite {
        /// Where to send.
        pub url: String,
        /// Several of them, in place of `url`.
        pub urls: Vec<String>,
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
        /// Known, and refused.
        pub sigv4: Option<Unread>,
        /// Known, and refused.
        pub azuread: Option<Unread>,
        /// Known, and refused.
        pub google_iam: Option<Unread>,
        /// Whether the addresses of the URL's name are endpoints.
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
        /// Whether the owners of a tier may be gone to.
        pub direct: Option<bool>,
    }
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
    pub backlog_speed_max: Option<u32>,
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
