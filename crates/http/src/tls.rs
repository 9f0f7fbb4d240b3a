//! TLS for both sides: rustls on ring, certificates read again when their content changes.
//!
//! Invariant: a configuration in use was valid as a whole (key fits certificate, CA parses); a bad
//! file keeps the last good one in use and is counted. The whole rustls configuration is swapped,
//! not only the certificate, so that a withdrawn client CA takes its resumable sessions with it.
//! It deliberately offers no TLS below 1.2 and no revocation lists.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::Deserialize;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::secret::WatchedFiles;

mod client;

pub use client::{ClientTls, ClientTlsConfig};

/// Why certificates, keys or a CA cannot be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read; the message names it.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// A file holds no usable PEM of the kind wanted.
    #[error("{file}: {reason}")]
    Pem {
        /// Which file, or the configuration key of an inline value.
        file: String,
        /// What was wrong with it.
        reason: String,
    },
    /// The parts do not make a valid configuration: key and certificate differ, for example.
    #[error("TLS configuration: {0}")]
    Config(String),
}

/// A TLS version as a bound. The names are Prometheus's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2. `TLS10` and `TLS11` mean the same here: nothing older is spoken.
    #[default]
    #[serde(rename = "TLS12", alias = "TLS10", alias = "TLS11")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLS13")]
    Tls13,
}

/// A server's certificate, key, and optionally the CA that its clients must be signed by.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerTlsConfig {
    /// PEM chain, the server's own certificate first.
    pub cert_file: PathBuf,
    /// PEM private key: PKCS#8, PKCS#1 or SEC1.
    pub key_file: PathBuf,
    /// PEM CA certificates. When given, clients without a certificate signed by one are refused.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// Lowest version accepted.
    #[serde(default)]
    pub min_version: TlsVersion,
}

/// A server's TLS, as of its files' latest valid content.
#[derive(Debug)]
pub struct ServerTls {
    config: ServerTlsConfig,
    files: Mutex<WatchedFiles>,
    current: ArcSwap<ServerConfig>,
    reloads: Reloads,
}

/// How often changed files took effect, and how often they were unusable.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    done: AtomicU64,
    failed: AtomicU64,
}

impl ServerTls {
    /// Reads and checks all files.
    pub fn load(config: ServerTlsConfig, now: Instant) -> Result<Self, TlsError> {
        let mut paths = vec![config.cert_file.clone(), config.key_file.clone()];
        paths.extend(config.client_ca_file.clone());
        let files = WatchedFiles::open(paths, now)?;
        let current = ArcSwap::from_pointee(build(&config, files.contents())?);
        Ok(Self { config, files: Mutex::new(files), current, reloads: Reloads::default() })
    }

    /// Reads the files again if the last look is some seconds ago; true if new content took
    /// effect. Every handshake calls it; call it from a timer too, to hear of bad files early.
    pub fn poll_reload(&self, now: Instant) -> bool {
        // A handshake that finds another one looking goes on with what there is.
        let Ok(mut files) = self.files.try_lock() else {
            return false;
        };
        if !files.changed(now) {
            return false;
        }
        self.reloads.note(build(&self.config, files.contents()), &self.config.cert_file, |config| {
            self.current.store(Arc::new(config));
        })
    }

    /// Reloads that took effect, and reloads refused because the content was unusable.
    pub fn reloads(&self) -> (u64, u64) {
        self.reloads.counts()
    }

    pub(crate) fn acceptor(&self, now: Instant) -> TlsAcceptor {
        self.poll_reload(now);
        TlsAcceptor::from(self.current.load_full())
    }
}

impl Reloads {
    /// Applies a rebuilt configuration, or logs and counts why it stays out.
    pub(crate) fn note<T>(
        &self,
        built: Result<T, TlsError>,
        file: &std::path::Path,
        apply: impl FnOnce(T),
    ) -> bool {
        match built {
            Ok(built) => {
                apply(built);
                self.done.fetch_add(1, Ordering::Relaxed);
                tracing::info!(file = %file.display(), "certificates changed and are in use");
                true
            }
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%error, "certificates changed but cannot be used; the old ones stay");
                false
            }
        }
    }

    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed))
    }
}

impl TlsVersion {
    /// The versions from this one up to `max`, or to the newest.
    fn spoken(self, max: Option<Self>) -> &'static [&'static SupportedProtocolVersion] {
        match (self, max) {
            (Self::Tls12, Some(Self::Tls12)) => TLS12_ONLY,
            (Self::Tls12, _) => rustls::ALL_VERSIONS,
            (Self::Tls13, Some(Self::Tls12)) => &[],
            (Self::Tls13, _) => TLS13_ONLY,
        }
    }
}

fn build(config: &ServerTlsConfig, contents: &[Vec<u8>]) -> Result<ServerConfig, TlsError> {
    let pem = |index: usize| contents.get(index).map_or(&[][..], Vec::as_slice);
    let name = |path: &PathBuf| path.display().to_string();
    let chain = certificates(pem(0), &name(&config.cert_file))?;
    let key = private_key(pem(1), &name(&config.key_file))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(config.min_version.spoken(None))
        .map_err(invalid)?;
    let builder = match &config.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = Arc::new(root_store(pem(2), &name(file))?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = verifier.build().map_err(|e| TlsError::Config(e.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut built = builder.with_single_cert(chain, key).map_err(invalid)?;
    built.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(built)
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8], file: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bad = |reason: String| TlsError::Pem { file: file.to_owned(), reason };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let chain = chain.map_err(|error| bad(error.to_string()))?;
    if chain.is_empty() {
        return Err(bad("no CERTIFICATE in PEM form".to_owned()));
    }
    Ok(chain)
}

fn private_key(pem: &[u8], file: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| TlsError::Pem { file: file.to_owned(), reason: error.to_string() })
}

fn root_store(pem: &[u8], file: &str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, file)? {
        roots
            .add(certificate)
            .map_err(|error| TlsError::Pem { file: file.to_owned(), reason: error.to_string() })?;
    }
    Ok(roots)
}

fn invalid(error: rustls::Error) -> TlsError {
    TlsError::Config(error.to_string())
}

static TLS12_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

#[cfg(test)]
mod tests;
