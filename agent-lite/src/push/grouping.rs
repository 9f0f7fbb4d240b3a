//! A pushed group's key, as it stands in the path: `job/<job>{/<label>/<value>}`.
//!
//! A label's name may end in `@base64`: its value is then base64url, which is how a value with a
//! slash, or an empty one (`=`), is said. What is accepted is what the Pushgateway accepts.
//! Source: github.com/prometheus/pushgateway, README, "Command line" and "URL".

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Padding may be there or not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The labels that name a group; `job` is among them and not empty. They replace labels of the same
/// name in what is pushed; an empty value removes them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct GroupingKey(BTreeMap<String, String>);

/// Why a path names no group.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum GroupingError {
    /// Not of the form at all.
    #[error("the path must be /metrics/job/<job>, followed by pairs of /<label>/<value>")]
    Form,
    /// An empty job.
    #[error("the job must not be empty")]
    NoJob,
    /// A name that is no label's.
    #[error("{0:?} is no label name; names that begin with __ are reserved")]
    Name(String),
    /// A value that cannot be decoded.
    #[error("the value of {0} is not {1}")]
    Value(String, &'static str),
}

impl GroupingKey {
    /// Reads what follows `/metrics/`, still percent-encoded.
    pub fn parse(path: &str) -> Result<Self, GroupingError> {
        let parts: Vec<&str> = path.split('/').collect();
        let (pairs, odd) = parts.as_chunks::<2>();
        // A path may end in a slash.
        if !matches!(odd, [] | [""]) || pairs.is_empty() {
            return Err(GroupingError::Form);
        }
        let mut labels = BTreeMap::new();
        for (at, [name, value]) in pairs.iter().enumerate() {
            let name = percent_decode(name, name)?;
            let (name, is_base64) =
                name.strip_suffix("@base64").map_or((name.as_str(), false), |name| (name, true));
            if (at == 0) != (name == "job") {
                // The first pair is the job; a later one must not name another.
                return Err(if at == 0 {
                    GroupingError::Form
                } else {
                    GroupingError::Name(name.into())
                });
            }
            if !is_label_name(name) {
                return Err(GroupingError::Name(name.to_owned()));
            }
            let value = percent_decode(name, value)?;
            let value = if is_base64 { base64_decode(name, &value)? } else { value };
            labels.insert(name.to_owned(), value);
        }
        if labels.get("job").is_none_or(String::is_empty) {
            return Err(GroupingError::NoJob);
        }
        Ok(Self(labels))
    }

    /// The labels by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`, not reserved.
fn is_label_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !name.starts_with("__")
}

fn percent_decode(name: &str, text: &str) -> Result<String, GroupingError> {
    let error = || GroupingError::Value(name.to_owned(), "percent-encoded UTF-8");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(error);
        let (high, low) = (digit()?, digit()?);
        bytes.push((high << 4 | low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| error())
}

fn base64_decode(name: &str, text: &str) -> Result<String, GroupingError> {
    // A lone `=` says the empty value, which would leave an empty part in the path.
    let text = if text == "=" { "" } else { text };
    let bytes = BASE64.decode(text);
    bytes
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| GroupingError::Value(name.to_owned(), "base64url of UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(path: &str) -> Result<Vec<(String, String)>, GroupingError> {
        let key = GroupingKey::parse(path)?;
        Ok(key.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    fn pairs(pairs: &[(&str, &str)]) -> Result<Vec<(String, String)>, GroupingError> {
        Ok(pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    /// The examples of the Pushgateway's README.
    #[test]
    fn paths_name_groups() {
        assert_eq!(labels("job/some_job"), pairs(&[("job", "some_job")]));
        assert_eq!(
            labels("job/some_job/instance/some_instance"),
            pairs(&[("instance", "some_instance"), ("job", "some_job")])
        );
        assert_eq!(
            labels("job/directory_cleaner/path@base64/L3Zhci90bXA"),
            pairs(&[("job", "directory_cleaner"), ("path", "/var/tmp")])
        );
        assert_eq!(
            labels("job/example/first_label@base64/=/second_label/foobar"),
            pairs(&[("first_label", ""), ("job", "example"), ("second_label", "foobar")])
        );
        assert_eq!(
            labels("job/titan/name@base64/zqDPgc6_zrzOt864zrXPjc-C"),
            pairs(&[("job", "titan"), ("name", "Προμηθεύς")])
        );
        assert_eq!(
            labels("job/titan/name/%CE%A0%CF%81%CE%BF%CE%BC%CE%B7%CE%B8%CE%B5%CF%8D%CF%82"),
            labels("job/titan/name@base64/zqDPgc6_zrzOt864zrXPjc-C")
        );
        assert_eq!(labels("job@base64/YS9i/"), pairs(&[("job", "a/b")]));
    }

    #[test]
    fn other_paths_are_refused() {
        for path in ["", "job", "jobs/a", "job/a/b", "instance/a/job/b"] {
            assert_eq!(labels(path), Err(GroupingError::Form), "{path}");
        }
        assert_eq!(labels("job//a/b"), Err(GroupingError::NoJob));
        assert_eq!(labels("job@base64/="), Err(GroupingError::NoJob));
        for (path, name) in [("job/a/__x/b", "__x"), ("job/a/0/b", "0"), ("job/a/job/b", "job")] {
            assert_eq!(labels(path), Err(GroupingError::Name(name.into())), "{path}");
        }
        for path in ["job/%zz", "job/%F", "job/%ff", "job@base64/%25", "job@base64/_w"] {
            assert!(matches!(labels(path), Err(GroupingError::Value(..))), "{path}");
        }
    }
}
