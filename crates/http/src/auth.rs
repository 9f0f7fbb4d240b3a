//! Credentials: who may come in, and who we are when we go out.
//!
//! Invariant: a presented secret is compared with every configured one in constant time, so timing
//! tells neither which user exists nor how much of a secret was right. It deliberately knows no
//! permissions: an [`Identity`] is a name, and what it may do is the caller's business.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use base64::Engine;
use base64::alphabet;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use base64::engine::{DecodePaddingMode, general_purpose};
use hyper::header::{AUTHORIZATION, HeaderMap};
use serde::Deserialize;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use crate::secret::{Secret, SecretSource};

mod client;
mod oauth2;

pub use client::{AuthorizationConfig, BasicAuthConfig, ClientAuthConfig};
pub(crate) use client::{ClientAuth, header_value};
pub use oauth2::OAuth2Config;

/// Why credentials cannot be set up.
#[derive(Debug, Error)]
pub enum AuthError {
    /// A file with a secret cannot be read; the message names it.
    #[error("{0}")]
    File(#[from] std::io::Error),
    /// The configuration contradicts itself or lacks a part.
    #[error("{0}")]
    Config(String),
}

/// Who may send. No users and no tokens: everybody may.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerAuthConfig {
    /// Users for HTTP basic authentication.
    pub users: Vec<UserConfig>,
    /// Tokens for `Authorization: Bearer`.
    pub bearer_tokens: Vec<TokenConfig>,
}

/// A user with a password, given here or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UserConfig {
    /// The name; must not contain a colon.
    pub username: String,
    /// The password. Excludes `password_file`.
    pub password: Option<Secret>,
    /// A file with the password.
    pub password_file: Option<PathBuf>,
}

/// A bearer token, given here or in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenConfig {
    /// What to call its bearer; never sent by the bearer.
    pub name: String,
    /// The token. Excludes `token_file`.
    pub token: Option<Secret>,
    /// A file with the token.
    pub token_file: Option<PathBuf>,
}

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// No credentials are configured, so none were looked at.
    Open,
    /// A user or the name of a token.
    Named(Arc<str>),
}

/// Why a request is not let in. Answer 401 with [`Denied::challenge`].
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Denied {
    /// No `Authorization` header, or one that is neither basic nor bearer.
    #[error("credentials are required")]
    Missing,
    /// Credentials that fit no user and no token.
    #[error("the credentials are wrong")]
    Wrong,
}

/// The table of users and tokens.
#[derive(Debug, Default)]
pub struct Authenticator {
    users: Vec<(Arc<str>, SecretSource)>,
    tokens: Vec<(Arc<str>, SecretSource)>,
}

impl Authenticator {
    /// Reads the secrets' files, which must exist now.
    pub fn new(config: &ServerAuthConfig, now: Instant) -> Result<Self, AuthError> {
        let mut built = Self::default();
        for user in &config.users {
            if user.username.is_empty() || user.username.contains(':') {
                let name = &user.username;
                return Err(AuthError::Config(format!(
                    "username {name:?} is empty or has a colon"
                )));
            }
            let secret = source("password", user.password.as_ref(), &user.password_file, now)?;
            built.users.push((user.username.as_str().into(), secret));
        }
        for token in &config.bearer_tokens {
            let secret = source("token", token.token.as_ref(), &token.token_file, now)?;
            built.tokens.push((token.name.as_str().into(), secret));
        }
        for (name, secret) in built.users.iter().chain(&built.tokens) {
            if secret.current(now).expose().is_empty() {
                return Err(AuthError::Config(format!("the secret of {name:?} is empty")));
            }
        }
        Ok(built)
    }

    /// Whether everybody is let in.
    pub fn is_open(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }

    /// Who sends a request with these headers.
    pub fn check(&self, headers: &HeaderMap, now: Instant) -> Result<Identity, Denied> {
        if self.is_open() {
            return Ok(Identity::Open);
        }
        let value = headers.get(AUTHORIZATION).ok_or(Denied::Missing)?;
        let value = value.to_str().map_err(|_| Denied::Wrong)?;
        let (scheme, credentials) = value.split_once(' ').ok_or(Denied::Missing)?;
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            find(&self.tokens, now, |_, secret| equal(credentials.as_bytes(), secret.as_bytes()))
        } else if scheme.eq_ignore_ascii_case("basic") {
            let pair = LENIENT.decode(credentials).map_err(|_| Denied::Wrong)?;
            let colon = pair.iter().position(|byte| *byte == b':').ok_or(Denied::Wrong)?;
            let (user, password) = (&pair[..colon], &pair[colon + 1..]);
            find(&self.users, now, |name, secret| {
                equal(user, name.as_bytes()) & equal(password, secret.as_bytes())
            })
        } else {
            Err(Denied::Missing)
        }
    }
}

impl Denied {
    /// The `WWW-Authenticate` header that goes with the 401.
    pub fn challenge(self) -> &'static str {
        "Basic realm=\"weir\", Bearer realm=\"weir\""
    }
}

/// Looks at every entry, whether or not an earlier one fits. An empty secret (a file that was
/// emptied) fits nothing.
fn find(
    table: &[(Arc<str>, SecretSource)],
    now: Instant,
    fits: impl Fn(&str, &str) -> Choice,
) -> Result<Identity, Denied> {
    let mut found = None;
    for (name, source) in table {
        let secret = source.current(now);
        let fit = bool::from(fits(name, secret.expose()));
        if fit && !secret.expose().is_empty() {
            found = Some(name);
        }
    }
    found.map(|name| Identity::Named(Arc::clone(name))).ok_or(Denied::Wrong)
}

fn equal(presented: &[u8], expected: &[u8]) -> Choice {
    presented.ct_eq(expected)
}

/// A secret from its two keys, exactly one of which must be there.
fn source(
    key: &str,
    inline: Option<&Secret>,
    file: &Option<PathBuf>,
    now: Instant,
) -> Result<SecretSource, AuthError> {
    match (inline, file) {
        (Some(secret), None) => Ok(SecretSource::inline(secret.clone())),
        (None, Some(path)) => Ok(SecretSource::file(path, now)?),
        _ => Err(AuthError::Config(format!("exactly one of {key} and {key}_file must be given"))),
    }
}

/// Some senders leave the padding out.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// `Basic base64(user:password)` of RFC 7617.
pub(crate) fn basic(username: &str, password: &str) -> String {
    let pair = format!("{username}:{password}");
    format!("Basic {}", general_purpose::STANDARD.encode(pair))
}

#[cfg(test)]
mod tests;
