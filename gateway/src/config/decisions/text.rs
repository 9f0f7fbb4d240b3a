//! The parts of logged decisions as they are written. A change of a name is a change of the format.

use serde::{Deserialize, Serialize};
use weir_model::Timestamp;
use weir_relabel::{RelabelConfig, UnknownAction};

/// When a rule begins to take samples.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Start {
    pub(super) interval_ms: i64,
    pub(super) active_after: Timestamp,
}

/// A relabelling rule with all its keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelabelText {
    pub(super) source_labels: Vec<String>,
    pub(super) separator: String,
    pub(super) regex: String,
    pub(super) modulus: u64,
    pub(super) target_label: String,
    pub(super) replacement: String,
    pub(super) action: String,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HaText {
    pub(super) mode: ModeText,
    pub(super) cluster_label: String,
    pub(super) replica_label: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ModeText {
    Merge,
    Elect,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShardKeyText {
    pub(super) labels: Vec<String>,
    pub(super) split: Vec<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SeriesText {
    pub(super) labels: usize,
    pub(super) name_bytes: usize,
    pub(super) value_bytes: usize,
}

impl RelabelText {
    pub(super) fn of(config: &RelabelConfig) -> Self {
        Self {
            source_labels: config.source_labels.clone(),
            separator: config.separator.clone(),
            regex: config.regex.clone(),
            modulus: config.modulus,
            target_label: config.target_label.clone(),
            replacement: config.replacement.clone(),
            action: config.action.to_string(),
        }
    }

    pub(super) fn config(&self) -> Result<RelabelConfig, String> {
        Ok(RelabelConfig {
            source_labels: self.source_labels.clone(),
            separator: self.separator.clone(),
            regex: self.regex.clone(),
            modulus: self.modulus,
            target_label: self.target_label.clone(),
            replacement: self.replacement.clone(),
            action: self.action.parse().map_err(|e: UnknownAction| e.to_string())?,
        })
    }
}
