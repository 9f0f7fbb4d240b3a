//! What a running gateway looks like at one moment: plain data, gathered once for every view.
//!
//! Metrics, the status page and its JSON are all made from this, so they cannot contradict each
//! other. Counters count from the start of the process, times are milliseconds since the epoch
//! (0: never), sizes are bytes. Nothing here decides or measures; that is `gather.rs`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::agents::Overview;
use crate::cluster::overview::Overview as Tier;

/// One moment of a gateway.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Status {
    /// When it was gathered.
    pub now_ms: i64,
    /// The process and its configuration.
    pub node: Node,
    /// How far the start has come.
    pub replay: Replay,
    /// What requests come to.
    pub ingest: Ingest,
    /// The first tenants that the process met; what lies beyond the bound is summed up in the last.
    pub tenants: Vec<Tenant>,
    /// Positions at which the audit's two sides differed, or that are missing without a reason.
    pub unbalanced_positions: u64,
    /// Rules, in the order of their files.
    pub rules: Vec<Rule>,
    /// Series born.
    pub births: u64,
    /// Which windows are closed.
    pub frontier: Frontier,
    /// The log.
    pub log: Journal,
    /// The send queue.
    pub queue: Journal,
    /// From log to queue.
    pub emit: Emit,
    /// Where a restart would begin.
    pub checkpoints: Checkpoints,
    /// Who holds memory.
    pub memory: Memory,
    /// Agents that ask for their configuration.
    pub agents: Overview,
    /// The tier; `None` for a node that stands alone.
    pub tier: Option<Tier>,
    /// `remote_write`; empty where `/federate` serves the outputs.
    pub destinations: Vec<Destination>,
}

/// The process and its configuration.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Node {
    /// `cluster.name`.
    pub name: String,
    /// The program's version.
    pub version: String,
    /// `listen`.
    pub listen: String,
    /// `data_dir`.
    pub data_dir: String,
    /// The configuration file; `None`: all is default.
    pub config_file: Option<String>,
    /// What may be odd about the configuration.
    pub config_warnings: Vec<String>,
    /// Counts up with every change of what decides about samples.
    pub config_version: u32,
    /// When the configuration came into force.
    pub config_since_ms: i64,
    /// What reloads came to.
    pub reloads: Reloads,
    /// When the process started.
    pub started_ms: i64,
    /// Requests are taken.
    pub ready: bool,
    /// The node is shutting down.
    pub stopping: bool,
    /// Shard workers.
    pub workers: u64,
}

/// What reloads came to; the start is not one.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Reloads {
    /// Applied.
    pub succeeded: u64,
    /// Refused; the configuration before stays in force.
    pub failed: u64,
    /// The last successful one; 0 if there was none.
    pub last_success_ms: i64,
    /// What was wrong, if the last one failed.
    pub last_errors: Vec<String>,
}

/// Reading the log back.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Replay {
    /// The first position that is read.
    pub from: u64,
    /// The position that has been reached.
    pub at: u64,
    /// The last position to read.
    pub to: u64,
    /// Samples applied.
    pub samples: u64,
    /// Positions that were damaged or missing on the disk.
    pub lost_positions: u64,
    /// Records that could not be used, or that had ended the process time and again.
    pub set_aside_records: u64,
}

/// What requests come to.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Ingest {
    /// Requests by status.
    pub requests: BTreeMap<u16, u64>,
    /// Samples, refused ones included.
    pub samples: u64,
    /// Compressed bytes.
    pub bytes: u64,
    /// Samples answered as invalid, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Requests refused for want of memory.
    pub refused_for_memory: u64,
    /// Batches that may still enter before requests wait.
    pub batches_free: u64,
}

/// One tenant.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Tenant {
    /// Its name.
    pub name: String,
    /// Samples that the decoder counted.
    pub received: u64,
    /// What became of them, by class.
    pub classes: BTreeMap<&'static str, u64>,
    /// `received` less all classes, at the same log positions; 0 unless something is broken.
    pub imbalance: i64,
    /// Series that are alive.
    pub series: u64,
}

/// One rule.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// Samples folded into closed windows.
    pub samples_in: u64,
    /// Output samples.
    pub samples_out: u64,
    /// Late samples whose increase joined the oldest open window.
    pub late_carried: u64,
    /// Late samples left out.
    pub late_dropped: u64,
    /// Output groups.
    pub groups: u64,
    /// Groups that were folded into the overflow series.
    pub overflowed: u64,
    /// End of the last window that closed.
    pub last_window_end_ms: i64,
}

/// Which windows are closed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Frontier {
    /// Windows that end here or earlier are closed.
    pub closed_ms: i64,
    /// Where the driver has put it; the emitter follows.
    pub submitted_ms: i64,
    /// `windows.grace`.
    pub grace_ms: i64,
    /// It waits for senders that work off a backlog.
    pub catching_up: bool,
    /// The wall clock has jumped.
    pub clock_in_doubt: bool,
    /// Agents whose promises are fresh.
    pub agents: u64,
}

/// A journal: the log or the send queue.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Journal {
    /// The last position that was given out.
    pub last_position: u64,
    /// All positions up to it are on disk.
    pub durable_position: u64,
    /// The oldest position that is kept.
    pub first_position: u64,
    /// Records kept.
    pub bytes: u64,
    /// All its files, preallocated ones included.
    pub disk_bytes: u64,
    /// What its file system has left; `None` if it does not say.
    pub disk_free_bytes: Option<u64>,
    /// Most bytes that it may take; `None`: what the disk holds.
    pub max_bytes: Option<u64>,
    /// Group commits.
    pub commits: u64,
    /// Records made durable.
    pub records: u64,
    /// Bytes made durable.
    pub written_bytes: u64,
    /// The last write and sync took so long.
    pub last_commit_ns: u64,
    /// Records of the last group commit.
    pub last_group_records: u64,
    /// Appended and not yet durable.
    pub pending_bytes: u64,
    /// Reservations refused.
    pub refused: u64,
    /// The last attempt to prepare a segment failed.
    pub disk_full: bool,
    /// Why it takes nothing more.
    pub stopped: Option<String>,
}

/// From log to queue.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Emit {
    /// All positions up to it are complete.
    pub position: u64,
    /// Output samples written to the queue.
    pub samples: u64,
    /// Frames that wait for the log to be durable.
    pub waiting_frames: u64,
    /// A frame waits for room in the queue.
    pub queue_full: bool,
    /// A destination that blocks has no room: senders get 503.
    pub blocked: bool,
}

/// Where a restart would begin.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Checkpoints {
    /// Cycles completed.
    pub completed: u64,
    /// Cycles given up.
    pub abandoned: u64,
    /// The last one took so long.
    pub last_duration_ms: u64,
    /// Its size.
    pub last_bytes: u64,
    /// Replay would start behind this position.
    pub replay_from: u64,
}

/// Who holds memory.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    /// Series, aliases, open windows.
    pub series: u64,
    /// Interned labels.
    pub labels: u64,
    /// Requests in flight.
    pub requests: u64,
    /// What requests may hold: `http.memory_budget`.
    pub requests_max: u64,
    /// Resident pages of the process; `None` where the system does not say.
    pub resident: Option<u64>,
}

/// One destination of `remote_write`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Destination {
    /// Its name.
    pub name: String,
    /// Its URL, without credentials and query.
    pub url: String,
    /// `sending`, `retrying`, `blocked`, `broken` or `stopped`.
    pub state: &'static str,
    /// Version of remote write spoken now: 1 or 2.
    pub protocol: u64,
    /// Samples that the backend has taken.
    pub sent: u64,
    /// Samples that it had already.
    pub repeated: u64,
    /// Samples that a 2xx answer left out.
    pub unwritten: u64,
    /// Samples of requests that were sent again.
    pub retried: u64,
    /// Samples that the backend refuses for good, by reason.
    pub set_aside: BTreeMap<&'static str, u64>,
    /// Samples that were not sent, by reason.
    pub given_up: BTreeMap<&'static str, u64>,
    /// Undelivered frames.
    pub lag_frames: u64,
    /// Undelivered bytes.
    pub lag_bytes: u64,
    /// When the oldest undelivered frame was written.
    pub oldest_unsent_ms: i64,
    /// Its queue is full, and it blocks.
    pub full: bool,
    /// The last error.
    pub last_error: Option<String>,
    /// When that was.
    pub last_error_ms: i64,
    /// Samples lately set aside, in words, the newest last.
    pub lately_set_aside: Vec<String>,
}

impl Status {
    /// Samples of one class, over all tenants.
    pub fn class(&self, class: &str) -> u64 {
        self.tenants.iter().filter_map(|t| t.classes.get(class)).sum()
    }

    /// Series that are alive, over all tenants.
    pub fn series(&self) -> u64 {
        self.tenants.iter().map(|t| t.series).sum()
    }

    /// Left less right of the audit, over all tenants.
    pub fn imbalance(&self) -> i64 {
        self.tenants.iter().map(|t| t.imbalance).sum()
    }

    /// How far event time is behind the clock; `None` before the first window closed.
    pub fn frontier_lag_ms(&self) -> Option<i64> {
        let closed = self.frontier.closed_ms;
        (closed != 0).then(|| (self.now_ms - closed).max(0))
    }
}

impl Replay {
    /// How much of the log has been read, 0 to 1.
    pub fn progress(&self) -> f64 {
        let whole = self.to.saturating_sub(self.from);
        if whole == 0 {
            return if self.to == 0 { 0.0 } else { 1.0 };
        }
        let done = self.at.saturating_sub(self.from).min(whole);
        done as f64 / whole as f64
    }
}

impl Rule {
    /// Input samples for each output sample; `None` before there is one.
    pub fn reduction(&self) -> Option<f64> {
        (self.samples_out > 0).then(|| self.samples_in as f64 / self.samples_out as f64)
    }
}

impl Journal {
    /// Positions that are given out and not yet on disk.
    pub fn pending_positions(&self) -> u64 {
        self.last_position.saturating_sub(self.durable_position)
    }
}

impl Destination {
    /// Samples that will never reach the backend, write relabelling's wish aside.
    pub fn lost(&self) -> u64 {
        let given_up = self.given_up.iter().filter(|(reason, _)| **reason != "relabelled");
        let given_up: u64 = given_up.map(|(_, samples)| samples).sum();
        given_up + self.set_aside.values().sum::<u64>() + self.unwritten
    }

    /// Age of the oldest undelivered frame; 0 where there is none.
    pub fn lag_ms(&self, now_ms: i64) -> i64 {
        let oldest = self.oldest_unsent_ms;
        if oldest == 0 { 0 } else { (now_ms - oldest).max(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_of_nothing_is_done_once_its_end_is_known() {
        let progress = |from, at, to| Replay { from, at, to, ..Replay::default() }.progress();
        assert_eq!(progress(0, 0, 0), 0.0, "nothing is known yet");
        assert_eq!(progress(7, 7, 7), 1.0);
        assert_eq!(progress(100, 150, 300), 0.25);
        assert_eq!(progress(100, 400, 300), 1.0);
        assert_eq!(progress(100, 0, 300), 0.0);
    }

    #[test]
    fn what_relabelling_drops_is_not_lost() {
        let destination = Destination {
            given_up: BTreeMap::from([("relabelled", 5), ("max_age", 2)]),
            set_aside: BTreeMap::from([("too_old", 3)]),
            unwritten: 1,
            ..Destination::default()
        };
        assert_eq!(destination.lost(), 6);
    }
}
