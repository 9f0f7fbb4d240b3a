//! The way to one backend: a pooled HTTP client made from the destination's settings.
//!
//! Invariant: what cannot work (certificates, secrets' files, headers) is found when it is made,
//! and named. Redirects that are not followed are handed back as they are, as answers that block.

use std::time::{Duration, Instant};

use weir_http::client::header_map;
use weir_http::{Client, ClientConfig, Uri};

use crate::config::Destination;
use crate::request::Post;
use crate::seams::{PostError, Reply, Transport};

/// A client of one destination.
#[derive(Debug)]
pub struct HttpTransport {
    client: Client,
    url: Uri,
    timeout: Duration,
}

impl HttpTransport {
    /// Reads certificates and secrets, connects to nothing. The error names the destination.
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let named = |error: String| format!("remote_write {:?}: {error}", destination.name);
        let url = destination.url.parse::<Uri>().map_err(|e| named(format!("url: {e}")))?;
        let headers = destination.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        header_map(headers).map_err(named)?;
        let config = ClientConfig {
            concurrency_max: destination.queue.max_shards,
            ..destination.client.client_config()
        };
        let client = Client::new(config, Instant::now()).map_err(|e| named(e.to_string()))?;
        Ok(Self { client, url, timeout: destination.timeout })
    }
}

impl Transport for HttpTransport {
    async fn post(&self, post: Post) -> Result<Reply, PostError> {
        let headers = post.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let headers = header_map(headers).map_err(|text| PostError { text, maybe_sent: false })?;
        let sent = self.client.post(&self.url, headers, post.body, self.timeout).await;
        let reply =
            sent.map_err(|e| PostError { maybe_sent: e.maybe_sent(), text: e.to_string() })?;
        let header = |name: &str| reply.headers.get(name)?.to_str().ok().map(str::to_owned);
        Ok(Reply::new(reply.status.as_u16(), &header, &reply.body))
    }
}
