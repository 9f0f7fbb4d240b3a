//! How an agent asks its gateway for a configuration, and says how it does.
//!
//! `GET /api/v1/agents/config?agent=<name>&label=<name>=<value>…`, with the version that the agent
//! has in `If-None-Match` and its [`Report`] as JSON in `X-Weir-Agent`. Answers: 200 with the text
//! and its version in `ETag`; 304, the agent has it; 404, none is assigned to it.
//!
//! Invariant: what the other side says is bounded before it is kept, and a field that one side does
//! not know yet is passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// Where an agent asks.
pub const CONFIG_PATH: &str = "/api/v1/agents/config";
/// The header with the report.
pub const REPORT_HEADER: &str = "x-weir-agent";
/// Bytes of a configuration that an agent takes.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// The label under which selectors find an agent's name.
pub const NAME_LABEL: &str = "agent";

/// Who asks.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Identity {
    /// What tells the agent from all others; 1 to 255 bytes.
    pub name: String,
    /// What the operator says about it; selectors choose among agents by these.
    pub labels: BTreeMap<String, String>,
}

/// How an agent does.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// The program's version.
    pub version: String,
    /// How often it asks, milliseconds.
    pub poll_ms: u64,
    /// The version of the configuration that it runs; `None`: it has none yet.
    pub config: Option<String>,
    /// The newest configuration, if the agent could not take it.
    pub refused: Option<Refused>,
    /// Targets whose last scrape was good.
    pub targets_up: u64,
    /// Targets whose last scrape failed.
    pub targets_down: u64,
    /// Bytes that wait to be delivered.
    pub buffer_bytes: u64,
    /// Age of the oldest of them, milliseconds.
    pub buffer_age_ms: u64,
    /// Samples scraped a second since it last asked.
    pub samples_per_second: f64,
}

/// A configuration that an agent did not take.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// Its version.
    pub config: String,
    /// Why; a problem in each line.
    pub error: String,
}

/// Why a question cannot be answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AskError {
    /// Not 1 to 255 bytes.
    #[error("agent= must name the agent, with 1 to 255 bytes")]
    Name,
    /// Not `name=value`, or too many or too long ones.
    #[error("label= must be a name, = and a value; at most 64 of them, of at most 1024 bytes")]
    Label,
    /// Not JSON of the right shape, or too long.
    #[error("X-Weir-Agent is not a report")]
    Report,
}

/// The version of a text: 16 hexadecimal digits of its XXH3.
pub fn version_of(text: &str) -> String {
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

impl Identity {
    /// The query of a URL.
    pub fn to_query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("agent", &self.name);
        for (name, value) in &self.labels {
            query.append_pair("label", &format!("{name}={value}"));
        }
        query.finish()
    }

    /// From the query of a URL; other parameters are passed over.
    pub fn from_query(query: &str) -> Result<Self, AskError> {
        let mut asked = Self::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "agent" => asked.name = value.into_owned(),
                "label" => {
                    let pair = value.split_once('=').filter(|(name, _)| !name.is_empty());
                    let (name, value) = pair.ok_or(AskError::Label)?;
                    let is_long = name.len() + value.len() > LABEL_BYTES_MAX;
                    if is_long || asked.labels.len() == LABELS_MAX {
                        return Err(AskError::Label);
                    }
                    asked.labels.insert(name.to_owned(), value.to_owned());
                }
                _ => {}
            }
        }
        let is_named = (1..=NAME_BYTES_MAX).contains(&asked.name.len());
        if is_named { Ok(asked) } else { Err(AskError::Name) }
    }

    /// The labels that selectors see: the name stands among them.
    pub fn seen_labels(&self) -> BTreeMap<&str, &str> {
        let name = (NAME_LABEL, self.name.as_str());
        let own = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        own.chain([name]).collect()
    }
}

impl Report {
    /// As a header's value. A long reason is cut.
    pub fn to_header(&self) -> String {
        let mut report = self.clone();
        if let Some(refused) = &mut report.refused {
            refused.error = refused.error.chars().take(ERROR_CHARS_MAX).collect();
        }
        let json = serde_json::to_string(&report).unwrap_or_default();
        // A header is ASCII; JSON has a way to write everything else.
        let mut text = String::with_capacity(json.len());
        for unit in json.chars() {
            match unit {
                ' '..='~' => text.push(unit),
                _ => {
                    let units = unit.encode_utf16(&mut [0; 2]).to_vec();
                    text.extend(units.iter().map(|unit| format!("\\u{unit:04x}")));
                }
            }
        }
        text
    }

    /// From a header's value.
    pub fn from_header(value: &[u8]) -> Result<Self, AskError> {
        if value.len() > REPORT_BYTES_MAX {
            return Err(AskError::Report);
        }
        serde_json::from_slice(value).map_err(|_| AskError::Report)
    }
}

const NAME_BYTES_MAX: usize = 255;
const LABELS_MAX: usize = 64;
const LABEL_BYTES_MAX: usize = 1024;
const ERROR_CHARS_MAX: usize = 1000;
const REPORT_BYTES_MAX: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_goes_through_a_url() {
        let labels = [("env", "prod"), ("rack", "a=b&c d"), ("Ort", "Köln")];
        let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let asked = Identity { name: "host 1".into(), labels: labels.into() };
        let query = asked.to_query();
        assert!(query.bytes().all(|byte| byte.is_ascii_graphic()), "{query}");
        assert_eq!(Identity::from_query(&query), Ok(asked.clone()));
        assert_eq!(asked.seen_labels().get("agent"), Some(&"host 1"));
    }

    #[test]
    fn questions_are_bounded() {
        assert_eq!(Identity::from_query(""), Err(AskError::Name));
        assert_eq!(Identity::from_query(&format!("agent={:256}", 1)), Err(AskError::Name));
        assert_eq!(Identity::from_query("agent=a&label=env"), Err(AskError::Label));
        let long = format!("agent=a&label=env={:1024}", 1);
        assert_eq!(Identity::from_query(&long), Err(AskError::Label));
        let many: String = (0..65).map(|n| format!("&label=l{n}=v")).collect();
        assert_eq!(Identity::from_query(&format!("agent=a{many}")), Err(AskError::Label));
        assert!(Identity::from_query("agent=a&later=x").is_ok());
    }

    #[test]
    fn a_report_goes_through_a_header() {
        let refused = Refused { config: "1".into(), error: "a: \"ä\"\nb\u{7f}: 𝄞".into() };
        let report = Report {
            version: "0.1.0".into(),
            config: Some(version_of("")),
            refused: Some(refused),
            samples_per_second: 12.5,
            ..Report::default()
        };
        let header = report.to_header();
        assert!(header.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{header}");
        assert_eq!(Report::from_header(header.as_bytes()), Ok(report));
    }

    #[test]
    fn reports_are_bounded_and_may_say_more_or_less() {
        let later = br#"{"version":"9","to_come":1}"#;
        assert_eq!(Report::from_header(later).expect("it is a report").version, "9");
        assert_eq!(Report::from_header(b"up"), Err(AskError::Report));
        assert_eq!(Report::from_header(&[b' '; 20_000]), Err(AskError::Report));
        let error = "ä".repeat(100_000);
        let refused = Some(Refused { config: String::new(), error });
        let header = Report { refused, ..Report::default() }.to_header();
        assert!(Report::from_header(header.as_bytes()).is_ok(), "{}", header.len());
    }
}
