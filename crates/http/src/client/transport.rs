//! One request, one answer, over pooled connections.
//!
//! Invariant: connections made under old certificates are not reused after a reload. It
//! deliberately knows no credentials, redirects or limits on concurrency.

use std::error::Error as _;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::PROXY_AUTHORIZATION;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant as Deadline;

use super::connect::Connector;
use super::proxy::{Proxies, Proxy, ProxyConfig};
use super::{ClientConfigError, ClientError, Reply};
use crate::tls::{ClientTls, ClientTlsConfig};

/// The part of a client's configuration that concerns connections.
#[derive(Clone, Debug)]
pub(crate) struct TransportConfig {
    pub(crate) tls: ClientTlsConfig,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) reply_bytes_max: usize,
    pub(crate) http2: bool,
    pub(crate) proxy: ProxyConfig,
    pub(crate) unix_socket: Option<PathBuf>,
}

pub(crate) struct Transport {
    pool: ArcSwap<Pool>,
    tls: Arc<ClientTls>,
    proxies: Proxies,
    config: TransportConfig,
}

struct Pool {
    generation: u64,
    client: legacy::Client<Connector, Full<Bytes>>,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            tls: ClientTlsConfig::default(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            reply_bytes_max: 64 << 10,
            http2: true,
            proxy: ProxyConfig::default(),
            unix_socket: None,
        }
    }
}

impl Transport {
    pub(crate) fn new(config: TransportConfig, now: Instant) -> Result<Self, ClientConfigError> {
        let env = |name: &str| std::env::var(name).ok();
        let proxies = Proxies::new(&config.proxy, &env).map_err(ClientConfigError::Proxy)?;
        let tls = Arc::new(ClientTls::load(config.tls.clone(), config.http2, now)?);
        let pool = ArcSwap::from_pointee(Pool::new(&config, &tls, proxies.clone()));
        Ok(Self { pool, tls, proxies, config })
    }

    pub(crate) fn tls(&self) -> &ClientTls {
        &self.tls
    }

    /// Whether the way to `url` is TCP and nothing else.
    pub(crate) fn is_plain(&self, url: &Uri) -> bool {
        let is_direct = self.config.unix_socket.is_none() && self.proxies.for_url(url).is_none();
        is_direct && url.scheme_str() == Some("http")
    }

    /// Sends a request whose URL is absolute, and waits for the answer's head.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Deadline,
        now: Instant,
    ) -> Result<Response<Incoming>, ClientError> {
        if request.uri().scheme_str() == Some("http")
            && let Some(Proxy { authorization: Some(value), .. }) =
                self.proxies.for_url(request.uri())
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, value.clone());
        }
        let exchange = self.pool(now).request(request);
        match tokio::time::timeout_at(deadline, exchange).await {
            Err(_) => Err(ClientError::Timeout),
            Ok(Err(error)) if error.is_connect() => Err(ClientError::Connect(chain(&error))),
            Ok(Err(error)) => Err(ClientError::Broken(chain(&error))),
            Ok(Ok(response)) => Ok(response),
        }
    }

    /// Reads the rest of an answer.
    pub(crate) async fn read(&self, response: Response<Incoming>, deadline: Deadline) -> Reply {
        let (head, body) = response.into_parts();
        let (body, truncated) = read_reply(body, self.config.reply_bytes_max, deadline).await;
        Reply { status: head.status, headers: head.headers, body, truncated }
    }

    fn pool(&self, now: Instant) -> legacy::Client<Connector, Full<Bytes>> {
        self.tls.poll_reload(now);
        let pool = self.pool.load();
        if pool.generation == self.tls.generation() {
            return pool.client.clone();
        }
        let fresh = Arc::new(Pool::new(&self.config, &self.tls, self.proxies.clone()));
        self.pool.store(Arc::clone(&fresh));
        fresh.client.clone()
    }
}

impl Pool {
    fn new(config: &TransportConfig, tls: &Arc<ClientTls>, proxies: Proxies) -> Self {
        let generation = tls.generation();
        let socket = config.unix_socket.clone();
        let connector = Connector::new(Arc::clone(tls), proxies, socket, config.connect_timeout);
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle_timeout)
            .http2_keep_alive_interval(H2_PING_INTERVAL)
            .http2_keep_alive_timeout(H2_PING_TIMEOUT)
            .build(connector);
        Self { generation, client }
    }
}

/// The status is known by now, and it is what counts: a body that breaks off is only cut short.
async fn read_reply(mut body: Incoming, bytes_max: usize, deadline: Deadline) -> (Bytes, bool) {
    let mut kept = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return (kept.freeze(), false),
            Ok(Some(Err(_))) | Err(_) => return (kept.freeze(), true),
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let room = bytes_max - kept.len();
        kept.extend_from_slice(data.get(..room).unwrap_or(&data));
        if data.len() > room {
            return (kept.freeze(), true);
        }
    }
}

/// hyper's own message says "client error"; the cause is further down.
fn chain(error: &legacy::Error) -> String {
    let mut cause = error.source();
    let mut text = String::new();
    while let Some(error) = cause {
        let message = error.to_string();
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&message) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&message);
        }
        cause = error.source();
    }
    if text.is_empty() { error.to_string() } else { text }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Finds out that an idle h2 connection is dead before a request does.
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(10);
