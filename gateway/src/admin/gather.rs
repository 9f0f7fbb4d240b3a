//! The running gateway as a [`Status`]: the only file of this part that knows what it is made of.
//!
//! Reads published facts and atomics; takes short locks, one at a time, and never one that a
//! request waits behind for long. The figures are of about one moment, not of exactly one.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::Ordering::Relaxed;

use weir_http::limits::MemoryBudget;
use weir_journal::Journal as Log;
use weir_model::audit::CLASSES;
use weir_remote::metrics::GIVEN_UP;
use weir_remote::verdict::REASONS;

use super::status::{
    Checkpoints, Destination, Emit, Frontier, Ingest, Journal, Memory, Node, Replay, Rule, Status,
    Tenant,
};
use crate::agents::Overview;
use crate::cluster::overview::Overview as Tier;
use crate::frontier::wall_ms;
use crate::node::Node as Gateway;
use crate::shard::worker::lock;

/// Tenants that are told apart, in metrics as well.
const TENANTS_MAX: usize = 1_000;

/// The name of all tenants beyond the bound.
const OTHER_TENANTS: &str = "__overflow__";

/// Gathers everything but the destinations, and what only the caller knows of the process.
pub(super) fn gather(gateway: &Gateway, process: Node, destinations: Vec<Destination>) -> Status {
    let current = gateway.current.load();
    let config = &current.config;
    let in_tier = !gateway.cluster.is_alone();
    let sum = |count: fn(&crate::shard::worker::Facts) -> u64| {
        gateway.worker_facts.iter().map(|facts| count(facts)).sum::<u64>()
    };
    let frontier = &gateway.frontier_facts;
    // Who stands alone gets nothing forwarded.
    let budgets = [Some(&gateway.budget), in_tier.then_some(&gateway.forwarded_budget)];
    let sum_of = |bytes: fn(&MemoryBudget) -> usize| -> u64 {
        budgets.into_iter().flatten().map(|budget| bytes(budget) as u64).sum()
    };
    Status {
        now_ms: wall_ms(),
        node: node(gateway, process),
        replay: replay(gateway),
        ingest: ingest(gateway),
        tenants: tenants(gateway),
        unbalanced_positions: gateway.audit.unbalanced(),
        rules: rules(gateway),
        births: sum(|facts| facts.births.load(Relaxed)),
        frontier: Frontier {
            closed_ms: gateway.emit_facts.frontier.load(Relaxed),
            submitted_ms: frontier.submitted.load(Relaxed),
            grace_ms: config.windows.grace.0,
            catching_up: frontier.catching_up.load(Relaxed),
            clock_in_doubt: frontier.clock_in_doubt.load(Relaxed),
            agents: frontier.agents.load(Relaxed) as u64,
        },
        log: journal(&gateway.log, config.wal.max_bytes),
        queue: journal(&gateway.queue, Some(config.queue.max_bytes)),
        emit: Emit {
            position: gateway.emit_facts.position.load(Relaxed),
            samples: gateway.emit_facts.emitted_samples.load(Relaxed),
            waiting_frames: gateway.emit_facts.waiting_frames.load(Relaxed),
            queue_full: gateway.emit_facts.queue_full.load(Relaxed),
            blocked: gateway.queue_blocked.load(Relaxed),
        },
        checkpoints: checkpoints(gateway),
        memory: Memory {
            series: sum(|facts| facts.memory[0].load(Relaxed)),
            labels: sum(|facts| facts.memory[1].load(Relaxed)),
            requests: sum_of(|budget| budget.used()),
            requests_max: sum_of(|budget| budget.limit()),
            resident: resident_bytes(),
        },
        agents: Overview::new(
            gateway.agents.list(&config.agents, wall_ms()),
            gateway.agents.unlisted(),
        ),
        tier: in_tier.then(|| Tier::new(gateway)),
        destinations,
    }
}

fn node(gateway: &Gateway, process: Node) -> Node {
    let current = gateway.current.load();
    let config = &current.config;
    Node {
        name: config.node_name.clone(),
        listen: config.listen.to_string(),
        data_dir: config.data_dir.display().to_string(),
        config_file: config.file.as_ref().map(|file| file.display().to_string()),
        config_warnings: config.warnings.iter().map(ToString::to_string).collect(),
        config_version: current.decisions.version,
        config_since_ms: current.since_ms,
        ready: gateway.readiness.ready.load(Relaxed),
        stopping: gateway.readiness.stopping.load(Relaxed),
        workers: gateway.workers as u64,
        ..process
    }
}

fn replay(gateway: &Gateway) -> Replay {
    Replay {
        from: gateway.readiness.replay_from.load(Relaxed),
        at: gateway.readiness.replay_at.load(Relaxed),
        to: gateway.readiness.replay_to.load(Relaxed),
        samples: gateway.audit.replayed_samples.load(Relaxed),
        lost_positions: gateway.audit.lost_positions.load(Relaxed),
        set_aside_records: gateway.audit.set_aside_records.load(Relaxed),
    }
}

fn ingest(gateway: &Gateway) -> Ingest {
    let facts = &gateway.ingest_facts;
    Ingest {
        requests: facts.statuses(),
        samples: facts.samples(),
        bytes: facts.bytes(),
        refused: facts.refused(),
        refused_for_memory: gateway.budget.refused() + gateway.forwarded_budget.refused(),
        batches_free: gateway.in_flight.available_permits() as u64,
    }
}

/// By number, which is the order in which they came: so the bound cuts off the same ones always.
fn tenants(gateway: &Gateway) -> Vec<Tenant> {
    let mut by_number: BTreeMap<u32, Tenant> = BTreeMap::new();
    for (id, audit) in gateway.audit.tenants() {
        let tenant = by_number.entry(id.0).or_default();
        tenant.name = gateway.tenants.name(id).to_string();
        tenant.received = audit.received;
        tenant.imbalance = audit.imbalance;
        let counts = CLASSES.iter().map(|class| (class.as_str(), audit.classes.get(*class)));
        tenant.classes = counts.collect();
    }
    for facts in &gateway.worker_facts {
        for (id, series) in lock(&facts.series).iter() {
            let tenant = by_number.entry(id.0).or_default();
            tenant.series += series;
            if tenant.name.is_empty() {
                tenant.name = gateway.tenants.name(*id).to_string();
            }
        }
    }
    bounded(by_number.into_values(), TENANTS_MAX)
}

fn bounded(tenants: impl Iterator<Item = Tenant>, max: usize) -> Vec<Tenant> {
    let mut shown: Vec<Tenant> = Vec::new();
    for tenant in tenants {
        if shown.len() < max {
            shown.push(tenant);
            continue;
        }
        if shown.len() == max {
            shown.push(Tenant { name: OTHER_TENANTS.into(), ..Tenant::default() });
        }
        if let Some(others) = shown.last_mut() {
            others.received += tenant.received;
            others.imbalance += tenant.imbalance;
            others.series += tenant.series;
            for (class, samples) in tenant.classes {
                *others.classes.entry(class).or_default() += samples;
            }
        }
    }
    shown
}

fn rules(gateway: &Gateway) -> Vec<Rule> {
    let mut rules: Vec<Rule> = lock(&gateway.emit_facts.rules)
        .iter()
        .map(|facts| Rule {
            name: facts.name.clone(),
            samples_in: facts.samples_in,
            samples_out: facts.samples_out,
            groups: facts.groups,
            overflowed: facts.overflowed,
            last_window_end_ms: facts.last_end,
            ..Rule::default()
        })
        .collect();
    for facts in &gateway.worker_facts {
        let late = lock(&facts.late);
        // Until a worker has published after a reload, its places are those of other rules.
        if late.len() != rules.len() {
            continue;
        }
        for (rule, late) in rules.iter_mut().zip(late.iter()) {
            rule.late_carried += late.carried;
            rule.late_dropped += late.dropped;
        }
    }
    rules
}

fn journal(journal: &Log, max_bytes: Option<u64>) -> Journal {
    let stats = journal.stats();
    Journal {
        last_position: journal.next_position().saturating_sub(1),
        durable_position: journal.durable(),
        first_position: journal.first(),
        bytes: journal.bytes(),
        disk_bytes: journal.disk_bytes(),
        disk_free_bytes: journal.disk_free_bytes().ok(),
        max_bytes,
        commits: stats.commits.load(Relaxed),
        records: stats.records.load(Relaxed),
        written_bytes: stats.bytes.load(Relaxed),
        last_commit_ns: stats.last_commit_ns.load(Relaxed),
        last_group_records: stats.last_group_records.load(Relaxed),
        pending_bytes: stats.queue_bytes.load(Relaxed),
        refused: stats.refused.load(Relaxed),
        disk_full: stats.disk_full.load(Relaxed),
        stopped: journal.poisoned().map(|why| why.to_string()),
    }
}

fn checkpoints(gateway: &Gateway) -> Checkpoints {
    let facts = &gateway.checkpoint_facts;
    Checkpoints {
        completed: facts.completed.load(Relaxed),
        abandoned: facts.abandoned.load(Relaxed),
        last_duration_ms: facts.last_duration_ms.load(Relaxed),
        last_bytes: facts.last_bytes.load(Relaxed),
        replay_from: facts.replay_from.load(Relaxed),
    }
}

/// What a sender counts, as the page shows it.
pub fn destination(
    name: &str,
    url: &str,
    metrics: &weir_remote::Metrics,
    status: &weir_remote::Status,
    full: bool,
) -> Destination {
    let set_aside = REASONS.iter().zip(&metrics.set_aside);
    let given_up = GIVEN_UP.iter().zip(&metrics.given_up);
    let shown = status.set_aside.iter().map(|one| {
        format!("{} at {}: {} ({})", one.series, one.timestamp, one.reason.as_str(), one.text)
    });
    Destination {
        name: name.to_owned(),
        url: without_secrets(url),
        state: status.state.as_str(),
        protocol: metrics.protocol.load(Relaxed),
        sent: metrics.samples_sent.load(Relaxed),
        repeated: metrics.samples_repeated.load(Relaxed),
        unwritten: metrics.samples_unwritten.load(Relaxed),
        retried: metrics.samples_retried.load(Relaxed),
        set_aside: set_aside.map(|(reason, n)| (reason.as_str(), n.load(Relaxed))).collect(),
        given_up: given_up.map(|(reason, n)| (reason.as_str(), n.load(Relaxed))).collect(),
        lag_frames: metrics.lag_frames.load(Relaxed),
        lag_bytes: metrics.lag_bytes.load(Relaxed),
        oldest_unsent_ms: metrics.oldest_unsent_ms.load(Relaxed),
        full,
        last_error: status.last_error.clone(),
        last_error_ms: status.last_error_ms,
        lately_set_aside: shown.collect(),
    }
}

/// A URL less user, password and query, which may hold keys.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// The kernel's count in kB, from `/proc/self/status`.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_a_url_is_shown() {
        let shown = without_secrets("https://user:p%40ss@mimir:8443/api/v1/push?token=x#y");
        assert_eq!(shown, "https://mimir:8443/api/v1/push");
        assert_eq!(without_secrets("http://a@b@host"), "http://host");
        assert_eq!(without_secrets("http://host/a@b"), "http://host/a@b");
    }

    #[test]
    fn tenants_beyond_the_bound_are_summed_up() {
        let tenant = |name: &str, received| Tenant {
            name: name.into(),
            received,
            series: 1,
            classes: BTreeMap::from([("folded", received)]),
            imbalance: 0,
        };
        let all = (1..=5).map(|n| tenant(&n.to_string(), n));
        let shown = bounded(all, 2);
        let names: Vec<&str> = shown.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(names, ["1", "2", OTHER_TENANTS]);
        assert_eq!((shown[2].received, shown[2].series), (12, 3));
        assert_eq!(shown[2].classes, BTreeMap::from([("folded", 12)]));
    }
}
