//! What a rule means, as bytes that are hashed.
//!
//! Invariant: rules that mean the same give the same bytes, however they are written. The layout
//! is frozen, as checkpoints keep state under these hashes: a change needs a new first line.

use std::fmt::Display;

use xxhash_rust::xxh3::xxh3_128;

use super::{Births, Grouping, Late, Rule};

/// The hash of a rule's meaning. The relabelling is passed as text, for a compiled program has
/// none.
pub(super) fn identity(rule: &Rule, input_relabel: &[String], output_relabel: &[String]) -> u128 {
    let mut text = Canonical(b"weir rule 1\n".to_vec());
    text.list("tenants", rule.tenants.as_deref().unwrap_or_default());
    let mut alternatives: Vec<String> = Vec::new();
    for group in rule.selectors.iter().flat_map(|s| s.alternatives()) {
        let conditions: Vec<String> = group.iter().map(ToString::to_string).collect();
        alternatives.push(conditions.join(","));
    }
    if rule.selectors.is_empty() {
        alternatives.push(String::new());
    }
    alternatives.sort();
    alternatives.dedup();
    text.list("match", &alternatives);
    text.one("interval", rule.interval.0);
    text.one("dedup_interval", rule.dedup_interval.unwrap_or_default().0);
    text.one("staleness_interval", rule.staleness.0);
    match &rule.grouping {
        Grouping::Series => text.list("series", &[]),
        Grouping::By(labels) => text.list("by", labels),
        Grouping::Without(labels) => text.list("without", labels),
    }
    let outputs: Vec<String> = rule.outputs.iter().map(ToString::to_string).collect();
    text.list("outputs", &outputs);
    // The interval's spelling is part of the outputs' names: 60s and 1m are different series.
    let suffix = (!rule.keep_metric_names).then_some(rule.name_suffix.as_str());
    text.list("name", &suffix.map(str::to_owned).into_iter().collect::<Vec<_>>());
    text.one(
        "late",
        match rule.late {
            Late::Carry => "carry",
            Late::Drop => "drop",
        },
    );
    text.one(
        "births",
        match rule.births {
            Births::StartTimestamp => "start_timestamp",
            Births::Observed => "observed",
        },
    );
    text.one("max_groups", rule.max_groups);
    text.list("drop_input_labels", &rule.drop_input_labels);
    text.list("input_relabel_configs", input_relabel);
    text.list("output_relabel_configs", output_relabel);
    xxh3_128(&text.0)
}

/// Lines of `key count`, each followed by its values with their lengths, so that no value can
/// pass for another line.
struct Canonical(Vec<u8>);

impl Canonical {
    fn one(&mut self, key: &str, value: impl Display) {
        self.list(key, &[value.to_string()]);
    }

    fn list(&mut self, key: &str, values: &[String]) {
        self.0.extend_from_slice(format!("{key} {}\n", values.len()).as_bytes());
        for value in values {
            self.0.extend_from_slice(format!("{} {value}\n", value.len()).as_bytes());
        }
    }
}
