//! The configuration file as it is written, which is Prometheus's: serde only, every key optional,
//! nothing judged.
//!
//! Invariant: single values stay text until they are validated, so that all that is wrong with
//! them is said at once. Defaults and meaning stand with the domain types in [`super`], and key by
//! key in `docs/AGENT.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_config::{Foreign, Text, Unread};
use weir_http::Secret;
use weir_relabel::RelabelConfig;
use weir_remote::config::raw::RemoteWrite;

pub(crate) mod discovery;

use discovery::{DnsSd, DockerSd, FileSd, HttpSd, KubernetesSd, StaticConfig};

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Raw {
    pub(crate) global: Option<Global>,
    pub(crate) scrape_configs: Option<Vec<ScrapeBlock>>,
    pub(crate) scrape_config_files: Option<Vec<String>>,
    pub(crate) remote_write: Option<Vec<RemoteWrite>>,
    // Accepted, without effect.
    pub(crate) runtime: Option<Unread>,
    pub(crate) tracing: Option<Unread>,
    pub(crate) otlp: Option<Unread>,
    // Known, and refused: a server's.
    pub(crate) rule_files: Option<Unread>,
    pub(crate) alerting: Option<Unread>,
    pub(crate) remote_read: Option<Unread>,
    pub(crate) storage: Option<Unread>,
}

/// A file of `scrape_config_files`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ScrapeFile {
    pub(crate) scrape_configs: Option<Vec<ScrapeBlock>>,
}

/// `global`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Global {
    pub(crate) scrape_interval: Text,
    pub(crate) scrape_timeout: Text,
    pub(crate) scrape_protocols: Option<Vec<String>>,
    pub(crate) external_labels: Option<BTreeMap<String, String>>,
    pub(crate) body_size_limit: Text,
    pub(crate) sample_limit: Text,
    pub(crate) label_limit: Text,
    pub(crate) label_name_length_limit: Text,
    pub(crate) label_value_length_limit: Text,
    pub(crate) target_limit: Text,
    pub(crate) keep_dropped_targets: Text,
    pub(crate) metric_name_validation_scheme: Text,
    pub(crate) metric_name_escaping_scheme: Text,
    pub(crate) scrape_native_histograms: Text,
    pub(crate) convert_classic_histograms_to_nhcb: Text,
    pub(crate) always_scrape_classic_histograms: Text,
    pub(crate) extra_scrape_metrics: Text,
    // Accepted, without effect.
    pub(crate) evaluation_interval: Option<Unread>,
    pub(crate) rule_query_offset: Option<Unread>,
    pub(crate) query_log_file: Option<Unread>,
    pub(crate) scrape_failure_log_file: Option<Unread>,
}

weir_http::http_client_block! {
    /// One entry of `scrape_configs`.
    #[derive(Debug, Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct ScrapeBlock {
        pub job_name: Text,
        pub scrape_interval: Text,
        pub scrape_timeout: Text,
        pub metrics_path: Text,
        pub scheme: Text,
        pub params: Option<BTreeMap<String, Option<Vec<String>>>>,
        pub honor_labels: Text,
        pub honor_timestamps: Text,
        pub track_timestamps_staleness: Text,
        pub scrape_protocols: Option<Vec<String>>,
        pub fallback_scrape_protocol: Text,
        pub enable_compression: Text,
        pub scrape_failure_log_file: Option<Unread>,
        pub relabel_configs: Option<Vec<RelabelConfig>>,
        pub metric_relabel_configs: Option<Vec<RelabelConfig>>,
        pub body_size_limit: Text,
        pub sample_limit: Text,
        pub label_limit: Text,
        pub label_name_length_limit: Text,
        pub label_value_length_limit: Text,
        pub target_limit: Text,
        pub keep_dropped_targets: Text,
        pub metric_name_validation_scheme: Text,
        pub metric_name_escaping_scheme: Text,
        pub native_histogram_bucket_limit: Text,
        pub native_histogram_min_bucket_factor: Text,
        pub scrape_native_histograms: Text,
        pub convert_classic_histograms_to_nhcb: Text,
        pub always_scrape_classic_histograms: Text,
        pub scrape_classic_histograms: Text,
        pub extra_scrape_metrics: Text,
        pub bearer_token: Option<Secret>,
        pub bearer_token_file: Option<std::path::PathBuf>,
        pub static_configs: Option<Vec<StaticConfig>>,
        pub file_sd_configs: Option<Vec<FileSd>>,
        pub http_sd_configs: Option<Vec<HttpSd>>,
        pub dns_sd_configs: Option<Vec<DnsSd>>,
        pub kubernetes_sd_configs: Option<Vec<KubernetesSd>>,
        pub docker_sd_configs: Option<Vec<DockerSd>>,
        // Known, and refused.
        pub aws_sd_configs: Option<Unread>,
        pub azure_sd_configs: Option<Unread>,
        pub consul_sd_configs: Option<Unread>,
        pub digitalocean_sd_configs: Option<Unread>,
        pub dockerswarm_sd_configs: Option<Unread>,
        pub ec2_sd_configs: Option<Unread>,
        pub eureka_sd_configs: Option<Unread>,
        pub gce_sd_configs: Option<Unread>,
        pub hetzner_sd_configs: Option<Unread>,
        pub ionos_sd_configs: Option<Unread>,
        pub kuma_sd_configs: Option<Unread>,
        pub lightsail_sd_configs: Option<Unread>,
        pub linode_sd_configs: Option<Unread>,
        pub marathon_sd_configs: Option<Unread>,
        pub nerve_sd_configs: Option<Unread>,
        pub nomad_sd_configs: Option<Unread>,
        pub openstack_sd_configs: Option<Unread>,
        pub ovhcloud_sd_configs: Option<Unread>,
        pub puppetdb_sd_configs: Option<Unread>,
        pub scaleway_sd_configs: Option<Unread>,
        pub serverset_sd_configs: Option<Unread>,
        pub stackit_sd_configs: Option<Unread>,
        pub triton_sd_configs: Option<Unread>,
        pub uyuni_sd_configs: Option<Unread>,
        pub vultr_sd_configs: Option<Unread>,
    }
}

impl ScrapeBlock {
    /// The mechanisms that an agent does not have and that are asked for, by their keys.
    pub(crate) fn foreign_mechanisms(&self) -> Vec<&'static str> {
        let all = [
            ("aws_sd_configs", self.aws_sd_configs),
            ("azure_sd_configs", self.azure_sd_configs),
            ("consul_sd_configs", self.consul_sd_configs),
            ("digitalocean_sd_configs", self.digitalocean_sd_configs),
            ("dockerswarm_sd_configs", self.dockerswarm_sd_configs),
            ("ec2_sd_configs", self.ec2_sd_configs),
            ("eureka_sd_configs", self.eureka_sd_configs),
            ("gce_sd_configs", self.gce_sd_configs),
            ("hetzner_sd_configs", self.hetzner_sd_configs),
            ("ionos_sd_configs", self.ionos_sd_configs),
            ("kuma_sd_configs", self.kuma_sd_configs),
            ("lightsail_sd_configs", self.lightsail_sd_configs),
            ("linode_sd_configs", self.linode_sd_configs),
            ("marathon_sd_configs", self.marathon_sd_configs),
            ("nerve_sd_configs", self.nerve_sd_configs),
            ("nomad_sd_configs", self.nomad_sd_configs),
            ("openstack_sd_configs", self.openstack_sd_configs),
            ("ovhcloud_sd_configs", self.ovhcloud_sd_configs),
            ("puppetdb_sd_configs", self.puppetdb_sd_configs),
            ("scaleway_sd_configs", self.scaleway_sd_configs),
            ("serverset_sd_configs", self.serverset_sd_configs),
            ("stackit_sd_configs", self.stackit_sd_configs),
            ("triton_sd_configs", self.triton_sd_configs),
            ("uyuni_sd_configs", self.uyuni_sd_configs),
            ("vultr_sd_configs", self.vultr_sd_configs),
        ];
        all.into_iter().filter(|(_, given)| given.is_some()).map(|(key, _)| key).collect()
    }
}

/// Top-level keys of other programs.
pub(crate) const FOREIGN: &Foreign = &[
    ("external_labels", "it stands in global"),
    ("scrape_interval", "it stands in global, or in an entry of scrape_configs"),
    ("static_configs", "it stands in an entry of scrape_configs"),
    ("streamAggr", "aggregation is the gateway's; see its rule_files"),
    ("rules", "an agent evaluates no rules"),
];
