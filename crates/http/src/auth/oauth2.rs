//! OAuth 2.0 client credentials (RFC 6749, section 4.4): fetch a token, keep it, fetch again.
//!
//! Invariant: one fetch at a time, and the token is in no log. The client authenticates by HTTP
//! basic; an endpoint that refuses that is asked again with the credentials in the form, which is
//! how Go's client, and so Prometheus, finds the endpoint's taste. It deliberately knows no other
//! grant.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Uri};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::client::header_value;
use super::{AuthError, basic, source};
use crate::client::{ClientError, ProxyConfig, Reply, Transport, TransportConfig};
use crate::secret::{Secret, SecretSource};
use crate::tls::ClientTlsConfig;

/// Prometheus's `oauth2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth2Config {
    /// The client's name.
    pub client_id: String,
    /// Its secret. Excludes `client_secret_file`.
    pub client_secret: Option<Secret>,
    /// A file with its secret.
    pub client_secret_file: Option<PathBuf>,
    /// Scopes to ask for.
    pub scopes: Vec<String>,
    /// Where tokens are issued.
    pub token_url: String,
    /// Further form fields of the token request.
    pub endpoint_params: BTreeMap<String, String>,
    /// TLS towards the token endpoint.
    pub tls_config: ClientTlsConfig,
    /// Proxy towards the token endpoint.
    pub proxy_url: Option<Secret>,
}

#[derive(Debug)]
pub(crate) struct OAuth2 {
    client_id: String,
    secret: SecretSource,
    token_url: Uri,
    /// Every form field but the credentials.
    form: String,
    transport: Transport,
    token: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Token {
    header: HeaderValue,
    expires: Option<Instant>,
}

/// The answer of RFC 6749, section 5.1. Some endpoints send `expires_in` as a string.
#[derive(Deserialize)]
struct Answer {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<Lifetime>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Lifetime {
    Seconds(f64),
    Text(String),
}

impl OAuth2 {
    pub(crate) fn new(config: &OAuth2Config, now: Instant) -> Result<Self, AuthError> {
        let bad = |reason: String| AuthError::Config(format!("oauth2: {reason}"));
        if config.client_id.is_empty() {
            return Err(bad("client_id is missing".to_owned()));
        }
        let token_url: Uri =
            config.token_url.parse().map_err(|error| bad(format!("token_url: {error}")))?;
        let (inline, file) = (config.client_secret.as_ref(), &config.client_secret_file);
        let secret = source("client_secret", inline, file, now)?;
        let transport = TransportConfig {
            tls: config.tls_config.clone(),
            proxy: ProxyConfig { url: config.proxy_url.clone(), ..ProxyConfig::default() },
            ..TransportConfig::default()
        };
        let transport = Transport::new(transport, now).map_err(|error| bad(error.to_string()))?;
        let mut form = "grant_type=client_credentials".to_owned();
        if !config.scopes.is_empty() {
            push_field(&mut form, "scope", &config.scopes.join(" "));
        }
        for (key, value) in &config.endpoint_params {
            push_field(&mut form, key, value);
        }
        let (client_id, token) = (config.client_id.clone(), Mutex::new(None));
        Ok(Self { client_id, secret, token_url, form, transport, token })
    }

    /// The header with a token that is still good, fetched if need be.
    pub(crate) async fn header(&self, now: Instant) -> Result<HeaderValue, ClientError> {
        let mut held = self.token.lock().await;
        if let Some(token) = &*held
            && token.expires.is_none_or(|expires| now < expires)
        {
            return Ok(token.header.clone());
        }
        let token = self.fetch(now).await?;
        let header = token.header.clone();
        *held = Some(token);
        Ok(header)
    }

    /// Drops the token if it is still the one that was refused; true, for a new one may be had.
    pub(crate) async fn forget(&self, used: &HeaderValue) -> bool {
        let mut held = self.token.lock().await;
        if held.as_ref().is_some_and(|token| token.header == *used) {
            *held = None;
        }
        true
    }

    async fn fetch(&self, now: Instant) -> Result<Token, ClientError> {
        let secret = self.secret.current(now);
        let (id, key) = (encode(&self.client_id), encode(secret.expose()));
        let mut reply = self.ask(self.form.clone(), Some(basic(&id, &key)), now).await?;
        if reply.status.is_client_error() {
            let mut form = self.form.clone();
            push_field(&mut form, "client_id", &self.client_id);
            push_field(&mut form, "client_secret", secret.expose());
            reply = self.ask(form, None, now).await?;
        }
        if !reply.status.is_success() {
            let refusal = format!("the token endpoint answered {}", reply.status);
            return Err(ClientError::Auth(refusal));
        }
        // The parser's message could quote the answer, which may hold the token.
        let answer: Answer = serde_json::from_slice(&reply.body)
            .map_err(|_| ClientError::Auth("the token endpoint's answer is no token".to_owned()))?;
        let scheme = match answer.token_type.as_str() {
            "" => "Bearer",
            bearer if bearer.eq_ignore_ascii_case("bearer") => "Bearer",
            other => other,
        };
        let header = header_value(&format!("{scheme} {}", answer.access_token))?;
        let lifetime = answer.expires_in.and_then(|lifetime| match lifetime {
            Lifetime::Seconds(seconds) => Some(seconds),
            Lifetime::Text(text) => text.parse().ok(),
        });
        let lifetime = lifetime.and_then(|s| Duration::try_from_secs_f64(s).ok());
        let expires = lifetime.and_then(|life| now.checked_add(life.saturating_sub(EARLY)));
        Ok(Token { header, expires })
    }

    async fn ask(
        &self,
        form: String,
        authorization: Option<String>,
        now: Instant,
    ) -> Result<Reply, ClientError> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(self.token_url.clone())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json");
        if let Some(text) = authorization {
            request = request.header(AUTHORIZATION, header_value(&text)?);
        }
        let request = request
            .body(Bytes::from(form).into())
            .map_err(|error| ClientError::Url(error.to_string()))?;
        let deadline = tokio::time::Instant::now() + TOKEN_TIMEOUT;
        let response = self.transport.send(request, deadline, now).await;
        let response = response.map_err(|error| match error {
            ClientError::Url(reason) => ClientError::Url(reason),
            other => ClientError::Auth(format!("the token endpoint cannot be asked: {other}")),
        })?;
        Ok(self.transport.read(response, deadline).await)
    }
}

fn push_field(form: &mut String, key: &str, value: &str) {
    form.push('&');
    form.push_str(&encode(key));
    form.push('=');
    form.push_str(&encode(value));
}

/// `application/x-www-form-urlencoded`, as RFC 6749 wants it even inside basic credentials.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            // Writing into a String does not fail.
            _ => write!(out, "%{byte:02X}").unwrap_or_default(),
        }
    }
    out
}

const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// A token is not used in its last seconds: it must outlive the request. Go's margin.
const EARLY: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodes_as_a_form_does() {
        assert_eq!(encode("a b&c=d/é~*"), "a+b%26c%3Dd%2F%C3%A9%7E*");
    }
}
