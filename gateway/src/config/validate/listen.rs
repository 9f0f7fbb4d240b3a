//! What stands at the door: the address, credentials, certificates; and the log's level.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use weir_config::{Check, Text};
use weir_http::tls::TlsVersion;
use weir_http::{ServerAuthConfig, ServerTlsConfig};

use crate::config::raw;

const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9201);

pub(super) fn of_file(text: &Text, check: &mut Check<'_>) -> SocketAddr {
    let Some(text) = text else {
        return LISTEN_DEFAULT;
    };
    listen(text).unwrap_or_else(|message| {
        check.error("listen", message);
        LISTEN_DEFAULT
    })
}

/// An address to listen at; without a host it is every address of the machine.
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let full = match host {
        "" => format!("0.0.0.0:{port}"),
        "localhost" => format!("127.0.0.1:{port}"),
        _ => text.to_owned(),
    };
    full.parse().map_err(|_| {
        format!("{text:?} is not an address; write it as 127.0.0.1:9201, [::1]:9201, or :9201 for every address")
    })
}

/// Whether this is a log level, or levels by module.
pub(crate) fn directives(text: &str) -> Result<(), String> {
    let is_level = |l: &str| {
        ["off", "error", "warn", "info", "debug", "trace"]
            .contains(&l.to_ascii_lowercase().as_str())
    };
    let is_module =
        |m: &str| !m.is_empty() && m.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c));
    let is_directive = |d: &str| match d.split_once('=') {
        Some((module, level)) => is_module(module) && is_level(level),
        None => is_level(d),
    };
    if text.split(',').all(is_directive) {
        Ok(())
    } else {
        Err(format!(
            "{text:?} is not one of error, warn, info, debug, trace, nor module=level,module=level"
        ))
    }
}

pub(super) fn auth(auth: ServerAuthConfig, check: &mut Check<'_>) -> ServerAuthConfig {
    let mut names: Vec<&str> = Vec::new();
    for (index, user) in auth.users.iter().enumerate() {
        let at = format!("auth.users[{index}]");
        if user.username.is_empty() || user.username.contains(':') {
            check.error(&at, format!("username {:?} is empty or has a colon", user.username));
        }
        secret(&at, "password", user.password.is_some(), user.password_file.is_some(), check);
        unique(&at, "username", &user.username, &mut names, check);
    }
    names.clear();
    for (index, token) in auth.bearer_tokens.iter().enumerate() {
        let at = format!("auth.bearer_tokens[{index}]");
        if token.name.is_empty() {
            check.error(&at, "name is missing; it tells in logs and metrics whose token it is");
        }
        secret(&at, "token", token.token.is_some(), token.token_file.is_some(), check);
        unique(&at, "name", &token.name, &mut names, check);
    }
    auth
}

fn secret(at: &str, key: &str, inline: bool, file: bool, check: &mut Check<'_>) {
    if inline == file {
        let message = if inline { "keep one of them" } else { "one of them is needed" };
        check.error(at, format!("{key} and {key}_file: {message}"));
    }
}

fn unique<'n>(at: &str, key: &str, name: &'n str, names: &mut Vec<&'n str>, check: &mut Check<'_>) {
    if names.contains(&name) {
        check.error(at, format!("{key} {name:?} stands in an earlier entry"));
    }
    names.push(name);
}

/// `None` for an empty section: plain HTTP.
pub(super) fn tls(raw: &raw::Tls, check: &mut Check<'_>) -> Option<ServerTlsConfig> {
    let versions = [("TLS12", TlsVersion::Tls12), ("TLS13", TlsVersion::Tls13)];
    let min_version =
        check.choice("tls.min_version", &raw.min_version, TlsVersion::Tls12, &versions);
    let path = |text: &Text| text.as_ref().filter(|t| !t.is_empty()).map(PathBuf::from);
    let (cert, key, ca) = (path(&raw.cert_file), path(&raw.key_file), path(&raw.client_ca_file));
    match (cert, key) {
        (Some(cert_file), Some(key_file)) => {
            Some(ServerTlsConfig { cert_file, key_file, client_ca_file: ca, min_version })
        }
        (None, None) if ca.is_none() => None,
        _ => {
            check.error("tls", "needs both cert_file and key_file; neither is plain HTTP");
            None
        }
    }
}
