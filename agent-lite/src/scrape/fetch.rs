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
use weir_http::client::Stream;
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

/// Reads the page at `url` into `page`, whose content is replaced, and returns its content type.
pub async fn fetch(
    client: &Client,
    url: &Uri,
    settings: &FetchSettings,
    page: &mut Vec<u8>,
) -> Result<String, FetchError> {
    page.clear();
    let within = tokio::time::timeout(settings.timeout, exchange(client, url, settings, page));
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

async fn exchange(
    client: &Client,
    url: &Uri,
    settings: &FetchSettings,
    page: &mut Vec<u8>,
) -> Result<String, FetchError> {
    let mut answer = client.stream(url, headers(url, settings), settings.timeout).await?;
    if answer.status != StatusCode::OK {
        return Err(FetchError::Status(answer.status));
    }
    let header = |name: HeaderName| answer.headers.get(name).and_then(|v| v.to_str().ok());
    let content_type = header(CONTENT_TYPE).unwrap_or_default().to_owned();
    let limit = if settings.body_bytes_max == 0 { BODY_BYTES_MAX } else { settings.body_bytes_max };
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
    Ok(content_type)
}

fn headers(url: &Uri, settings: &FetchSettings) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(4);
    if let Ok(accept) = HeaderValue::from_str(&settings.accept) {
        headers.insert(ACCEPT, accept);
    }
    let packed = settings.compression && !is_on_this_host(url);
    let encoding = if packed { "gzip" } else { "identity" };
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
