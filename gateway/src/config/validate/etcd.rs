//! `cluster.etcd`: where table and members of a tier stand, if not in a file.

use std::path::PathBuf;

use weir_config::{Check, Text};
use weir_http::ClientTlsConfig;
use weir_http::config::check_url;
use weir_model::Millis;

use crate::config::{Etcd, raw};

pub(super) fn etcd(raw: &raw::Etcd, check: &mut Check<'_>) -> Etcd {
    let endpoints = raw.endpoints.clone().unwrap_or_default();
    if endpoints.is_empty() {
        let message = "is missing; list etcd's client URLs: [http://etcd-0:2379]";
        check.error("cluster.etcd.endpoints", message);
    }
    for (index, url) in endpoints.iter().enumerate() {
        let key = format!("cluster.etcd.endpoints[{index}]");
        check_url(&key, url, "http://etcd-0:2379", check);
    }
    let secs = Millis::from_secs;
    let key = "cluster.etcd.session_ttl";
    let ttl = check.duration(key, &raw.session_ttl, secs(10), secs(2)..=secs(600));
    if ttl.0 % 1000 != 0 {
        check.error(key, format!("{ttl} is not in whole seconds, as etcd has it"));
    }
    Etcd {
        endpoints,
        prefix: prefix(&raw.prefix, check),
        session_ttl: ttl.to_std(),
        credentials: credentials(raw, check),
        tls: raw.tls.as_ref().map(|tls| certificates(tls, check)).unwrap_or_default(),
    }
}

fn prefix(text: &Text, check: &mut Check<'_>) -> String {
    let text = check.word("cluster.etcd.prefix", text, "/weir/");
    let is_text = text.chars().all(|c| c.is_ascii_graphic());
    let is_whole = is_text && text.len() > 1 && text.starts_with('/') && text.ends_with('/');
    if !is_whole && !text.is_empty() {
        let message = format!("{text:?} is not a prefix such as /weir/ or /weir/region-1/");
        check.error("cluster.etcd.prefix", message);
    }
    text
}

fn credentials(raw: &raw::Etcd, check: &mut Check<'_>) -> Option<(String, PathBuf)> {
    match (&raw.username, &raw.password_file) {
        (Some(name), Some(file)) => Some((name.clone(), PathBuf::from(file))),
        (None, None) => None,
        _ => {
            check.error("cluster.etcd", "needs both username and password_file, or neither");
            None
        }
    }
}

fn certificates(raw: &raw::ClusterTls, check: &mut Check<'_>) -> ClientTlsConfig {
    let path = |text: &Text| text.as_ref().filter(|t| !t.is_empty()).map(PathBuf::from);
    let (cert_file, key_file) = (path(&raw.cert_file), path(&raw.key_file));
    if cert_file.is_some() != key_file.is_some() {
        check.error("cluster.etcd.tls", "needs both cert_file and key_file, or neither");
    }
    ClientTlsConfig {
        ca_file: path(&raw.ca_file),
        cert_file,
        key_file,
        ..ClientTlsConfig::default()
    }
}
