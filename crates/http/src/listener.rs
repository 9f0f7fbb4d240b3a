//! The accept loop's socket: bind, accept, and the cap on open connections.
//!
//! Invariant: an accepted connection either holds a [`Slot`] until it is gone, or is refused and
//! counted. It deliberately speaks no HTTP beyond one canned 503.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// What a server counts. All but `connections_open` only grow.
#[derive(Debug, Default)]
pub struct ServerCounters {
    /// Connections open now.
    pub connections_open: AtomicU64,
    /// Connections that were let in.
    pub connections_total: AtomicU64,
    /// Connections refused because the cap was reached.
    pub connections_refused: AtomicU64,
    /// Failed `accept` calls (out of file descriptors, mostly).
    pub accept_errors: AtomicU64,
    /// Requests handed to the handler.
    pub requests: AtomicU64,
    /// TLS handshakes that failed or took too long.
    pub tls_handshake_errors: AtomicU64,
    /// Connections cut because no request came in time: slow headers, or an idle keep-alive.
    pub idle_closed: AtomicU64,
    /// Connections that ended in a protocol or socket error.
    pub connection_errors: AtomicU64,
}

#[derive(Debug)]
pub(crate) struct Listener {
    socket: TcpListener,
    connections_max: usize,
    /// TLS peers cannot read a plain answer, so refusal is only a close.
    plain: bool,
    counters: Arc<ServerCounters>,
}

/// The right to be an open connection.
#[derive(Debug)]
pub(crate) struct Slot(Arc<ServerCounters>);

impl Listener {
    pub(crate) async fn bind(
        addr: SocketAddr,
        connections_max: usize,
        plain: bool,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(addr).await?;
        Ok(Self { socket, connections_max, plain, counters: Arc::default() })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    pub(crate) fn counters(&self) -> &Arc<ServerCounters> {
        &self.counters
    }

    /// The next connection within the cap. Safe to drop between polls.
    pub(crate) async fn accept(&self) -> (TcpStream, SocketAddr, Slot) {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => match self.slot() {
                    Some(slot) => {
                        if let Err(error) = stream.set_nodelay(true) {
                            tracing::debug!(%peer, %error, "cannot set TCP_NODELAY");
                        }
                        return (stream, peer, slot);
                    }
                    None => self.refuse(&stream),
                },
                Err(error) => {
                    self.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// Only the accept loop takes slots, so check and increment need not be one step.
    fn slot(&self) -> Option<Slot> {
        let open = self.counters.connections_open.load(Ordering::Acquire);
        if open >= self.connections_max as u64 {
            return None;
        }
        self.counters.connections_open.fetch_add(1, Ordering::AcqRel);
        self.counters.connections_total.fetch_add(1, Ordering::Relaxed);
        Some(Slot(Arc::clone(&self.counters)))
    }

    /// One write into an empty socket buffer, then close: a flood of connections costs no task.
    fn refuse(&self, stream: &TcpStream) {
        self.counters.connections_refused.fetch_add(1, Ordering::Relaxed);
        if self.plain && stream.try_write(REFUSAL).is_err() {
            tracing::trace!("refused connection went away unanswered");
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.connections_open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// When `accept` fails for want of descriptors, the next call would fail at once.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n\
connection: close\r\ncontent-type: text/plain\r\ncontent-length: 54\r\n\r\n\
too many connections are open, come again in a second\n";
