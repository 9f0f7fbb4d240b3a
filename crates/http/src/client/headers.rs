//! `http_headers`: headers of every request whose values may be secret.
//!
//! Invariant: values in files are those of now, and all values are marked as secret, so that no
//! other host than the configured one gets them.

use std::collections::BTreeMap;
use std::time::Instant;

use hyper::header::{HeaderMap, HeaderName};

use super::{ClientConfigError, ClientError};
use crate::auth::header_value;
use crate::config::HeaderConfig;
use crate::secret::{Secret, SecretSource};

/// The headers, in the order of their names.
#[derive(Debug)]
pub(super) struct SecretHeaders(Vec<(HeaderName, SecretSource)>);

impl SecretHeaders {
    /// Reads the files, which must exist now.
    pub(super) fn new(
        config: &BTreeMap<String, HeaderConfig>,
        now: Instant,
    ) -> Result<Self, ClientConfigError> {
        let mut headers = Vec::new();
        for (text, values) in config {
            let name = HeaderName::try_from(text);
            let bad = || ClientConfigError::Header(format!("{text:?} is not a header's name"));
            let name = name.map_err(|_| bad())?;
            let seen = values.values.iter().map(Secret::new);
            for secret in seen.chain(values.secrets.iter().cloned()) {
                headers.push((name.clone(), SecretSource::inline(secret)));
            }
            for path in &values.files {
                let source = SecretSource::file(path, now);
                let source = source.map_err(|e| ClientConfigError::Header(e.to_string()))?;
                headers.push((name.clone(), source));
            }
        }
        Ok(Self(headers))
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds them to a request, beside what it has.
    pub(super) fn add(&self, headers: &mut HeaderMap, now: Instant) -> Result<(), ClientError> {
        for (name, source) in &self.0 {
            headers.append(name.clone(), header_value(source.current(now).expose())?);
        }
        Ok(())
    }
}
