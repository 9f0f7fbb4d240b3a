//! The rule file: vmagent's stream aggregation format, read into rules that cannot be wrong.
//!
//! A file is a YAML list. [`load`] reads it, reports every rule that does not hold together, with
//! its line and what is allowed, and names the keys that it accepts without effect. A file that
//! vmagent accepts gives outputs of the same names here; `docs/RULES.md` lists every key.
//!
//! Relabelling is compiled by the caller, for this crate does not know its language. Nothing here
//! reads files or looks at a sample's value.

mod error;
mod identity;
mod load;
mod name;
mod output;
mod raw;

use std::fmt;
use std::sync::Arc;

use weir_model::{Millis, Relabel};

pub use error::{Notice, RuleError, RuleProblem};
pub use load::{Compile, RuleFile, load};
pub use name::{QUANTILE_LABEL, VMRANGE_LABEL, quantile_value};
pub use output::{OutputError, OutputKind};

use crate::matcher::Selector;

/// Groups that a rule may have at once unless it says otherwise: at some 200 B a group, 20 MB.
pub const MAX_GROUPS_DEFAULT: u32 = 100_000;

/// How long a series without samples counts as alive by default: PromQL's lookback.
pub const STALENESS_DEFAULT: Millis = Millis::from_secs(300);

/// Which series share an output series.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grouping {
    /// Each series has its own: aggregation over time only.
    Series,
    /// Those that agree in the metric name and these labels (sorted, without `__name__`).
    By(Vec<String>),
    /// Those that agree in all labels but these (sorted).
    Without(Vec<String>),
}

/// What happens to the increase of a counter's late sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// It joins the oldest open window.
    #[default]
    Carry,
    /// It is dropped, and counted.
    Drop,
}

/// When a new counter series counts in full.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Births {
    /// If its start timestamp proves that it was born since the target's previous scrape.
    #[default]
    StartTimestamp,
    /// Also if it is new at a target that was already being scraped.
    Observed,
}

/// One rule, validated. Made by [`load`] alone.
#[derive(Clone)]
pub struct Rule {
    name: String,
    tenants: Option<Vec<String>>,
    selectors: Vec<Selector>,
    interval: Millis,
    dedup_interval: Option<Millis>,
    staleness: Millis,
    grouping: Grouping,
    outputs: Vec<OutputKind>,
    keep_metric_names: bool,
    keep_input: bool,
    late: Late,
    births: Births,
    max_groups: u32,
    input_relabel: Option<Arc<dyn Relabel>>,
    output_relabel: Option<Arc<dyn Relabel>>,
    drop_input_labels: Vec<String>,
    name_suffix: String,
    identity: u128,
}

impl Rule {
    /// The rule's name, for people and metrics; `rule_<place in its file>` if it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tenants for whom it is (sorted); `None` for all.
    pub fn tenants(&self) -> Option<&[String]> {
        self.tenants.as_deref()
    }

    /// A series must satisfy one of these; none at all means every series.
    pub fn selectors(&self) -> &[Selector] {
        &self.selectors
    }

    /// The length of a window, at least 1 s.
    pub fn interval(&self) -> Millis {
        self.interval
    }

    /// Of the samples of a series in one such stretch only the last counts; divides the interval.
    pub fn dedup_interval(&self) -> Option<Millis> {
        self.dedup_interval
    }

    /// How long a series without samples counts as alive; at least the interval.
    pub fn staleness(&self) -> Millis {
        self.staleness
    }

    /// Which series share an output series.
    pub fn grouping(&self) -> &Grouping {
        &self.grouping
    }

    /// What is computed, in one order however the rule lists it; never empty, none twice.
    pub fn outputs(&self) -> &[OutputKind] {
        &self.outputs
    }

    /// Whether the output keeps the metric's name; then there is one output of one series.
    pub fn keep_metric_names(&self) -> bool {
        self.keep_metric_names
    }

    /// Whether matched samples also leave as they came.
    pub fn keep_input(&self) -> bool {
        self.keep_input
    }

    /// What happens to late increases.
    pub fn late(&self) -> Late {
        self.late
    }

    /// When a new counter series counts in full.
    pub fn births(&self) -> Births {
        self.births
    }

    /// Past so many groups new ones fold into one overflow series; at least 1.
    pub fn max_groups(&self) -> u32 {
        self.max_groups
    }

    /// Applied to a matched series after [`Rule::drop_input_labels`], before it is grouped.
    pub fn input_relabel(&self) -> Option<&Arc<dyn Relabel>> {
        self.input_relabel.as_ref()
    }

    /// Applied to each output series, its name included.
    pub fn output_relabel(&self) -> Option<&Arc<dyn Relabel>> {
        self.output_relabel.as_ref()
    }

    /// Labels that a matched series loses before anything else (sorted).
    pub fn drop_input_labels(&self) -> &[String] {
        &self.drop_input_labels
    }

    /// A hash of what the rule means: two rules with the same one may take over each other's
    /// state. Its name, its place and `keep_input` are no part of it.
    pub fn identity(&self) -> u128 {
        self.identity
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rule")
            .field("name", &self.name)
            .field("selectors", &self.selectors)
            .field("interval", &self.interval)
            .field("grouping", &self.grouping)
            .field("outputs", &self.outputs)
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
