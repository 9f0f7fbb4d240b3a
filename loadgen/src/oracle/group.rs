//! Output groups, and a group's life, window by window.

use std::collections::{BTreeMap, BTreeSet};

use super::speech::Running;
use super::timeline::Member;
use super::window::{Sorted, Window};
use super::{Expected, Rule, Said};
use crate::samples::Labels;

/// A rule's groups: the series that share their labels.
pub(super) type Groups<'a> = BTreeMap<Labels, Vec<&'a Member>>;

/// Sorts the series of the `number`th rule into its groups.
pub(super) fn groups<'a>(rule: &Rule, number: usize, members: &'a [Member]) -> Groups<'a> {
    let mut groups = Groups::new();
    for member in members.iter().filter(|m| m.rules.contains(&number)) {
        groups.entry(rule.group(&member.labels)).or_default().push(member);
    }
    groups
}

/// Everything that a group's outputs say up to `through`.
pub(super) fn follow(
    rule: &Rule,
    group: &Labels,
    members: &[&Member],
    through: i64,
    out: &mut Said,
) {
    let sorted: Vec<Sorted<'_>> = members.iter().map(|m| Sorted::new(rule, m)).collect();
    let Some(mut end) = sorted.iter().filter_map(|m| m.first_end(rule)).min() else {
        return;
    };
    let mut running = Running::default();
    let mut speaking: BTreeSet<Labels> = BTreeSet::new();
    while end <= through {
        let window = Window::look(rule, &sorted, end);
        running.add(&window);
        let mut said = BTreeSet::new();
        for output in &rule.outputs {
            if let Some(histogram) = running.says_histogram(output, &window) {
                if let Some(labels) = rule.output_labels(group, output, None) {
                    out.histograms.entry(labels.clone()).or_default().insert(end, histogram);
                    said.insert(labels);
                }
                continue;
            }
            for (extra, expected) in running.says(output, &window) {
                let Some(labels) = rule.output_labels(group, output, extra) else { continue };
                let series = out.floats.entry(labels.clone()).or_default();
                let begins = matches!(output.as_str(), "total" | "total_prometheus");
                if begins && !running.started {
                    series.insert(end - rule.interval_ms + 1, Expected::Value(0.0));
                }
                series.insert(end, expected);
                said.insert(labels);
            }
        }
        running.started |= !said.is_empty();
        if window.living == 0 {
            for labels in speaking.difference(&said) {
                out.floats.entry(labels.clone()).or_default().insert(end, Expected::Marker);
            }
            speaking.clear();
        }
        speaking.extend(said);
        if speaking.is_empty() && sorted.iter().all(|m| m.is_forgotten(end)) {
            running = Running::default();
        }
        end += rule.interval_ms;
    }
}
