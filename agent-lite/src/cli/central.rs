//! Flags of an agent that gets its configuration from a gateway.
//!
//! Secrets are only taken from files: flags can be seen by everybody on the host.

use std::collections::BTreeMap;
use std::path::PathBuf;

use weir_agent_config::control::Identity;
use weir_http::auth::{AuthorizationConfig, BasicAuthConfig};
use weir_http::{ClientTlsConfig, HttpClientConfig};
use weir_model::Millis;
use weir_remote::config::raw::{QueueConfig, RemoteWrite};
use weir_wire::Version;

/// `--gateway` and what belongs to it.
#[derive(Clone, PartialEq, Debug, clap::Args)]
#[command(next_help_heading = "Configuration from a gateway")]
pub struct CentralArgs {
    /// Get the configuration from this gateway, such as https://gateway:9201, instead of a file. What
    /// is scraped goes there as well, unless that configuration has a remote_write.
    #[arg(long = "gateway", value_name = "URL", conflicts_with = "config_file")]
    pub gateway: Option<String>,

    /// What this agent is called; each needs a name of its own. Default: the host's name.
    #[arg(long = "agent.name", value_name = "NAME")]
    pub name: Option<String>,

    /// A label by which the gateway chooses the configuration; may be given several times.
    #[arg(long = "agent.label", value_name = "NAME=VALUE", value_parser = label, requires = "gateway")]
    pub labels: Vec<(String, String)>,

    /// How often to ask the gateway.
    #[arg(long = "gateway.poll-interval", value_name = "TIME", default_value = "15s",
        value_parser = poll_interval)]
    pub poll_interval: Millis,

    /// The certificates to trust, instead of the system's.
    #[arg(long = "gateway.ca-file", value_name = "FILE", requires = "gateway")]
    pub ca_file: Option<PathBuf>,

    /// This agent's certificate.
    #[arg(long = "gateway.cert-file", value_name = "FILE", requires_all = ["gateway", "key_file"])]
    pub cert_file: Option<PathBuf>,

    /// Its key.
    #[arg(long = "gateway.key-file", value_name = "FILE", requires_all = ["gateway", "cert_file"])]
    pub key_file: Option<PathBuf>,

    /// A file with the bearer token that the gateway asks for.
    #[arg(
        long = "gateway.token-file",
        value_name = "FILE",
        requires = "gateway",
        conflicts_with = "username"
    )]
    pub token_file: Option<PathBuf>,

    /// The user that the gateway asks for.
    #[arg(long = "gateway.username", value_name = "NAME", requires_all = ["gateway", "password_file"])]
    pub username: Option<String>,

    /// A file with the user's password.
    #[arg(long = "gateway.password-file", value_name = "FILE", requires_all = ["gateway", "username"])]
    pub password_file: Option<PathBuf>,
}

impl CentralArgs {
    /// Who asks; `host` is the name of one that has none.
    pub fn identity(&self, host: &str) -> Identity {
        let name = self.name.clone().unwrap_or_else(|| host.to_owned());
        Identity { name, labels: BTreeMap::from_iter(self.labels.iter().cloned()) }
    }

    /// How to reach the gateway.
    pub fn client(&self) -> HttpClientConfig {
        let bearer = self.token_file.clone().map(|file| AuthorizationConfig {
            credentials_file: Some(file),
            ..AuthorizationConfig::default()
        });
        let basic = self.username.clone().map(|username| BasicAuthConfig {
            username,
            password_file: self.password_file.clone(),
            ..BasicAuthConfig::default()
        });
        let tls = ClientTlsConfig {
            ca_file: self.ca_file.clone(),
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            ..ClientTlsConfig::default()
        };
        HttpClientConfig {
            authorization: bearer,
            basic_auth: basic,
            tls_config: Some(tls),
            ..HttpClientConfig::default()
        }
    }

    /// The gateway as a destination.
    pub fn remote_write(&self) -> RemoteWrite {
        let client = self.client();
        RemoteWrite {
            url: self.url("/api/v1/write"),
            name: Some("gateway".into()),
            protobuf_message: Some(Version::V2.message().into()),
            compression: Some("zstd".into()),
            queue_config: QueueConfig {
                batch_send_deadline: Some("500ms".into()),
                ..QueueConfig::default()
            },
            send_exemplars: Some(true),
            authorization: client.authorization,
            basic_auth: client.basic_auth,
            tls_config: client.tls_config,
            ..RemoteWrite::default()
        }
    }

    /// A path at the gateway.
    pub fn url(&self, path: &str) -> String {
        let gateway = self.gateway.as_deref().unwrap_or_default();
        format!("{}{path}", gateway.trim_end_matches('/'))
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or("write it as name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn poll_interval(text: &str) -> Result<Millis, String> {
    let interval: Millis = text.parse().map_err(|e| format!("{e}"))?;
    let is_sane = (Millis(100)..=Millis::from_secs(3600)).contains(&interval);
    if is_sane { Ok(interval) } else { Err("between 100ms and 1h".to_owned()) }
}
