//! An HTTP client's settings as Prometheus writes them, wherever a block of a file holds one:
//! `remote_write`, `scrape_configs`, discovery over HTTP.
//!
//! Invariant: there is one set of types, from the file to the client; a block in which
//! [`HttpClientConfig::check`] finds nothing makes a client, unless a file cannot be used. Files of
//! secrets and certificates are named here and read by the client, again and again. No `Debug`
//! shows a secret.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_config::files;

use crate::auth::ClientAuthConfig;
use crate::client::{ClientConfig, ProxyConfig};
use crate::secret::Secret;

mod check;

pub use check::{check_header, check_url};

/// Declares a block of a file that has an HTTP client's keys beside its own. `http_client` gives
/// them as one [`HttpClientConfig`].
///
/// serde's `flatten` would need fewer words, but forgets which keys are known.
#[macro_export]
macro_rules! http_client_block {
    ($(#[$meta:meta])* pub struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        pub struct $name {
            $($own)*
            /// User and password.
            pub basic_auth: Option<$crate::auth::BasicAuthConfig>,
            /// A fixed `Authorization` header.
            pub authorization: Option<$crate::auth::AuthorizationConfig>,
            /// OAuth 2.0, client credentials grant.
            pub oauth2: Option<$crate::auth::OAuth2Config>,
            /// TLS to the server.
            pub tls_config: Option<$crate::ClientTlsConfig>,
            /// An HTTP proxy.
            pub proxy_url: Option<$crate::Secret>,
            /// Hosts that are asked without the proxy.
            pub no_proxy: Option<String>,
            /// Whether the environment names the proxy.
            pub proxy_from_environment: Option<bool>,
            /// Headers of CONNECT requests.
            pub proxy_connect_header: std::collections::BTreeMap<String, Vec<$crate::Secret>>,
            /// Whether redirects of a GET are followed. Default true.
            pub follow_redirects: Option<bool>,
            /// Whether HTTP/2 is offered. Default true.
            pub enable_http2: Option<bool>,
            /// Headers of every request, by name.
            pub http_headers: std::collections::BTreeMap<String, $crate::config::HeaderConfig>,
        }

        impl $name {
            /// The keys that are an HTTP client's.
            pub fn http_client(&self) -> $crate::HttpClientConfig {
                $crate::HttpClientConfig {
                    basic_auth: self.basic_auth.clone(),
                    authorization: self.authorization.clone(),
                    oauth2: self.oauth2.clone(),
                    tls_config: self.tls_config.clone(),
                    proxy_url: self.proxy_url.clone(),
                    no_proxy: self.no_proxy.clone(),
                    proxy_from_environment: self.proxy_from_environment,
                    proxy_connect_header: self.proxy_connect_header.clone(),
                    follow_redirects: self.follow_redirects,
                    enable_http2: self.enable_http2,
                    http_headers: self.http_headers.clone(),
                }
            }
        }
    };
}

http_client_block! {
    /// Prometheus's `HTTPClientConfig`.
    #[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    pub struct HttpClientConfig {}
}

/// The values of one header in `http_headers`: all are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderConfig {
    /// Values that may be seen.
    pub values: Vec<String>,
    /// Values that may not.
    pub secrets: Vec<Secret>,
    /// Files that hold one value each.
    pub files: Vec<PathBuf>,
}

impl HttpClientConfig {
    /// Puts every file's name into this folder, unless it is absolute.
    pub fn resolve(&mut self, folder: &Path) {
        self.each_file(|path| *path = folder.join(&*path));
    }

    /// The files that must be readable, such as for [`files::check_opens`].
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        self.clone().each_file(|path| found.push(path.clone()));
        found
    }

    /// What is wrong with a file that is named here, if it cannot be opened.
    pub fn check_files(&self) -> Vec<String> {
        self.files().iter().filter_map(|path| files::check_opens(path).err()).collect()
    }

    /// The settings of a [`crate::Client`]; what no block says has its default.
    pub fn client_config(&self) -> ClientConfig {
        ClientConfig {
            tls: self.tls_config.clone().unwrap_or_default(),
            auth: ClientAuthConfig {
                basic_auth: self.basic_auth.clone(),
                authorization: self.authorization.clone(),
                oauth2: self.oauth2.clone(),
            },
            http_headers: self.http_headers.clone(),
            proxy: ProxyConfig {
                url: self.proxy_url.clone(),
                no_proxy: self.no_proxy.clone(),
                from_environment: self.proxy_from_environment == Some(true),
                connect_headers: self.proxy_connect_header.clone(),
            },
            follow_redirects: self.follow_redirects.unwrap_or(true),
            http2: self.enable_http2.unwrap_or(true),
            ..ClientConfig::default()
        }
    }

    fn each_file(&mut self, mut act: impl FnMut(&mut PathBuf)) {
        let mut paths: Vec<&mut Option<PathBuf>> = Vec::new();
        if let Some(basic) = &mut self.basic_auth {
            paths.extend([&mut basic.username_file, &mut basic.password_file]);
        }
        if let Some(authorization) = &mut self.authorization {
            paths.push(&mut authorization.credentials_file);
        }
        let mut tls = Vec::from_iter(&mut self.tls_config);
        if let Some(oauth2) = &mut self.oauth2 {
            paths.push(&mut oauth2.client_secret_file);
            tls.push(&mut oauth2.tls_config);
        }
        for tls in tls {
            paths.extend([&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file]);
        }
        let headers = self.http_headers.values_mut().flat_map(|header| &mut header.files);
        paths.into_iter().flatten().chain(headers).for_each(&mut act);
    }
}

#[cfg(test)]
mod tests;
