//! Ways to find targets, configured: `static_configs` and `*_sd_configs`.
//!
//! Invariant: values are within their bounds, names of files are resolved. How targets are found is
//! the agent's.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use weir_http::ClientConfig;

pub mod kubernetes;

pub use kubernetes::KubernetesSd;

/// Label names and values, as Prometheus names them: `__address__`, `__meta_*`.
pub type LabelMap = BTreeMap<String, String>;

/// Targets that were found together, with the labels that they share.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Group {
    /// What it was made from: unique within a mechanism.
    pub source: String,
    /// Labels of every target that has no label of that name itself.
    pub labels: LabelMap,
    /// Labels of each target.
    pub targets: Vec<LabelMap>,
}

/// One way to find targets.
#[derive(Clone, Debug)]
pub enum Mechanism {
    /// `static_configs`: groups as they are.
    Fixed(Vec<Group>),
    /// `file_sd_configs`
    File(FileSd),
    /// `http_sd_configs`
    Http(Box<HttpSd>),
    /// `dns_sd_configs`
    Dns(DnsSd),
    /// `kubernetes_sd_configs`
    Kubernetes(Box<KubernetesSd>),
    /// `docker_sd_configs`
    Docker(Box<DockerSd>),
}

impl Mechanism {
    /// As in `<name>_sd_configs`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Fixed(_) => "static",
            Self::File(_) => "file",
            Self::Http(_) => "http",
            Self::Dns(_) => "dns",
            Self::Kubernetes(_) => "kubernetes",
            Self::Docker(_) => "docker",
        }
    }
}

/// One entry of `file_sd_configs`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileSd {
    /// `files`: paths that end in `.json`, `.yml` or `.yaml`; the last part may hold one `*`.
    pub files: Vec<String>,
    /// `refresh_interval`: read everything again even if nothing seems to have changed. Default 5m.
    pub refresh_interval: Duration,
}

/// One entry of `http_sd_configs`.
#[derive(Clone, Debug)]
pub struct HttpSd {
    /// `url`, as it is written: it is the label `__meta_url`.
    pub url: String,
    /// `refresh_interval`. Default 60s; a request may take as long.
    pub refresh_interval: Duration,
    /// Credentials, TLS, proxy, headers.
    pub client: ClientConfig,
}

/// One entry of `dns_sd_configs`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsSd {
    /// `names`
    pub names: Vec<String>,
    /// `type`. Default SRV.
    pub record_type: RecordType,
    /// `port`: for all types but SRV.
    pub port: u16,
    /// `refresh_interval`. Default 30s.
    pub refresh_interval: Duration,
}

/// What DNS is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RecordType {
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Hosts and ports of a service.
    #[default]
    Srv,
    /// Mail exchangers.
    Mx,
    /// Name servers.
    Ns,
}

/// One entry of `docker_sd_configs`.
#[derive(Clone, Debug)]
pub struct DockerSd {
    /// `host`: where the daemon listens.
    pub host: DockerHost,
    /// `port`: for containers that expose none. Default 80.
    pub port: u16,
    /// `host_networking_host`: the address of containers in the host's network. Default localhost.
    pub host_networking_host: String,
    /// `match_first_network`: only the first network of a container, by name. Default true.
    pub match_first_network: bool,
    /// `filters`: of the list of containers, by name.
    pub filters: BTreeMap<String, Vec<String>>,
    /// `refresh_interval`. Default 60s; a request may take as long.
    pub refresh_interval: Duration,
    /// Credentials, TLS, proxy, headers; for a socket they mean nothing.
    pub client: ClientConfig,
}

/// Where a Docker daemon listens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DockerHost {
    /// `unix:///var/run/docker.sock`
    Socket(PathBuf),
    /// `http://…`, `https://…`, or `tcp://…` for http; without a final slash.
    Url(String),
}
