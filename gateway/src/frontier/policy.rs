//! How far the frontier may go: by the clock, by what senders have reached after a pause, by what they
//! have promised.
//!
//! Invariant: it never goes back, and every wait for somebody ends after `backlog_wait_max`. Pure: time
//! is an argument.

use weir_model::Timestamp;

/// Decides how far the frontier may go.
#[derive(Clone, Debug)]
pub struct Policy {
    grace_ms: i64,
    wait_ms: i64,
    /// Until when the targets' progress is waited for, by the monotonic clock.
    waiting_until: Option<i64>,
    pause: Pause,
    held: Option<Held>,
    frontier: Timestamp,
}

/// Somebody works off a backlog, and is so far.
#[derive(Clone, Copy, Debug)]
struct Held {
    to: Timestamp,
    /// Since when, by the monotonic clock.
    since: i64,
}

/// The last time in which nobody could send.
#[derive(Clone, Copy, Debug)]
enum Pause {
    /// It began at this event time and goes on.
    Since(Timestamp),
    /// It was so long, and ended then by the monotonic clock.
    Over { lasted_ms: i64, ended: i64 },
}

impl Policy {
    /// A policy that starts at `frontier`; `paused` is since when nobody could send, if time has
    /// passed in which that was so. `monotonic` is in milliseconds.
    pub fn new(
        grace_ms: i64,
        wait_ms: i64,
        frontier: Timestamp,
        paused: Option<Timestamp>,
        monotonic: i64,
    ) -> Self {
        let waiting_until = paused.map(|_| monotonic + wait_ms);
        let never = Pause::Over { lasted_ms: 0, ended: monotonic };
        let pause = paused.map_or(never, Pause::Since);
        Self { grace_ms, wait_ms, waiting_until, pause, held: None, frontier }
    }

    /// A policy for a directory that was just made: nobody could send before, so for as long as
    /// `grace` the frontier goes on from `start`.
    pub fn fresh(grace_ms: i64, wait_ms: i64, start: Timestamp, monotonic: i64) -> Self {
        let pause = Pause::Since(start + grace_ms);
        Self { pause, ..Self::new(grace_ms, wait_ms, start - 1, None, monotonic) }
    }

    /// Agents bring what another directory had: their targets' progress decides.
    pub fn follow_targets(&mut self, monotonic: i64) {
        self.waiting_until = Some(monotonic + self.wait_ms);
    }

    /// Takes over a reloaded configuration.
    pub fn reconfigure(&mut self, grace_ms: i64, wait_ms: i64) {
        (self.grace_ms, self.wait_ms) = (grace_ms, wait_ms);
    }

    /// Nobody can send for now: afterwards the targets' progress decides.
    pub fn pause(&mut self, now: Timestamp, monotonic: i64) {
        self.waiting_until = Some(monotonic + self.wait_ms);
        if let Pause::Over { .. } = self.pause {
            self.pause = Pause::Since(now);
        }
    }

    /// Somebody whose samples matter works off a backlog and is only so far.
    pub fn hold(&mut self, behind: Option<Timestamp>, monotonic: i64) {
        let since = self.held.map_or(monotonic, |held| held.since);
        self.held = behind.map(|to| Held { to, since });
    }

    /// Whether somebody is waited for.
    pub fn is_held(&self, monotonic: i64) -> bool {
        self.held.is_some_and(|held| monotonic - held.since < self.wait_ms)
    }

    /// Every sender has promised to be past this time: the new frontier, if it moves. It does not
    /// while there may be senders that have not come back from a pause.
    pub fn run_ahead(&mut self, to: Timestamp, monotonic: i64) -> Option<Timestamp> {
        let moves = to > self.frontier && !self.is_waiting() && !self.is_resting(monotonic);
        moves.then(|| {
            self.frontier = to;
            to
        })
    }

    /// Whether it stays behind because there may be senders that have not come back from a pause.
    pub fn is_resting(&self, monotonic: i64) -> bool {
        match self.pause {
            Pause::Since(_) => true,
            Pause::Over { lasted_ms, ended } => lasted_ms > 0 && monotonic - ended < self.grace_ms,
        }
    }

    /// Whether the targets' progress decides.
    pub fn is_waiting(&self) -> bool {
        self.waiting_until.is_some()
    }

    /// `windows.grace`, milliseconds.
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// The frontier as it stands.
    pub fn frontier(&self) -> Timestamp {
        self.frontier
    }

    /// The new frontier, if it moves. `newest` are the newest timestamps of targets that are alive;
    /// it is sorted here.
    pub fn tick(
        &mut self,
        now: Timestamp,
        monotonic: i64,
        newest: &mut [Timestamp],
    ) -> Option<Timestamp> {
        let by_clock = now - self.grace_ms;
        let mut to = by_clock - self.not_counted(now, monotonic);
        if let Some(until) = self.waiting_until {
            newest.sort_unstable();
            let reached = newest.get(newest.len() / 20).copied();
            let reached = reached.unwrap_or(self.frontier);
            if reached >= by_clock || monotonic >= until {
                self.waiting_until = None;
            } else {
                // Grace in event time: what belongs to one scrape comes in several requests.
                to = (reached - self.grace_ms).min(by_clock);
            }
        }
        if let Some(held) = self.held.filter(|_| self.is_held(monotonic)) {
            to = to.min(held.to);
        }
        (to > self.frontier).then(|| {
            self.frontier = to;
            to
        })
    }

    /// How much of the last `grace` was a pause. A pause ends with the first tick.
    fn not_counted(&mut self, now: Timestamp, monotonic: i64) -> i64 {
        let (lasted_ms, ended) = match self.pause {
            Pause::Since(began) => ((now - began).max(0), monotonic),
            Pause::Over { lasted_ms, ended } => (lasted_ms, ended),
        };
        self.pause = Pause::Over { lasted_ms, ended };
        if monotonic - ended < self.grace_ms { lasted_ms } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_clock_at_grace_and_never_goes_back() {
        let mut policy = Policy::new(30_000, 300_000, 0, None, 0);
        assert_eq!(policy.tick(100_000, 0, &mut []), Some(70_000));
        assert_eq!(policy.tick(99_000, 1000, &mut []), None);
        assert_eq!(policy.tick(101_000, 2000, &mut []), Some(71_000));
    }

    #[test]
    fn it_runs_ahead_on_promises_and_follows_the_clock_otherwise() {
        let mut policy = Policy::new(30_000, 300_000, 0, None, 0);
        assert_eq!(policy.tick(100_000, 0, &mut []), Some(70_000));
        assert_eq!(policy.run_ahead(95_000, 1_000), Some(95_000));
        assert_eq!(policy.run_ahead(95_000, 1_000), None, "once");
        assert_eq!(policy.tick(124_000, 24_000, &mut []), None, "the clock is not there yet");
        assert_eq!(policy.tick(126_000, 26_000, &mut []), Some(96_000));
        policy.pause(127_000, 27_000);
        assert_eq!(
            policy.run_ahead(127_000, 27_000),
            None,
            "after a pause not everybody has been heard"
        );
    }

    /// A disk was lost, and agents that had backed off came after others had closed the windows.
    #[test]
    fn a_fresh_directory_waits_for_as_long_as_grace_and_for_those_who_return() {
        let mut policy = Policy::fresh(30_000, 300_000, 1_000_000, 0);
        assert_eq!(policy.tick(9_000_000, 0, &mut []), Some(1_000_000));
        assert_eq!(policy.run_ahead(8_999_000, 1_000), None, "not everybody has been heard");
        assert_eq!(policy.tick(9_029_999, 29_999, &mut []), Some(1_029_999));
        let mut quiet = policy.clone();
        assert_eq!(quiet.tick(9_030_000, 30_000, &mut []), Some(9_000_000));
        assert_eq!(quiet.run_ahead(9_025_000, 30_000), Some(9_025_000));
        policy.follow_targets(29_999);
        assert_eq!(policy.tick(9_030_000, 30_000, &mut [8_700_000; 9]), Some(8_670_000));
        assert_eq!(policy.tick(9_090_000, 90_000, &mut [9_089_000; 9]), Some(9_060_000));
    }

    #[test]
    fn it_waits_for_a_backlog_but_not_for_ever() {
        let mut policy = Policy::new(30_000, 300_000, 0, None, 0);
        policy.hold(Some(60_000), 0);
        assert_eq!(policy.tick(100_000, 0, &mut []), Some(60_000));
        policy.hold(Some(65_000), 10_000);
        assert_eq!(policy.tick(110_000, 10_000, &mut []), Some(65_000), "it moves with it");
        policy.hold(Some(65_000), 299_999);
        assert_eq!(policy.tick(399_999, 299_999, &mut []), None);
        policy.hold(Some(65_000), 300_000);
        assert!(!policy.is_held(300_000));
        assert_eq!(policy.tick(400_000, 300_000, &mut []), Some(370_000));
        policy.hold(None, 301_000);
        policy.hold(Some(371_000), 302_000);
        assert!(policy.is_held(302_000), "another backlog, another wait");
    }

    #[test]
    fn after_a_pause_it_waits_for_targets_but_not_for_ever() {
        let began = Some(1_030_000);
        let mut policy = Policy::new(30_000, 300_000, 1_000_000, began, 0);
        let mut newest: Vec<i64> = vec![1_005_000; 100];
        assert_eq!(policy.tick(1_600_000, 0, &mut newest), None, "grace counts in event time");
        newest.fill(1_065_000);
        assert_eq!(policy.tick(1_600_500, 500, &mut newest), Some(1_035_000));
        let mut few_behind: Vec<i64> = vec![1_590_000; 96];
        few_behind.extend([1_005_000; 4]);
        assert_eq!(policy.tick(1_601_000, 1000, &mut few_behind), None);
        assert!(!policy.is_waiting(), "95 % have caught up");
        assert_eq!(policy.tick(1_629_999, 29_999, &mut []), None, "the others have their grace");
        assert_eq!(policy.tick(1_630_000, 30_000, &mut []), Some(1_600_000));
        let mut silent = Policy::new(30_000, 300_000, 1_000_000, began, 0);
        assert_eq!(silent.tick(1_600_000, 0, &mut []), None);
        assert_eq!(silent.tick(1_900_000, 300_000, &mut []), Some(1_870_000));
    }

    /// A restart of 8 s under a grace of 10 s: every target had been heard of within grace, and a
    /// sender that had backed off came 15 s after its last sample, to be late with all it had.
    #[test]
    fn a_pause_shorter_than_grace_does_not_count_toward_it() {
        let mut policy = Policy::new(10_000, 300_000, 990_000, Some(1_000_000), 0);
        let mut heard_of = [1_000_000; 16];
        assert_eq!(policy.tick(1_008_000, 0, &mut heard_of), None);
        assert_eq!(policy.tick(1_015_000, 7_000, &mut []), Some(997_000), "it may still come");
        assert_eq!(policy.tick(1_017_999, 9_999, &mut []), Some(999_999));
        assert_eq!(policy.tick(1_018_000, 10_000, &mut []), Some(1_008_000));
        policy.pause(1_020_000, 12_000);
        policy.pause(1_021_000, 13_000);
        assert_eq!(policy.tick(1_022_000, 14_000, &mut [1_021_000; 16]), Some(1_010_000));
    }
}
