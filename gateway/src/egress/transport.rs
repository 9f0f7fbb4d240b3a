//! The way to one backend: a pooled HTTP client made from the destination's settings.
//!
//! Invariant: what cannot work (certificates, secrets' files, headers) is found when it is made,
//! and named. Redirects of a POST are handed back as they are, as answers that block.

use std::path::PathBuf;
use std::time::Instant;

use weir_http::auth::{AuthorizationConfig, BasicAuthConfig, ClientAuthConfig, OAuth2Config};
use weir_http::client::header_map;
use weir_http::tls::TlsVersion;
use weir_http::{Client, ClientConfig, ClientTlsConfig, Secret, Uri};
use weir_remote::config::{self, Auth, Destination, SecretSource, TextSource, Tls};
use weir_remote::{Post, PostError, Reply, Transport};

/// A client of one destination.
#[derive(Debug)]
pub struct HttpTransport {
    client: Client,
    url: Uri,
    timeout: std::time::Duration,
}

impl HttpTransport {
    /// Reads certificates and secrets, connects to nothing. The error names the destination.
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let named = |error: String| format!("remote_write {:?}: {error}", destination.name);
        let url = destination.url.parse::<Uri>().map_err(|e| named(format!("url: {e}")))?;
        let headers = destination.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        header_map(headers).map_err(named)?;
        let config = ClientConfig {
            tls: tls(&destination.tls).map_err(named)?,
            auth: auth(&destination.auth).map_err(named)?,
            concurrency_max: destination.queue.max_shards,
            http2: destination.enable_http2,
            proxy_url: destination.proxy_url.as_ref().map(secret),
            follow_redirects: destination.follow_redirects,
            ..ClientConfig::default()
        };
        let client = Client::new(config, Instant::now()).map_err(|e| named(e.to_string()))?;
        Ok(Self { client, url, timeout: destination.timeout })
    }
}

impl Transport for HttpTransport {
    async fn post(&self, post: Post) -> Result<Reply, PostError> {
        let headers = post.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let headers = header_map(headers).map_err(|text| PostError { text, maybe_sent: false })?;
        let sent = self.client.post(&self.url, headers, post.body, self.timeout).await;
        crate::crash::point("send");
        let reply =
            sent.map_err(|e| PostError { maybe_sent: e.maybe_sent(), text: e.to_string() })?;
        let header = |name: &str| reply.headers.get(name)?.to_str().ok().map(str::to_owned);
        Ok(Reply::new(reply.status.as_u16(), &header, &reply.body))
    }
}

fn secret(secret: &config::Secret) -> Secret {
    Secret::new(secret.reveal())
}

/// The text, or the file that has it.
fn split_secret(source: &SecretSource) -> (Option<Secret>, Option<PathBuf>) {
    match source {
        SecretSource::Inline(text) => (Some(secret(text)), None),
        SecretSource::File(path) => (None, Some(path.clone())),
    }
}

fn split_text(source: &TextSource) -> (Option<String>, Option<PathBuf>) {
    match source {
        TextSource::Inline(text) => (Some(text.clone()), None),
        TextSource::File(path) => (None, Some(path.clone())),
    }
}

fn auth(auth: &Auth) -> Result<ClientAuthConfig, String> {
    let mut config = ClientAuthConfig::default();
    match auth {
        Auth::None => {}
        Auth::Basic { username, password } => {
            let (username, username_file) = split_text(username);
            let (password, password_file) = password.as_ref().map(split_secret).unwrap_or_default();
            config.basic_auth = Some(BasicAuthConfig {
                username: username.unwrap_or_default(),
                username_file,
                password,
                password_file,
            });
        }
        Auth::Authorization { scheme, credentials } => {
            let (credentials, credentials_file) = split_secret(credentials);
            let scheme = scheme.clone();
            config.authorization =
                Some(AuthorizationConfig { scheme, credentials, credentials_file });
        }
        Auth::OAuth2(oauth2) => {
            let (client_secret, client_secret_file) = split_secret(&oauth2.client_secret);
            config.oauth2 = Some(OAuth2Config {
                client_id: oauth2.client_id.clone(),
                client_secret,
                client_secret_file,
                scopes: oauth2.scopes.clone(),
                token_url: oauth2.token_url.clone(),
                endpoint_params: oauth2.endpoint_params.clone(),
                tls_config: tls(&oauth2.tls).map_err(|e| format!("oauth2: {e}"))?,
                proxy_url: oauth2.proxy_url.as_ref().map(secret),
            });
        }
    }
    Ok(config)
}

fn tls(tls: &Tls) -> Result<ClientTlsConfig, String> {
    if tls.max_version == Some(config::TlsVersion::Tls12) {
        return Err("tls_config.max_version: only TLS13, the default, is supported".to_owned());
    }
    let (ca, ca_file) = tls.ca.as_ref().map(split_text).unwrap_or_default();
    let identity = tls.identity.as_ref();
    let (cert, cert_file) = identity.map(|i| split_text(&i.cert)).unwrap_or_default();
    let (key, key_file) = identity.map(|i| split_secret(&i.key)).unwrap_or_default();
    Ok(ClientTlsConfig {
        ca,
        ca_file,
        cert,
        cert_file,
        key,
        key_file,
        server_name: tls.server_name.clone(),
        insecure_skip_verify: tls.insecure_skip_verify,
        min_version: match tls.min_version {
            Some(config::TlsVersion::Tls13) => TlsVersion::Tls13,
            Some(config::TlsVersion::Tls12) | None => TlsVersion::Tls12,
        },
    })
}
