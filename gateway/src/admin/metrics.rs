//! A moment of the gateway as metrics; `docs/METRICS.md` has the meaning of each.
//!
//! Counters that the process keeps anyway are read when a scrape asks, nothing is counted twice.
//! Label sets are bounded: tenants by the status, rules and destinations by the configuration.
//! Deliberately not here: what destinations and the HTTP server count, which they collect
//! themselves.

use weir_telemetry::Scrape;

use super::status::{Journal, Rule, Status, Tenant};
use crate::cluster::overview::Overview as Tier;

/// Writes all of a moment's metrics.
pub fn write(status: &Status, scrape: &mut Scrape) {
    audit(status, scrape);
    for rule in &status.rules {
        write_rule(rule, scrape);
    }
    frontier(status, scrape);
    journal("wal", "log", &status.log, scrape);
    journal("queue", "send queue", &status.queue, scrape);
    emit(status, scrape);
    restart(status, scrape);
    memory(status, scrape);
    configuration(status, scrape);
    agents(status, scrape);
    if let Some(tier) = &status.tier {
        write_tier(tier, scrape);
    }
}

fn audit(status: &Status, scrape: &mut Scrape) {
    for tenant in &status.tenants {
        write_tenant(tenant, scrape);
    }
    if status.tenants.is_empty() {
        // An alert on the audit must not depend on traffic.
        write_tenant(&Tenant::default(), scrape);
    }
    scrape.counter(
        "weir_audit_unbalanced_positions_total",
        "Log positions at which the audit's two sides differed, or that never came to it.",
        &[],
        status.unbalanced_positions,
    );
    let help = "Series that were not known before.";
    scrape.counter("weir_series_births_total", help, &[], status.births);
    scrape.gauge(
        "weir_batches_free",
        "Requests that may still enter before others wait.",
        &[],
        status.ingest.batches_free as f64,
    );
    scrape.counter(
        "weir_requests_refused_for_memory_total",
        "Requests refused because those in flight hold all of http.memory_budget.",
        &[],
        status.ingest.refused_for_memory,
    );
}

fn write_tenant(tenant: &Tenant, scrape: &mut Scrape) {
    let labels = [("tenant", tenant.name.as_str())];
    scrape.gauge(
        "weir_audit_imbalance_samples",
        "Samples received less samples accounted for, at the same log positions; 0 unless Weir \
         has a bug.",
        &labels,
        tenant.imbalance as f64,
    );
    let help = "Samples that stood in requests.";
    scrape.counter("weir_received_samples_total", help, &labels, tenant.received);
    for (class, samples) in &tenant.classes {
        let labels = [("tenant", tenant.name.as_str()), ("class", *class)];
        let help = "Samples by what became of them; each falls in exactly one class.";
        scrape.counter("weir_samples_total", help, &labels, *samples);
    }
    let help = "Series that are alive.";
    scrape.gauge("weir_active_series", help, &labels, tenant.series as f64);
}

fn write_rule(rule: &Rule, scrape: &mut Scrape) {
    let name = rule.name.as_str();
    let labels = [("rule", name)];
    let help = "Samples folded into closed windows of a rule.";
    scrape.counter("weir_rule_input_samples_total", help, &labels, rule.samples_in);
    let help = "Output samples of a rule, stale markers included.";
    scrape.counter("weir_rule_output_samples_total", help, &labels, rule.samples_out);
    for (verdict, samples) in [("carried", rule.late_carried), ("dropped", rule.late_dropped)] {
        let labels = [("rule", name), ("verdict", verdict)];
        let help = "Samples that came after their window had closed.";
        scrape.counter("weir_rule_late_samples_total", help, &labels, samples);
    }
    scrape.gauge("weir_rule_groups", "Output groups of a rule.", &labels, rule.groups as f64);
    scrape.counter(
        "weir_rule_overflowed_groups_total",
        "Groups past max_groups, which share the series with __overflow__=\"true\".",
        &labels,
        rule.overflowed,
    );
    if let Some(ratio) = rule.reduction() {
        let help = "Input samples for each output sample, since the start.";
        scrape.gauge("weir_rule_reduction_ratio", help, &labels, ratio);
    }
    if rule.last_window_end_ms != 0 {
        let help = "End of the last window that a rule has closed, seconds since the epoch.";
        let end = seconds(rule.last_window_end_ms);
        scrape.gauge("weir_rule_last_window_end_seconds", help, &labels, end);
    }
}

fn frontier(status: &Status, scrape: &mut Scrape) {
    let frontier = &status.frontier;
    if let Some(lag) = status.frontier_lag_ms() {
        let help = "Event time through which windows are closed, seconds since the epoch.";
        scrape.gauge("weir_frontier_seconds", help, &[], seconds(frontier.closed_ms));
        let help =
            "How far the frontier is behind the clock; about windows.grace when all is well.";
        scrape.gauge("weir_frontier_lag_seconds", help, &[], seconds(lag));
    }
    let help = "windows.grace: how far the frontier is meant to be behind the clock.";
    scrape.gauge("weir_frontier_grace_seconds", help, &[], seconds(frontier.grace_ms));
    let help = "1 while windows wait for senders that work off a backlog.";
    scrape.gauge("weir_frontier_catching_up", help, &[], flag(frontier.catching_up));
    let help = "Agents that say how far they have come, so that windows may close early.";
    scrape.gauge("weir_watermarked_agents", help, &[], frontier.agents as f64);
    let help = "1 while the wall clock is in doubt: no samples are taken, no window closes.";
    scrape.gauge("weir_clock_in_doubt", help, &[], flag(frontier.clock_in_doubt));
}

/// The same metrics for the log and the send queue, `weir_<prefix>_…`.
fn journal(prefix: &str, name: &str, journal: &Journal, scrape: &mut Scrape) {
    let gauges = [
        ("position", format!("Last position of the {name}."), journal.last_position),
        (
            "durable_position",
            format!("Last position of the {name} that is on disk."),
            journal.durable_position,
        ),
        (
            "first_position",
            format!("Oldest position that the {name} keeps."),
            journal.first_position,
        ),
        ("bytes", format!("Bytes of the records in the {name}."), journal.bytes),
        (
            "disk_bytes",
            format!("Bytes of the {name}'s files, preallocated ones included."),
            journal.disk_bytes,
        ),
        (
            "queue_bytes",
            format!("Bytes reserved or appended to the {name}, not yet on disk."),
            journal.pending_bytes,
        ),
        (
            "last_group_records",
            format!("Records in the {name}'s last group commit."),
            journal.last_group_records,
        ),
        (
            "disk_full",
            format!("1 if the {name} could not prepare a file."),
            u64::from(journal.disk_full),
        ),
        (
            "stopped",
            format!("1 if the {name} takes nothing more after a failed write or sync."),
            u64::from(journal.stopped.is_some()),
        ),
    ];
    for (metric, help, value) in gauges {
        scrape.gauge(&format!("weir_{prefix}_{metric}"), &help, &[], value as f64);
    }
    let optional = [
        (
            "disk_free_bytes",
            format!("Bytes left on the file system of the {name}."),
            journal.disk_free_bytes,
        ),
        (
            "max_bytes",
            format!("Most bytes that the {name} may take; absent where the disk is the bound."),
            journal.max_bytes,
        ),
    ];
    for (metric, help, value) in optional {
        if let Some(value) = value {
            scrape.gauge(&format!("weir_{prefix}_{metric}"), &help, &[], value as f64);
        }
    }
    journal_counters(prefix, name, journal, scrape);
}

fn journal_counters(prefix: &str, name: &str, journal: &Journal, scrape: &mut Scrape) {
    let counters = [
        ("commits_total", format!("Group commits of the {name}."), journal.commits),
        ("records_total", format!("Records made durable in the {name}."), journal.records),
        (
            "written_bytes_total",
            format!("Bytes made durable in the {name}, framing included."),
            journal.written_bytes,
        ),
        (
            "refused_total",
            format!("Records that found no room in the {name}, each try counted."),
            journal.refused,
        ),
    ];
    for (metric, help, value) in counters {
        scrape.counter(&format!("weir_{prefix}_{metric}"), &help, &[], value);
    }
    let help = format!("How long the {name}'s last write and sync took.");
    let took = journal.last_commit_ns as f64 / 1e9;
    scrape.gauge(&format!("weir_{prefix}_last_commit_seconds"), &help, &[], took);
}

fn emit(status: &Status, scrape: &mut Scrape) {
    let emit = &status.emit;
    let help = "Last log position that is complete: shards have reported, outputs are decided.";
    scrape.gauge("weir_emit_position", help, &[], emit.position as f64);
    let lag = status.log.last_position.saturating_sub(emit.position);
    let help = "Log positions that are not complete yet.";
    scrape.gauge("weir_emit_lag_positions", help, &[], lag as f64);
    let help = "Output samples of all rules that were handed to the send queue.";
    scrape.counter("weir_emitted_samples_total", help, &[], emit.samples);
    let help = "Frames that wait for the log to be on disk, or for room in the send queue.";
    scrape.gauge("weir_emit_waiting_frames", help, &[], emit.waiting_frames as f64);
    let help = "1 while a frame finds no room in the send queue; the shards wait with it.";
    scrape.gauge("weir_queue_full", help, &[], flag(emit.queue_full));
    let help = "1 while a destination that blocks has no room: senders get 503.";
    scrape.gauge("weir_queue_blocked", help, &[], flag(emit.blocked));
}

fn restart(status: &Status, scrape: &mut Scrape) {
    let checkpoints = &status.checkpoints;
    scrape.counter("weir_checkpoints_total", "Checkpoints completed.", &[], checkpoints.completed);
    let help = "Checkpoints given up; the one before still counts.";
    scrape.counter("weir_checkpoints_abandoned_total", help, &[], checkpoints.abandoned);
    let help = "How long the last checkpoint took.";
    let took = checkpoints.last_duration_ms as f64 / 1e3;
    scrape.gauge("weir_checkpoint_last_duration_seconds", help, &[], took);
    let help = "Bytes of the last checkpoint.";
    scrape.gauge("weir_checkpoint_last_bytes", help, &[], checkpoints.last_bytes as f64);
    let lag = status.log.last_position.saturating_sub(checkpoints.replay_from);
    let help = "Log positions that a restart would have to read.";
    scrape.gauge("weir_checkpoint_lag_positions", help, &[], lag as f64);

    let replay = &status.replay;
    let help = "How much of the log has been read back since the start, 0 to 1.";
    let progress = if status.node.ready { 1.0 } else { replay.progress() };
    scrape.gauge("weir_replay_progress_ratio", help, &[], progress);
    let help = "Samples that the start read back from the log.";
    scrape.counter("weir_replay_samples_total", help, &[], replay.samples);
    let help = "Log positions that the start found damaged or missing on the disk.";
    scrape.gauge("weir_replay_lost_positions", help, &[], replay.lost_positions as f64);
    let help = "Log records that the start could not use and set aside.";
    scrape.gauge("weir_replay_set_aside_records", help, &[], replay.set_aside_records as f64);
    let help = "Log positions that the start read back, or has to.";
    let positions = replay.to.saturating_sub(replay.from);
    scrape.gauge("weir_replay_positions", help, &[], positions as f64);
    let help = "1 while remote write is taken.";
    let ready = status.node.ready && !status.node.stopping;
    scrape.gauge("weir_ready", help, &[], flag(ready));
}

fn memory(status: &Status, scrape: &mut Scrape) {
    let memory = &status.memory;
    let parts = [
        ("series", memory.series),
        ("labels", memory.labels),
        ("requests", memory.requests),
        ("wal_queue", status.log.pending_bytes),
        ("send_queue", status.queue.pending_bytes),
    ];
    for (part, bytes) in parts {
        let help = "Memory by part, as far as Weir counts it itself.";
        scrape.gauge("weir_memory_bytes", help, &[("part", part)], bytes as f64);
    }
    let help = "What requests in flight may hold: http.memory_budget.";
    scrape.gauge("weir_request_memory_limit_bytes", help, &[], memory.requests_max as f64);
}

fn agents(status: &Status, scrape: &mut Scrape) {
    let help = "Agents that have asked for their configuration within the hour, by state.";
    for (state, agents) in &status.agents.counts {
        scrape.gauge("weir_agents", help, &[("state", state.as_str())], *agents as f64);
    }
    scrape.counter(
        "weir_agents_unlisted_total",
        "Questions from agents that there was no room to list.",
        &[],
        status.agents.unlisted,
    );
}

fn write_tier(tier: &Tier, scrape: &mut Scrape) {
    let (up, away) = tier.counts();
    for (state, members) in [("up", up), ("away", away)] {
        let help = "Members of the tier by whether they answer this one; itself is up.";
        scrape.gauge("weir_cluster_members", help, &[("state", state)], members as f64);
    }
    let help = "Version of the placement table; the same on all members when all is well.";
    scrape.gauge("weir_cluster_table_version", help, &[], tier.table_version as f64);
    let help = "Virtual shards that this member owns, of 4096.";
    scrape.gauge("weir_cluster_vshards_owned", help, &[], tier.owned() as f64);
    if let Some(up) = tier.engine_up {
        let help = "1 while etcd, which keeps the placement table, answers.";
        scrape.gauge("weir_cluster_engine_up", help, &[], flag(up));
    }
}

fn configuration(status: &Status, scrape: &mut Scrape) {
    let (node, reloads) = (&status.node, &status.node.reloads);
    let help = "Counts up with every change of what decides about samples.";
    scrape.gauge("weir_config_version", help, &[], f64::from(node.config_version));
    let help = "When the configuration came into force, seconds since the epoch.";
    let since = seconds(node.config_since_ms);
    scrape.gauge("weir_config_since_timestamp_seconds", help, &[], since);
    let help = "1 unless the last reload failed.";
    let successful = flag(reloads.last_errors.is_empty());
    scrape.gauge("weir_config_last_reload_successful", help, &[], successful);
    if reloads.last_success_ms != 0 {
        let help = "When a reload last succeeded, seconds since the epoch.";
        let at = seconds(reloads.last_success_ms);
        scrape.gauge("weir_config_last_reload_success_timestamp_seconds", help, &[], at);
    }
    for (result, count) in [("success", reloads.succeeded), ("failure", reloads.failed)] {
        let help = "Reloads by result; the start is not one.";
        scrape.counter("weir_config_reloads_total", help, &[("result", result)], count);
    }
    scrape.gauge("weir_workers", "Shard workers.", &[], node.workers as f64);
}

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1e3
}

fn flag(set: bool) -> f64 {
    f64::from(u8::from(set))
}

#[cfg(test)]
mod tests;
