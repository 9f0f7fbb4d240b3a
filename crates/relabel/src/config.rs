//! One relabelling rule as it is written: Prometheus's `relabel_config`, with its defaults.
//!
//! Keys and actions that only vmagent knows are refused with the Prometheus action that comes
//! nearest. Nothing is judged here beyond the shape; [`crate::Program`] validates.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, IgnoredAny};

/// What a rule does, as Prometheus names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
pub enum Action {
    /// Writes the expanded replacement to the target label if the regex matches.
    #[default]
    Replace,
    /// Drops the series unless the regex matches.
    Keep,
    /// Drops the series if the regex matches.
    Drop,
    /// Drops the series unless the sources equal the target label.
    KeepEqual,
    /// Drops the series if the sources equal the target label.
    DropEqual,
    /// Writes MD5 of the sources modulo the modulus to the target label.
    HashMod,
    /// Copies labels whose name matches to the expanded name.
    LabelMap,
    /// Deletes labels whose name matches.
    LabelDrop,
    /// Deletes labels whose name does not match.
    LabelKeep,
    /// Writes the sources in lower case to the target label.
    Lowercase,
    /// Writes the sources in upper case to the target label.
    Uppercase,
}

/// One entry of `relabel_configs`, `metric_relabel_configs` or `write_relabel_configs`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(from = "RawConfig")]
pub struct RelabelConfig {
    /// Labels whose values are joined; an absent label is empty.
    pub source_labels: Vec<String>,
    /// What joins them; default `;`.
    pub separator: String,
    /// What the joined values (or label names) must match in full; default `(.*)`.
    pub regex: String,
    /// For `hashmod`.
    pub modulus: u64,
    /// The label that is written, or compared with; `replace` expands `$1` and `${name}` in it.
    pub target_label: String,
    /// What is written, with `$1` and `${name}` expanded; default `$1`.
    pub replacement: String,
    /// What to do; default `replace`.
    pub action: Action,
}

/// Prometheus's default separator.
pub(crate) const SEPARATOR: &str = ";";
/// Prometheus's default regex.
pub(crate) const REGEX: &str = "(.*)";
/// Prometheus's default replacement.
pub(crate) const REPLACEMENT: &str = "$1";

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: SEPARATOR.to_owned(),
            regex: REGEX.to_owned(),
            modulus: 0,
            target_label: String::new(),
            replacement: REPLACEMENT.to_owned(),
            action: Action::Replace,
        }
    }
}

impl fmt::Display for RelabelConfig {
    /// Every field in a fixed order, defaults included: rules that say the same print the same,
    /// however they are written. Rule identities are hashes over this text, so it is frozen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "action={} source_labels=[", self.action)?;
        for label in &self.source_labels {
            write!(f, "{},", Quoted(label))?;
        }
        write!(
            f,
            "] separator={} regex={} modulus={} target_label={} replacement={}",
            Quoted(&self.separator),
            Quoted(&self.regex),
            self.modulus,
            Quoted(&self.target_label),
            Quoted(&self.replacement)
        )
    }
}

/// A text between quotes, of which it has none of its own; unlike `Debug` it is frozen.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = self.0.replace('\\', r"\\").replace('"', "\\\"");
        write!(f, "\"{escaped}\"")
    }
}

/// An action that Prometheus does not know.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown relabel action {action:?}; {advice}")]
pub struct UnknownAction {
    action: String,
    advice: &'static str,
}

const ACTIONS: [(Action, &str); 11] = [
    (Action::Replace, "replace"),
    (Action::Keep, "keep"),
    (Action::Drop, "drop"),
    (Action::KeepEqual, "keepequal"),
    (Action::DropEqual, "dropequal"),
    (Action::HashMod, "hashmod"),
    (Action::LabelMap, "labelmap"),
    (Action::LabelDrop, "labeldrop"),
    (Action::LabelKeep, "labelkeep"),
    (Action::Lowercase, "lowercase"),
    (Action::Uppercase, "uppercase"),
];

/// vmagent's own actions, and what to write instead.
const VMAGENT_ACTIONS: [(&str, &str); 9] = [
    ("keep_if_equal", "it is vmagent's; Prometheus's is keepequal"),
    ("drop_if_equal", "it is vmagent's; Prometheus's is dropequal"),
    ("keep_if_contains", "it is vmagent's; the nearest is keep with a regex"),
    ("drop_if_contains", "it is vmagent's; the nearest is drop with a regex"),
    ("keep_metrics", "it is vmagent's; use keep with source_labels: [__name__]"),
    ("drop_metrics", "it is vmagent's; use drop with source_labels: [__name__]"),
    ("replace_all", "it is vmagent's; the nearest is replace, which matches the whole value"),
    ("labelmap_all", "it is vmagent's; the nearest is labelmap, which matches the whole name"),
    ("graphite", "it is vmagent's; the nearest is replace with a regex over __name__"),
];

impl FromStr for Action {
    type Err = UnknownAction;

    /// Prometheus does not mind the case.
    fn from_str(text: &str) -> Result<Self, UnknownAction> {
        let lower = text.to_ascii_lowercase();
        if let Some((action, _)) = ACTIONS.iter().find(|(_, name)| *name == lower) {
            return Ok(*action);
        }
        let vmagent = VMAGENT_ACTIONS.iter().find(|(name, _)| *name == lower);
        Err(UnknownAction {
            action: text.to_owned(),
            advice: vmagent.map_or(
                "it is one of replace, keep, drop, keepequal, dropequal, hashmod, labelmap, \
                 labeldrop, labelkeep, lowercase, uppercase",
                |(_, advice)| advice,
            ),
        })
    }
}

impl TryFrom<String> for Action {
    type Error = UnknownAction;

    fn try_from(text: String) -> Result<Self, UnknownAction> {
        text.parse()
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = ACTIONS.iter().find(|(action, _)| action == self);
        f.write_str(name.map_or("", |(_, name)| name))
    }
}

/// The keys as they stand in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    source_labels: Vec<String>,
    separator: Option<String>,
    #[serde(default = "default_regex", deserialize_with = "null_is_empty")]
    regex: String,
    #[serde(default)]
    modulus: u64,
    #[serde(default)]
    target_label: String,
    replacement: Option<String>,
    #[serde(default)]
    action: Action,
    // vmagent's, to be refused with advice rather than as unknown.
    #[serde(default, rename = "if", deserialize_with = "refuse_if")]
    _if: (),
    #[serde(default, rename = "match", deserialize_with = "refuse_graphite")]
    _match: (),
    #[serde(default, rename = "labels", deserialize_with = "refuse_graphite")]
    _labels: (),
}

fn default_regex() -> String {
    REGEX.to_owned()
}

/// `regex:` without a value is Prometheus's empty regex, not the default.
fn null_is_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn refuse_if<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(deserializer)?;
    Err(D::Error::custom(
        "`if` is vmagent's; the nearest is an earlier keep or drop, or the condition in \
         source_labels and regex of this rule",
    ))
}

fn refuse_graphite<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(deserializer)?;
    Err(D::Error::custom(
        "`match` and `labels` are vmagent's (action graphite); the nearest is replace with a \
         regex over __name__",
    ))
}

impl From<RawConfig> for RelabelConfig {
    fn from(raw: RawConfig) -> Self {
        Self {
            source_labels: raw.source_labels,
            separator: raw.separator.unwrap_or_else(|| SEPARATOR.to_owned()),
            regex: raw.regex,
            modulus: raw.modulus,
            target_label: raw.target_label,
            replacement: raw.replacement.unwrap_or_else(|| REPLACEMENT.to_owned()),
            action: raw.action,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(yaml: &str) -> Result<RelabelConfig, String> {
        serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
    }

    #[test]
    fn absent_keys_are_prometheus_defaults() {
        assert_eq!(
            read("target_label: a"),
            Ok(RelabelConfig { target_label: "a".into(), ..RelabelConfig::default() })
        );
        let empty = read("{regex: , separator: '', replacement: '', action: Replace}").unwrap();
        assert_eq!((empty.regex, empty.separator), (String::new(), String::new()));
        assert_eq!((empty.replacement, empty.action), (String::new(), Action::Replace));
    }

    #[test]
    fn scalars_keep_the_text_in_which_they_are_written() {
        let config = read("{regex: 0x10, replacement: 1.0, target_label: yes, modulus: 8}");
        let config = config.unwrap();
        assert_eq!(config.regex, "0x10");
        assert_eq!(config.replacement, "1.0");
        assert_eq!(config.target_label, "yes");
        assert_eq!(config.modulus, 8);
    }

    #[test]
    fn what_only_vmagent_knows_is_refused_with_the_nearest_action() {
        for (yaml, advice) in [
            ("action: keep_if_equal", "Prometheus's is keepequal"),
            ("action: drop_metrics", "use drop with source_labels: [__name__]"),
            ("action: Frobnicate", "unknown relabel action \"Frobnicate\"; it is one of replace"),
            ("if: '{a=\"b\"}'", "`if` is vmagent's; the nearest is an earlier keep or drop"),
            ("{action: graphite, match: a.*, labels: {b: c}}", "the nearest is replace"),
            ("{target_label: a, labels: {b: c}}", "`match` and `labels` are vmagent's"),
            ("tagret_label: a", "unknown field"),
        ] {
            let error = read(yaml).unwrap_err();
            assert!(error.contains(advice), "{yaml}: {error}");
            assert!(error.contains("line 1"), "{yaml}: {error}");
        }
    }

    #[test]
    fn configs_that_say_the_same_print_the_same() {
        let short = read("{source_labels: [a], target_label: b}").unwrap();
        let long = "{action: REPLACE, separator: ;, regex: (.*), replacement: $1, modulus: 0, \
                    target_label: b, source_labels: [a]}";
        assert_eq!(short.to_string(), read(long).unwrap().to_string());
        assert_eq!(
            short.to_string(),
            r#"action=replace source_labels=["a",] separator=";" regex="(.*)" modulus=0 target_label="b" replacement="$1""#
        );
    }
}
