//! The part of the block that says how to get in: URL, headers, credentials, TLS, proxy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::super::raw;
use super::super::{Auth, OAuth2, Secret, SecretSource, TextSource, Tls, TlsIdentity, TlsVersion};
use super::Check;

/// Headers that remote write or HTTP sets itself (Prometheus's `reservedHeaders`).
const RESERVED_HEADERS: [&str; 15] = [
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
    "x-prometheus-remote-write-version",
];

pub(super) fn check_url(key: &str, url: &str, check: &mut Check<'_>) {
    if url.is_empty() {
        check.error(key, "is missing");
    } else if !has_host(url) {
        let message = format!("{url:?} is not a URL like https://host:9090/api/v1/write");
        check.error(key, message);
    } else if authority(url).is_some_and(|a| a.contains('@')) {
        check.error(key, "must not carry credentials; use basic_auth");
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

pub(super) fn refuse_unsupported(block: &raw::RemoteWrite, check: &mut Check<'_>) {
    let proxy = "is not supported; name the proxy in proxy_url";
    let refused = [
        ("sigv4", block.sigv4.is_some(), "is not supported; put aws-sigv4-proxy in between"),
        ("azuread", block.azuread.is_some(), "is not supported; use oauth2"),
        ("google_iam", block.google_iam.is_some(), "is not supported; use authorization"),
        ("no_proxy", block.no_proxy.is_some(), "is not supported; leave out proxy_url"),
        ("proxy_from_environment", block.proxy_from_environment == Some(true), proxy),
        ("proxy_connect_header", block.proxy_connect_header.is_some(), "is not supported"),
    ];
    for (key, is_set, message) in refused {
        if is_set {
            check.error(key, message);
        }
    }
}

pub(super) fn check_header(key: &str, name: &str, check: &mut Check<'_>) {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if name.is_empty() || !name.chars().all(is_token) {
        check.error(key, format!("{name:?} is not a header's name"));
    } else if RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
        check.error(key, format!("{name:?} is set by the sender itself"));
    }
}

pub(super) fn headers(block: &raw::RemoteWrite, check: &mut Check<'_>) -> BTreeMap<String, String> {
    for (name, value) in &block.headers {
        check_header("headers", name, check);
        if value.chars().any(char::is_control) {
            check.error("headers", format!("the value of {name:?} has control characters"));
        }
        let tenant = block.tenant_header.as_ref();
        if tenant.is_some_and(|t| t.eq_ignore_ascii_case(name)) {
            check.error("headers", format!("{name:?} is the tenant_header"));
        }
    }
    block.headers.clone()
}

/// A proxy's URL may carry credentials, so no message repeats it.
pub(super) fn proxy(key: &str, url: Option<&Secret>, check: &mut Check<'_>) -> Option<Secret> {
    let url = url?;
    if !has_host(url.reveal()) {
        check.error(key, "is not a URL like http://proxy:3128");
    }
    Some(url.clone())
}

/// One of an inline text and a file; both is an error, none is `None`.
fn one_of<T>(
    key: &str,
    inline: Option<T>,
    file: Option<&PathBuf>,
    check: &mut Check<'_>,
) -> Option<Result<T, PathBuf>> {
    if inline.is_some() && file.is_some() {
        check.error(key, format!("set {key} or {key}_file, not both"));
    }
    inline.map(Ok).or_else(|| file.cloned().map(Err))
}

fn text(
    key: &str,
    inline: Option<&String>,
    file: Option<&PathBuf>,
    check: &mut Check<'_>,
) -> Option<TextSource> {
    let one = one_of(key, inline.cloned(), file, check)?;
    Some(one.map_or_else(TextSource::File, TextSource::Inline))
}

fn secret(
    key: &str,
    inline: Option<&Secret>,
    file: Option<&PathBuf>,
    check: &mut Check<'_>,
) -> Option<SecretSource> {
    let one = one_of(key, inline.cloned(), file, check)?;
    Some(one.map_or_else(SecretSource::File, SecretSource::Inline))
}

pub(super) fn auth(block: &raw::RemoteWrite, check: &mut Check<'_>) -> Auth {
    let (basic, header, oauth2) = (&block.basic_auth, &block.authorization, &block.oauth2);
    let given = [basic.is_some(), header.is_some(), oauth2.is_some()];
    if given.into_iter().filter(|&g| g).count() > 1 {
        check.error("basic_auth", "use one of basic_auth, authorization and oauth2");
    }
    if let Some(basic) = basic {
        let user = text("username", basic.username.as_ref(), basic.username_file.as_ref(), check);
        let password = (basic.password.as_ref(), basic.password_file.as_ref());
        return Auth::Basic {
            username: user.unwrap_or_else(|| TextSource::Inline(String::new())),
            password: secret("password", password.0, password.1, check),
        };
    }
    if let Some(header) = header {
        return authorization(header, check);
    }
    oauth2.as_ref().map_or(Auth::None, |o| self::oauth2(o, check))
}

fn authorization(header: &raw::Authorization, check: &mut Check<'_>) -> Auth {
    let scheme = header.kind.clone().unwrap_or_else(|| "Bearer".into());
    if scheme.eq_ignore_ascii_case("basic") {
        check.error("authorization.type", "use basic_auth for Basic");
    }
    let file = header.credentials_file.as_ref();
    let credentials = secret("credentials", header.credentials.as_ref(), file, check);
    let Some(credentials) = credentials else {
        check.error("authorization", "needs credentials or credentials_file");
        return Auth::None;
    };
    Auth::Authorization { scheme, credentials }
}

fn oauth2(raw: &raw::OAuth2, check: &mut Check<'_>) -> Auth {
    if raw.client_id.is_empty() {
        check.error("oauth2.client_id", "is missing");
    }
    check_url("oauth2.token_url", &raw.token_url, check);
    let file = raw.client_secret_file.as_ref();
    let client_secret = secret("client_secret", raw.client_secret.as_ref(), file, check);
    let Some(client_secret) = client_secret else {
        check.error("oauth2", "needs client_secret or client_secret_file");
        return Auth::None;
    };
    Auth::OAuth2(Box::new(OAuth2 {
        client_id: raw.client_id.clone(),
        client_secret,
        scopes: raw.scopes.clone(),
        token_url: raw.token_url.clone(),
        endpoint_params: raw.endpoint_params.clone(),
        tls: tls("oauth2.tls_config", raw.tls_config.as_ref(), check),
        proxy_url: proxy("oauth2.proxy_url", raw.proxy_url.as_ref(), check),
    }))
}

const TLS_VERSIONS: [(&str, Option<TlsVersion>); 2] =
    [("TLS12", Some(TlsVersion::Tls12)), ("TLS13", Some(TlsVersion::Tls13))];

pub(super) fn tls(key: &str, raw: Option<&raw::Tls>, check: &mut Check<'_>) -> Tls {
    let Some(raw) = raw else {
        return Tls::default();
    };
    let cert = text("cert", raw.cert.as_ref(), raw.cert_file.as_ref(), check);
    let private = secret("key", raw.key.as_ref(), raw.key_file.as_ref(), check);
    let identity = match (cert, private) {
        (Some(cert), Some(key)) => Some(TlsIdentity { cert, key }),
        (None, None) => None,
        _ => {
            check.error(key, "a certificate and its key go together");
            None
        }
    };
    let mut version = |name: &str, text: Option<&String>| {
        check.choice(&format!("{key}.{name}"), text, &TLS_VERSIONS, None)
    };
    let min_version = version("min_version", raw.min_version.as_ref());
    let max_version = version("max_version", raw.max_version.as_ref());
    if let (Some(min), Some(max)) = (min_version, max_version)
        && min > max
    {
        check.error(key, "min_version is above max_version");
    }
    Tls {
        ca: text("ca", raw.ca.as_ref(), raw.ca_file.as_ref(), check),
        identity,
        server_name: raw.server_name.clone(),
        insecure_skip_verify: raw.insecure_skip_verify.unwrap_or(false),
        min_version,
        max_version,
    }
}
