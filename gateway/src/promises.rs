//! What senders have promised: agents say up to which time all their samples have been acknowledged,
//! and no more will come.
//!
//! Where everybody who has sent lately is such an agent, windows need not wait for `grace`; where one
//! of them works off a backlog, they wait longer. Invariant: a sender that has promised nothing, or
//! not lately, lets nothing run ahead; one that is silent holds nothing back. Kept in memory only:
//! after a restart on known data nobody is believed to have been heard of completely until
//! [`ALIVE_MS`] are over. Pure: time is an argument.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

use weir_agent_config::watermark::Watermark;
use weir_model::Timestamp;

use crate::shard::worker::lock;

/// Everybody who has sent lately.
#[derive(Debug, Default)]
pub struct Promises {
    /// When somebody sent who promises nothing, milliseconds since the epoch.
    stock_ms: AtomicI64,
    /// By name and buffer: two of one name are two.
    agents: Mutex<HashMap<(String, u64), Agent>>,
}

#[derive(Clone, Debug, Default)]
struct Agent {
    heard_ms: Timestamp,
    promise: Option<Promise>,
}

#[derive(Clone, Copy, Debug)]
struct Promise {
    said_ms: Timestamp,
    through: Timestamp,
    series: u64,
}

/// What all promises together allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outlook {
    /// Every sample up to here is in, from everybody.
    pub complete: Option<Timestamp>,
    /// Somebody with a good part of all series is only this far.
    pub behind: Option<Timestamp>,
    /// Agents whose promises are fresh.
    pub agents: usize,
}

impl Promises {
    /// A request with samples came, from this agent or from a sender that is none.
    pub fn heard(&self, agent: Option<(&str, u64)>, now: Timestamp) {
        let Some((name, buffer)) = agent else {
            self.stock_ms.fetch_max(now, Ordering::Relaxed);
            return;
        };
        self.with(name, buffer, now, |_| {});
    }

    /// An agent says how far it has come, or that it ends.
    pub fn promise(&self, watermark: &Watermark, now: Timestamp) {
        let Watermark { agent, buffer, through, series, end } = watermark;
        if *end {
            lock(&self.agents).remove(&(agent.clone(), *buffer));
            return;
        }
        // A clock that runs ahead of this one's may not close what others still send.
        let promise = Promise { said_ms: now, through: (*through).min(now), series: *series };
        self.with(agent, *buffer, now, |agent| agent.promise = Some(promise));
    }

    fn with(&self, name: &str, buffer: u64, now: Timestamp, act: impl FnOnce(&mut Agent)) {
        let mut agents = lock(&self.agents);
        let key = (name.to_owned(), buffer);
        if agents.len() >= AGENTS_MAX && !agents.contains_key(&key) {
            agents.retain(|_, agent| now - agent.heard_ms < ALIVE_MS);
            if agents.len() >= AGENTS_MAX {
                self.stock_ms.fetch_max(now, Ordering::Relaxed);
                return;
            }
        }
        let agent = agents.entry(key).or_default();
        agent.heard_ms = now;
        act(agent);
    }

    /// What is allowed now; `series` are alive in all, and whoever was more than `slow_ms` behind when
    /// it last spoke works off a backlog.
    pub fn look(&self, now: Timestamp, series: u64, slow_ms: i64) -> Outlook {
        let mut agents = lock(&self.agents);
        agents.retain(|_, agent| now - agent.heard_ms < ALIVE_MS);
        let mut outlook = Outlook::default();
        let mut least = Some(Timestamp::MAX);
        for agent in agents.values() {
            let promise = agent.promise.filter(|promise| now - promise.said_ms <= FRESH_MS);
            let Some(promise) = promise else {
                least = None;
                continue;
            };
            outlook.agents += 1;
            least = least.map(|least| least.min(promise.through));
            let is_large = promise.series.saturating_mul(PART) > series;
            if is_large && promise.said_ms - promise.through > slow_ms {
                let behind = outlook.behind.unwrap_or(Timestamp::MAX).min(promise.through);
                outlook.behind = Some(behind);
            }
        }
        let is_alone = now - self.stock_ms.load(Ordering::Relaxed) >= ALIVE_MS;
        outlook.complete = least.filter(|_| is_alone && outlook.agents > 0);
        outlook
    }
}

/// Senders that were silent for longer have no live series: PromQL's lookback.
pub const ALIVE_MS: i64 = 300_000;
/// Agents say something every 5 s; three times that is silence.
const FRESH_MS: i64 = 15_000;
/// An agent with less than this part of all series holds nobody back.
const PART: u64 = 10;
/// Agents that are told apart; more count as senders that promise nothing.
const AGENTS_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Any time of today.
    const NOW: Timestamp = 1_772_366_400_000;

    fn says(agent: &str, through: Timestamp, series: u64) -> Watermark {
        Watermark { agent: agent.into(), buffer: 1, through, series, end: false }
    }

    #[test]
    fn what_every_agent_has_promised_is_complete() {
        let promises = Promises::default();
        assert_eq!(promises.look(NOW, 100, 30_000), Outlook::default(), "nobody is there");
        promises.promise(&says("a", NOW - 1_000, 50), NOW);
        promises.promise(&says("b", NOW - 3_000, 50), NOW);
        let outlook = promises.look(NOW, 100, 30_000);
        assert_eq!((outlook.complete, outlook.behind), (Some(NOW - 3_000), None));
        promises.promise(&says("b", NOW + 9_000, 50), NOW);
        promises.promise(&says("a", NOW + 9_000, 50), NOW);
        assert_eq!(promises.look(NOW, 100, 0).complete, Some(NOW), "nobody is ahead of the clock");
    }

    #[test]
    fn one_sender_without_a_promise_lets_nothing_run_ahead() {
        let promises = Promises::default();
        promises.promise(&says("a", NOW, 1), NOW);
        promises.heard(None, NOW);
        assert_eq!(promises.look(NOW, 1, 0).complete, None);
        let later = NOW + ALIVE_MS;
        promises.promise(&says("a", later - 1, 1), later - 1);
        assert_eq!(promises.look(later - 1, 1, 0).complete, None);
        assert_eq!(promises.look(later, 1, 0).complete, Some(later - 1), "it is gone");
        promises.heard(Some(("b", 1)), later);
        assert_eq!(promises.look(later, 1, 0).complete, None, "an agent that has said nothing yet");
        promises.promise(&says("b", later - 9, 1), later);
        assert_eq!(promises.look(later, 1, 0).complete, Some(later - 9));
        promises.heard(Some(("b", 2)), later);
        assert_eq!(promises.look(later, 1, 0).complete, None, "another one of its name");
    }

    #[test]
    fn a_silent_agent_lets_nothing_run_ahead_and_holds_nothing_back() {
        let promises = Promises::default();
        promises.promise(&says("a", NOW - 60_000, 50), NOW);
        let outlook = promises.look(NOW + FRESH_MS, 100, 30_000);
        assert_eq!((outlook.behind, outlook.agents), (Some(NOW - 60_000), 1));
        let outlook = promises.look(NOW + FRESH_MS + 1, 100, 30_000);
        assert_eq!(outlook, Outlook::default());
        let end = Watermark { end: true, ..says("a", 0, 0) };
        promises.promise(&says("b", NOW, 50), NOW + 20_000);
        assert_eq!(promises.look(NOW + 20_000, 100, 30_000).complete, None);
        promises.promise(&end, NOW + 20_000);
        assert_eq!(promises.look(NOW + 20_000, 100, 30_000).complete, Some(NOW), "it has said so");
    }

    #[test]
    fn only_a_good_part_of_all_series_holds_back() {
        let promises = Promises::default();
        promises.promise(&says("small", NOW - 90_000, 10), NOW);
        promises.promise(&says("large", NOW - 60_000, 11), NOW);
        let outlook = promises.look(NOW, 100, 30_000);
        assert_eq!((outlook.complete, outlook.behind), (Some(NOW - 90_000), Some(NOW - 60_000)));
        assert_eq!(promises.look(NOW, 100, 60_000).behind, None, "within grace it is not slow");
    }
}
