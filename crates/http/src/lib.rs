//! HTTP for Weir's programs: a hyper server and a pooled client, with TLS, credentials, limits and
//! draining.
//!
//! Invariants: every connection, header, body and wait has a bound; what is refused is counted;
//! secrets and certificates are re-read when their files' content changes. It deliberately knows
//! nothing of remote write, routing or answers: handlers are the caller's, and so is what to do
//! about a failed request.
//!
//! TLS is rustls with the ring provider, always passed explicitly; no process default is set.

pub mod auth;
pub mod client;
pub mod config;
pub mod drain;
pub mod limits;
pub mod listener;
pub mod secret;
pub mod server;
pub mod tls;
pub mod web_config;

pub use auth::{Authenticator, ClientAuthConfig, Denied, Identity, ServerAuthConfig};
pub use client::{Client, ClientConfig, ClientError, Reply};
pub use config::HttpClientConfig;
pub use drain::{Drain, DrainGuard};
pub use limits::{BodyError, MemoryBudget, Reservation, read_body};
pub use listener::ServerCounters;
pub use secret::Secret;
pub use server::{Handler, Peer, Server, ServerConfig};
pub use tls::{ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig, TlsError};
pub use web_config::WebConfig;

/// hyper's vocabulary, re-exported so that every crate uses one version of it.
pub use bytes::Bytes;
pub use http_body_util::Full;
pub use hyper::body::Incoming;
pub use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
pub use hyper::{Method, Request, Response, StatusCode, Uri};
