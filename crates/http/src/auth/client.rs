//! What a client says about itself: `basic_auth`, `authorization` or `oauth2`, as in Prometheus.
//!
//! Invariant: at most one of them is configured. Secrets in files are read again as they change.

use std::path::PathBuf;
use std::time::Instant;

use hyper::header::HeaderValue;
use serde::Deserialize;

use super::oauth2::{OAuth2, OAuth2Config};
use super::{AuthError, basic, source};
use crate::client::ClientError;
use crate::secret::{Secret, SecretSource};

/// A client's credentials; at most one kind may be given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientAuthConfig {
    /// HTTP basic authentication.
    pub basic_auth: Option<BasicAuthConfig>,
    /// A fixed `Authorization` header.
    pub authorization: Option<AuthorizationConfig>,
    /// A token fetched by OAuth 2.0 client credentials.
    pub oauth2: Option<OAuth2Config>,
}

/// Prometheus's `basic_auth`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BasicAuthConfig {
    /// The user. Excludes `username_file`.
    pub username: String,
    /// A file with the user's name.
    pub username_file: Option<PathBuf>,
    /// The password; empty if neither this nor `password_file` is given.
    pub password: Option<Secret>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
}

/// Prometheus's `authorization`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AuthorizationConfig {
    /// The scheme before the credentials; `Bearer` unless given.
    #[serde(rename = "type")]
    pub scheme: String,
    /// The credentials. Excludes `credentials_file`.
    pub credentials: Option<Secret>,
    /// A file with the credentials.
    pub credentials_file: Option<PathBuf>,
}

/// Makes the `Authorization` header of each request.
#[derive(Debug)]
pub(crate) enum ClientAuth {
    None,
    Basic { username: SecretSource, password: SecretSource },
    Scheme { scheme: String, credentials: SecretSource },
    OAuth2(Box<OAuth2>),
}

impl Default for AuthorizationConfig {
    fn default() -> Self {
        Self { scheme: "Bearer".to_owned(), credentials: None, credentials_file: None }
    }
}

impl ClientAuth {
    pub(crate) fn new(config: &ClientAuthConfig, now: Instant) -> Result<Self, AuthError> {
        match (&config.basic_auth, &config.authorization, &config.oauth2) {
            (None, None, None) => Ok(Self::None),
            (Some(config), None, None) => Self::basic(config, now),
            (None, Some(config), None) => Self::scheme(config, now),
            (None, None, Some(config)) => Ok(Self::OAuth2(Box::new(OAuth2::new(config, now)?))),
            _ => Err(AuthError::Config(
                "at most one of basic_auth, authorization and oauth2 may be given".to_owned(),
            )),
        }
    }

    fn basic(config: &BasicAuthConfig, now: Instant) -> Result<Self, AuthError> {
        let username = Some(Secret::new(&config.username)).filter(|name| !name.expose().is_empty());
        let username = source("username", username.as_ref(), &config.username_file, now)?;
        let none = config.password.is_none() && config.password_file.is_none();
        let password = config.password.clone().or(none.then(Secret::default));
        let password = source("password", password.as_ref(), &config.password_file, now)?;
        Ok(Self::Basic { username, password })
    }

    fn scheme(config: &AuthorizationConfig, now: Instant) -> Result<Self, AuthError> {
        let scheme = config.scheme.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            let advice = "authorization: type \"Basic\" is what basic_auth is for";
            return Err(AuthError::Config(advice.to_owned()));
        }
        let (inline, file) = (config.credentials.as_ref(), &config.credentials_file);
        let credentials = source("credentials", inline, file, now)?;
        let scheme = if scheme.is_empty() { "Bearer" } else { scheme };
        Ok(Self::Scheme { scheme: scheme.to_owned(), credentials })
    }

    /// The header's value, marked sensitive; `None` if there are no credentials.
    pub(crate) async fn header(&self, now: Instant) -> Result<Option<HeaderValue>, ClientError> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Basic { username, password } => {
                basic(username.current(now).expose(), password.current(now).expose())
            }
            Self::Scheme { scheme, credentials } => {
                format!("{scheme} {}", credentials.current(now).expose())
            }
            Self::OAuth2(oauth2) => return oauth2.header(now).await.map(Some),
        };
        header_value(&text).map(Some)
    }

    /// The server refused `used`: forgets a fetched token. Says whether another try makes sense.
    pub(crate) async fn refused(&self, used: &HeaderValue) -> bool {
        match self {
            Self::OAuth2(oauth2) => oauth2.forget(used).await,
            _ => false,
        }
    }
}

/// A header's value that no `Debug` shows.
pub(crate) fn header_value(text: &str) -> Result<HeaderValue, ClientError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| ClientError::Auth("the secret holds bytes that no header may".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
