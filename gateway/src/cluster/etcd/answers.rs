//! What etcd's JSON gateway answers: the parts that are read.
//!
//! Invariant: everything is optional, for the gateway leaves out what is zero, false or empty.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

/// A key with its value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Pair {
    /// The whole key.
    pub(super) key: String,
    /// Its value.
    pub(super) value: Vec<u8>,
    /// The revision of its last change.
    pub(super) revision: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Header {
    #[serde(deserialize_with = "number")]
    pub(super) revision: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RangeAnswer {
    pub(super) header: Header,
    pub(super) kvs: Vec<RawPair>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct RawPair {
    pub(super) key: String,
    pub(super) value: String,
    #[serde(deserialize_with = "number")]
    pub(super) mod_revision: u64,
}

impl RawPair {
    /// `None` where it is not base64.
    pub(super) fn pair(self) -> Option<Pair> {
        let key = String::from_utf8(BASE64.decode(self.key).ok()?).ok()?;
        Some(Pair { key, value: BASE64.decode(self.value).ok()?, revision: self.mod_revision })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SwapAnswer {
    pub(super) header: Header,
    pub(super) succeeded: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct LeaseAnswer {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "TTL")]
    pub(super) ttl: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct WatchAnswer {
    pub(super) canceled: bool,
    pub(super) events: Vec<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Streamed<T> {
    pub(super) result: Option<T>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TokenAnswer {
    pub(super) token: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ErrorAnswer {
    pub(super) error: String,
    pub(super) code: u64,
}

/// JSON has 64-bit numbers as texts.
fn number<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
}
