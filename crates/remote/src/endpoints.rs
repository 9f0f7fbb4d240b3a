//! Which of a destination's endpoints the next request goes to: fail-over, and the way back.
//!
//! Every sender ranks the endpoints by a hash of its own, so that many senders spread over them and
//! each stays where it is. Invariant: while an endpoint answers, requests go to one place only; one
//! that fails is left after [`FAILURES_MAX`] failures in a row or [`FAILING_MS_MAX`], and a better
//! one is asked again, one request at a time, after a pause with jitter that doubles. Nothing is
//! refused here: where all are down each gets the requests in turn, as often as the outbox retries. Time and randomness are arguments.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::retry::Backoff;

/// Failures in a row after which an endpoint is left.
const FAILURES_MAX: u32 = 3;
/// From the beginning of the first request that failed: a timeout is longer than three refusals.
const FAILING_MS_MAX: u64 = 10_000;
/// Until an endpoint that was left is asked again.
const PAUSE: Backoff = Backoff { min: Duration::from_secs(30), max: Duration::from_secs(300) };

/// The same for one that all senders prefer: the others only send on what is its own.
const PAUSE_OF_PREFERRED: Backoff =
    Backoff { min: Duration::from_secs(5), max: Duration::from_secs(30) };

/// The endpoints of a destination, as one sender sees them.
#[derive(Debug)]
pub struct Endpoints {
    /// The best first.
    ranked: Vec<Endpoint>,
    /// Comes before all others.
    preferred: Option<String>,
    current: usize,
    seed: u64,
    failovers: u64,
    /// Counts pauses, so that the oldest is known.
    turns: u64,
}

#[derive(Debug)]
struct Endpoint {
    name: String,
    failures: u32,
    /// When the first of the failures in a row began.
    failing_since_ms: u64,
    /// Until when nothing is sent to it, if it was left.
    paused_until_ms: Option<u64>,
    pauses: u32,
    /// The turn of its last pause.
    turn: u64,
    is_probed: bool,
}

/// Another endpoint is in use from now on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Moved {
    /// The one before.
    pub from: String,
    /// The one now.
    pub to: String,
}

impl Endpoints {
    /// Endpoints of these names, which are unique. `seed` makes the ranking the sender's own.
    pub fn new(names: &[String], seed: u64) -> Self {
        Self::with_preferred(names, None, seed)
    }

    /// The same, and one of them is the best for every sender.
    pub fn with_preferred(names: &[String], preferred: Option<String>, seed: u64) -> Self {
        let ranked = Vec::new();
        let mut endpoints = Self { ranked, preferred, current: 0, seed, failovers: 0, turns: 0 };
        endpoints.set_names(names);
        endpoints
    }

    /// Brings another list into force. What is known of those that stay is kept; where the one in
    /// use is gone, the best begins. An empty list changes nothing.
    pub fn set_names(&mut self, names: &[String]) {
        let in_use = self.in_use().to_owned();
        if names.is_empty() {
            return;
        }
        self.ranked.retain(|endpoint| names.contains(&endpoint.name));
        for name in names {
            if !self.ranked.iter().any(|endpoint| endpoint.name == *name) {
                self.ranked.push(Endpoint::new(name));
            }
        }
        let (seed, preferred) = (self.seed, &self.preferred);
        self.ranked.sort_by_key(|Endpoint { name, .. }| {
            (preferred.as_ref() != Some(name), xxh3_64_with_seed(name.as_bytes(), seed))
        });
        self.current = self.ranked.iter().position(|e| e.name == in_use).unwrap_or(0);
    }

    /// The endpoint in use.
    pub fn in_use(&self) -> &str {
        self.ranked.get(self.current).map_or("", |endpoint| &endpoint.name)
    }

    /// How often an endpoint was left because it failed.
    pub fn failovers(&self) -> u64 {
        self.failovers
    }

    /// Where the next request goes; its end belongs into [`Endpoints::handle_end`].
    pub fn poll_endpoint(&mut self, now_ms: u64) -> &str {
        let better = self.ranked.iter().take(self.current);
        let due = better.into_iter().position(|e| !e.is_probed && e.is_open(now_ms));
        if let Some(probed) = due.and_then(|at| self.ranked.get_mut(at)) {
            probed.is_probed = true;
        }
        let at = due.unwrap_or(self.current);
        self.ranked.get(at).map_or("", |endpoint| &endpoint.name)
    }

    /// Takes the end of a request that began at `began_ms`. `is_well` is false for one without an
    /// answer, or with an error of the server's own. `random` is in 0..1.
    pub fn handle_end(
        &mut self,
        name: &str,
        is_well: bool,
        began_ms: u64,
        now_ms: u64,
        random: f64,
    ) -> Option<Moved> {
        let at = self.ranked.iter().position(|endpoint| endpoint.name == name)?;
        let (current, from) = (self.current, self.in_use().to_owned());
        self.turns += 1;
        let is_sole = self.ranked.len() == 1;
        let is_preferred = self.preferred.as_deref() == Some(name);
        let pause = if is_preferred { PAUSE_OF_PREFERRED } else { PAUSE };
        let endpoint = &mut self.ranked[at];
        if is_well {
            *endpoint = Endpoint::new(name);
            self.current = current.min(at);
        } else if at == current && !is_sole {
            let has_failed = endpoint.fail(began_ms, now_ms);
            if has_failed {
                endpoint.pause(pause, now_ms, random, self.turns);
                self.failovers += 1;
                self.current = self.next_after(at, now_ms);
            }
        } else if at < current {
            endpoint.pause(pause, now_ms, random, self.turns);
        }
        (self.current != current).then(|| Moved { from, to: self.in_use().to_owned() })
    }

    /// The best other one that is not paused, else the one that was paused first.
    fn next_after(&self, left: usize, now_ms: u64) -> usize {
        let others = || self.ranked.iter().enumerate().filter(move |&(at, _)| at != left);
        let open = others().find(|(_, endpoint)| endpoint.is_open(now_ms));
        let first = || others().min_by_key(|(_, endpoint)| endpoint.turn);
        open.or_else(first).map_or(left, |(at, _)| at)
    }
}

impl Endpoint {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            failures: 0,
            failing_since_ms: 0,
            paused_until_ms: None,
            pauses: 0,
            turn: 0,
            is_probed: false,
        }
    }

    fn is_open(&self, now_ms: u64) -> bool {
        self.paused_until_ms.is_none_or(|until| until <= now_ms)
    }

    /// Counts a failure; says whether these are enough.
    fn fail(&mut self, began_ms: u64, now_ms: u64) -> bool {
        if self.failures == 0 {
            self.failing_since_ms = began_ms;
        }
        self.failures += 1;
        self.failures >= FAILURES_MAX
            || now_ms.saturating_sub(self.failing_since_ms) >= FAILING_MS_MAX
    }

    fn pause(&mut self, pause: Backoff, now_ms: u64, random: f64, turn: u64) {
        self.turn = turn;
        self.pauses += 1;
        let pause = pause.delay(self.pauses, random);
        let pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        self.paused_until_ms = Some(now_ms.saturating_add(pause_ms));
        self.failures = 0;
        self.is_probed = false;
    }
}

#[cfg(test)]
mod tests;
