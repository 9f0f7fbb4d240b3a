//! The HTTP client: pooled keep-alive connections, credentials, deadlines.
//!
//! Invariant: a request ends within its timeout, waiting for a free place included, and its error
//! says whether anything may have been sent. It deliberately never repeats a POST that may have
//! been acted upon: only where an answer says so is it sent again, elsewhere (307, 308) or with a
//! renewed OAuth token, once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode, Uri};
use thiserror::Error;
use tokio::sync::Semaphore;

use crate::auth::{AuthError, ClientAuth, ClientAuthConfig};
use crate::config::HeaderConfig;
use crate::tls::{ClientTls, ClientTlsConfig, TlsError};

mod connect;
mod headers;
mod proxy;
mod stream;
mod transport;
mod url;
mod wire;

use headers::SecretHeaders;
pub use proxy::ProxyConfig;
pub use stream::Stream;
pub(crate) use transport::{Transport, TransportConfig};
pub use url::header_map;
use url::{remove_secrets, resolve, split_userinfo};
pub use wire::{Whole, Wire, WireError};

/// How to reach one upstream. The defaults suit a remote-write receiver.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// TLS towards `https` URLs.
    pub tls: ClientTlsConfig,
    /// Credentials.
    pub auth: ClientAuthConfig,
    /// Headers of every request; those of a single request win over them.
    pub headers: HeaderMap,
    /// Headers of every request whose values may be secret or in files, by name.
    pub http_headers: BTreeMap<String, HeaderConfig>,
    /// `User-Agent`, unless `headers` has one.
    pub user_agent: String,
    /// Requests in flight to the upstream at one time; more wait, within their timeouts.
    pub concurrency_max: usize,
    /// Time for name resolution, TCP, proxy and TLS together.
    pub connect_timeout: Duration,
    /// How long a connection is kept unused; below what servers and balancers commonly allow
    /// (60 s and more), so that they do not close it under a request.
    pub idle_timeout: Duration,
    /// Bytes of an answer's body that are kept; the rest is not read.
    pub reply_bytes_max: usize,
    /// Offer HTTP/2 by ALPN. Plain `http` is always HTTP/1.1.
    pub http2: bool,
    /// Proxies, and who is asked directly.
    pub proxy: ProxyConfig,
    /// Follow redirects, ten at most: those of GET, and 307 and 308 of POST, which is posted again
    /// with its body. Other redirects of a POST are handed back as they are.
    pub follow_redirects: bool,
    /// A Unix socket on which the upstream listens, whatever the URL's host says. Plain `http`.
    pub unix_socket: Option<PathBuf>,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, up to [`ClientConfig::reply_bytes_max`].
    pub body: Bytes,
    /// Whether the body is longer, or broke off.
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClientError {
    /// The URL cannot be requested.
    #[error("URL: {0}")]
    Url(String),
    /// No connection, for want of name, route, listener, proxy or trust. Nothing was sent.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// No answer in time. The request may have been acted upon.
    #[error("no answer in time")]
    Timeout,
    /// The connection ended before the answer. The request may have been acted upon.
    #[error("connection broke: {0}")]
    Broken(String),
    /// No credentials could be made. Nothing was sent.
    #[error("credentials: {0}")]
    Auth(String),
}

/// Why a client cannot be made.
#[derive(Debug, Error)]
pub enum ClientConfigError {
    /// TLS files or settings.
    #[error("tls_config: {0}")]
    Tls(#[from] TlsError),
    /// Credentials.
    #[error("{0}")]
    Auth(#[from] AuthError),
    /// The proxy's URL.
    #[error("proxy_url: {0}")]
    Proxy(String),
    /// A header's name, or the file of its value.
    #[error("http_headers: {0}")]
    Header(String),
}

/// What a client counts.
#[derive(Debug, Default)]
pub struct ClientCounters {
    /// Requests begun.
    pub requests: AtomicU64,
    /// Requests in flight or waiting for a place now.
    pub in_flight: AtomicU64,
    /// Requests that ended in a [`ClientError`].
    pub errors: AtomicU64,
}

/// A client of one upstream. Clones share pool, limits and counters.
#[derive(Clone, Debug)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    transport: Transport,
    auth: ClientAuth,
    headers: HeaderMap,
    secret_headers: SecretHeaders,
    places: Semaphore,
    follow_redirects: bool,
    counters: Arc<ClientCounters>,
}

impl Default for ClientConfig {
    fn default() -> Self {
        let transport = TransportConfig::default();
        Self {
            tls: transport.tls,
            auth: ClientAuthConfig::default(),
            headers: HeaderMap::new(),
            http_headers: BTreeMap::new(),
            user_agent: concat!("weir/", env!("CARGO_PKG_VERSION")).to_owned(),
            concurrency_max: 64,
            connect_timeout: transport.connect_timeout,
            idle_timeout: transport.idle_timeout,
            reply_bytes_max: transport.reply_bytes_max,
            http2: transport.http2,
            proxy: transport.proxy,
            follow_redirects: true,
            unix_socket: transport.unix_socket,
        }
    }
}

impl ClientError {
    /// Whether the same request may succeed later.
    pub fn retryable(&self) -> bool {
        !matches!(self, Self::Url(_))
    }

    /// Whether the upstream may have acted on the request.
    pub fn maybe_sent(&self) -> bool {
        matches!(self, Self::Timeout | Self::Broken(_))
    }
}

impl Client {
    /// Reads certificates and secrets; connects to nothing.
    pub fn new(config: ClientConfig, now: Instant) -> Result<Self, ClientConfigError> {
        let auth = ClientAuth::new(&config.auth, now)?;
        let mut headers = config.headers;
        if let Ok(agent) = HeaderValue::from_str(&config.user_agent) {
            headers.entry(USER_AGENT).or_insert(agent);
        }
        let transport = TransportConfig {
            tls: config.tls,
            connect_timeout: config.connect_timeout,
            idle_timeout: config.idle_timeout,
            reply_bytes_max: config.reply_bytes_max,
            http2: config.http2,
            proxy: config.proxy,
            unix_socket: config.unix_socket,
        };
        let inner = Inner {
            transport: Transport::new(transport, now)?,
            auth,
            headers,
            secret_headers: SecretHeaders::new(&config.http_headers, now)?,
            places: Semaphore::new(config.concurrency_max.clamp(1, Semaphore::MAX_PERMITS)),
            follow_redirects: config.follow_redirects,
            counters: Arc::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Sends `body` and waits for the answer, `timeout` at most for everything.
    pub async fn post(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, ClientError> {
        self.request(Method::POST, url, headers, body, timeout).await
    }

    /// Asks for `url`, following redirects if configured, `timeout` at most for everything.
    pub async fn get(
        &self,
        url: &Uri,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Reply, ClientError> {
        self.request(Method::GET, url, headers, Bytes::new(), timeout).await
    }

    /// Asks for `url` like [`Client::get`], and hands the body over as it comes. `timeout` is for
    /// the answer's head; each wait for more of the body has its own.
    pub async fn stream(
        &self,
        url: &Uri,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Stream, ClientError> {
        self.open(Method::GET, url, headers, Bytes::new(), timeout).await
    }

    /// Sends `body` like [`Client::post`], and hands the answer's body over as [`Client::stream`]
    /// does.
    pub async fn post_stream(
        &self,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Stream, ClientError> {
        self.open(Method::POST, url, headers, body, timeout).await
    }

    async fn open(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Stream, ClientError> {
        let counters = &self.inner.counters;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let _in_flight = InFlight::enter(counters);
        let deadline = tokio::time::Instant::now() + timeout;
        let run = self.inner.run(method, url, headers, body, deadline);
        let outcome = Box::pin(run).await.map(Stream::new);
        if outcome.is_err() {
            counters.errors.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    /// A connection of one's own to ask for `url` again and again; `None` where it takes more than plain
    /// HTTP. What this client counts and bounds is not counted and bounded there.
    pub fn wire(&self, url: &Uri, mut headers: HeaderMap) -> Option<Wire> {
        let inner = &self.inner;
        let has_secrets =
            !matches!(inner.auth, ClientAuth::None) || !inner.secret_headers.is_empty();
        let authority = url.authority()?;
        if has_secrets || !inner.transport.is_plain(url) || authority.as_str().contains('@') {
            return None;
        }
        for (name, value) in &inner.headers {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let port = authority.port_u16().unwrap_or(80);
        (!headers.contains_key(HOST)).then(|| Wire::new(authority.host(), port, path, &headers))
    }

    /// The live counters.
    pub fn counters(&self) -> &Arc<ClientCounters> {
        &self.inner.counters
    }

    /// The TLS in use, for its reload counters.
    pub fn tls(&self) -> &ClientTls {
        self.inner.transport.tls()
    }

    async fn request(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, ClientError> {
        let counters = &self.inner.counters;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        let _in_flight = InFlight::enter(counters);
        let deadline = tokio::time::Instant::now() + timeout;
        let outcome = Box::pin(self.inner.exchange(method, url, headers, body, deadline)).await;
        if outcome.is_err() {
            counters.errors.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }
}

impl Inner {
    async fn exchange(
        &self,
        method: Method,
        url: &Uri,
        headers: HeaderMap,
        body: Bytes,
        deadline: tokio::time::Instant,
    ) -> Result<Reply, ClientError> {
        let place = tokio::time::timeout_at(deadline, self.places.acquire()).await;
        let _place = place.map_err(|_| ClientError::Timeout)?;
        let response = self.run(method, url, headers, body, deadline).await?;
        Ok(self.transport.read(response, deadline).await)
    }

    async fn run(
        &self,
        method: Method,
        url: &Uri,
        mut headers: HeaderMap,
        body: Bytes,
        deadline: tokio::time::Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        for (name, value) in &self.headers {
            if !headers.contains_key(name) {
                headers.append(name, value.clone());
            }
        }
        self.secret_headers.add(&mut headers, Instant::now())?;
        let mut url = url.clone();
        let mut trusted = true;
        for _ in 0..=REDIRECTS_MAX {
            let call = Call { method: &method, url: &url, headers: &headers, body: &body };
            let response = self.authorized(call, trusted, deadline).await?;
            if !self.follow_redirects || !is_followed(&method, response.status()) {
                return Ok(response);
            }
            let Some(target) = response.headers().get(LOCATION) else {
                return Ok(response);
            };
            let target = resolve(&url, target)?;
            // Read, so that the connection can be used again.
            self.transport.read(response, deadline).await;
            // Credentials are for the host that they were configured for.
            if target.authority() != url.authority() || target.scheme() != url.scheme() {
                trusted = false;
                remove_secrets(&mut headers);
            }
            url = target;
        }
        Err(ClientError::Url(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// One exchange with credentials; a second one if the first token was refused.
    async fn authorized(
        &self,
        call: Call<'_>,
        trusted: bool,
        deadline: tokio::time::Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        let mut renewed = false;
        loop {
            let now = Instant::now();
            let authorization = if trusted && !call.headers.contains_key(AUTHORIZATION) {
                let made = tokio::time::timeout_at(deadline, self.auth.header(now)).await;
                made.map_err(|_| ClientError::Timeout)??
            } else {
                None
            };
            let request = call.build(authorization.clone())?;
            let response = self.transport.send(request, deadline, now).await?;
            let refused = response.status() == StatusCode::UNAUTHORIZED && !renewed;
            match authorization {
                Some(used) if refused && self.auth.refused(&used).await => renewed = true,
                _ => return Ok(response),
            }
        }
    }
}

/// As in Go, less its habit to go on from a POST's 301, 302 or 303 with a GET: a receiver of samples
/// would have nothing to take.
fn is_followed(method: &Method, status: StatusCode) -> bool {
    match status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => method == Method::GET && status.is_redirection(),
    }
}

#[derive(Clone, Copy)]
struct Call<'a> {
    method: &'a Method,
    url: &'a Uri,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

impl Call<'_> {
    fn build(
        self,
        authorization: Option<HeaderValue>,
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let (url, userinfo) = split_userinfo(self.url)?;
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = url;
        *request.headers_mut() = self.headers.clone();
        let authorization = authorization.or(userinfo);
        if let Some(value) = authorization {
            request.headers_mut().entry(AUTHORIZATION).or_insert(value);
        }
        Ok(request)
    }
}

struct InFlight<'a>(&'a ClientCounters);

impl<'a> InFlight<'a> {
    fn enter(counters: &'a ClientCounters) -> Self {
        counters.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(counters)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// As in Go's client.
const REDIRECTS_MAX: usize = 10;

#[cfg(test)]
mod tests;
