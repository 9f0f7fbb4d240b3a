//! What is wrong with an HTTP client's settings: everything at once, each by its key.
//!
//! No file is opened here, and no message repeats a secret or a proxy's URL, which may carry one.

use weir_config::Check;

use super::HttpClientConfig;
use crate::auth::{AuthorizationConfig, BasicAuthConfig, OAuth2Config};
use crate::secret::Secret;
use crate::tls::{ClientTlsConfig, TlsVersion};

/// Headers that HTTP, remote write or scraping set themselves: Prometheus's `ReservedHeaders`.
const RESERVED_HEADERS: [&str; 17] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "retry-attempt",
    "transfer-encoding",
    "user-agent",
    "www-authenticate",
    "x-prometheus-remote-read-version",
    "x-prometheus-remote-write-version",
    "x-prometheus-scrape-timeout-seconds",
];

/// A URL with scheme, host and no credentials; `example` is one for the message.
pub fn check_url(key: &str, url: &str, example: &str, check: &mut Check<'_>) {
    if url.is_empty() {
        check.error(key, "is missing");
    } else if !has_host(url) {
        check.error(key, format!("{url:?} is not a URL like {example}"));
    } else if authority(url).is_some_and(|a| a.contains('@')) {
        check.error(key, "must not carry credentials; use basic_auth");
    }
}

/// A header's name that a configuration may set.
pub fn check_header(key: &str, name: &str, check: &mut Check<'_>) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        check.error(key, format!("{name:?} is not a header's name"));
    } else if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        check.error(key, format!("{name:?} is set by the sender itself"));
    }
}

impl HttpClientConfig {
    /// Reports all that is wrong, by keys of this block.
    pub fn check(&self, check: &mut Check<'_>) {
        self.proxies(check);
        let kinds =
            [self.basic_auth.is_some(), self.authorization.is_some(), self.oauth2.is_some()];
        if kinds.into_iter().filter(|&given| given).count() > 1 {
            check.error("basic_auth", "use one of basic_auth, authorization and oauth2");
        }
        if let Some(config) = &self.basic_auth {
            check.within("basic_auth", |check| basic_auth(config, check));
        }
        if let Some(config) = &self.authorization {
            check.within("authorization", |check| authorization(config, check));
        }
        if let Some(config) = &self.oauth2 {
            check.within("oauth2", |check| oauth2(config, check));
        }
        if let Some(config) = &self.tls_config {
            check.within("tls_config", |check| tls(config, check));
        }
        for (name, header) in &self.http_headers {
            check_header("http_headers", name, check);
            let secrets = header.secrets.iter().map(Secret::expose);
            let mut values = header.values.iter().map(String::as_str).chain(secrets);
            if values.any(|value| value.chars().any(char::is_control)) {
                let message = format!("a value of {name:?} has control characters");
                check.error("http_headers", message);
            }
        }
    }

    fn proxies(&self, check: &mut Check<'_>) {
        proxy(self.proxy_url.as_ref(), check);
        let is_named = self.proxy_url.as_ref().is_some_and(|url| !url.expose().is_empty());
        let by_environment = self.proxy_from_environment == Some(true);
        if by_environment && is_named {
            check.error("proxy_from_environment", "goes without proxy_url; use one of them");
        }
        let excepts = self.no_proxy.as_ref().is_some_and(|hosts| !hosts.is_empty());
        if excepts && by_environment {
            check.error("no_proxy", "is the environment's with proxy_from_environment");
        } else if excepts && !is_named {
            check.error("no_proxy", "goes with proxy_url");
        }
        if !self.proxy_connect_header.is_empty() && !is_named && !by_environment {
            let message = "goes with proxy_url or proxy_from_environment";
            check.error("proxy_connect_header", message);
        }
        for name in self.proxy_connect_header.keys() {
            if hyper::header::HeaderName::try_from(name).is_err() {
                check.error("proxy_connect_header", format!("{name:?} is not a header's name"));
            }
        }
    }
}

fn basic_auth(config: &BasicAuthConfig, check: &mut Check<'_>) {
    let BasicAuthConfig { username, username_file, password, password_file } = config;
    one_of("username", !username.is_empty(), username_file.is_some(), check);
    not_both("password", password.is_some(), password_file.is_some(), check);
}

fn authorization(config: &AuthorizationConfig, check: &mut Check<'_>) {
    let AuthorizationConfig { scheme, credentials, credentials_file } = config;
    if scheme.trim().eq_ignore_ascii_case("basic") {
        check.error("type", "use basic_auth for Basic");
    }
    one_of("credentials", credentials.is_some(), credentials_file.is_some(), check);
}

fn oauth2(config: &OAuth2Config, check: &mut Check<'_>) {
    if config.client_id.is_empty() {
        check.error("client_id", "is missing");
    }
    check_url("token_url", &config.token_url, "https://host/oauth2/token", check);
    let (inline, file) = (config.client_secret.is_some(), config.client_secret_file.is_some());
    one_of("client_secret", inline, file, check);
    check.within("tls_config", |check| tls(&config.tls_config, check));
    proxy(config.proxy_url.as_ref(), check);
}

fn tls(config: &ClientTlsConfig, check: &mut Check<'_>) {
    let ClientTlsConfig { ca, ca_file, cert, cert_file, key, key_file, .. } = config;
    not_both("ca", ca.is_some(), ca_file.is_some(), check);
    not_both("cert", cert.is_some(), cert_file.is_some(), check);
    not_both("key", key.is_some(), key_file.is_some(), check);
    let has_cert = cert.is_some() || cert_file.is_some();
    let has_key = key.is_some() || key_file.is_some();
    if has_cert != has_key {
        check.error("", "a certificate and its key go together");
    }
    if (config.min_version, config.max_version) == (TlsVersion::Tls13, Some(TlsVersion::Tls12)) {
        check.error("", "min_version is above max_version");
    }
}

fn proxy(url: Option<&Secret>, check: &mut Check<'_>) {
    // An empty one is none, as in Prometheus.
    if url.is_some_and(|url| !url.expose().is_empty() && !has_host(url.expose())) {
        check.error("proxy_url", "is not a URL like http://proxy:3128");
    }
}

fn not_both(key: &str, inline: bool, file: bool, check: &mut Check<'_>) {
    if inline && file {
        check.error(key, format!("set {key} or {key}_file, not both"));
    }
}

fn one_of(key: &str, inline: bool, file: bool, check: &mut Check<'_>) {
    not_both(key, inline, file, check);
    if !inline && !file {
        check.error("", format!("needs {key} or {key}_file"));
    }
}

fn authority(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    rest.split(['/', '?', '#']).next()
}

fn has_host(url: &str) -> bool {
    let is_clean = !url.chars().any(|c| c.is_whitespace() || c.is_control());
    let host = authority(url).map(|a| a.rsplit_once('@').map_or(a, |(_, host)| host));
    is_clean && host.is_some_and(|h| !h.is_empty() && !h.starts_with(':'))
}
