//! `http_sd_configs`: target groups from an HTTP endpoint.
//!
//! Invariant: an answer counts if it is 200, `application/json` and a list of groups, all of it;
//! anything else leaves what was found before.

use std::time::{Duration, Instant};

use weir_agent_config::discovery::HttpSd;
use weir_http::header::{ACCEPT, CONTENT_TYPE};
use weir_http::{Client, ClientConfig, HeaderMap, HeaderName, HeaderValue, StatusCode, Uri};

use super::content::from_json;
use super::refresh::Source;
use super::{DiscoveryError, Group, Outlet};

/// The endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    config: HttpSd,
    client: Option<Client>,
}

impl Endpoint {
    pub(super) fn new(config: HttpSd) -> Self {
        Self { config, client: None }
    }

    async fn ask(&mut self) -> Result<Vec<Group>, DiscoveryError> {
        let config = &self.config;
        let client = client(&mut self.client, &config.client)?;
        let failed = |error: &dyn std::fmt::Display| DiscoveryError::new(&config.url, error);
        let url: Uri = config.url.parse().map_err(|error| failed(&error))?;
        let seconds = config.refresh_interval.as_secs_f64().to_string();
        let seconds = HeaderValue::from_str(&seconds).map_err(|error| failed(&error))?;
        let json = HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(ACCEPT, json), (REFRESH_INTERVAL, seconds)]);
        let reply = client.get(&url, headers, config.refresh_interval).await;
        let reply = reply.map_err(|error| failed(&error))?;
        if reply.status != StatusCode::OK {
            return Err(failed(&format!("server returned HTTP status {}", reply.status)));
        }
        let kind = reply.headers.get(CONTENT_TYPE).map_or("", |v| v.to_str().unwrap_or_default());
        if !is_json(kind) {
            return Err(failed(&format!("unsupported content type {kind:?}")));
        }
        if reply.truncated {
            return Err(failed(&format!(
                "the answer broke off, or has over {BODY_BYTES_MAX} bytes"
            )));
        }
        let source = |place| format!("{}:{place}", config.url);
        let mut groups = from_json(&reply.body, source).map_err(|error| failed(&error))?;
        for group in &mut groups {
            group.labels.insert("__meta_url".to_owned(), config.url.clone());
        }
        Ok(groups)
    }
}

impl Source for Endpoint {
    fn interval(&self) -> Duration {
        self.config.refresh_interval
    }

    async fn look(&mut self, _: &Outlet) -> Result<Option<Vec<Group>>, DiscoveryError> {
        self.ask().await.map(Some)
    }
}

/// The client, made when it is first needed: a file of its that is absent then may come later.
pub(super) fn client<'a>(
    made: &'a mut Option<Client>,
    config: &ClientConfig,
) -> Result<&'a Client, DiscoveryError> {
    if made.is_none() {
        let config = ClientConfig { reply_bytes_max: BODY_BYTES_MAX, ..config.clone() };
        let client = Client::new(config, Instant::now());
        *made = Some(client.map_err(|error| DiscoveryError(error.to_string()))?);
    }
    made.as_ref().ok_or_else(|| DiscoveryError("no HTTP client".to_owned()))
}

/// Prometheus's `^(?i:application\/json(;\s*charset=("utf-8"|utf-8))?)$`.
fn is_json(content_type: &str) -> bool {
    let lower = content_type.trim().to_ascii_lowercase();
    let Some(rest) = lower.strip_prefix("application/json") else {
        return false;
    };
    let charset = rest.strip_prefix(';').map(str::trim_start);
    rest.is_empty() || matches!(charset, Some("charset=utf-8" | "charset=\"utf-8\""))
}

const REFRESH_INTERVAL: HeaderName =
    HeaderName::from_static("x-prometheus-refresh-interval-seconds");
/// An answer of a discovery server; 100,000 targets with some labels fit.
pub(super) const BODY_BYTES_MAX: usize = 32 << 20;

#[cfg(test)]
mod tests;
