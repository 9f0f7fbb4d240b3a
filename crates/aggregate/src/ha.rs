//! Which of two HA replicas is believed, decided for each target by its samples' own timestamps.
//!
//! The incumbent's samples are taken. The other one takes over when it is more than 1.25 scrape
//! distances past the newest accepted sample (`merge`), or 30 s past it (`elect`, Cortex's
//! fail-over time). There is no switching back, and what the incumbent says of the time before it took over
//! does not count. No clock: replays decide the same.

use weir_model::Timestamp;
use weir_model::mutation::{self, Mutation};

/// How replicas are chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// One sample for each scrape: the standby fills gaps of one scrape.
    #[default]
    Merge,
    /// Cortex's behaviour: the standby waits for its fail-over time.
    Elect,
}

/// What is known of a target's replicas.
#[derive(Clone, Copy, Debug, Default)]
pub struct Replicas {
    /// The replica in charge; 0 before the first sample.
    pub incumbent: u16,
    /// Newest accepted timestamp.
    pub accepted: Timestamp,
    /// Newest timestamp of the other replica.
    pub other: Timestamp,
    /// Timestamp at which the incumbent took over; 0 if it always was.
    pub since: Timestamp,
    /// The last three distances between accepted scrapes, newest first; 0 where unknown.
    pub distances: [u32; 3],
}

/// The verdict on one sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Taken.
    Take,
    /// Left out.
    Lose,
}

/// Cortex's `ha_tracker_failover_timeout`.
const ELECT_FAILOVER_MS: i64 = 30_000;

/// Assumed while fewer than one distance is known: Prometheus's default interval.
const DISTANCE_DEFAULT_MS: i64 = 60_000;

impl Replicas {
    /// Decides a sample of `replica`; `marker` for a stale marker.
    pub fn judge(&mut self, mode: Mode, replica: u16, at: Timestamp, marker: bool) -> Verdict {
        if self.incumbent == 0 || mutation::is(Mutation::BothReplicasTaken) {
            self.incumbent = replica;
            self.accepted = at;
            return Verdict::Take;
        }
        let patience = self.patience(mode);
        if replica == self.incumbent {
            let before = self.since != 0 && at < self.since;
            if before || (marker && self.other + patience > at && self.other != 0) {
                return Verdict::Lose;
            }
            self.accept(at);
            return Verdict::Take;
        }
        self.other = self.other.max(at);
        if marker || at <= self.accepted + patience {
            return Verdict::Lose;
        }
        (self.other, self.since) = (self.accepted, at);
        self.incumbent = replica;
        self.accepted = at;
        Verdict::Take
    }

    fn accept(&mut self, at: Timestamp) {
        if at > self.accepted {
            let distance = u32::try_from(at.saturating_sub(self.accepted)).unwrap_or(u32::MAX);
            self.distances = [distance, self.distances[0], self.distances[1]];
            self.accepted = at;
        }
    }

    fn patience(&self, mode: Mode) -> i64 {
        match mode {
            Mode::Elect => ELECT_FAILOVER_MS,
            Mode::Merge => {
                let mut known: Vec<u32> = self.distances.into_iter().filter(|&d| d != 0).collect();
                known.sort_unstable();
                let median = known.get(known.len() / 2).map(|&d| i64::from(d));
                let median = median.unwrap_or(DISTANCE_DEFAULT_MS);
                median + median / 4
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u16 = 1;
    const B: u16 = 2;

    fn seconds(replicas: &mut Replicas, replica: u16, s: i64) -> Verdict {
        replicas.judge(Mode::Merge, replica, s * 1000, false)
    }

    #[test]
    fn the_standby_fills_a_gap_after_one_missed_scrape_and_stays() {
        let mut r = Replicas::default();
        for s in [100, 115, 130, 145] {
            assert_eq!(seconds(&mut r, A, s), Verdict::Take);
            assert_eq!(seconds(&mut r, B, s + 3), Verdict::Lose);
        }
        // A is gone: B's next scrape is 18 s past the last accepted, not yet 18.75.
        assert_eq!(seconds(&mut r, B, 163), Verdict::Lose);
        assert_eq!(seconds(&mut r, B, 178), Verdict::Take);
        assert_eq!(seconds(&mut r, A, 190), Verdict::Lose, "no switch back");
        assert_eq!(seconds(&mut r, B, 193), Verdict::Take);
    }

    /// A request of the standby had lost, and came again once the standby had taken over: its samples then
    /// stood among the other's, and left behind newer ones.
    #[test]
    fn what_lost_does_not_win_when_it_comes_again_after_a_switch() {
        let mut r = Replicas::default();
        for s in [100, 115, 130] {
            assert_eq!(seconds(&mut r, A, s), Verdict::Take);
            assert_eq!(seconds(&mut r, B, s - 1), Verdict::Lose);
        }
        assert_eq!(seconds(&mut r, B, 144), Verdict::Lose, "not yet late enough");
        assert_eq!(seconds(&mut r, B, 160), Verdict::Take);
        for again in [129, 144] {
            assert_eq!(seconds(&mut r, B, again), Verdict::Lose);
        }
        assert_eq!(seconds(&mut r, B, 160), Verdict::Take, "of the same scrape");
        assert_eq!(seconds(&mut r, A, 220), Verdict::Take);
        assert_eq!(seconds(&mut r, A, 145), Verdict::Lose);
    }

    #[test]
    fn all_series_of_the_scrape_that_switches_are_taken() {
        let mut r = Replicas::default();
        for s in [100, 115, 130] {
            seconds(&mut r, A, s);
        }
        for _ in 0..3 {
            assert_eq!(seconds(&mut r, B, 160), Verdict::Take);
        }
    }

    #[test]
    fn a_marker_counts_only_from_the_incumbent_while_the_other_is_silent() {
        let mut r = Replicas::default();
        for s in [100, 115, 130] {
            seconds(&mut r, A, s);
            seconds(&mut r, B, s + 5);
        }
        assert_eq!(r.judge(Mode::Merge, B, 140_000, true), Verdict::Lose);
        assert_eq!(r.judge(Mode::Merge, A, 145_000, true), Verdict::Lose, "B lives");
        assert_eq!(r.judge(Mode::Merge, A, 190_000, true), Verdict::Take, "B is silent");
    }

    #[test]
    fn election_waits_for_the_failover_time() {
        let mut r = Replicas::default();
        r.judge(Mode::Elect, A, 100_000, false);
        assert_eq!(r.judge(Mode::Elect, B, 129_000, false), Verdict::Lose);
        assert_eq!(r.judge(Mode::Elect, B, 131_000, false), Verdict::Take);
    }
}
