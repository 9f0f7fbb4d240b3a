//! A secret, written in the configuration or in a file of its own, that no log ever shows.
//!
//! Files are not read here: the HTTP client re-reads them when they change.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// A secret's text; its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// The text itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// Where a secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SecretSource {
    /// In the configuration.
    Inline(Secret),
    /// In this file.
    File(PathBuf),
}

/// Where a text that is no secret is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TextSource {
    /// In the configuration.
    Inline(String),
    /// In this file.
    File(PathBuf),
}
