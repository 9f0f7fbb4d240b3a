//! `docker_sd_configs`: the containers of a Docker daemon.
//!
//! Invariant: containers and networks come from answers that are whole; otherwise what was found
//! before stays. The API is asked without a version, which means the daemon's own; the fields that
//! are read here have not changed since 1.24.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::DeserializeOwned;
use weir_agent_config::discovery::{DockerHost, DockerSd};
use weir_http::{Client, HeaderMap, StatusCode, Uri};

use super::http::client;
use super::refresh::Source;
use super::{DiscoveryError, Group, Outlet};

mod containers;

/// The daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    config: DockerSd,
    client: Option<Client>,
}

impl Daemon {
    pub(super) fn new(mut config: DockerSd) -> Self {
        if let DockerHost::Socket(path) = &config.host {
            config.client.unix_socket = Some(path.clone());
        }
        Self { config, client: None }
    }

    async fn get<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, DiscoveryError> {
        let config = &self.config;
        let base = match &config.host {
            DockerHost::Socket(_) => "http://docker",
            DockerHost::Url(url) => url,
        };
        let failed = |error: &dyn std::fmt::Display| DiscoveryError::new(path, error);
        let url: Uri = format!("{base}{path}").parse().map_err(|error| failed(&error))?;
        let client = client(&mut self.client, &config.client)?;
        let reply = client.get(&url, HeaderMap::new(), config.refresh_interval).await;
        let reply = reply.map_err(|error| failed(&error))?;
        if reply.status != StatusCode::OK {
            return Err(failed(&format!("the daemon answered {}", reply.status)));
        }
        if reply.truncated {
            return Err(failed(&"the answer broke off, or is too long"));
        }
        serde_json::from_slice(&reply.body).map_err(|error| failed(&error))
    }
}

impl Source for Daemon {
    fn interval(&self) -> Duration {
        self.config.refresh_interval
    }

    async fn look(&mut self, _: &Outlet) -> Result<Option<Vec<Group>>, DiscoveryError> {
        let containers = self.get(&list_path(&self.config.filters)).await?;
        let networks = self.get("/networks").await?;
        Ok(Some(vec![containers::group(&self.config, containers, networks)]))
    }
}

fn list_path(filters: &BTreeMap<String, Vec<String>>) -> String {
    if filters.is_empty() {
        return "/containers/json".to_owned();
    }
    let filters = serde_json::to_string(filters).unwrap_or_default();
    let query = form_urlencoded::byte_serialize(filters.as_bytes());
    format!("/containers/json?filters={}", query.collect::<String>())
}

#[cfg(test)]
mod tests;
