//! The rule file as the oracle reads it: its own few lines over serde.
//!
//! It takes what the gateway takes, judges nothing (that is the gateway's `--check`), and refuses
//! what it could not compute, so that no comparison is made of half a rule.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::relabel::{RelabelConfig, Relabelling};
use super::selector::{Selector, parse};
use crate::samples::{Labels, name};

/// A rule as the oracle sees it.
#[derive(Clone, Debug)]
pub struct Rule {
    selectors: Vec<Selector>,
    tenants: Option<Vec<String>>,
    /// As it stands in the rule file, for names.
    pub interval: String,
    /// The same in milliseconds.
    pub interval_ms: i64,
    /// `staleness_interval`.
    pub staleness_ms: i64,
    /// `dedup_interval`.
    pub dedup_ms: Option<i64>,
    /// `by` or `without`.
    pub grouping: Grouping,
    /// `outputs`, as in the file.
    pub outputs: Vec<String>,
    /// `keep_metric_names`.
    pub keep_metric_names: bool,
    /// `keep_input`.
    pub keep_input: bool,
    /// `late: drop`.
    pub drops_late: bool,
    /// `births: observed`.
    pub observes_births: bool,
    /// `max_groups`.
    pub max_groups: usize,
    drop_input_labels: Vec<String>,
    input_relabelling: Relabelling,
    output_relabelling: Relabelling,
}

/// Which labels stay.
#[derive(Clone, Debug)]
pub enum Grouping {
    /// All.
    Series,
    /// These and the name (sorted).
    By(Vec<String>),
    /// All but these (sorted).
    Without(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    tenants: Option<Vec<String>>,
    #[serde(default)]
    r#match: Option<OneOrMany>,
    interval: String,
    #[serde(default)]
    dedup_interval: Option<String>,
    #[serde(default)]
    staleness_interval: Option<String>,
    #[serde(default)]
    by: Vec<String>,
    #[serde(default)]
    without: Vec<String>,
    outputs: Vec<String>,
    #[serde(default)]
    keep_metric_names: bool,
    #[serde(default)]
    keep_input: bool,
    #[serde(default)]
    late: Option<String>,
    #[serde(default)]
    births: Option<String>,
    #[serde(default)]
    max_groups: Option<usize>,
    #[serde(default)]
    drop_input_labels: Vec<String>,
    #[serde(default)]
    input_relabel_configs: Vec<RelabelConfig>,
    #[serde(default)]
    output_relabel_configs: Vec<RelabelConfig>,
    // Without meaning for values.
    #[serde(default, rename = "name")]
    _name: Option<IgnoredAny>,
    #[serde(default, rename = "enable_windows")]
    _enable_windows: Option<IgnoredAny>,
    #[serde(default, rename = "ignore_old_samples")]
    _ignore_old_samples: Option<IgnoredAny>,
    #[serde(default, rename = "ignore_first_intervals")]
    _ignore_first_intervals: Option<IgnoredAny>,
    #[serde(default, rename = "ignore_first_sample_interval")]
    _ignore_first_sample_interval: Option<IgnoredAny>,
    #[serde(default, rename = "flush_on_shutdown")]
    _flush_on_shutdown: Option<IgnoredAny>,
    #[serde(default, rename = "no_align_flush_to_interval")]
    _no_align_flush_to_interval: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Reads a rule file.
pub fn read_rules(text: &str) -> Result<Vec<Rule>, String> {
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    let entries: Vec<Entry> = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
    entries.into_iter().map(Rule::from_entry).collect()
}

impl Rule {
    fn from_entry(entry: Entry) -> Result<Self, String> {
        let texts = match entry.r#match {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => vec![text],
            Some(OneOrMany::Many(texts)) => texts,
        };
        let selectors: Result<Vec<Selector>, String> = texts.iter().map(|t| parse(t)).collect();
        let interval_ms = duration_ms(&entry.interval)?;
        let staleness = entry.staleness_interval.as_deref().map(duration_ms).transpose()?;
        let dedup = entry.dedup_interval.as_deref().map(duration_ms).transpose()?;
        let sorted = |mut names: Vec<String>| {
            names.sort();
            names.dedup();
            names
        };
        let grouping = match (entry.by.is_empty(), entry.without.is_empty()) {
            (true, true) => Grouping::Series,
            (false, _) => Grouping::By(sorted(entry.by)),
            (true, false) => Grouping::Without(sorted(entry.without)),
        };
        let outputs: Vec<String> = entry.outputs.iter().map(|o| o.trim().to_owned()).collect();
        Ok(Self {
            selectors: selectors?,
            tenants: entry.tenants,
            interval: entry.interval,
            interval_ms,
            staleness_ms: staleness.unwrap_or(300_000).max(interval_ms),
            dedup_ms: dedup.filter(|&ms| ms > 0),
            grouping,
            outputs,
            keep_metric_names: entry.keep_metric_names,
            keep_input: entry.keep_input,
            drops_late: entry.late.as_deref() == Some("drop"),
            observes_births: entry.births.as_deref() == Some("observed"),
            max_groups: entry.max_groups.unwrap_or(100_000),
            drop_input_labels: entry.drop_input_labels,
            input_relabelling: Relabelling::read(entry.input_relabel_configs)?,
            output_relabelling: Relabelling::read(entry.output_relabel_configs)?,
        })
    }

    /// Whether it takes a series.
    pub fn takes(&self, tenant: &str, labels: &Labels) -> bool {
        let its = self.tenants.as_ref().is_none_or(|tenants| tenants.iter().any(|t| t == tenant));
        its && (self.selectors.is_empty() || self.selectors.iter().any(|s| s.matches(labels)))
            && self.input_labels(labels).is_some()
    }

    /// A series' labels as the rule sees them.
    fn input_labels(&self, labels: &Labels) -> Option<Labels> {
        let mut kept = labels.clone();
        kept.retain(|name, _| !self.drop_input_labels.contains(name));
        self.input_relabelling.apply(&kept)
    }

    /// Whether it carries a late increase.
    pub(super) fn carries(&self) -> bool {
        let counts = |o: &String| {
            ["total", "total_prometheus", "increase", "increase_prometheus"].contains(&o.as_str())
        };
        !self.drops_late && self.outputs.iter().any(counts)
    }

    /// The labels that a series' group has, `__name__` still the metric's.
    pub(super) fn group(&self, labels: &Labels) -> Labels {
        let stays = |name: &str| match &self.grouping {
            Grouping::Series => true,
            Grouping::By(by) => name == "__name__" || by.iter().any(|b| b == name),
            Grouping::Without(without) => !without.iter().any(|w| w == name),
        };
        let mut kept = self.input_labels(labels).unwrap_or_default();
        kept.retain(|name, _| stays(name));
        kept
    }

    /// An output series of a group; nothing if relabelling drops it.
    pub(super) fn output_labels(
        &self,
        group: &Labels,
        output: &str,
        extra: Option<(&str, String)>,
    ) -> Option<Labels> {
        let mut labels = group.clone();
        labels.extend(extra.map(|(label, value)| (label.to_owned(), value)));
        if self.keep_metric_names {
            return self.output_relabelling.apply(&labels);
        }
        let listed = |word: &str, names: &[String]| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let names: Vec<&str> = names.into_iter().filter(|n| *n != "__name__").collect();
            if names.is_empty() { String::new() } else { format!("_{word}_{}", names.join("_")) }
        };
        let grouped = match &self.grouping {
            Grouping::Series => String::new(),
            Grouping::By(by) => listed("by", by),
            Grouping::Without(without) => listed("without", without),
        };
        let output = output.split('(').next().unwrap_or(output);
        let name = format!("{}:{}{grouped}_{output}", name(group), self.interval);
        labels.insert("__name__".to_owned(), name);
        self.output_relabelling.apply(&labels)
    }

    /// The end of the window that holds a timestamp.
    pub fn window_end(&self, timestamp: i64) -> i64 {
        (timestamp + self.interval_ms - 1).div_euclid(self.interval_ms) * self.interval_ms
    }
}

/// A duration as Prometheus writes it.
fn duration_ms(text: &str) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no duration");
    let (mut rest, mut sum) = (text.trim(), 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(unit);
        let scale = match unit {
            "ms" => 1.0,
            "s" => 1e3,
            "m" => 6e4,
            "h" => 3.6e6,
            "d" => 8.64e7,
            "w" => 6.048e8,
            _ => return Err(wrong()),
        };
        sum += number.parse::<f64>().map_err(|_| wrong())? * scale;
        rest = after;
    }
    Ok(sum as i64)
}
