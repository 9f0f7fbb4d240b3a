//! The oracle against numbers worked out by hand.

mod counters;
mod doubts;
mod lateness;
mod natives;
mod pairs;
mod windows;

use std::sync::Arc;

use super::*;
use crate::samples::{History, labels, name};

/// An oracle with one rule over `m`, without `instance`, in windows of 10 s.
fn oracle(outputs: &str, more: &str) -> Oracle {
    oracle_of(&format!("without: [instance], outputs: [{outputs}], {more}"))
}

/// An oracle with one rule over `m` in windows of 10 s.
fn oracle_of(more: &str) -> Oracle {
    Oracle::read(&format!("- {{match: m, interval: 10s, staleness_interval: 25s, {more}}}"))
        .unwrap()
}

fn history(series: &[(&str, &[(i64, f64)])]) -> Vec<Arrival> {
    let mut history = History::default();
    for (instance, samples) in series {
        let labels: Arc<Labels> = labels("m", &[("instance", instance)]);
        let samples = samples.iter().map(|&(t, v)| Sample::new(&labels, t, v));
        history.add(&samples.collect::<Vec<_>>());
    }
    history.in_time()
}

/// What the only series of this name says.
fn said(outputs: &Outputs, wanted: &str) -> Vec<(i64, Expected)> {
    let mut found = outputs.iter().filter(|(l, _)| name(l) == wanted);
    let series = found.next().map(|(_, s)| s.iter().map(|(&t, &e)| (t, e)).collect());
    assert!(found.next().is_none(), "{wanted} is one series");
    series.unwrap_or_default()
}

/// What an output of `m:10s_without_instance` says.
fn says(outputs: &Outputs, output: &str) -> Vec<(i64, Expected)> {
    said(outputs, &format!("m:10s_without_instance_{output}"))
}

fn values<const N: usize>(of: [(i64, f64); N]) -> [(i64, Expected); N] {
    of.map(|(t, v)| (t, Expected::Value(v)))
}

#[test]
fn differences_are_told_apart() {
    let wanted = labels("x", &[]);
    let mut expected = Outputs::new();
    let series = expected.entry((*wanted).clone()).or_default();
    series.extend([(1, Expected::Value(1.0)), (2, Expected::Value(2.0)), (3, Expected::Marker)]);
    series.insert(5, Expected::Perhaps(7.0, 8.0));
    let received = [(2, 2.0), (2, 2.0), (1, 1.5), (2, 2.5), (4, 4.0)];
    let received: Vec<_> = received.iter().map(|&(t, v)| Sample::new(&wanted, t, v)).collect();
    let found = compare(&expected, &received, |_, _| true);
    let counts = [&found.lost, &found.doubled, &found.wrong, &found.unexpected, &found.disordered];
    assert_eq!(counts.map(Vec::len), [1, 1, 2, 1, 1], "{found}");
    assert_eq!(found.resent, 1);
}

#[test]
fn a_total_that_catches_up_was_late_and_one_that_does_not_is_wrong() {
    let total = labels("m:10s_total", &[]);
    let mut expected = Outputs::new();
    let series = expected.entry((*total).clone()).or_default();
    series.extend(values([(10, 5.0), (20, 9.0), (30, 9.0), (40, 12.0)]));
    let received = [(10, 5.0), (20, 7.0), (30, 9.0), (40, 11.0)];
    let received: Vec<_> = received.iter().map(|&(t, v)| Sample::new(&total, t, v)).collect();
    let found = compare(&expected, &received, |_, _| true);
    assert_eq!((found.late.len(), found.wrong.len()), (1, 1), "{found}");
}

#[test]
fn relabelling_decides_who_is_taken_and_what_it_is_called() {
    let oracle = oracle_of(
        "by: [zone], outputs: [count_samples], \
         input_relabel_configs: [{source_labels: [instance], regex: 'b.*', action: drop}, \
         {source_labels: [instance], regex: '(.).*', target_label: zone}], \
         output_relabel_configs: [{target_label: tier, replacement: one}, \
         {source_labels: [zone], regex: c, action: drop}]",
    );
    let arrivals =
        history(&[("a:1", &[(1_000, 1.0)]), ("b:1", &[(2_000, 1.0)]), ("c:1", &[(3_000, 1.0)])]);
    let outputs = oracle.expected(&arrivals, 10_000);
    // b is left out, so it passes as it came; c's output is dropped.
    let raw = labels("m", &[("instance", "b:1")]);
    let said = labels("m:10s_by_zone_count_samples", &[("tier", "one"), ("zone", "a")]);
    assert_eq!(outputs.keys().collect::<Vec<_>>(), [&*raw, &*said]);
    assert_eq!(outputs[&*said], values([(10_000, 1.0)]).into());
}

#[test]
fn files_that_it_cannot_compute_are_refused() {
    for file in [
        "- {match: m, interval: 10s, outputs: [total], input_relabel_configs: [{action: hashmod}]}",
        "- {match: m, interval: soon, outputs: [total]}",
        "- {match: 'm{', interval: 10s, outputs: [total]}",
        "- {match: m, interval: 10s, outputs: [total], colour: red}",
    ] {
        assert!(Oracle::read(file).is_err(), "{file}");
    }
    let all = "- name: x\n  tenants: [a]\n  match: ['m', 'n']\n  interval: 1m30s\n  by: [b]\n  \
        keep_input: true\n  late: drop\n  births: observed\n  max_groups: 3\n  outputs: [total]\n  \
        enable_windows: true\n  drop_input_labels: [c]\n  dedup_interval: 30s\n";
    let oracle = Oracle::read(all).unwrap();
    assert_eq!(oracle.rules()[0].interval_ms, 90_000);
    assert!(!oracle.rules()[0].takes("b", &labels("m", &[])), "of another tenant");
}
