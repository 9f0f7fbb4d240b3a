//! One tenant's series as a page: families by name, each in one piece, in the order of labels.
//!
//! Classic histograms and summaries gather under their family's name, each of them with its
//! buckets in ascending order and then sum and count, as both formats want it.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use weir_aggregate::matcher::Selector;
use weir_model::labels::METRIC_NAME;
use weir_model::{Label, Labels, Metadata, MetricType, Sample};
use weir_wire::text::{Format, Writer};

use super::series::{Metric, Series};

const INSTANCE: &str = "instance";

/// Suffixes of a classic histogram's or summary's samples, in the order of the page.
const SUFFIXES: [&str; 5] = ["_bucket", "_sum", "_count", "_gsum", "_gcount"];

/// Writes the page of a scraper that has seen everything through a position of the queue.
pub(super) fn render(
    series: &Series,
    seen_through: u64,
    selectors: &[Selector],
    format: Format,
) -> String {
    let mut families: BTreeMap<&str, Vec<&Metric>> = BTreeMap::new();
    for (name, metric) in series.metrics() {
        families.entry(family(name, metric.metadata.as_ref())).or_default().push(metric);
    }
    let mut writer = Writer::new(format);
    for (name, metrics) in families {
        let all = metrics.iter().flat_map(|metric| &metric.lines);
        let mut shown: Vec<(&Labels, &Sample)> = all
            .filter(|(labels, _)| selected(labels, selectors))
            .flat_map(|(labels, line)| line.unseen(seen_through).map(move |s| (labels, s)))
            .filter(|(_, sample)| series.is_recent(sample))
            .collect();
        if shown.is_empty() {
            continue;
        }
        let metadata = metrics.iter().find_map(|metric| metric.metadata.as_ref());
        let kind = metadata.map_or(MetricType::Unknown, |m| m.kind);
        let bound = bound_label(kind);
        shown.sort_unstable_by(|a, b| order(*a, *b, name, bound));
        if let Some(metadata) = metadata {
            writer.family(name, kind, &metadata.help);
        }
        for (labels, sample) in shown {
            let labels = labels.iter().chain(no_instance(labels));
            writer.series(labels, std::slice::from_ref(sample), &[]);
        }
    }
    writer.finish()
}

fn selected(labels: &Labels, selectors: &[Selector]) -> bool {
    if selectors.is_empty() {
        return true;
    }
    let labels: Vec<Label<'_>> = labels.iter().collect();
    selectors.iter().any(|selector| selector.matches(&labels))
}

/// The family's name: a metric's own, less its suffix if it is one of several of its family.
fn family<'a>(name: &'a str, metadata: Option<&Metadata>) -> &'a str {
    if metadata.and_then(|m| bound_label(m.kind)).is_none() {
        return name;
    }
    SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

/// The label that tells the parts of one histogram or summary apart.
fn bound_label(kind: MetricType) -> Option<&'static str> {
    match kind {
        MetricType::Histogram | MetricType::GaugeHistogram => Some("le"),
        MetricType::Summary => Some("quantile"),
        _ => None,
    }
}

/// `instance=""` where a series has no instance, as in Prometheus's own `/federate`: else a scraper
/// with `honor_labels` would take the gateway for it.
fn no_instance(labels: &Labels) -> Option<Label<'static>> {
    labels.get(INSTANCE).is_none().then(|| Label::new(INSTANCE, ""))
}

/// By labels, less the bound; then by time; then what has bounds, by bound; then by suffix.
fn order(
    (a, at): (&Labels, &Sample),
    (b, bt): (&Labels, &Sample),
    family: &str,
    bound: Option<&str>,
) -> Ordering {
    let by_time = at.timestamp.cmp(&bt.timestamp);
    let Some(bound) = bound else {
        return a.iter().cmp(b.iter()).then(by_time);
    };
    let whose = |label: &Label<'_>| label.name != METRIC_NAME && label.name != bound;
    let part = |labels: &Labels| {
        let suffix = labels.metric_name().strip_prefix(family).unwrap_or_default();
        let place = SUFFIXES.iter().position(|s| *s == suffix);
        // A summary's quantiles have no suffix and come first.
        place.map_or(0, |place| place + 1)
    };
    let value = |labels: &Labels| labels.get(bound).and_then(|v| v.parse().ok()).unwrap_or(0.0);
    let by_labels = a.iter().filter(whose).cmp(b.iter().filter(whose));
    by_labels
        .then(by_time)
        .then_with(|| part(a).cmp(&part(b)))
        .then_with(|| f64::total_cmp(&value(a), &value(b)))
        .then_with(|| a.iter().cmp(b.iter()))
}
