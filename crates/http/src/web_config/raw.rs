//! The file as it is written: serde only, every key optional, nothing judged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use weir_config::Unread;

use crate::secret::Secret;
use crate::tls::TlsVersion;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Raw {
    pub(super) tls_server_config: Option<TlsServer>,
    pub(super) http_server_config: HttpServer,
    pub(super) basic_auth_users: BTreeMap<String, Secret>,
    pub(super) rate_limit: Option<Unread>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsServer {
    pub(super) cert: Option<Secret>,
    pub(super) key: Option<Secret>,
    pub(super) client_ca: Option<Secret>,
    pub(super) cert_file: PathBuf,
    pub(super) key_file: PathBuf,
    pub(super) client_ca_file: Option<PathBuf>,
    pub(super) client_auth_type: Option<String>,
    pub(super) client_allowed_sans: Option<Unread>,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: Option<TlsVersion>,
    pub(super) cipher_suites: Option<Unread>,
    pub(super) curve_preferences: Option<Unread>,
    pub(super) prefer_server_cipher_suites: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HttpServer {
    pub(super) http2: Option<bool>,
    pub(super) headers: BTreeMap<String, String>,
}
