//! Every metric stands in the documentation, with its kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_telemetry::{ExpositionFormat, Registry};

use super::*;
use crate::admin::sample::{ill, well};

const DOCUMENTED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/METRICS.md"));

fn text(status: Status) -> String {
    let registry = Registry::new();
    registry.set_collector("gateway", Arc::new(move |scrape: &mut Scrape| write(&status, scrape)));
    registry.encode(ExpositionFormat::Text)
}

/// All families by their kind, whatever state they need to appear.
fn families() -> BTreeMap<String, String> {
    let mut all = ill();
    all.log.max_bytes = Some(1 << 30);
    all.queue.max_bytes = Some(1 << 30);
    all.node.reloads.last_success_ms = 1;
    let kinds = text(all);
    let kinds = kinds.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let pair = |line: &str| {
        let (name, kind) = line.split_once(' ').unwrap();
        (name.to_owned(), kind.to_owned())
    };
    kinds.map(pair).collect()
}

#[test]
fn every_metric_is_documented_with_its_kind() {
    for (name, kind) in families() {
        let row = DOCUMENTED.lines().find(|line| line.starts_with(&format!("| `{name}`")));
        let row = row.unwrap_or_else(|| panic!("{name} is not in docs/METRICS.md"));
        assert!(row.contains(&format!("| {kind} |")), "{name} is a {kind}: {row}");
    }
}

#[test]
fn names_end_as_prometheus_wants_them() {
    for (name, kind) in families() {
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
    }
}

#[test]
fn values_have_base_units() {
    let text = text(well());
    for line in [
        "weir_audit_imbalance_samples{tenant=\"anonymous\"} 0",
        "weir_received_samples_total{tenant=\"team-a\"} 15000000",
        "weir_samples_total{class=\"folded\",tenant=\"anonymous\"} 810000000",
        "weir_rule_groups{rule=\"node_load1:1m_by_cluster_avg_last\"} 7",
        "weir_frontier_seconds 1.7723663692e+09",
        "weir_frontier_lag_seconds 30.8",
        "weir_wal_last_commit_seconds 0.00184",
        "weir_wal_durable_position 1834997",
        "weir_emit_lag_positions 2",
        "weir_checkpoint_last_duration_seconds 0.64",
        "weir_memory_bytes{part=\"labels\"} 41000000",
        "weir_replay_progress_ratio 1",
        "weir_config_version 4",
        "weir_ready 1",
    ] {
        assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
    }
}

#[test]
fn the_audit_is_there_before_the_first_sample() {
    let text = text(Status::default());
    assert!(text.contains("weir_audit_imbalance_samples{tenant=\"\"} 0\n"), "{text}");
    assert!(!text.contains("weir_frontier_seconds"), "no window has closed yet");
}
