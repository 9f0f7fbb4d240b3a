//! The client's side of TLS: Prometheus's `tls_config`.
//!
//! Invariant: without `ca`/`ca_file` the system's roots decide, never a bundled list. Files are
//! watched like the server's; [`ClientTls::generation`] changes with them, so that a pool can drop
//! connections made under old certificates.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use arc_swap::ArcSwap;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Deserialize;

use super::{
    Reloads, TlsError, TlsVersion, certificates, invalid, private_key, provider, root_store,
};
use crate::secret::{Secret, WatchedFiles};

mod trust;

use trust::Trust;

/// How to trust a server and how to prove who we are. Keys are those of Prometheus's `tls_config`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientTlsConfig {
    /// CA certificates in PEM; instead of the system's roots. Excludes `ca_file`.
    pub ca: Option<String>,
    /// File with CA certificates in PEM.
    pub ca_file: Option<PathBuf>,
    /// Our certificate chain in PEM. Excludes `cert_file`.
    pub cert: Option<String>,
    /// File with our certificate chain in PEM.
    pub cert_file: Option<PathBuf>,
    /// Our private key in PEM. Excludes `key_file`.
    pub key: Option<Secret>,
    /// File with our private key in PEM.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must carry, if not the URL's host.
    pub server_name: Option<String>,
    /// Accept any certificate. Whoever is in between can then read and change everything.
    pub insecure_skip_verify: bool,
    /// Lowest TLS version spoken; 1.2 unless given.
    pub min_version: TlsVersion,
    /// Highest TLS version spoken; the newest unless given.
    pub max_version: Option<TlsVersion>,
}

/// A client's TLS, as of its files' latest valid content.
#[derive(Debug)]
pub struct ClientTls {
    config: ClientTlsConfig,
    server_name: Option<ServerName<'static>>,
    h2: bool,
    files: Mutex<WatchedFiles>,
    current: ArcSwap<ClientConfig>,
    generation: AtomicU64,
    reloads: Reloads,
}

impl ClientTls {
    /// Reads and checks everything; `h2` offers HTTP/2 by ALPN.
    pub fn load(config: ClientTlsConfig, h2: bool, now: Instant) -> Result<Self, TlsError> {
        let server_name = match config.server_name.clone().filter(|name| !name.is_empty()) {
            None => None,
            Some(name) => Some(ServerName::try_from(name).map_err(|_| {
                TlsError::Config("server_name is neither a DNS name nor an address".to_owned())
            })?),
        };
        let mut paths = Vec::new();
        paths.extend(config.ca_file.clone());
        paths.extend(config.cert_file.clone());
        paths.extend(config.key_file.clone());
        let files = WatchedFiles::open(paths, now)?;
        let current = ArcSwap::from_pointee(build(&config, files.contents(), h2)?);
        let (files, generation) = (Mutex::new(files), AtomicU64::new(0));
        Ok(Self {
            config,
            server_name,
            h2,
            files,
            current,
            generation,
            reloads: Reloads::default(),
        })
    }

    /// Reads the files again if the last look is some seconds ago; true if new content took effect.
    pub fn poll_reload(&self, now: Instant) -> bool {
        let Ok(mut files) = self.files.try_lock() else {
            return false;
        };
        if !files.changed(now) {
            return false;
        }
        let built = build(&self.config, files.contents(), self.h2);
        let file = self.config.cert_file.as_ref().or(self.config.ca_file.as_ref());
        let file = file.map_or(std::path::Path::new("tls_config"), PathBuf::as_path);
        self.reloads.note(built, file, |config| {
            self.current.store(Arc::new(config));
            self.generation.fetch_add(1, Ordering::AcqRel);
        })
    }

    /// How many times new content took effect.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Reloads that took effect, and reloads refused because the content was unusable.
    pub fn reloads(&self) -> (u64, u64) {
        self.reloads.counts()
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.current.load_full()
    }

    /// The name to verify: the configured one, or the URL's host.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        if let Some(name) = &self.server_name {
            return Ok(name.clone());
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        ServerName::try_from(host.to_owned())
            .map_err(|_| TlsError::Config(format!("{host:?} is no name that TLS can verify")))
    }
}

fn build(
    config: &ClientTlsConfig,
    contents: &[Vec<u8>],
    h2: bool,
) -> Result<ClientConfig, TlsError> {
    let mut files = contents.iter();
    let ca = part("ca", config.ca.as_deref(), config.ca_file.as_ref(), &mut files)?;
    let cert = part("cert", config.cert.as_deref(), config.cert_file.as_ref(), &mut files)?;
    let key = config.key.as_ref().map(Secret::expose);
    let key = part("key", key, config.key_file.as_ref(), &mut files)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(config.min_version.spoken(config.max_version))
        .map_err(invalid)?;
    let builder = match &ca {
        _ if config.insecure_skip_verify => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Trust::anyone(provider()))),
        Some((pem, name)) => builder.with_root_certificates(root_store(pem, name)?),
        None => {
            let system = Arc::new(Trust::system(provider()));
            builder.dangerous().with_custom_certificate_verifier(system)
        }
    };
    let mut built = match (cert, key) {
        (None, None) => builder.with_no_client_auth(),
        (Some((cert, cert_name)), Some((key, key_name))) => builder
            .with_client_auth_cert(certificates(cert, &cert_name)?, private_key(key, &key_name)?)
            .map_err(invalid)?,
        _ => {
            return Err(TlsError::Config("cert and key must be given together".to_owned()));
        }
    };
    let protocols: &[&[u8]] = if h2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    built.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(built)
}

/// One PEM part and what to call it in a message: inline, or the next of the files read.
fn part<'a>(
    key: &str,
    inline: Option<&'a str>,
    file: Option<&PathBuf>,
    contents: &mut impl Iterator<Item = &'a Vec<u8>>,
) -> Result<Option<(&'a [u8], String)>, TlsError> {
    match (inline, file) {
        (None, None) => Ok(None),
        (Some(pem), None) => Ok(Some((pem.as_bytes(), key.to_owned()))),
        (None, Some(path)) => {
            Ok(contents.next().map(|pem| (pem.as_slice(), path.display().to_string())))
        }
        (Some(_), Some(_)) => {
            Err(TlsError::Config(format!("at most one of {key} and {key}_file may be given")))
        }
    }
}
