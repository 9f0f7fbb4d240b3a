//! The value of a key that is known and never looked at: refused whatever it says, or without
//! effect.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// Any value at all, forgotten as it is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Unread;

impl<'de> Deserialize<'de> for Unread {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
