//! A validated list of relabelling rules.
//!
//! Invariant: whatever is in a [`Program`] can run: every regex is compiled, every template cut
//! up, every label that an action needs is named. The checks and their texts are those of
//! Prometheus 3 (label names are any non-empty UTF-8), and all errors of a list are reported.

use std::num::NonZeroU64;

use weir_model::re2::{Re2, Re2Error};

use crate::config::{Action, REGEX, REPLACEMENT, RelabelConfig, SEPARATOR};
use crate::template::Template;

/// A compiled `relabel_configs` list; it runs through [`weir_model::Relabel`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Program {
    pub(crate) steps: Vec<Step>,
}

/// One rule: which values it reads, and what it does with them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Step {
    pub(crate) source_labels: Vec<String>,
    pub(crate) separator: String,
    pub(crate) operation: Operation,
}

/// An action with what it needs, and nothing else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    Replace { regex: Re2, target: Template, replacement: Template },
    Keep(Re2),
    Drop(Re2),
    KeepEqual(String),
    DropEqual(String),
    HashMod { modulus: NonZeroU64, target: String },
    LabelMap { regex: Re2, replacement: Template },
    LabelDrop(Re2),
    LabelKeep(Re2),
    Lowercase(String),
    Uppercase(String),
}

/// What is wrong with one rule of a list.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("rule {rule}: {kind}")]
pub struct RelabelError {
    /// The rule's place in the list, counted from 1.
    pub rule: usize,
    /// What is wrong with it.
    pub kind: RelabelErrorKind,
}

/// What can be wrong with a rule, in Prometheus's words.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RelabelErrorKind {
    /// The regex is no RE2, or one that cannot be carried over.
    #[error(transparent)]
    Regex(#[from] Re2Error),
    /// `hashmod` by nothing.
    #[error("relabel configuration for hashmod requires non-zero modulus")]
    Modulus,
    /// No label to write to or to compare with.
    #[error("relabel configuration for {0} action requires 'target_label' value")]
    NoTarget(Action),
    /// A replacement for an action that has none.
    #[error("'replacement' can not be set for {0} action")]
    Replacement(Action),
    /// A replacement that gives no label name.
    #[error("{replacement:?} is invalid 'replacement' for {action} action")]
    LabelMapReplacement {
        /// As it was written.
        replacement: String,
        /// `labelmap`.
        action: Action,
    },
    /// `keepequal` and `dropequal` with more than they take.
    #[error("{0} action requires only 'source_labels' and `target_label`, and no other fields")]
    OnlySourcesAndTarget(Action),
    /// `labeldrop` and `labelkeep` with more than they take.
    #[error("{0} action requires only 'regex', and no other fields")]
    OnlyRegex(Action),
    /// An empty source label.
    #[error("\"\" is not a valid label name")]
    EmptySource,
}

impl Program {
    /// Validates and compiles a list; every rule's errors are returned, not just the first.
    pub fn compile(configs: &[RelabelConfig]) -> Result<Self, Vec<RelabelError>> {
        let mut steps = Vec::with_capacity(configs.len());
        let mut errors = Vec::new();
        for (at, config) in configs.iter().enumerate() {
            let rule = at + 1;
            if let Err(kind) = validate(config) {
                errors.push(RelabelError { rule, kind });
            }
            match compile(config) {
                Ok(step) => steps.push(step),
                Err(kind) => errors.push(RelabelError { rule, kind }),
            }
        }
        errors.dedup();
        if errors.is_empty() { Ok(Self { steps }) } else { Err(errors) }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

/// Prometheus's `Config.Validate`, in its order, but for the regex.
fn validate(config: &RelabelConfig) -> Result<(), RelabelErrorKind> {
    use Action::*;
    let action = config.action;
    let has_replacement = config.replacement != REPLACEMENT;
    if action == HashMod && config.modulus == 0 {
        return Err(RelabelErrorKind::Modulus);
    }
    let writes =
        matches!(action, Replace | HashMod | Lowercase | Uppercase | KeepEqual | DropEqual);
    if writes && config.target_label.is_empty() {
        return Err(RelabelErrorKind::NoTarget(action));
    }
    let fixed = matches!(action, Lowercase | Uppercase | KeepEqual | DropEqual);
    if fixed && has_replacement {
        return Err(RelabelErrorKind::Replacement(action));
    }
    if action == LabelMap && config.replacement.is_empty() {
        return Err(RelabelErrorKind::LabelMapReplacement {
            replacement: config.replacement.clone(),
            action,
        });
    }
    let separated = config.separator != SEPARATOR;
    if matches!(action, KeepEqual | DropEqual)
        && (config.regex != REGEX || config.modulus != 0 || separated)
    {
        return Err(RelabelErrorKind::OnlySourcesAndTarget(action));
    }
    let named = !config.source_labels.is_empty() || !config.target_label.is_empty();
    if matches!(action, LabelDrop | LabelKeep)
        && (named || config.modulus != 0 || separated || has_replacement)
    {
        return Err(RelabelErrorKind::OnlyRegex(action));
    }
    if config.source_labels.iter().any(String::is_empty) {
        return Err(RelabelErrorKind::EmptySource);
    }
    Ok(())
}

fn compile(config: &RelabelConfig) -> Result<Step, RelabelErrorKind> {
    let regex = Re2::new(&config.regex)?;
    let template = |text: &str| Template::new(text, &regex);
    let target = config.target_label.clone();
    let operation = match config.action {
        Action::Replace => Operation::Replace {
            target: template(&config.target_label),
            replacement: template(&config.replacement),
            regex,
        },
        Action::LabelMap => {
            Operation::LabelMap { replacement: template(&config.replacement), regex }
        }
        Action::Keep => Operation::Keep(regex),
        Action::Drop => Operation::Drop(regex),
        Action::LabelDrop => Operation::LabelDrop(regex),
        Action::LabelKeep => Operation::LabelKeep(regex),
        Action::KeepEqual => Operation::KeepEqual(target),
        Action::DropEqual => Operation::DropEqual(target),
        Action::HashMod => Operation::HashMod {
            modulus: NonZeroU64::new(config.modulus).ok_or(RelabelErrorKind::Modulus)?,
            target,
        },
        Action::Lowercase => Operation::Lowercase(target),
        Action::Uppercase => Operation::Uppercase(target),
    };
    Ok(Step {
        source_labels: config.source_labels.clone(),
        separator: config.separator.clone(),
        operation,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(yaml: &str) -> Vec<String> {
        let configs: Vec<RelabelConfig> = serde_saphyr::from_str(yaml).unwrap();
        let errors = Program::compile(&configs).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn each_action_is_refused_in_prometheus_words() {
        for (yaml, expected) in [
            (
                "{action: replace}",
                "relabel configuration for replace action requires 'target_label' value",
            ),
            (
                "{action: lowercase}",
                "relabel configuration for lowercase action requires 'target_label' value",
            ),
            (
                "{action: keepequal}",
                "relabel configuration for keepequal action requires 'target_label' value",
            ),
            (
                "{action: hashmod, target_label: a}",
                "relabel configuration for hashmod requires non-zero modulus",
            ),
            (
                "{action: hashmod, modulus: 8}",
                "relabel configuration for hashmod action requires 'target_label' value",
            ),
            (
                "{action: uppercase, target_label: a, replacement: b}",
                "'replacement' can not be set for uppercase action",
            ),
            (
                "{action: labelmap, replacement: ''}",
                "\"\" is invalid 'replacement' for labelmap action",
            ),
            (
                "{action: dropequal, target_label: a, regex: b}",
                "dropequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            (
                "{action: keepequal, target_label: a, separator: '-'}",
                "keepequal action requires only 'source_labels' and `target_label`, and no other fields",
            ),
            (
                "{action: labeldrop, regex: a, target_label: b}",
                "labeldrop action requires only 'regex', and no other fields",
            ),
            (
                "{action: labelkeep, source_labels: [a]}",
                "labelkeep action requires only 'regex', and no other fields",
            ),
            ("{action: keep, source_labels: ['']}", "\"\" is not a valid label name"),
            (
                "{action: keep, regex: 'a**'}",
                "invalid regular expression \"a**\": invalid nested repetition operator: `*`; put the inner one in (?:…)",
            ),
        ] {
            assert_eq!(errors(&format!("- {yaml}")), [format!("rule 1: {expected}")]);
        }
    }

    #[test]
    fn every_rule_in_error_is_named() {
        let found = errors("- {target_label: a}\n- {regex: (}\n- {action: drop, regex: )}");
        assert_eq!(
            found,
            [
                "rule 2: relabel configuration for replace action requires 'target_label' value",
                "rule 2: invalid regular expression \"(\": missing closing )",
                "rule 3: invalid regular expression \")\": unexpected )",
            ]
        );
    }

    #[test]
    fn utf8_label_names_and_templates_are_legal_targets() {
        for target in ["utf-8.label", "utf-8.label${1}", "0${3}", "-${3}", "é", "$1"] {
            let config = RelabelConfig { target_label: target.into(), ..RelabelConfig::default() };
            assert!(Program::compile(&[config]).is_ok(), "{target}");
        }
    }
}
