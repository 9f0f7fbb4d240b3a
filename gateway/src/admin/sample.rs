//! A gateway at work, for tests: two moments ten seconds apart, with something in every place.

use std::collections::BTreeMap;

use weir_agent_config::control::{Refused, Report};

use super::page::View;
use super::problems::problems;
use super::rates::Rates;
use super::status::{
    Checkpoints, Destination, Emit, Frontier, Ingest, Journal, Memory, Node, Replay, Rule, Status,
    Tenant,
};
use crate::agents::{Agent, Assignment, Overview, State};
use crate::cluster::overview::{MemberView, Overview as Tier};

/// 2026-03-01 12:00:00 UTC.
pub(super) const NOW_MS: i64 = 1_772_366_400_000;

/// A gateway where all is well.
pub(super) fn well() -> Status {
    Status {
        now_ms: NOW_MS,
        node: node(),
        replay: Replay { from: 100, at: 4_000, to: 4_000, samples: 1_950_000, ..Replay::default() },
        ingest: Ingest {
            requests: BTreeMap::from([(204, 1_830_000), (400, 12), (503, 40)]),
            samples: 915_000_000,
            bytes: 24_000_000_000,
            refused: BTreeMap::from([("too_far_in_the_future", 31), ("label_limit", 4)]),
            refused_for_memory: 0,
            batches_free: 1_020,
        },
        tenants: vec![
            tenant("anonymous", 900_000_000, 812_000),
            tenant("team-a", 15_000_000, 9_400),
        ],
        unbalanced_positions: 0,
        rules: vec![
            rule(
                "container_cpu_usage_seconds_total:10s_without_pod_total",
                610_000_000,
                940_000,
                312,
            ),
            rule("http_requests_total:1m_by_service_code_total", 205_000_000, 1_700_000, 2_480),
            rule("node_load1:1m_by_cluster_avg_last", 1_800_000, 21_000, 7),
        ],
        births: 1_020_000,
        frontier: Frontier {
            closed_ms: NOW_MS - 30_800,
            submitted_ms: NOW_MS - 30_100,
            grace_ms: 30_000,
            ..Frontier::default()
        },
        log: journal(1_835_000, 3),
        queue: journal(2_240_000, 0),
        emit: Emit {
            position: 1_834_998,
            samples: 2_661_000,
            waiting_frames: 2,
            ..Emit::default()
        },
        checkpoints: Checkpoints {
            completed: 610,
            abandoned: 1,
            last_duration_ms: 640,
            last_bytes: 148_000_000,
            replay_from: 1_829_000,
        },
        memory: Memory {
            series: 112_000_000,
            labels: 41_000_000,
            requests: 2_600_000,
            requests_max: 268_435_456,
            resident: Some(236_000_000),
        },
        agents: Overview::default(),
        tier: Some(tier()),
        destinations: vec![destination("prometheus", "sending"), destination("archive", "sending")],
    }
}

/// The same gateway, ten seconds before.
pub(super) fn before(now: &Status) -> Status {
    let mut before = now.clone();
    before.now_ms -= 10_000;
    before.ingest.samples -= 5_000_000;
    before.ingest.bytes -= 130_000_000;
    before.births -= 300;
    before.emit.samples -= 15_000;
    before.log.written_bytes -= 131_000_000;
    if let Some(count) = before.ingest.requests.get_mut(&204) {
        *count -= 10_000;
    }
    for (tenant, part) in before.tenants.iter_mut().zip([4_900_000, 100_000]) {
        tenant.received -= part;
        for (class, share) in [("folded", 90), ("passed", 9), ("marker", 1)] {
            if let Some(samples) = tenant.classes.get_mut(class) {
                *samples -= part * share / 100;
            }
        }
    }
    for rule in &mut before.rules {
        rule.samples_in -= rule.samples_in / 200;
        rule.samples_out -= rule.samples_out / 200;
    }
    for destination in &mut before.destinations {
        destination.sent -= 465_000;
    }
    before
}

/// The same gateway with everything wrong at once, and names that would like to be markup.
pub(super) fn ill() -> Status {
    let mut status = well();
    status.node.name = "<script>alert('node')</script>".into();
    status.node.reloads.failed = 1;
    status.node.reloads.last_errors =
        vec!["weir.yml:14: windows.grace: \"30\" has no unit".into(), "second".into()];
    status.node.config_warnings = vec!["rules.yml:3: enable_windows has no effect".into()];
    status.tenants[0].imbalance = -7;
    status.unbalanced_positions = 2;
    status.replay.lost_positions = 3;
    status.replay.set_aside_records = 1;
    status.frontier.closed_ms = NOW_MS - 400_000;
    status.log.disk_full = true;
    status.queue.disk_free_bytes = Some(300_000_000);
    status.emit.blocked = true;
    status.rules[0].overflowed = 120;
    status.rules[1].late_dropped = 90_000;
    status.rules[1].late_carried = 10_000;
    status.rules[2].name = "<b>rule</b>".into();
    status.tenants[1].name = "a&b\"".into();
    status.agents = Overview::new(vec![agent()], 1);
    status.tier = Some(torn());
    let down = &mut status.destinations[1];
    down.state = "retrying";
    down.oldest_unsent_ms = NOW_MS - 754_000;
    down.lag_bytes = 1_932_735_283;
    down.lag_frames = 41_000;
    down.full = true;
    down.last_error = Some("connect to mimir:9009: <refused>".into());
    down.last_error_ms = NOW_MS - 1_300;
    let picky = &mut status.destinations[0];
    picky.set_aside = BTreeMap::from([("too_old", 1_200), ("labels", 0)]);
    picky.lately_set_aside = vec!["up{job=\"<x>\"} at 17: too_old (out of bounds)".into()];
    status
}

/// An agent that cannot take what it is to run.
fn agent() -> Agent {
    let refused = Refused { config: "9c".into(), error: "<agent.yml>:3: no".into() };
    Agent {
        name: "host-<1>".into(),
        labels: BTreeMap::from([("env".into(), "<prod>".into())]),
        state: State::Refused,
        seen_ms: NOW_MS - 4_000,
        assigned: Some(Assignment { name: "<prod>".into(), version: "9c".into() }),
        report: Report { refused: Some(refused), targets_down: 1, ..Report::default() },
    }
}

/// What the page shows of a moment, ten seconds after [`before`] it, all well.
pub(super) fn view(status: Status) -> View {
    let rates = Rates::between(Some(&before(&well())), &status);
    View { problems: problems(&status, &rates), rates, status }
}

fn node() -> Node {
    Node {
        name: "gw-eu-1".into(),
        version: "0.1.0".into(),
        listen: "10.1.2.3:9201".into(),
        data_dir: "/var/lib/weir".into(),
        config_file: Some("/etc/weir/weir.yml".into()),
        config_version: 4,
        config_since_ms: NOW_MS - 7_200_000,
        started_ms: NOW_MS - 18_300_000,
        ready: true,
        workers: 4,
        ..Node::default()
    }
}

/// A tier of which one member does not answer.
fn torn() -> Tier {
    let mut tier = tier();
    tier.engine_up = Some(false);
    tier.engine_error = "no answer in time".into();
    tier.members[2].up = false;
    tier.members[2].last_error = "cannot connect: <refused>".into();
    tier.members[2].behind_ms = 14_000;
    tier.members[2].untold_ms = 13_000;
    tier.windows_incomplete = 2;
    tier.moves.under_way = Some((20, "gw-<eu>-2".into()));
    tier
}

fn tier() -> Tier {
    let member = |name: &str, vshards| MemberView {
        name: name.into(),
        address: format!("{name}.example.net:9202"),
        capacity: 1,
        up: true,
        vshards,
        seen_ms: NOW_MS - 600,
        ..MemberView::default()
    };
    let members =
        vec![member("gw-eu-1", 1_365), member("gw-eu-2", 1_370), member("gw-eu-3", 1_361)];
    let name = "gw-eu-1".into();
    Tier { name, table_version: 3, engine_up: Some(true), members, ..Tier::default() }
}

fn tenant(name: &str, received: u64, series: u64) -> Tenant {
    let shares = [("folded", 90), ("passed", 9), ("marker", 1), ("late", 0), ("refused", 0)];
    let classes = shares.map(|(class, share)| (class, received * share / 100));
    Tenant { name: name.into(), received, series, classes: classes.into(), imbalance: 0 }
}

fn rule(name: &str, samples_in: u64, samples_out: u64, groups: u64) -> Rule {
    let last_window_end_ms = NOW_MS - 40_000;
    Rule {
        name: name.into(),
        samples_in,
        samples_out,
        groups,
        last_window_end_ms,
        ..Rule::default()
    }
}

fn journal(position: u64, pending: u64) -> Journal {
    Journal {
        last_position: position,
        durable_position: position - pending,
        first_position: position / 2,
        bytes: 310_000_000,
        disk_bytes: 469_762_048,
        disk_free_bytes: Some(88_000_000_000),
        commits: position / 3,
        records: position,
        written_bytes: 24_100_000_000,
        last_commit_ns: 1_840_000,
        last_group_records: 3,
        pending_bytes: pending * 13_000,
        ..Journal::default()
    }
}

fn destination(name: &str, state: &'static str) -> Destination {
    Destination {
        name: name.into(),
        url: format!("https://{name}.example.net/api/v1/write"),
        state,
        protocol: 1,
        sent: 84_000_000,
        oldest_unsent_ms: NOW_MS - 350,
        lag_bytes: 91_000,
        lag_frames: 3,
        ..Destination::default()
    }
}
