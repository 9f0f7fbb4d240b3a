//! How many requests may be on their way at once: few after failures, more with each success.
//!
//! When a backend comes back after an outage, every batch of every sender is due at once. Invariant:
//! a failure halves what is allowed, down to one, an answer adds one, up to the destination's own
//! bound; and while a backend asks for a pause (503 with `Retry-After`) nothing is sent at all. Time
//! is an argument. Not here: when a single request is tried again, and how fast a backlog is read
//! (see [`crate::pace`]).

use std::time::Duration;

use crate::retry::RETRY_AFTER_MAX;

/// The requests that a destination may get at once.
#[derive(Debug)]
pub struct Ramp {
    allowed: usize,
    most: usize,
    paused_until_ms: u64,
}

impl Ramp {
    /// Begins with all that the destination's `max_shards` allow.
    pub fn new(most: usize) -> Self {
        Self { allowed: most, most, paused_until_ms: 0 }
    }

    /// Whether one more may go, beside so many that are on their way.
    pub fn allows(&self, on_their_way: usize, now_ms: u64) -> bool {
        on_their_way < self.allowed && self.paused_until_ms <= now_ms
    }

    /// When it allows anything again, if the backend has asked for a pause.
    pub fn paused_until_ms(&self) -> u64 {
        self.paused_until_ms
    }

    /// The backend has answered, whatever it thinks of the samples.
    pub fn handle_answer(&mut self) {
        self.allowed = (self.allowed + 1).min(self.most);
    }

    /// It has not, or asks to be tried again.
    pub fn handle_failure(&mut self) {
        self.allowed = (self.allowed / 2).max(1);
    }

    /// It asks everybody to stay away for a while.
    pub fn pause(&mut self, after: Duration, now_ms: u64) {
        let after = u64::try_from(after.min(RETRY_AFTER_MAX).as_millis()).unwrap_or(u64::MAX);
        self.paused_until_ms = self.paused_until_ms.max(now_ms.saturating_add(after));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_lead_to_one_request_and_answers_back_to_all() {
        let mut ramp = Ramp::new(50);
        assert!(ramp.allows(49, 0) && !ramp.allows(50, 0));
        (0..6).for_each(|_| ramp.handle_failure());
        assert!(ramp.allows(0, 0) && !ramp.allows(1, 0));
        // Each round sends all that is allowed, and all of it is answered.
        let mut rounds = Vec::new();
        while rounds.last() != Some(&50) {
            let allowed = (0..).find(|&n| !ramp.allows(n, 0)).unwrap();
            rounds.push(allowed);
            (0..allowed).for_each(|_| ramp.handle_answer());
        }
        assert_eq!(rounds, [1, 2, 4, 8, 16, 32, 50]);
    }

    #[test]
    fn a_pause_that_is_asked_for_holds_all_requests() {
        let mut ramp = Ramp::new(4);
        ramp.pause(Duration::from_secs(5), 100);
        ramp.pause(Duration::from_secs(1), 200);
        assert!(!ramp.allows(0, 5099) && ramp.allows(0, 5100));
        ramp.pause(Duration::from_secs(86_400), 0);
        assert!(ramp.allows(0, 300_000), "not for a day");
    }
}
