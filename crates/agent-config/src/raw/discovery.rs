//! The blocks of `*_sd_configs` as they are written.
//!
//! Where a mechanism asks over HTTP, its block has the keys of an HTTP client beside its own.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use weir_config::{Text, Unread};
use weir_http::Secret;

/// One entry of `static_configs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StaticConfig {
    pub(crate) targets: Option<Vec<String>>,
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

/// One entry of `file_sd_configs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FileSd {
    pub(crate) files: Option<Vec<String>>,
    pub(crate) refresh_interval: Text,
}

/// One entry of `dns_sd_configs`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DnsSd {
    pub(crate) names: Option<Vec<String>>,
    pub(crate) r#type: Text,
    pub(crate) port: Text,
    pub(crate) refresh_interval: Text,
}

weir_http::http_client_block! {
    /// One entry of `http_sd_configs`.
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct HttpSd {
        pub url: Text,
        pub refresh_interval: Text,
        pub bearer_token: Option<Secret>,
        pub bearer_token_file: Option<PathBuf>,
    }
}

weir_http::http_client_block! {
    /// One entry of `kubernetes_sd_configs`.
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct KubernetesSd {
        pub api_server: Text,
        pub role: Text,
        pub kubeconfig_file: Option<Unread>,
        pub namespaces: Option<Namespaces>,
        pub selectors: Option<Vec<Selector>>,
        pub attach_metadata: Option<Attach>,
        pub bearer_token: Option<Secret>,
        pub bearer_token_file: Option<PathBuf>,
    }
}

/// `namespaces`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Namespaces {
    pub(crate) own_namespace: Text,
    pub(crate) names: Option<Vec<String>>,
}

/// One entry of `selectors`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selector {
    pub(crate) role: Text,
    pub(crate) label: Text,
    pub(crate) field: Text,
}

/// `attach_metadata`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Attach {
    pub(crate) node: Text,
    pub(crate) namespace: Text,
}

weir_http::http_client_block! {
    /// One entry of `docker_sd_configs`.
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct DockerSd {
        pub host: Text,
        pub port: Text,
        pub host_networking_host: Text,
        pub match_first_network: Text,
        pub filters: Option<Vec<Filter>>,
        pub refresh_interval: Text,
        pub bearer_token: Option<Secret>,
        pub bearer_token_file: Option<PathBuf>,
    }
}

/// One entry of `filters`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Filter {
    pub(crate) name: Text,
    pub(crate) values: Option<Vec<String>>,
}
