//! What a gateway answers beside remote write, asked with a destination's own client settings.
//!
//! Only a destination with one endpoint can be asked: of several, none has got everything; and a branch,
//! whose first endpoint is an owner's. Not here: what is asked, and what an answer means.

use std::time::{Duration, Instant};

use weir_http::client::header_map;
use weir_http::{Bytes, Client, ClientConfig, HeaderMap, Reply, Uri};
use weir_remote::config::Destination;
use weir_remote::shares::Share;

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
        let is_one = destination.urls().count() == 1 && !destination.round_robin_dns;
        (is_one || destination.share != Share::Trunk).then(|| Self::first(destination, path))?
    }

    /// On the host of the first endpoint, however many there are.
    pub fn first(destination: &Destination, path: &str) -> Option<Self> {
        let url: Uri = destination.url.parse().ok()?;
        let url = format!("{}://{}{path}", url.scheme_str()?, url.authority()?);
        let config =
            ClientConfig { reply_bytes_max: REPLY_BYTES_MAX, ..destination.client.client_config() };
        let client = Client::new(config, Instant::now()).ok()?;
        let headers = destination.headers.iter();
        let headers = header_map(headers.map(|(name, value)| (name.as_str(), value.as_str())));
        Some(Self { client, url, headers: headers.unwrap_or_default() })
    }

    /// Gets what is there; `None` where no answer came in time.
    pub async fn get(&self, within: Duration) -> Option<Reply> {
        let url: Uri = self.url.parse().ok()?;
        self.client.get(&url, self.headers.clone(), within).await.ok()
    }

    /// Posts this query, without a body; `None` where no answer came in time.
    pub async fn post(&self, query: &str, within: Duration) -> Option<Reply> {
        let url: Uri = format!("{}?{query}", self.url).parse().ok()?;
        self.client.post(&url, self.headers.clone(), Bytes::new(), within).await.ok()
    }
}

/// The largest is what a tier of as many members as there may be says of its owners.
const REPLY_BYTES_MAX: usize = 1 << 20;
