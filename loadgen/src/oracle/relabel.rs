//! Relabelling, anew: what a rule's `input_relabel_configs` and `output_relabel_configs` make of labels.
//!
//! By Prometheus's documentation. Regular expressions are Rust's; `hashmod` is not known.

use regex::Regex;
use serde::Deserialize;

use crate::samples::Labels;

/// A step as it stands in the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelabelConfig {
    #[serde(default)]
    source_labels: Vec<String>,
    #[serde(default)]
    separator: Option<String>,
    #[serde(default)]
    target_label: Option<String>,
    #[serde(default)]
    regex: Option<String>,
    #[serde(default)]
    replacement: Option<String>,
    #[serde(default)]
    action: Option<String>,
}

/// Steps, one after the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Relabelling(Vec<Step>);

#[derive(Clone, Debug)]
struct Step {
    sources: Vec<String>,
    separator: String,
    target: String,
    regex: Regex,
    replacement: String,
    action: String,
}

const ACTIONS: [&str; 10] = [
    "replace",
    "keep",
    "drop",
    "keepequal",
    "dropequal",
    "lowercase",
    "uppercase",
    "labelmap",
    "labeldrop",
    "labelkeep",
];

impl Relabelling {
    pub(super) fn read(configs: Vec<RelabelConfig>) -> Result<Self, String> {
        configs.into_iter().map(Step::read).collect::<Result<_, _>>().map(Self)
    }

    /// What becomes of labels; nothing if they are dropped.
    pub(super) fn apply(&self, labels: &Labels) -> Option<Labels> {
        let relabelled =
            self.0.iter().try_fold(labels.clone(), |labels, step| step.apply(labels))?;
        (!relabelled.is_empty()).then_some(relabelled)
    }
}

impl Step {
    fn read(config: RelabelConfig) -> Result<Self, String> {
        let action = config.action.unwrap_or_else(|| "replace".to_owned()).to_lowercase();
        if !ACTIONS.contains(&action.as_str()) {
            return Err(format!("the oracle does not know the action {action}"));
        }
        let regex = config.regex.unwrap_or_else(|| "(.*)".to_owned());
        let regex = Regex::new(&format!("^(?s:{regex})$")).map_err(|why| why.to_string())?;
        Ok(Self {
            sources: config.source_labels,
            separator: config.separator.unwrap_or_else(|| ";".to_owned()),
            target: config.target_label.unwrap_or_default(),
            regex,
            replacement: config.replacement.unwrap_or_else(|| "$1".to_owned()),
            action,
        })
    }

    fn apply(&self, mut labels: Labels) -> Option<Labels> {
        let of = |name: &String| labels.get(name).map_or("", String::as_str);
        let source = self.sources.iter().map(of).collect::<Vec<_>>().join(&self.separator);
        let matches = self.regex.is_match(&source);
        match self.action.as_str() {
            "keep" if !matches => return None,
            "drop" if matches => return None,
            "keepequal" if source != of(&self.target) => return None,
            "dropequal" if source == of(&self.target) => return None,
            "lowercase" => set(&mut labels, self.target.clone(), source.to_lowercase()),
            "uppercase" => set(&mut labels, self.target.clone(), source.to_uppercase()),
            "replace" => {
                if let Some(found) = self.regex.captures(&source) {
                    let (mut target, mut value) = (String::new(), String::new());
                    found.expand(&self.target, &mut target);
                    found.expand(&self.replacement, &mut value);
                    set(&mut labels, target, value);
                }
            }
            "labelmap" => {
                for (name, value) in labels.clone() {
                    if let Some(found) = self.regex.captures(&name) {
                        let mut target = String::new();
                        found.expand(&self.replacement, &mut target);
                        set(&mut labels, target, value);
                    }
                }
            }
            "labeldrop" => labels.retain(|name, _| !self.regex.is_match(name)),
            "labelkeep" => labels.retain(|name, _| self.regex.is_match(name)),
            _ => {}
        }
        Some(labels)
    }
}

/// A label without a value is none.
fn set(labels: &mut Labels, name: String, value: String) {
    if name.is_empty() {
        return;
    }
    if value.is_empty() {
        labels.remove(&name);
    } else {
        labels.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::labels;

    #[test]
    fn steps_mean_what_prometheus_documents() {
        let before = labels("m", &[("a", "Foo"), ("b", "foo"), ("tmp_c", "x")]);
        let with = |pairs: &[(&str, &str)]| Some((*labels("m", pairs)).clone());
        for (steps, after) in [
            ("[{action: labeldrop, regex: tmp_.*}]", with(&[("a", "Foo"), ("b", "foo")])),
            ("[{action: labelkeep, regex: '__name__|b'}]", with(&[("b", "foo")])),
            (
                "[{action: keep, source_labels: [a, b], regex: 'Foo;foo'}, {action: labeldrop, regex: 'a|b'}]",
                with(&[("tmp_c", "x")]),
            ),
            ("[{action: drop, source_labels: [a], regex: F.*}]", None),
            ("[{action: keep, source_labels: [a], regex: F}]", None),
            ("[{action: dropequal, source_labels: [b], target_label: b}]", None),
            (
                "[{source_labels: [a], regex: F(.*), target_label: b, replacement: 'x-$1'}, {target_label: a, replacement: ''}, {action: labelmap, regex: tmp_(.+)}, {action: labeldrop, regex: tmp_c}]",
                with(&[("b", "x-oo"), ("c", "x")]),
            ),
            (
                "[{action: lowercase, source_labels: [a], target_label: a}, {action: keepequal, source_labels: [a], target_label: b}, {action: labelkeep, regex: '__name__|a'}]",
                with(&[("a", "foo")]),
            ),
        ] {
            let read: Vec<RelabelConfig> = serde_saphyr::from_str(steps).unwrap();
            let relabelling = Relabelling::read(read).unwrap();
            assert_eq!(relabelling.apply(&before), after, "{steps}");
        }
        let hashmod = "[{action: hashmod, source_labels: [a], target_label: a}]";
        let read: Vec<RelabelConfig> = serde_saphyr::from_str(hashmod).unwrap();
        assert!(Relabelling::read(read).is_err());
    }
}
