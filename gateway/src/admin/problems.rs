//! What is wrong, in plain words, with what to do about it; the worst first.
//!
//! A pure function of a moment and its rates. Each problem names what is affected, says what that
//! means for the data, and ends in something that a person can do. The same thresholds stand in
//! the alert rules under `deploy/alerts/`, which also wait before they shout.

use serde::Serialize;

use super::page::format;
use super::rates::Rates;
use super::status::{Destination, Journal, Replay, Status};
use crate::agents::State;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Data is wrong, or is not taken.
    Critical,
    /// It will be, or a part of it is.
    Warning,
    /// Good to know.
    Notice,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What that means, and what to do.
    pub advice: String,
}

/// Less than this on the disk is nearly full: minutes to an hour of a busy node.
const DISK_FREE_MIN_BYTES: u64 = 1 << 30;

/// A part of `max_bytes` past which a journal is nearly full.
const NEARLY_FULL: f64 = 0.9;

/// The frontier moves once a second; more than this beyond grace is no jitter.
const FRONTIER_SLACK_MS: i64 = 30_000;

/// A backend that has not answered for so long is down, not slow.
const DESTINATION_DOWN_MS: i64 = 60_000;

/// A part of the samples that may be late before it is worth a word: some are always.
const LATE_RATIO: f64 = 0.001;

/// Everything that is wrong; empty if nothing is.
pub fn problems(status: &Status, rates: &Rates) -> Vec<Problem> {
    let mut found = Found::default();
    found.lifecycle(status);
    found.truth(status);
    found.damage(&status.replay);
    found.journal(&status.log, "log", "wal.max_size");
    found.journal(&status.queue, "send queue", "queue.max_size");
    found.clock(status);
    found.queue(status);
    for (at, destination) in status.destinations.iter().enumerate() {
        let lost = rates.destinations.get(at).map_or(0.0, |r| r.lost);
        found.destination(status, destination, lost);
    }
    found.tier(status);
    found.senders(status, rates);
    found.rules(status, rates);
    found.upkeep(status, rates);
    found.0.sort_by_key(|problem| problem.severity);
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn critical(&mut self, what: impl Into<String>, advice: impl Into<String>) {
        self.push(Severity::Critical, what.into(), advice.into());
    }

    fn warning(&mut self, what: impl Into<String>, advice: impl Into<String>) {
        self.push(Severity::Warning, what.into(), advice.into());
    }

    fn notice(&mut self, what: impl Into<String>, advice: impl Into<String>) {
        self.push(Severity::Notice, what.into(), advice.into());
    }

    fn push(&mut self, severity: Severity, what: String, advice: String) {
        self.0.push(Problem { severity, what, advice });
    }

    fn lifecycle(&mut self, status: &Status) {
        if status.node.stopping {
            self.notice(
                "This gateway is shutting down",
                "Senders get 503 and keep their samples. Nothing that was acknowledged is lost.",
            );
        } else if !status.node.ready {
            let percent = format::percent(status.replay.progress());
            self.warning(
                format!("This gateway is reading its log back: {percent}"),
                "Senders get 503 and keep their samples until it is done. If the percentage does \
                 not move, look at the log output of the process.",
            );
        }
    }

    fn truth(&mut self, status: &Status) {
        let imbalance: u64 = status.tenants.iter().map(|t| t.imbalance.unsigned_abs()).sum();
        if imbalance != 0 || status.unbalanced_positions != 0 {
            let positions = format::count(status.unbalanced_positions);
            self.critical(
                format!(
                    "The audit does not balance: {} samples",
                    format::signed(status.imbalance())
                ),
                format!(
                    "At {positions} log positions what came in and what became of it differ: \
                     samples were lost or counted twice inside. This is a bug. Keep the data \
                     folder and the log output (search for \"audit\") and report it."
                ),
            );
        }
    }

    fn damage(&mut self, replay: &Replay) {
        let Replay { lost_positions: lost, set_aside_records: set_aside, .. } = replay;
        if lost + set_aside > 0 {
            self.critical(
                format!(
                    "The start has lost {} log records to the disk and set {} aside",
                    format::count(*lost),
                    format::count(*set_aside)
                ),
                "Unless the power failed while they were written, samples in them were acknowledged \
                 and are missing from windows that were open; everything else was read back. The \
                 log output has their positions (search for \"positions\" and \"set aside\"), the \
                 data folder keeps damaged bytes as *.quarantine. Check the disk.",
            );
        }
    }

    fn journal(&mut self, journal: &Journal, name: &str, key: &str) {
        if let Some(why) = &journal.stopped {
            self.critical(
                format!("The {name} takes nothing more: {why}"),
                "The process ends itself. Check the disk (dmesg, SMART), then start it again: \
                 what was acknowledged is read back.",
            );
        } else if journal.disk_full {
            self.critical(
                format!("The disk under the {name} is full"),
                "Senders get 503 and keep their samples. Free space under the data folder or \
                 enlarge the disk; the gateway goes on by itself.",
            );
        } else if let Some(free) = journal.disk_free_bytes
            && free < DISK_FREE_MIN_BYTES
        {
            self.warning(
                format!("The disk under the {name} is nearly full: {} left", format::bytes(free)),
                "When it is full, senders get 503. Free space, or bound the journals by \
                 wal.max_size and queue.max_size.",
            );
        }
        if let Some(max) = journal.max_bytes
            && journal.disk_bytes as f64 > max as f64 * NEARLY_FULL
        {
            let (used, max) = (format::bytes(journal.disk_bytes), format::bytes(max));
            self.warning(
                format!("The {name} is nearly full: {used} of {max}"),
                format!(
                    "When it is full, senders get 503. Raise {key}, or find out what keeps it."
                ),
            );
        }
    }

    fn clock(&mut self, status: &Status) {
        if status.frontier.clock_in_doubt {
            self.critical(
                "The clock has jumped",
                "No samples are taken and no window closes until it is steady: senders get 503. \
                 Check time synchronisation on this host (chronyc tracking, timedatectl).",
            );
            return;
        }
        let Some(lag) = status.frontier_lag_ms().filter(|_| status.node.ready) else {
            return;
        };
        let late_by = lag - status.frontier.grace_ms;
        if status.frontier.catching_up {
            self.notice(
                format!("Windows wait for senders to catch up ({} behind)", format::duration(lag)),
                "After a pause or a move senders work off what they kept; windows stay open for it, for \
                 windows.backlog_wait_max at most. Nothing needs to be done.",
            );
        } else if late_by > FRONTIER_SLACK_MS {
            self.critical(
                format!("Windows do not close: event time is {} behind", format::duration(lag)),
                "Outputs are missing at the backend. Either shards cannot keep up (look at CPU) \
                 or the frontier cannot be logged (look at the disk and the log output).",
            );
        }
    }

    fn queue(&mut self, status: &Status) {
        if status.emit.queue_full && !status.emit.blocked {
            self.critical(
                "The send queue takes nothing more",
                "No window closes and senders will get 503. Look for a full disk, or a destination \
                 that is down.",
            );
        }
        if status.emit.blocked {
            let full = status.destinations.iter().filter(|d| d.full);
            let names = full.map(|d| d.name.as_str()).collect::<Vec<_>>().join(", ");
            let whose = if names.is_empty() { String::new() } else { format!(" for {names}") };
            self.critical(
                format!("The send queue is full{whose}"),
                "Senders get 503 until there is room. Bring the destination back, raise \
                 queue.max_size, or let it lose its oldest data with on_full: drop_oldest.",
            );
        }
    }

    fn destination(&mut self, status: &Status, destination: &Destination, lost: f64) {
        let name = &destination.name;
        let waits = destination.lag_ms(status.now_ms);
        let said = destination.last_error.as_deref().unwrap_or("it did not say why");
        match destination.state {
            "blocked" => self.critical(
                format!("Destination {name} refuses this gateway: {said}"),
                "Check its url, credentials and headers. Data waits in the queue meanwhile.",
            ),
            "broken" => self.critical(
                format!("Destination {name} cannot read its queue: {said}"),
                "Check the data folder's disk and the log output, then restart the gateway.",
            ),
            "retrying" if waits > DESTINATION_DOWN_MS => self.critical(
                format!("Destination {name} is down for {}: {said}", format::duration(waits)),
                format!(
                    "Check that {} is up and can be reached from this host. {} wait in the queue \
                     and are sent once it answers.",
                    destination.url,
                    format::bytes(destination.lag_bytes)
                ),
            ),
            "retrying" => self.warning(
                format!("Destination {name} fails: {said}"),
                "It is tried again. If this goes on, check the backend's own log.",
            ),
            _ if waits > DESTINATION_DOWN_MS => self.warning(
                format!("Destination {name} is {} behind", format::duration(waits)),
                "The backend takes less than comes in. Raise queue_config.max_shards, or give the \
                 backend more capacity.",
            ),
            _ => {}
        }
        if lost > 0.0 {
            let last = destination.lately_set_aside.last();
            let example = last.map_or(String::new(), |text| format!(" The latest: {text}."));
            self.warning(
                format!("Destination {name} loses {} samples/s for good", format::rate(lost)),
                format!(
                    "They are refused by the backend, too old, or pushed out of a full queue; the \
                     table below has the reasons.{example}"
                ),
            );
        }
    }

    fn tier(&mut self, status: &Status) {
        if let Some(tier) = status.tier.as_ref().filter(|tier| tier.engine_up == Some(false)) {
            self.warning(
                format!("etcd does not answer: {}", tier.engine_error),
                "The placement table that is known stays in force, and samples are taken. Until etcd \
                 is back no member can join, and no virtual shard moves. Check cluster.etcd.endpoints \
                 and etcd itself (etcdctl endpoint health).",
            );
        }
        let unfollowed = status.tier.as_ref().map(|tier| tier.unfollowed.as_str());
        if let Some(why) = unfollowed.filter(|why| !why.is_empty()) {
            self.critical(
                format!("No follower is in step, so nothing is acknowledged: {why}"),
                "At cluster.replication_factor 2 a sample is acknowledged once it is on two disks. \
                 Senders get 503 and keep what they have. Start the members that are away; a tier \
                 needs three to go on without one.",
            );
        }
        let members = status.tier.iter().flat_map(|tier| &tier.members);
        for member in members.filter(|member| !member.up) {
            let why =
                if member.last_error.is_empty() { "not asked yet" } else { &member.last_error };
            self.warning(
                format!("Member {} of the tier is away: {why}", member.name),
                format!(
                    "It owns {} virtual shards. Check that it runs, and that {} can be reached \
                     from this host.",
                    format::count(member.vshards as u64),
                    member.address
                ),
            );
        }
    }

    fn senders(&mut self, status: &Status, rates: &Rates) {
        if rates.requests_5xx > 0.0 && status.node.ready && !status.node.stopping {
            self.warning(
                format!("{} requests/s are answered 5xx", format::rate(rates.requests_5xx)),
                "Senders keep those samples and try again. The answer's text says what is short: \
                 disk, memory, queue or clock.",
            );
        }
        if rates.refused_for_memory > 0.0 {
            let max = format::bytes(status.memory.requests_max);
            self.warning(
                format!("Requests find no memory: all of {max} is in use"),
                "Raise http.memory_budget, or let senders send fewer and smaller requests at a time.",
            );
        }
        if rates.refused > 0.0 {
            let most = status.ingest.refused.iter().max_by_key(|(_, samples)| **samples);
            let why = most.map_or(String::new(), |(reason, _)| format!(", mostly {reason}"));
            self.warning(
                format!("{} samples/s are refused as invalid{why}", format::rate(rates.refused)),
                "The sender's log names the first bad sample of each request; the good ones of \
                 the same request are stored.",
            );
        }
        if status.node.ready && status.ingest.samples == 0 {
            self.notice(
                "Nothing has come in yet",
                format!(
                    "Point remote_write of Prometheus, vmagent or Alloy at \
                     http://{}/api/v1/write",
                    status.node.listen
                ),
            );
        }
    }

    fn rules(&mut self, status: &Status, rates: &Rates) {
        for (at, rule) in status.rules.iter().enumerate() {
            let fast = rates.rules.get(at).copied().unwrap_or_default();
            let late = fast.late_dropped + fast.late_carried;
            if late > 0.0 && late > LATE_RATIO * (fast.samples_in + fast.late_dropped) {
                self.warning(
                    format!(
                        "Rule {}: {} samples/s come too late ({}/s are dropped)",
                        rule.name,
                        format::rate(late),
                        format::rate(fast.late_dropped)
                    ),
                    "They came after their window had closed. Raise windows.grace, find the \
                     sender that is behind or whose clock is wrong, or set late: carry for \
                     counters.",
                );
            }
            if rule.overflowed > 0 {
                self.warning(
                    format!(
                        "Rule {}: {} groups are over max_groups",
                        rule.name,
                        format::count(rule.overflowed)
                    ),
                    "They share one series with __overflow__=\"true\": sums stay right, the \
                     detail is gone. Group by fewer labels, or raise max_groups.",
                );
            }
        }
        if status.node.ready && status.rules.is_empty() {
            self.notice(
                "There are no rules: everything passes through raw",
                "Name vmagent stream aggregation files under rule_files to reduce it.",
            );
        }
    }

    fn upkeep(&mut self, status: &Status, rates: &Rates) {
        if rates.checkpoints_abandoned > 0 && rates.checkpoints_completed == 0 {
            self.warning(
                "Checkpoints are given up",
                "The log grows, and a restart takes longer, until one succeeds. The log output \
                 says why; a full disk is the usual reason.",
            );
        }
        let reloads = &status.node.reloads;
        if let Some(first) = reloads.last_errors.first() {
            let more = reloads.last_errors.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            self.warning(
                format!("The last reload failed: {first}{more}"),
                "The configuration before it stays in force. Check the file with \
                 weir-gateway --check, then reload again.",
            );
        }
        let refused = status.agents.count(State::Refused);
        if refused > 0 {
            self.warning(
                format!("{refused} agents refuse the configuration that they are to run"),
                "Each goes on with the one before it. The table of agents says why; the gateway \
                 cannot see their environment and files.",
            );
        }
        for warning in &status.node.config_warnings {
            self.notice(
                format!("Configuration: {warning}"),
                "It works; see docs/CONFIGURATION.md.",
            );
        }
    }
}

#[cfg(test)]
mod tests;
