//! What a rule's output series are called: vmagent's names, letter for letter.
//!
//! `<metric>:<interval as written>[_by_<labels>][_without_<labels>]_<output>`, labels sorted and
//! joined by `_`, `__name__` left out.

use weir_model::LabelsBuilder;
use weir_model::labels::METRIC_NAME;
use weir_model::mutation::{self, Mutation};

use super::{Grouping, OutputKind, Rule};

/// The label that tells the series of `quantiles` apart.
pub const QUANTILE_LABEL: &str = "quantile";
/// The label that tells the series of `histogram_bucket` apart.
pub const VMRANGE_LABEL: &str = "vmrange";

impl Rule {
    /// A matched series as the rule sees it: without `drop_input_labels`, relabelled. `None` if
    /// relabelling drops it or leaves no label.
    pub fn input_labels(&self, input: &LabelsBuilder) -> Option<LabelsBuilder> {
        let mut labels = input.clone();
        for name in &self.drop_input_labels {
            labels.delete(name);
        }
        let kept = self.input_relabel.as_ref().is_none_or(|r| r.apply(&mut labels));
        (kept && !labels.is_empty()).then_some(labels)
    }

    /// What tells an output group from others: the labels that [`Rule::input_labels`] gave, less
    /// those that the grouping takes away. The metric keeps its own name here.
    pub fn group_labels(&self, input: &LabelsBuilder) -> LabelsBuilder {
        let mut labels = input.clone();
        labels.retain(|name, _| self.groups_by(name));
        labels
    }

    /// Whether a label of this name tells output groups apart.
    pub fn groups_by(&self, name: &str) -> bool {
        let listed = |names: &[String]| names.iter().any(|n| n == name);
        match &self.grouping {
            Grouping::Series => true,
            Grouping::By(by) => name == METRIC_NAME || listed(by),
            Grouping::Without(without) => {
                !listed(&without[usize::from(mutation::is(Mutation::WithoutForgetsOne))..])
            }
        }
    }

    /// The name of an output series of this metric (the group's `__name__`, which may be empty).
    pub fn output_name(&self, metric: &str, output: &OutputKind) -> String {
        if self.keep_metric_names {
            metric.to_owned()
        } else {
            format!("{metric}{}{}", self.name_suffix, output.as_str())
        }
    }
}

/// What stands between the metric's name and the output's.
pub(super) fn suffix(interval: &str, grouping: &Grouping) -> String {
    let mut suffix = format!(":{interval}");
    let (word, labels): (_, &[String]) = match grouping {
        Grouping::Series => ("", &[]),
        Grouping::By(labels) => ("by", labels),
        Grouping::Without(labels) => ("without", labels),
    };
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let labels: Vec<&str> = labels.into_iter().filter(|l| *l != METRIC_NAME).collect();
    if !labels.is_empty() {
        suffix.push_str(&format!("_{word}_{}", labels.join("_")));
    }
    suffix.push('_');
    suffix
}

/// A quantile as the value of [`QUANTILE_LABEL`]: Go's shortest `%g`, as vmagent writes it.
pub fn quantile_value(quantile: f64) -> String {
    if quantile == 0.0 || quantile >= 1e-4 {
        return quantile.to_string();
    }
    let text = format!("{quantile:e}");
    // Go's exponents have two digits at least.
    match text.split_once("e-") {
        Some((mantissa, exponent)) => format!("{mantissa}e-{exponent:0>2}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_written_as_go_writes_them() {
        // strconv.FormatFloat(phi, 'g', -1, 64)
        for (quantile, text) in [
            (0.0, "0"),
            (0.5, "0.5"),
            (0.999, "0.999"),
            (1.0, "1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.25e-10, "1.25e-10"),
        ] {
            assert_eq!(quantile_value(quantile), text);
        }
    }

    #[test]
    fn a_suffix_lists_sorted_labels_without_the_name() {
        let labels = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>();
        assert_eq!(suffix("1m", &Grouping::Series), ":1m_");
        assert_eq!(suffix("1m", &Grouping::By(labels(&["job", "zone"]))), ":1m_by_job_zone_");
        assert_eq!(suffix("60s", &Grouping::By(Vec::new())), ":60s_");
        let without = Grouping::Without(labels(&["__name__", "pod"]));
        assert_eq!(suffix("1m", &without), ":1m_without_pod_");
    }
}
