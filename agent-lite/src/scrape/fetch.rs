//! Getting a target's page over HTTP.
//!
//! Invariant: whatever a target does, a fetch ends within the timeout, and the page in memory is
//! never over its limit: that is checked while it is read and unpacked. An answer that breaks off
//! is an error, never a short page. What the page means is not looked at.

use std::io::Write as _;
use std::time::Duration;

use flate2::write::MultiGzDecoder;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, HeaderName};
use hyper::{HeaderMap, StatusCode, Uri, header::HeaderValue};
use weir_http::client::{Stream, Whole, Wire, WireError};
use weir_http::{Client, ClientError};

/// Bytes of a page where `body_size_limit` is 0. A target is not trusted with all of the memory.
pub const BODY_BYTES_MAX: usize = 256 << 20;

/// Bytes of a page for which memory is taken because the target announces them.
const ANNOUNCED_BYTES_MAX: u64 = 1 << 20;

const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Why there is no page. Texts are Prometheus's where it has one.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FetchError {
    /// No answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The timeout passed, wherever the scrape was.
    #[error("context deadline exceeded: no whole answer within {0:?}")]
    Timeout(Duration),
    /// Another status than 200.
    #[error("server returned HTTP status {0}")]
    Status(StatusCode),
    /// More than `body_size_limit`.
    #[error("body size limit exceeded")]
    BodyLimit,
    /// What is called gzip is none, or is cut off.
    #[error("gzip: {0}")]
    Gzip(String),
}

impl FetchError {
    /// Whether the page is larger than allowed.
    pub fn is_body_limit(&self) -> bool {
        *self == Self::BodyLimit
    }
}

/// How pages are asked for, alike for all targets of a job but for the timeout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchSettings {
    /// `Accept`: the formats, best first.
    pub accept: String,
    /// `enable_compression`. A target on this host is asked for its plain page all the same: to
    /// pack and unpack it would cost both sides CPU and save nothing.
    pub compression: bool,
    /// `scrape_timeout`, for everything.
    pub timeout: Duration,
    /// `body_size_limit`, bytes after decompression; 0 is [`BODY_BYTES_MAX`].
    pub body_bytes_max: usize,
}

/// How a target is reached: what is found out at the first fetch, and kept for the next ones.
#[derive(Debug, Default)]
pub enum Way {
    /// Nothing is known.
    #[default]
    Unknown,
    /// By a connection of its own.
    Wire(Wire),
    /// As the client does it.
    Client,
}

/// A page that was fetched: behind this place in the buffer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// Its content type; empty if the target does not say.
    pub content_type: String,
    /// Where it begins.
    pub at: usize,
}

/// Reads the page at `url` into `page`, whose content is replaced.
pub async fn fetch(
    client: &Client,
    url: &Uri,
    settings: &FetchSettings,
    way: &mut Way,
    page: &mut Vec<u8>,
) -> Result<Fetched, FetchError> {
    page.clear();
    let fetching = async {
        match by_wire(client, url, settings, way, page).await? {
            Some(fetched) => Ok(fetched),
            None => exchange(client, url, settings, page).await,
        }
    };
    let within = tokio::time::timeout(settings.timeout, fetching);
    let timed_out = Err(FetchError::Timeout(settings.timeout));
    let outcome = match within.await {
        // The client's own clock may be the first to strike.
        Err(_) | Ok(Err(FetchError::Client(ClientError::Timeout))) => timed_out,
        Ok(outcome) => outcome,
    };
    if outcome.is_err() {
        page.clear();
    }
    outcome
}

/// Pages that come as they are, over plain HTTP, need no more than a socket. `None`: ask the client.
async fn by_wire(
    client: &Client,
    url: &Uri,
    settings: &FetchSettings,
    way: &mut Way,
    page: &mut Vec<u8>,
) -> Result<Option<Fetched>, FetchError> {
    if matches!(way, Way::Unknown) {
        let wire = (!settings.asks_for_gzip(url)).then(|| client.wire(url, headers(url, settings)));
        *way = wire.flatten().map_or(Way::Client, Way::Wire);
    }
    let Way::Wire(wire) = way else {
        return Ok(None);
    };
    match wire.get(settings.limit(), page).await {
        Ok(Whole { content_type, at }) => return Ok(Some(Fetched { content_type, at })),
        Err(WireError::TooLarge) => return Err(FetchError::BodyLimit),
        Err(WireError::Broken(why)) => return Err(ClientError::Broken(why).into()),
        Err(WireError::Silent) => {}
        Err(WireError::Unusual) => *way = Way::Client,
    }
    page.clear();
    Ok(None)
}

async fn exchange(
    client: &Client,
    url: &Uri,
    settings: &FetchSettings,
    page: &mut Vec<u8>,
) -> Result<Fetched, FetchError> {
    let mut answer = client.stream(url, headers(url, settings), settings.timeout).await?;
    if answer.status != StatusCode::OK {
        return Err(FetchError::Status(answer.status));
    }
    let header = |name: HeaderName| answer.headers.get(name).and_then(|v| v.to_str().ok());
    let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
    let limit = settings.limit();
    if header(CONTENT_ENCODING) == Some("gzip") {
        unpack(&mut answer, settings.timeout, limit, page).await?;
    } else {
        let announced = header(hyper::header::CONTENT_LENGTH).and_then(|v| v.parse().ok());
        let likely = announced.unwrap_or(0u64).min(ANNOUNCED_BYTES_MAX).min(limit as u64);
        page.reserve(likely as usize);
        let mut page = Limited { page, limit };
        while let Some(bytes) = answer.chunk(settings.timeout).await? {
            page.write_all(&bytes).map_err(|_| FetchError::BodyLimit)?;
        }
    }
    Ok(Fetched { content_type, at: 0 })
}

impl FetchSettings {
    fn limit(&self) -> usize {
        if self.body_bytes_max == 0 { BODY_BYTES_MAX } else { self.body_bytes_max }
    }

    fn asks_for_gzip(&self, url: &Uri) -> bool {
        self.compression && !is_on_this_host(url)
    }
}

fn headers(url: &Uri, settings: &FetchSettings) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    if let Ok(accept) = HeaderValue::from_str(&settings.accept) {
        headers.insert(ACCEPT, accept);
    }
    let encoding = if settings.asks_for_gzip(url) { "gzip" } else { "identity" };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(encoding));
    let timeout = settings.timeout.as_secs_f64().to_string();
    if let Ok(timeout) = HeaderValue::try_from(timeout) {
        headers.insert(SCRAPE_TIMEOUT, timeout);
    }
    headers
}

fn is_on_this_host(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    let address: Result<std::net::IpAddr, _> = host.parse();
    address.map_or_else(|_| host.eq_ignore_ascii_case("localhost"), |ip| ip.is_loopback())
}

async fn unpack(
    answer: &mut Stream,
    timeout: Duration,
    limit: usize,
    page: &mut Vec<u8>,
) -> Result<(), FetchError> {
    let gzip = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => FetchError::BodyLimit,
        _ => FetchError::Gzip(error.to_string()),
    };
    let mut decoder = MultiGzDecoder::new(Limited { page, limit });
    while let Some(bytes) = answer.chunk(timeout).await? {
        decoder.write_all(&bytes).map_err(gzip)?;
    }
    decoder.finish().map_err(gzip)?;
    Ok(())
}

/// A page that is still being written. Prometheus refuses one of just the limit as well.
struct Limited<'a> {
    page: &'a mut Vec<u8>,
    limit: usize,
}

impl std::io::Write for Limited<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.page.len() + bytes.len() >= self.limit {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.page.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
