//! What a gateway answers beside remote write, asked with a destination's own client settings.
//!
//! Only a destination with one endpoint can be asked: of several, none has got everything. Not here:
//! what is asked, and what an answer means.

use std::time::{Duration, Instant};

use weir_http::client::header_map;
use weir_http::{Bytes, Client, HeaderMap, Reply, Uri};
use weir_remote::config::Destination;

/// The way to one path on a destination's host.
#[derive(Debug)]
pub struct Beside {
    client: Client,
    url: String,
    headers: HeaderMap,
}

impl Beside {
    /// `None` where the destination has no host, or several endpoints.
    pub fn new(destination: &Destination, path: &str) -> Option<Self> {
        if destination.urls().count() > 1 || destination.round_robin_dns {
            return None;
        }
        let url: Uri = destination.url.parse().ok()?;
        let url = format!("{}://{}{path}", url.scheme_str()?, url.authority()?);
        let client = Client::new(destination.client.client_config(), Instant::now()).ok()?;
        let headers = destination.headers.iter();
        let headers = header_map(headers.map(|(name, value)| (name.as_str(), value.as_str())));
        Some(Self { client, url, headers: headers.unwrap_or_default() })
    }

    /// Posts this query, without a body; `None` where no answer came in time.
    pub async fn post(&self, query: &str, within: Duration) -> Option<Reply> {
        let url: Uri = format!("{}?{query}", self.url).parse().ok()?;
        self.client.post(&url, self.headers.clone(), Bytes::new(), within).await.ok()
    }
}
