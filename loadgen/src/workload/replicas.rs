//! HA pairs: two senders that scrape the same targets.
//!
//! Both say what is true at their own timestamps; the second one lags, and either may be away for a
//! minute (flapping). Invariant: never are both away at once.

use crate::seed::{Purpose, Seed};

/// How a pair behaves.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Replicas {
    /// Whether there are two senders of everything.
    pub pair: bool,
    /// How far the second one's timestamps are behind, in milliseconds.
    pub lag: i64,
    /// Share of minutes in which one of them is away.
    pub outages: f64,
}

impl Replicas {
    /// Senders of each sample: 1 or 2.
    pub fn count(&self) -> u64 {
        if self.pair { 2 } else { 1 }
    }

    /// Value of `__replica__`.
    pub fn name(replica: u64) -> &'static str {
        if replica == 0 { "replica-a" } else { "replica-b" }
    }

    /// How far a replica is behind, in milliseconds.
    pub fn behind(&self, replica: u64) -> i64 {
        if replica == 0 { 0 } else { self.lag }
    }

    /// Whether a replica is away in the minute of this time. Each group of targets on its own.
    pub fn is_away(&self, seed: Seed, replica: u64, group: u64, time: i64) -> bool {
        let minute = time.div_euclid(60_000) as u64;
        self.pair
            && seed.happens(self.outages, Purpose::Outage, minute, group)
            && seed.number(Purpose::Outage, minute, !group) % 2 == replica
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_both_is_always_there() {
        let pair = Replicas { pair: true, lag: 5000, outages: 0.5 };
        let mut away = [0, 0];
        for minute in 0..1000 {
            let gone = [0, 1].map(|r| pair.is_away(Seed(3), r, 1, minute * 60_000 + 59_999));
            assert!(!(gone[0] && gone[1]));
            away[0] += i32::from(gone[0]);
            away[1] += i32::from(gone[1]);
        }
        assert!(away.iter().all(|n| (200..300).contains(n)), "{away:?}");
        assert!(!Replicas::default().is_away(Seed(3), 0, 1, 0));
    }
}
