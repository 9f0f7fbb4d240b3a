//! How fast things go: the difference of two moments, by the second.
//!
//! [`History`] keeps the moments of about the last half minute, so whoever looks sees what happens
//! now and not the average of a life. Without an earlier moment the rates are those since the
//! start. Counters that fell (a rule that came anew) count from 0.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::status::{Destination, Rule, Status, Tenant};

/// Per second, over [`Rates::span_ms`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct Rates {
    /// How much time lies between the two moments.
    pub span_ms: i64,
    /// The earlier moment is the start of the process.
    pub since_start: bool,
    /// Requests.
    pub requests: f64,
    /// Requests that were answered 5xx.
    pub requests_5xx: f64,
    /// Requests that were answered 4xx.
    pub requests_4xx: f64,
    /// Samples received.
    pub received: f64,
    /// Compressed bytes received.
    pub bytes: f64,
    /// Output samples of rules.
    pub emitted: f64,
    /// Samples passed on raw.
    pub passed: f64,
    /// Stale markers received.
    pub markers: f64,
    /// Samples answered as invalid.
    pub refused: f64,
    /// Late samples that were dropped.
    pub late: f64,
    /// Repeats.
    pub duplicate: f64,
    /// Samples of the HA replica that is not in charge.
    pub ha_loser: f64,
    /// Samples dropped by relabelling or rules.
    pub dropped: f64,
    /// Samples folded into rules.
    pub folded: f64,
    /// Series born.
    pub births: f64,
    /// Bytes written to the log.
    pub log_bytes: f64,
    /// Requests refused for want of memory.
    pub refused_for_memory: f64,
    /// Checkpoints given up, in all the span.
    pub checkpoints_abandoned: u64,
    /// Checkpoints completed, in all the span.
    pub checkpoints_completed: u64,
    /// In the order of [`Status::rules`].
    pub rules: Vec<RuleRates>,
    /// In the order of [`Status::tenants`].
    pub tenants: Vec<TenantRates>,
    /// In the order of [`Status::destinations`].
    pub destinations: Vec<DestinationRates>,
}

/// One rule's.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct RuleRates {
    /// Samples folded into closed windows.
    pub samples_in: f64,
    /// Output samples.
    pub samples_out: f64,
    /// Late samples that were carried.
    pub late_carried: f64,
    /// Late samples that were dropped.
    pub late_dropped: f64,
}

/// One tenant's.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct TenantRates {
    /// Samples received.
    pub received: f64,
    /// Samples refused.
    pub refused: f64,
}

/// One destination's.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct DestinationRates {
    /// Samples that the backend took.
    pub sent: f64,
    /// Samples that will never reach it.
    pub lost: f64,
}

impl Rates {
    /// Rates between two moments; since the start where there is no earlier one.
    pub fn between(before: Option<&Status>, now: &Status) -> Self {
        let blank = Status { now_ms: now.node.started_ms, ..Status::default() };
        let since_start = before.is_none();
        let before = before.unwrap_or(&blank);
        let span = Span { before, now, seconds: (now.now_ms - before.now_ms).max(1) as f64 / 1e3 };
        let class = |class: &'static str| span.rate(|s| s.class(class));
        let answered = |hundreds: u16| span.rate(|s| requests(s, Some(hundreds)));
        Self {
            span_ms: (now.now_ms - before.now_ms).max(1),
            since_start,
            requests: span.rate(|s| requests(s, None)),
            requests_5xx: answered(5),
            requests_4xx: answered(4),
            received: span.rate(|s| s.ingest.samples),
            bytes: span.rate(|s| s.ingest.bytes),
            emitted: span.rate(|s| s.emit.samples),
            passed: class("passed"),
            markers: class("marker"),
            refused: class("refused"),
            late: class("late"),
            duplicate: class("duplicate"),
            ha_loser: class("ha_loser"),
            dropped: class("dropped"),
            folded: class("folded"),
            births: span.rate(|s| s.births),
            log_bytes: span.rate(|s| s.log.written_bytes),
            refused_for_memory: span.rate(|s| s.ingest.refused_for_memory),
            checkpoints_abandoned: span.grown(|s| s.checkpoints.abandoned),
            checkpoints_completed: span.grown(|s| s.checkpoints.completed),
            rules: now.rules.iter().map(|rule| span.rule(rule)).collect(),
            tenants: now.tenants.iter().map(|tenant| span.tenant(tenant)).collect(),
            destinations: now.destinations.iter().map(|d| span.destination(d)).collect(),
        }
    }

    /// Samples that leave: outputs and what passes.
    pub fn sent_on(&self) -> f64 {
        self.emitted + self.passed
    }
}

struct Span<'a> {
    before: &'a Status,
    now: &'a Status,
    seconds: f64,
}

impl Span<'_> {
    fn grown(&self, count: impl Fn(&Status) -> u64) -> u64 {
        grown(count(self.before), count(self.now))
    }

    fn rate(&self, count: impl Fn(&Status) -> u64) -> f64 {
        self.grown(count) as f64 / self.seconds
    }

    fn rule(&self, now: &Rule) -> RuleRates {
        let before = self.before.rules.iter().find(|r| r.name == now.name);
        let rate = |count: fn(&Rule) -> u64| self.by_second(before.map_or(0, count), count(now));
        RuleRates {
            samples_in: rate(|r| r.samples_in),
            samples_out: rate(|r| r.samples_out),
            late_carried: rate(|r| r.late_carried),
            late_dropped: rate(|r| r.late_dropped),
        }
    }

    fn tenant(&self, now: &Tenant) -> TenantRates {
        let before = self.before.tenants.iter().find(|t| t.name == now.name);
        let rate = |count: fn(&Tenant) -> u64| self.by_second(before.map_or(0, count), count(now));
        TenantRates {
            received: rate(|t| t.received),
            refused: rate(|t| t.classes.get("refused").copied().unwrap_or(0)),
        }
    }

    fn destination(&self, now: &Destination) -> DestinationRates {
        let before = self.before.destinations.iter().find(|d| d.name == now.name);
        let rate =
            |count: fn(&Destination) -> u64| self.by_second(before.map_or(0, count), count(now));
        DestinationRates { sent: rate(|d| d.sent), lost: rate(Destination::lost) }
    }

    fn by_second(&self, before: u64, now: u64) -> f64 {
        grown(before, now) as f64 / self.seconds
    }
}

fn grown(before: u64, now: u64) -> u64 {
    if now >= before { now - before } else { now }
}

fn requests(status: &Status, hundreds: Option<u16>) -> u64 {
    let wanted = |code: &u16| hundreds.is_none_or(|h| code / 100 == h);
    status.ingest.requests.iter().filter(|(code, _)| wanted(code)).map(|(_, count)| count).sum()
}

/// Moments closer together than this are not kept.
const APART_MS: i64 = 2_000;

/// How far back the earlier moment lies, once there is one.
const BACK_MS: i64 = 30_000;

/// The moments of the last half minute; bounded by [`BACK_MS`] over [`APART_MS`].
#[derive(Debug, Default)]
pub struct History(Mutex<VecDeque<Arc<Status>>>);

impl History {
    /// Keeps this moment, and returns the one to compare it with, if there is one.
    pub fn observe(&self, now: &Arc<Status>) -> Option<Arc<Status>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A wall clock that went back makes all that was kept useless.
        if kept.back().is_some_and(|last| last.now_ms > now.now_ms) {
            kept.clear();
        }
        while kept.get(1).is_some_and(|next| now.now_ms - next.now_ms >= BACK_MS) {
            kept.pop_front();
        }
        let before = kept.front().filter(|first| now.now_ms - first.now_ms >= APART_MS).cloned();
        if kept.back().is_none_or(|last| now.now_ms - last.now_ms >= APART_MS) {
            kept.push_back(Arc::clone(now));
        }
        before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(now_ms: i64, samples: u64) -> Arc<Status> {
        let mut status = Status { now_ms, ..Status::default() };
        status.node.started_ms = 1_000_000;
        status.ingest.samples = samples;
        Arc::new(status)
    }

    #[test]
    fn without_an_earlier_moment_rates_are_since_the_start() {
        let rates = Rates::between(None, &at(1_010_000, 500));
        assert!(rates.since_start);
        assert_eq!(rates.received, 50.0);
    }

    #[test]
    fn a_counter_that_fell_counts_from_nothing() {
        let rates = Rates::between(Some(&at(1_000_000, 900)), &at(1_010_000, 100));
        assert_eq!(rates.received, 10.0);
        assert!(!rates.since_start);
    }

    #[test]
    fn rules_are_found_by_name_when_their_order_changed() {
        let with = |now_ms, rules: &[(&str, u64)]| {
            let mut status = Status::clone(&at(now_ms, 0));
            let rule = |&(name, samples_in): &(&str, u64)| Rule {
                name: name.into(),
                samples_in,
                ..Rule::default()
            };
            status.rules = rules.iter().map(rule).collect();
            status
        };
        let before = with(1_000_000, &[("a", 100), ("b", 1_000)]);
        let now = with(1_010_000, &[("b", 1_500), ("new", 70), ("a", 100)]);
        let rates = Rates::between(Some(&before), &now);
        let inputs: Vec<f64> = rates.rules.iter().map(|r| r.samples_in).collect();
        assert_eq!(inputs, [50.0, 7.0, 0.0]);
    }

    #[test]
    fn history_compares_with_half_a_minute_ago_and_stays_small() {
        let history = History::default();
        assert!(history.observe(&at(0, 0)).is_none());
        assert!(history.observe(&at(500, 0)).is_none(), "too close to tell a rate");
        assert_eq!(history.observe(&at(2_000, 0)).unwrap().now_ms, 0);
        for second in 3..600 {
            let before = history.observe(&at(second * 1_000, 0)).unwrap();
            let back = second * 1_000 - before.now_ms;
            assert!(back <= 32_000, "{back}");
            assert!(back >= 30_000 || before.now_ms == 0, "{back}");
        }
        assert!(history.0.lock().unwrap().len() <= 17);
    }

    #[test]
    fn a_clock_that_went_back_begins_anew() {
        let history = History::default();
        history.observe(&at(100_000, 0));
        assert!(history.observe(&at(50_000, 0)).is_none());
        assert_eq!(history.observe(&at(60_000, 0)).unwrap().now_ms, 50_000);
    }
}
