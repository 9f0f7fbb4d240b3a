//! What decides about samples, as one value that the log keeps: replay reads no configuration.
//!
//! Invariant: [`DecisionText::decisions`] is a function of the value alone, files and environment
//! included, so the same bytes give the same decisions for ever. It deliberately keeps texts
//! rather than compiled rules: their format is the users' and stable, that of a program is not.
//!
//! The bytes are JSON with `format: 1`; hashes are written as 32 hex digits, times as milliseconds
//! since the epoch. A change of meaning needs a new number.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_aggregate::decisions::{Decisions, HaLabels, SeriesLimits};
use weir_aggregate::ha::Mode;
use weir_aggregate::rule::Rule;
use weir_aggregate::window::next_end;
use weir_config::{ConfigErrors, Problem};
use weir_model::{Millis, Relabel, ShardKey, Timestamp};
use weir_relabel::{Program, RelabelConfig};
use weir_rules::RuleText;

mod text;

use text::{HaText, ModeText, RelabelText, SeriesText, ShardKeyText, Start};

const FORMAT: u32 = 1;

/// Everything that decides what happens to a sample, self-contained.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionText {
    format: u32,
    rule_files: Vec<RuleText>,
    relabel_configs: Vec<RelabelText>,
    ha: HaText,
    shard_key: ShardKeyText,
    series: SeriesText,
    counter_memory_ms: i64,
    /// By a rule's identity: when it began.
    rules: BTreeMap<String, Start>,
}

/// What [`DecisionText::new`] is made of, all validated.
pub(crate) struct Parts<'a> {
    pub(crate) rule_files: Vec<RuleText>,
    pub(crate) rules: &'a [Rule],
    pub(crate) relabel: &'a [RelabelConfig],
    pub(crate) ha: HaLabels,
    pub(crate) shard_key: ShardKey,
    pub(crate) series: SeriesLimits,
    pub(crate) counter_memory: Millis,
}

impl DecisionText {
    /// Every rule takes samples of any time, as in an empty node's first configuration.
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let start = |rule: &Rule| {
            let start = Start { interval_ms: rule.interval().0, active_after: Timestamp::MIN };
            (identity(rule), start)
        };
        Self {
            format: FORMAT,
            rule_files: parts.rule_files,
            relabel_configs: parts.relabel.iter().map(RelabelText::of).collect(),
            ha: HaText {
                mode: match parts.ha.mode {
                    Mode::Merge => ModeText::Merge,
                    Mode::Elect => ModeText::Elect,
                },
                cluster_label: parts.ha.cluster,
                replica_label: parts.ha.replica,
            },
            shard_key: ShardKeyText {
                labels: parts.shard_key.labels,
                split: parts.shard_key.split,
            },
            series: SeriesText {
                labels: parts.series.labels,
                name_bytes: parts.series.name_bytes,
                value_bytes: parts.series.value_bytes,
            },
            counter_memory_ms: parts.counter_memory.0,
            rules: parts.rules.iter().map(start).collect(),
        }
    }

    /// The bytes for the log.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Strings, numbers and string keys cannot fail to be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads [`DecisionText::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ConfigErrors> {
        let failed =
            |message: String| ConfigErrors(vec![Problem::of_file("logged configuration", message)]);
        let text: Self =
            serde_json::from_slice(bytes).map_err(|error| failed(error.to_string()))?;
        if text.format != FORMAT {
            return Err(failed(format!(
                "format {} is not known; this version reads {FORMAT}",
                text.format
            )));
        }
        Ok(text)
    }

    /// Compiles all of it. `version` numbers it among the node's configurations.
    pub fn decisions(&self, version: u32) -> Result<Decisions, ConfigErrors> {
        let mut errors = Vec::new();
        let rules = weir_rules::read(&self.rule_files).map_or_else(
            |problems| {
                errors.extend(problems);
                Vec::new()
            },
            |read| read.rules,
        );
        let relabel = self.relabel(&mut errors);
        if !errors.is_empty() {
            return Err(ConfigErrors(errors));
        }
        let mut decisions = Decisions::new(version, rules);
        for active in &mut decisions.rules {
            let start = self.rules.get(&identity(&active.rule));
            active.active_after = start.map_or(Timestamp::MIN, |start| start.active_after);
        }
        decisions.relabel = relabel;
        decisions.ha = self.ha();
        decisions.shard_key = self.shard_key();
        decisions.limits = self.series_limits();
        decisions.counter_memory = self.counter_memory();
        Ok(decisions)
    }

    /// This configuration as the successor of `previous` at `now_ms`: a rule that was not there
    /// begins with the first whole window, the others go on as they were.
    #[must_use]
    pub fn succeed(&self, previous: &Self, now_ms: Timestamp) -> Self {
        let mut next = self.clone();
        for (identity, start) in &mut next.rules {
            start.active_after = match previous.rules.get(identity) {
                Some(kept) => kept.active_after,
                None => next_end(now_ms, start.interval_ms),
            };
        }
        next
    }

    /// Whether both say the same, whenever their rules began.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let mut same = other.clone();
        same.rules.clone_from(&self.rules);
        *self == same && self.rules.keys().eq(other.rules.keys())
    }

    /// The rule files, in the order of their rules.
    pub fn rule_files(&self) -> &[RuleText] {
        &self.rule_files
    }

    /// How many relabelling steps run before the rules.
    pub fn relabel_steps(&self) -> usize {
        self.relabel_configs.len()
    }

    /// HA pairs.
    pub fn ha(&self) -> HaLabels {
        HaLabels {
            mode: match self.ha.mode {
                ModeText::Merge => Mode::Merge,
                ModeText::Elect => Mode::Elect,
            },
            cluster: self.ha.cluster_label.clone(),
            replica: self.ha.replica_label.clone(),
        }
    }

    /// What decides where a series lives. It is fixed when a data directory is made.
    pub fn shard_key(&self) -> ShardKey {
        ShardKey {
            labels: self.shard_key.labels.clone(),
            replica_label: self.ha.replica_label.clone(),
            split: self.shard_key.split.clone(),
        }
    }

    /// What a series may look like.
    pub fn series_limits(&self) -> SeriesLimits {
        SeriesLimits {
            labels: self.series.labels,
            name_bytes: self.series.name_bytes,
            value_bytes: self.series.value_bytes,
        }
    }

    /// How long a counter's base outlives its samples.
    pub fn counter_memory(&self) -> Millis {
        Millis(self.counter_memory_ms)
    }

    pub(crate) fn says_the_same_relabelling(&self, other: &Self) -> bool {
        self.relabel_configs == other.relabel_configs
    }

    fn relabel(&self, errors: &mut Vec<Problem>) -> Option<Arc<dyn Relabel>> {
        let mut wrong = |message: String| {
            errors.push(Problem {
                key: "relabel_configs".into(),
                ..Problem::of_file("logged configuration", message)
            });
        };
        let mut configs = Vec::new();
        for text in &self.relabel_configs {
            match text.config() {
                Ok(config) => configs.push(config),
                Err(message) => wrong(message),
            }
        }
        match Program::compile(&configs) {
            Ok(program) if program.is_empty() => None,
            Ok(program) => Some(Arc::new(program)),
            Err(problems) => {
                problems.iter().for_each(|problem| wrong(problem.to_string()));
                None
            }
        }
    }
}

fn identity(rule: &Rule) -> String {
    format!("{:032x}", rule.identity())
}
