//! Prometheus's web configuration file (`--web.config.file`): TLS, users and headers of a program's
//! own pages, in one file that is read again when it changes.
//!
//! Invariant: what is in use was valid as a whole; a file that has become bad keeps the last good
//! one, and says so. No message and no `Debug` shows a hash. Passwords are compared on a thread of
//! their own, one at a time, for that is slow by design; who was let in once is let in quickly.
//! Whether there is TLS at all, and its keys, are fixed when the program starts; the content of
//! certificates is not. Not here: which paths ask for a user.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use weir_config::{Check, ConfigErrors, Problem, Source, files};

use crate::auth::Denied;
use crate::secret::WatchedFiles;
use crate::tls::{ServerTls, ServerTlsConfig, TlsVersion};

mod raw;

use raw::{HttpServer, Raw, TlsServer};

/// Remembered credentials that were right.
const REMEMBERED_MAX: usize = 64;

/// Headers that a page may be given: those of Prometheus's exporter toolkit.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// A hash of no password, so that an unknown user takes as long as a wrong password.
const NOBODY: &str = "$2b$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy";

/// A web configuration in use.
#[derive(Debug)]
pub struct WebConfig {
    path: PathBuf,
    tls_config: Option<ServerTlsConfig>,
    tls: Option<Arc<ServerTls>>,
    file: Mutex<WatchedFiles>,
    access: ArcSwap<Access>,
    remembered: Mutex<Vec<Remembered>>,
    comparing: Semaphore,
}

/// What may change while the program runs.
#[derive(Debug, Default)]
struct Access {
    users: BTreeMap<String, crate::Secret>,
    headers: HeaderMap,
}

#[derive(Debug)]
struct Remembered {
    authorization: crate::Secret,
    hash: crate::Secret,
}

impl WebConfig {
    /// Reads the file and the certificates that it names. The error is every problem at once.
    pub fn load(path: &Path, now: Instant) -> Result<Self, String> {
        let file = WatchedFiles::open(vec![path.to_owned()], now).map_err(|e| e.to_string())?;
        let (tls_config, access) = read(path, file.contents()).map_err(|e| e.to_string())?;
        let tls = tls_config.clone().map(|config| ServerTls::load(config, now)).transpose();
        let named = |error| format!("{}: tls_server_config: {error}", path.display());
        Ok(Self {
            path: path.to_owned(),
            tls_config,
            tls: tls.map_err(named)?.map(Arc::new),
            file: Mutex::new(file),
            access: ArcSwap::from_pointee(access),
            remembered: Mutex::default(),
            comparing: Semaphore::new(1),
        })
    }

    /// For the server's socket; `None` for plain HTTP.
    pub fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.clone()
    }

    /// Adds the configured headers to an answer's.
    pub fn add_headers(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.access.load().headers {
            headers.insert(name, value.clone());
        }
    }

    /// Whether a request with these headers is let in.
    pub async fn check(self: &Arc<Self>, headers: &HeaderMap, now: Instant) -> Result<(), Denied> {
        self.poll_reload(now);
        let access = self.access.load_full();
        if access.users.is_empty() {
            return Ok(());
        }
        let value = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let (user, password) = value.and_then(basic).ok_or(Denied::Missing)?;
        let value = value.unwrap_or_default().to_owned();
        let known = access.users.get(&user).cloned();
        if known.as_ref().is_some_and(|hash| self.remembers(&value, hash)) {
            return Ok(());
        }
        let _one = self.comparing.acquire().await.map_err(|_| Denied::Wrong)?;
        let hash = known.clone().unwrap_or_else(|| crate::Secret::new(NOBODY));
        let compare = move || bcrypt::verify(password, hash.expose()).unwrap_or(false);
        let is_right = tokio::task::spawn_blocking(compare).await.unwrap_or(false);
        match known.filter(|_| is_right) {
            Some(hash) => {
                self.remember(value, hash);
                Ok(())
            }
            None => Err(Denied::Wrong),
        }
    }

    fn remembers(&self, authorization: &str, hash: &crate::Secret) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |one: &Remembered| {
            let presented = authorization.as_bytes().ct_eq(one.authorization.expose().as_bytes());
            bool::from(presented) && one.hash == *hash
        };
        remembered.iter().any(is_it)
    }

    fn remember(&self, authorization: String, hash: crate::Secret) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= REMEMBERED_MAX {
            remembered.remove(0);
        }
        remembered.push(Remembered { authorization: crate::Secret::new(authorization), hash });
    }

    /// Reads the file again if the last look is some seconds ago.
    fn poll_reload(&self, now: Instant) {
        // A request that finds another one looking goes on with what there is.
        let Ok(mut file) = self.file.try_lock() else {
            return;
        };
        if !file.changed(now) {
            return;
        }
        let path = self.path.display();
        match read(&self.path, file.contents()) {
            Ok((tls, access)) => {
                if tls != self.tls_config {
                    tracing::warn!(%path, "tls_server_config changed: it takes a restart");
                }
                self.access.store(Arc::new(access));
                tracing::info!(%path, "the web configuration changed and is in use");
            }
            Err(errors) => {
                tracing::warn!(%path, %errors, "the web configuration is bad; the old one stays");
            }
        }
    }
}

fn read(
    path: &Path,
    contents: &[Vec<u8>],
) -> Result<(Option<ServerTlsConfig>, Access), ConfigErrors> {
    let name = path.display().to_string();
    let text = std::str::from_utf8(contents.first().map_or(&[][..], Vec::as_slice))
        .map_err(|error| ConfigErrors(vec![Problem::of_file(&name, error)]))?;
    let (source, raw) = Source::read::<Raw>(&name, text, &[]).map_err(ConfigErrors)?;
    let mut check = Check::new(&source);
    if raw.rate_limit.is_some() {
        check.error("rate_limit", "is not supported; connections and requests are bounded anyway");
    }
    let folder = files::folder_of(Some(path));
    let tls = raw
        .tls_server_config
        .map(|raw| check.within("tls_server_config", |check| tls(raw, folder, check)));
    let headers =
        check.within("http_server_config", |check| headers(&raw.http_server_config, check));
    for (user, hash) in &raw.basic_auth_users {
        let key = format!("basic_auth_users.{user}");
        if user.is_empty() || user.contains(':') {
            check.error("basic_auth_users", format!("{user:?} is empty or has a colon"));
        } else if hash.expose().parse::<bcrypt::HashParts>().is_err() {
            check
                .error(&key, "is not a bcrypt hash, as `htpasswd -nBC 10 '' | tr -d ':\\n'` makes");
        }
    }
    for warning in &check.warnings {
        tracing::warn!(%warning, "web configuration");
    }
    check.finish((tls, Access { users: raw.basic_auth_users, headers }))
}

fn tls(raw: TlsServer, folder: &Path, check: &mut Check<'_>) -> ServerTlsConfig {
    let refused = [
        ("cert", raw.cert.is_some(), "is not supported; use cert_file"),
        ("key", raw.key.is_some(), "is not supported; use key_file"),
        ("client_ca", raw.client_ca.is_some(), "is not supported; use client_ca_file"),
        ("client_allowed_sans", raw.client_allowed_sans.is_some(), "is not supported"),
        ("max_version", raw.max_version == Some(TlsVersion::Tls12), "TLS13 is always offered"),
    ];
    for (key, _, message) in refused.into_iter().filter(|(_, given, _)| *given) {
        check.error(key, message);
    }
    let ignored = [
        ("cipher_suites", raw.cipher_suites.is_some()),
        ("curve_preferences", raw.curve_preferences.is_some()),
        ("prefer_server_cipher_suites", raw.prefer_server_cipher_suites.is_some()),
    ];
    for (key, _) in ignored.into_iter().filter(|(_, given)| *given) {
        check.warn(
            key,
            "has no effect: forward secrecy and authenticated encryption are all there is",
        );
    }
    for (key, file) in [("cert_file", &raw.cert_file), ("key_file", &raw.key_file)] {
        if file.as_os_str().is_empty() {
            check.error(key, "is missing");
        }
    }
    let client_ca_file = raw.client_ca_file.filter(|file| !file.as_os_str().is_empty());
    match (raw.client_auth_type.as_deref().unwrap_or_default(), client_ca_file.is_some()) {
        ("" | "NoClientCert", false) | ("RequireAndVerifyClientCert", true) => {}
        ("" | "NoClientCert", true) => {
            check.error("client_ca_file", "needs client_auth_type: RequireAndVerifyClientCert");
        }
        ("RequireAndVerifyClientCert", false) => {
            check.error("client_auth_type", "needs client_ca_file");
        }
        (other, _) => {
            let message = "is neither NoClientCert nor RequireAndVerifyClientCert";
            check.error("client_auth_type", format!("{other:?} {message}"));
        }
    }
    ServerTlsConfig {
        cert_file: folder.join(raw.cert_file),
        key_file: folder.join(raw.key_file),
        client_ca_file: client_ca_file.map(|file| folder.join(file)),
        min_version: raw.min_version,
    }
}

fn headers(raw: &HttpServer, check: &mut Check<'_>) -> HeaderMap {
    if raw.http2 == Some(false) {
        check.warn("http2", "has no effect: HTTP/2 is offered, and used by those who ask for it");
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &raw.headers {
        let known = HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name));
        match (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            (Ok(name), Ok(value)) if known => drop(headers.insert(name, value)),
            (Ok(_), Err(_)) if known => {
                check.error("headers", format!("the value of {name:?} is none"))
            }
            _ => check.error("headers", format!("{name:?} is none of {}", HEADERS.join(", "))),
        }
    }
    headers
}

/// User and password of RFC 7617.
fn basic(value: &str) -> Option<(String, String)> {
    let (scheme, credentials) = value.split_once(' ')?;
    let pair = general_purpose::STANDARD.decode(credentials.trim()).ok()?;
    let pair = String::from_utf8(pair).ok().filter(|_| scheme.eq_ignore_ascii_case("basic"))?;
    pair.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests;
