//! Everything that decides what happens to a sample, validated and numbered.
//!
//! A CONFIG record in the log holds the text from which this is made; replays make the same again.
//! Invariant: decisions never change in place, a new configuration is a new value.

use std::sync::Arc;

use weir_model::{Millis, Relabel, ShardKey, Timestamp};

use crate::accumulator::Layout;
use crate::ha::Mode;
use crate::matcher::Matcher;
use crate::rule::{Late, Rule};

/// A rule with what is derived from it.
#[derive(Clone, Debug)]
pub struct ActiveRule {
    /// The rule.
    pub rule: Rule,
    /// Its rows.
    pub layout: Layout,
    /// It takes samples later than this: the first window boundary after it was added.
    pub active_after: Timestamp,
}

impl ActiveRule {
    /// Whether late increases join the oldest open window.
    pub fn carries(&self) -> bool {
        self.layout.increases && self.rule.late() == Late::Carry
    }
}

/// HA pairs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HaLabels {
    /// How replicas are chosen.
    pub mode: Mode,
    /// The label that names the pair.
    pub cluster: String,
    /// The label that tells its members apart; never part of a series.
    pub replica: String,
}

impl Default for HaLabels {
    fn default() -> Self {
        Self { mode: Mode::Merge, cluster: "cluster".into(), replica: "__replica__".into() }
    }
}

/// What a tenant's series may look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeriesLimits {
    /// Labels in a series, the name included.
    pub labels: usize,
    /// Bytes of a label's name.
    pub name_bytes: usize,
    /// Bytes of a label's value.
    pub value_bytes: usize,
}

impl Default for SeriesLimits {
    /// Wide enough for what Kubernetes writes; Cortex's own defaults are 30, 1024 and 2048.
    fn default() -> Self {
        Self { labels: 64, name_bytes: 1024, value_bytes: 4096 }
    }
}

/// A whole configuration, as far as samples are concerned.
#[derive(Clone)]
pub struct Decisions {
    /// Counts up with every change.
    pub version: u32,
    /// Rules in the order of their files.
    pub rules: Vec<ActiveRule>,
    /// Finds the rules of a series.
    pub matcher: Matcher,
    /// Relabelling of every series before anything else sees it.
    pub relabel: Option<Arc<dyn Relabel>>,
    /// HA pairs.
    pub ha: HaLabels,
    /// What decides where a series lives.
    pub shard_key: ShardKey,
    /// What a series may look like.
    pub limits: SeriesLimits,
    /// How long a counter's base outlives its samples.
    pub counter_memory: Millis,
}

impl Decisions {
    /// Decisions from rules; the rest is default.
    pub fn new(version: u32, rules: Vec<Rule>) -> Self {
        let matcher = Matcher::new(&rules);
        let activate = |rule: Rule| {
            let layout = Layout::new(rule.outputs());
            ActiveRule { rule, layout, active_after: Timestamp::MIN }
        };
        Self {
            version,
            rules: rules.into_iter().map(activate).collect(),
            matcher,
            relabel: None,
            ha: HaLabels::default(),
            shard_key: ShardKey::default(),
            limits: SeriesLimits::default(),
            counter_memory: Millis::from_secs(3600),
        }
    }
}
