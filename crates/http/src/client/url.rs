//! URLs with credentials in them, redirects' targets, and which headers are secret.
//!
//! Invariant: credentials leave a URL before it is sent anywhere, and go to no other host.

use hyper::Uri;
use hyper::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};

use super::ClientError;
use crate::auth::basic;

/// Takes `user:password@` out of a URL: it becomes basic credentials, as in Go, and thus
/// Prometheus, and never reaches the `Host` header.
pub(super) fn split_userinfo(url: &Uri) -> Result<(Uri, Option<HeaderValue>), ClientError> {
    let bad = |reason: &str| ClientError::Url(reason.to_owned());
    let authority = url.authority().ok_or_else(|| bad("has no host"))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) {
        return Err(bad("is neither http nor https"));
    }
    let Some((userinfo, host)) = authority.as_str().rsplit_once('@') else {
        return Ok((url.clone(), None));
    };
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let value = HeaderValue::from_str(&basic(&percent_decode(user), &percent_decode(password)));
    let mut value = value.map_err(|_| bad("has unusable credentials"))?;
    value.set_sensitive(true);
    let mut parts = url.clone().into_parts();
    parts.authority = Some(host.parse().map_err(|_| bad("has no usable host"))?);
    Ok((Uri::from_parts(parts).map_err(|_| bad("cannot be read"))?, Some(value)))
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &tail[2..];
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A `Location` relative to the URL that answered with it: absolute, or an absolute path.
pub(super) fn resolve(base: &Uri, location: &HeaderValue) -> Result<Uri, ClientError> {
    let bad = || ClientError::Url("redirect to a URL that cannot be read".to_owned());
    let target: Uri = location.to_str().map_err(|_| bad())?.parse().map_err(|_| bad())?;
    let mut parts = target.into_parts();
    if parts.scheme.is_none() {
        parts.scheme = base.scheme().cloned();
        parts.authority = parts.authority.or_else(|| base.authority().cloned());
    }
    Uri::from_parts(parts).map_err(|_| bad())
}

/// Header pairs of a configuration as a map; the error names the pair that is no header.
pub fn header_map<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let parsed = HeaderName::try_from(name).ok().zip(HeaderValue::from_str(value).ok());
        let (key, mut value) = parsed.ok_or_else(|| format!("header {name:?} is not valid"))?;
        // Such headers carry API keys often enough.
        value.set_sensitive(true);
        headers.append(key, value);
    }
    Ok(headers)
}

/// Removes what is meant for the configured host only.
pub(super) fn remove_secrets(headers: &mut HeaderMap) {
    let secret = |(name, value): (&HeaderName, &HeaderValue)| {
        let known = [AUTHORIZATION, COOKIE].contains(name);
        (known || value.is_sensitive()).then(|| name.clone())
    };
    let secrets: Vec<HeaderName> = headers.iter().filter_map(secret).collect();
    for name in secrets {
        headers.remove(name);
    }
}
