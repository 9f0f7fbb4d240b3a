//! Making one connection: TCP, through a proxy if configured, TLS for `https`; or a Unix socket.
//!
//! Invariant: all of it together ends within the connect timeout. The TLS configuration is the one
//! current at that moment.

use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::Uri;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::proxy::Proxies;
use crate::tls::ClientTls;

#[derive(Clone, Debug)]
pub(crate) struct Connector {
    tcp: HttpConnector,
    tls: Arc<ClientTls>,
    proxies: Proxies,
    unix_socket: Option<PathBuf>,
    timeout: Duration,
}

/// A connection, encrypted or not.
pub(crate) struct Link {
    io: Box<dyn Io>,
    h2: bool,
    proxied: bool,
}

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Connector {
    pub(crate) fn new(
        tls: Arc<ClientTls>,
        proxies: Proxies,
        unix_socket: Option<PathBuf>,
        timeout: Duration,
    ) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        tcp.set_connect_timeout(Some(timeout));
        Self { tcp, tls, proxies, unix_socket, timeout }
    }

    async fn connect(mut self, target: Uri) -> Result<Link, BoxError> {
        if let Some(path) = &self.unix_socket {
            let socket = UnixStream::connect(path).await?;
            return Ok(Link { io: Box::new(socket), h2: false, proxied: false });
        }
        let https = target.scheme_str() == Some("https");
        let tcp: TcpStream = match self.proxies.for_url(&target).cloned() {
            None => self.tcp.call(target.clone()).await?,
            Some(proxy) if !https => {
                let tcp = self.tcp.call(proxy.url).await?.into_inner();
                return Ok(Link { io: Box::new(tcp), h2: false, proxied: true });
            }
            Some(proxy) => {
                let headers = self.proxies.connect_headers.clone();
                let mut tunnel = Tunnel::new(proxy.url, self.tcp).with_headers(headers);
                if let Some(value) = proxy.authorization {
                    tunnel = tunnel.with_auth(value);
                }
                tunnel.call(target.clone()).await?
            }
        }
        .into_inner();
        if !https {
            return Ok(Link { io: Box::new(tcp), h2: false, proxied: false });
        }
        let name = self.tls.name_for(target.host().unwrap_or_default())?;
        let stream = TlsConnector::from(self.tls.config()).connect(name, tcp).await?;
        let h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Link { io: Box::new(stream), h2, proxied: false })
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Link>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Link>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        let (timeout, connect) = (self.timeout, self.clone().connect(target));
        Box::pin(async move {
            match tokio::time::timeout(timeout, connect).await {
                Ok(link) => link.map(TokioIo::new),
                Err(_) => Err("timed out".into()),
            }
        })
    }
}

impl Connection for Link {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.h2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// A peer that vanished without a word is noticed within minutes.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
