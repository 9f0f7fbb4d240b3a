//! The HTTP server: HTTP/1.1 and h2 on one port, with or without TLS.
//!
//! Invariant: each connection is one task that ends by itself: every phase without a request in
//! flight (handshake, headers, keep-alive, draining) has a deadline. It deliberately does not bound
//! the handler: bodies are read with [`crate::read_body`], which takes its own limits.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::drain::Drain;
use crate::listener::{Listener, ServerCounters, Slot};
use crate::tls::ServerTls;

/// Answers requests. One value serves all connections.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. A panic cuts the connection and nothing else. The future is dropped
    /// where it stands when the peer goes away or [`Drain::cut`] comes: what must not stop half
    /// way belongs between two awaits, or on another task or thread.
    fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
    ) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Address of the socket's other end; behind a proxy, the proxy's.
    pub addr: SocketAddr,
    /// Whether the connection is TLS.
    pub tls: bool,
    /// Whether the peer showed a certificate that the configured client CA signed.
    pub certified: bool,
}

/// Bounds of a server. The defaults serve a gateway.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Time for the TLS handshake, and again for the first request's headers.
    pub header_timeout: Duration,
    /// Time a connection may stay open without a request; longer than a sender's flush interval.
    pub idle_timeout: Duration,
    /// Open connections; more are answered 503 (plain) or closed (TLS).
    pub connections_max: usize,
    /// Concurrent streams of one h2 connection.
    pub h2_streams_max: u32,
    /// Headers of one h2 request in bytes.
    pub header_bytes_max: u32,
    /// Read buffer of one HTTP/1.1 connection in bytes; bounds its headers, and the piece in which
    /// a body arrives. It starts at 8 KiB and grows with use.
    pub buffer_bytes_max: usize,
    /// TLS, or none for plain HTTP.
    pub tls: Option<Arc<ServerTls>>,
}

/// A bound socket that does not accept yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    config: ServerConfig,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
            connections_max: 16_384,
            h2_streams_max: 128,
            header_bytes_max: 64 << 10,
            buffer_bytes_max: 256 << 10,
            tls: None,
        }
    }
}

impl Server {
    /// Binds `addr`; port 0 picks a free one. The kernel queues connections from now on.
    pub async fn bind(addr: SocketAddr, config: ServerConfig) -> io::Result<Self> {
        let plain = config.tls.is_none();
        let listener = Listener::bind(addr, config.connections_max, plain).await?;
        Ok(Self { listener, config })
    }

    /// The address that was bound.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The live counters; they stay valid after the server has ended.
    pub fn counters(&self) -> Arc<ServerCounters> {
        Arc::clone(self.listener.counters())
    }

    /// Accepts until `drain` starts, then closes the socket and returns. Connections live on in
    /// their own tasks, each with a guard of `drain`: [`Drain::wait`] says when they are gone.
    pub async fn serve<H: Handler>(self, handler: Arc<H>, drain: Drain) {
        let _accepting = drain.guard();
        let shared = Arc::new(Shared {
            http: protocol(&self.config),
            counters: self.counters(),
            handler,
            config: self.config,
        });
        loop {
            let (stream, addr, slot) = tokio::select! {
                biased;
                () = drain.started() => return,
                accepted = self.listener.accept() => accepted,
            };
            let (shared, drain) = (Arc::clone(&shared), drain.clone());
            let guard = drain.guard();
            tokio::spawn(async move {
                connection(stream, addr, slot, shared, drain).await;
                drop(guard);
            });
        }
    }
}

struct Shared<H> {
    http: auto::Builder<TokioExecutor>,
    counters: Arc<ServerCounters>,
    handler: Arc<H>,
    config: ServerConfig,
}

fn protocol(config: &ServerConfig) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        // Runs while a kept-alive connection idles, too; the first request's is in `Activity`.
        .header_read_timeout(config.idle_timeout.max(config.header_timeout))
        .max_buf_size(config.buffer_bytes_max.max(H1_BUFFER_MIN))
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(H2_PING_INTERVAL))
        .keep_alive_timeout(H2_PING_TIMEOUT)
        .max_concurrent_streams(config.h2_streams_max)
        .max_header_list_size(config.header_bytes_max)
        // A request body is usually below this; the default window of 64 KiB would make it wait.
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW);
    http
}

async fn connection<H: Handler>(
    stream: TcpStream,
    addr: SocketAddr,
    slot: Slot,
    shared: Arc<Shared<H>>,
    drain: Drain,
) {
    let Some(tls) = &shared.config.tls else {
        let peer = Peer { addr, tls: false, certified: false };
        return Box::pin(serve_stream(stream, peer, &shared, &drain)).await;
    };
    let handshake = tls.acceptor(Instant::now()).accept(stream);
    let stream = tokio::select! {
        () = drain.was_cut() => return,
        outcome = tokio::time::timeout(shared.config.header_timeout, handshake) => match outcome {
            Ok(Ok(stream)) => stream,
            outcome => {
                shared.counters.tls_handshake_errors.fetch_add(1, Ordering::Relaxed);
                let error = outcome.err().map_or("refused", |_| "timeout");
                return tracing::debug!(%addr, error, "TLS handshake failed");
            }
        },
    };
    let certified = stream.get_ref().1.peer_certificates().is_some();
    let peer = Peer { addr, tls: true, certified };
    Box::pin(serve_stream(stream, peer, &shared, &drain)).await;
    drop(slot);
}

async fn serve_stream<S, H>(stream: S, peer: Peer, shared: &Arc<Shared<H>>, drain: &Drain)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    let activity = Activity::new();
    let (in_service, used) = (Arc::clone(shared), activity.clone());
    let service = service_fn(move |request| {
        let (shared, busy) = (Arc::clone(&in_service), used.busy());
        shared.counters.requests.fetch_add(1, Ordering::Relaxed);
        async move {
            let response = shared.handler.handle(request, peer).await;
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let mut conn = pin!(shared.http.serve_connection(TokioIo::new(stream), service));
    let close = tokio::select! {
        ended = conn.as_mut() => return note_end(ended, peer, &shared.counters),
        () = drain.started() => Close::Draining,
        () = activity.idle(&shared.config) => Close::Idle,
    };
    if close == Close::Idle {
        shared.counters.idle_closed.fetch_add(1, Ordering::Relaxed);
    }
    conn.as_mut().graceful_shutdown();
    tokio::select! {
        ended = conn => note_end(ended, peer, &shared.counters),
        () = drain.was_cut() => {}
        () = activity.quiet() => {}
    }
}

#[derive(PartialEq)]
enum Close {
    Draining,
    Idle,
}

fn note_end<E: std::fmt::Debug>(ended: Result<(), E>, peer: Peer, counters: &ServerCounters) {
    if let Err(error) = ended {
        counters.connection_errors.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(addr = %peer.addr, ?error, "connection ended badly");
    }
}

/// When a connection last had a request in flight; the clock of its idle deadlines.
#[derive(Clone)]
struct Activity(Arc<ActivityInner>);

struct ActivityInner {
    opened: tokio::time::Instant,
    in_flight: AtomicUsize,
    requests: AtomicU64,
    /// Milliseconds from `opened` to the last request's end.
    last_ms: AtomicU64,
}

struct Busy(Activity);

impl Activity {
    fn new() -> Self {
        Self(Arc::new(ActivityInner {
            opened: tokio::time::Instant::now(),
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
        }))
    }

    fn busy(&self) -> Busy {
        self.0.in_flight.fetch_add(1, Ordering::AcqRel);
        self.0.requests.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }

    /// Resolves when the connection has been without a request for longer than it may.
    async fn idle(&self, config: &ServerConfig) {
        loop {
            let first = self.0.requests.load(Ordering::Relaxed) == 0;
            let headers = config.header_timeout.min(config.idle_timeout);
            let allowed = if first { headers } else { config.idle_timeout };
            if self.wait(allowed).await {
                return;
            }
        }
    }

    /// Resolves when a closing connection is not worth waiting for: what never sent a request is
    /// half a header, anything else may still be writing its last answer.
    async fn quiet(&self) {
        let started = tokio::time::Instant::now();
        loop {
            let first = self.0.requests.load(Ordering::Relaxed) == 0;
            let allowed = if first { LINGER_UNUSED } else { LINGER };
            tokio::time::sleep_until(started + allowed).await;
            if self.wait(allowed).await {
                return;
            }
        }
    }

    /// Sleeps until `allowed` after the last activity; says whether it is still that idle then.
    async fn wait(&self, allowed: Duration) -> bool {
        let last = Duration::from_millis(self.0.last_ms.load(Ordering::Acquire));
        let requests = self.0.requests.load(Ordering::Acquire);
        let busy = self.0.in_flight.load(Ordering::Acquire) > 0;
        let deadline = if busy {
            tokio::time::Instant::now() + allowed
        } else {
            self.0.opened + last + allowed
        };
        tokio::time::sleep_until(deadline).await;
        !busy && self.0.requests.load(Ordering::Acquire) == requests
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let inner = &self.0.0;
        inner.last_ms.store(duration_ms(inner.opened.elapsed()), Ordering::Release);
        inner.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// After a graceful close began: time for the last answer to leave.
const LINGER: Duration = Duration::from_secs(10);
/// The same for a connection that has sent no whole request yet.
const LINGER_UNUSED: Duration = Duration::from_millis(200);
/// hyper refuses a smaller buffer.
const H1_BUFFER_MIN: usize = 8192;
const H2_PING_INTERVAL: Duration = Duration::from_secs(30);
const H2_PING_TIMEOUT: Duration = Duration::from_secs(20);
const H2_STREAM_WINDOW: u32 = 1 << 20;
const H2_CONNECTION_WINDOW: u32 = 4 << 20;

#[cfg(test)]
mod tests;
