//! Target groups as they are written in files and in answers: a list of `targets` and `labels`.
//!
//! Invariant: all of it is good or none is taken. Unknown keys are errors, as in Prometheus.

use serde::Deserialize;

use super::{DiscoveryError, Group, LabelMap};

/// One entry of the list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    targets: Option<Vec<String>>,
    labels: Option<LabelMap>,
}

/// Reads a JSON list; `source` names each group by its place.
pub(super) fn from_json(
    text: &[u8],
    source: impl Fn(usize) -> String,
) -> Result<Vec<Group>, DiscoveryError> {
    let entries: Option<Vec<Option<Entry>>> =
        serde_json::from_slice(text).map_err(|error| DiscoveryError(error.to_string()))?;
    groups(entries, source)
}

/// Reads a YAML list; an empty document is an empty list.
pub(super) fn from_yaml(
    text: &str,
    source: impl Fn(usize) -> String,
) -> Result<Vec<Group>, DiscoveryError> {
    let entries: Option<Vec<Option<Entry>>> = serde_saphyr::from_str(text)
        .map_err(|error| DiscoveryError(error.without_snippet().to_string()))?;
    groups(entries, source)
}

fn groups(
    entries: Option<Vec<Option<Entry>>>,
    source: impl Fn(usize) -> String,
) -> Result<Vec<Group>, DiscoveryError> {
    let mut groups = Vec::new();
    for (place, entry) in entries.unwrap_or_default().into_iter().enumerate() {
        let entry =
            entry.ok_or_else(|| DiscoveryError("nil target group item found".to_owned()))?;
        let labels = entry.labels.unwrap_or_default();
        if labels.contains_key("") {
            return Err(DiscoveryError("\"\" is not a valid label name".to_owned()));
        }
        let targets = entry.targets.unwrap_or_default();
        let targets = targets.into_iter().map(|address| address_label(&address)).collect();
        groups.push(Group { source: source(place), labels, targets });
    }
    Ok(groups)
}

/// A target of which no more is known than its address.
pub(super) fn address_label(address: &str) -> LabelMap {
    LabelMap::from([("__address__".to_owned(), address.to_owned())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_from_json_and_yaml() {
        let json = br#"[{"targets": ["a:1", "b:2"], "labels": {"env": "x"}}, {"targets": null}]"#;
        let yaml = "- targets: ['a:1', b:2]\n  labels: {env: x}\n- targets:\n";
        let from_json = from_json(json, |place| format!("f:{place}")).unwrap();
        assert_eq!(from_json, from_yaml(yaml, |place| format!("f:{place}")).unwrap());
        assert_eq!(from_json[0].source, "f:0");
        assert_eq!(from_json[0].labels["env"], "x");
        assert_eq!(from_json[0].targets[1]["__address__"], "b:2");
        assert!(from_json[1].targets.is_empty());
    }

    #[test]
    fn numbers_in_yaml_are_texts() {
        let groups = from_yaml("- targets: [a]\n  labels: {rack: 12}\n", |_| String::new());
        assert_eq!(groups.unwrap()[0].labels["rack"], "12");
    }

    #[test]
    fn what_prometheus_refuses_is_refused_whole() {
        let bad = [
            "[null]",
            r#"[{"targets": ["a"], "tags": {}}]"#,
            r#"{"targets": ["a"]}"#,
            r#"[{"targets": ["a"], "labels": {"n": 1}}]"#,
            r#"[{"targets": ["a"], "labels": {"": "x"}}]"#,
            r#"[{"targets": ["a"]"#,
        ];
        for text in bad {
            assert!(from_json(text.as_bytes(), |_| String::new()).is_err(), "{text}");
        }
        assert!(from_yaml("- targets: [a]\n  tags: {}\n", |_| String::new()).is_err());
        assert_eq!(from_yaml("", |_| String::new()), Ok(Vec::new()));
    }
}
