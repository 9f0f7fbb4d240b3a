//! `wal`, `queue` and `http`: what may be kept, on disk and in memory.
//!
//! Invariant: what must fit into something fits: a request and the decisions into a segment, a
//! request into the memory of requests.

use weir_config::{Check, Size};
use weir_model::Millis;

use crate::config::raw;
use crate::config::{Config, Http, Queue, Wal};

pub(super) fn wal(raw: &raw::Wal, http: &Http, check: &mut Check<'_>) -> Wal {
    let delay =
        check.duration("wal.commit_delay", &raw.commit_delay, Millis(0), Millis(0)..=Millis(1000));
    // A segment's length is stored in 32 bits.
    let segments = Size(MIB)..=Size(4 * GIB - MIB);
    let segment = check.size("wal.segment_size", &raw.segment_size, Size(64 * MIB), segments);
    let needed = Size(http.body_bytes_max as u64 + MIB);
    if segment < needed {
        let body = Size(http.body_bytes_max as u64);
        let message = format!(
            "{segment} cannot hold a request of http.max_body_size, {body}; allowed is {needed} or more"
        );
        check.error("wal.segment_size", message);
    }
    let max = raw
        .max_size
        .as_ref()
        .map(|_| check.size("wal.max_size", &raw.max_size, Size(GIB), Size(0)..=Size(1024 * TIB)));
    let max = max.filter(|max| max.0 > 0);
    let least = Size(4 * segment.0);
    if let Some(max) = max.filter(|max| *max < least) {
        let message =
            format!("{max} is less than four segments, {least}; 0 is no bound but the disk");
        check.error("wal.max_size", message);
    }
    let allowed = Millis(500)..=Millis::from_secs(3600);
    let key = "wal.checkpoint_interval";
    let every = check.duration(key, &raw.checkpoint_interval, Millis::from_secs(30), allowed);
    Wal {
        commit_delay: delay.to_std(),
        segment_bytes: segment.0,
        max_bytes: max.map(|max| max.0),
        checkpoint_interval: every.to_std(),
    }
}

/// `queue`, as bounds and as texts for the destinations that do not say.
pub(super) struct QueueDefaults {
    pub(super) bounds: Queue,
    pub(super) on_full: Option<String>,
}

pub(super) fn queue(raw: &raw::Queue, check: &mut Check<'_>) -> QueueDefaults {
    let allowed = Size(MIB)..=Size(1024 * TIB);
    let max = check.size("queue.max_size", &raw.max_size, Size(4 * GIB), allowed);
    let year = Millis::from_secs(366 * 86_400);
    let age = check.duration("queue.max_age", &raw.max_age, Millis(0), Millis(0)..=year);
    let words = [("block", Some("block")), ("drop_oldest", Some("drop_oldest"))];
    let on_full = check.choice("queue.on_full", &raw.on_full, None, &words);
    QueueDefaults {
        bounds: Queue { max_bytes: max.0, max_age: (age.0 > 0).then_some(age) },
        on_full: on_full.map(str::to_owned),
    }
}

pub(super) fn http(raw: &raw::Http, check: &mut Check<'_>) -> Http {
    let secs = Millis::from_secs;
    let times = Millis(100)..=secs(3600);
    let connections =
        check.number("http.max_connections", &raw.max_connections, 16_384, 1..=1_000_000);
    // Reservations count bytes in 32 bits.
    let bodies = Size(64 * KIB)..=Size(GIB);
    let body = check.size("http.max_body_size", &raw.max_body_size, Size(32 * MIB), bodies);
    let budgets = Size(MIB)..=Size(TIB);
    let memory = check.size("http.memory_budget", &raw.memory_budget, Size(GIB), budgets);
    if memory < body {
        let message = format!("{memory} cannot hold one request of http.max_body_size, {body}");
        check.error("http.memory_budget", message);
    }
    let headers =
        check.duration("http.header_timeout", &raw.header_timeout, secs(10), times.clone());
    let bodies = check.duration("http.body_timeout", &raw.body_timeout, secs(30), times);
    let bytes = |size: Size| usize::try_from(size.0).unwrap_or(usize::MAX);
    Http {
        connections_max: usize::try_from(connections).unwrap_or(usize::MAX),
        body_bytes_max: bytes(body),
        header_timeout: headers.to_std(),
        body_timeout: bodies.to_std(),
        memory_bytes: bytes(memory),
    }
}

/// The decisions are a record of the log: they must fit into a segment.
pub(super) fn decisions(config: &Config, check: &mut Check<'_>) {
    let bytes = Size(config.decisions.to_bytes().len() as u64);
    let room = Size(config.wal.segment_bytes - MIB / 2);
    if bytes > room {
        let segment = Size(config.wal.segment_bytes);
        let message = format!(
            "all rule files together are {bytes} in the log, and wal.segment_size is {segment}; \
             allowed is {room}"
        );
        check.error("rule_files", message);
    }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;
