//! How far the frontier may go: by the clock, by what senders have reached after a pause, by what they
//! have promised.
//!
//! After a pause it stays behind by the pause's length until whoever backed off meanwhile must have come
//! back; then it waits for those alone that are there and behind. Whoever is silent is not waited for: it
//! may be dead. Invariant: it never goes back, and every wait for somebody ends after `backlog_wait_max`.
//! Pure: time is an argument.

use weir_aggregate::target::Progress;
use weir_model::Timestamp;

use super::returning::Returning;

/// The longest that common senders wait between two tries. They double their waits, so none is longer than
/// the pause was.
const BACK_OFF_MS: i64 = 60_000;

/// Whoever works off a backlog says something at least so often.
const MOVES_WITHIN_MS: i64 = 5_000;

/// Decides how far the frontier may go.
#[derive(Clone, Debug)]
pub struct Policy {
    grace_ms: i64,
    wait_ms: i64,
    /// Until when the targets' progress is waited for, by the monotonic clock.
    waiting_until: Option<i64>,
    returning: Returning,
    /// Until when agents are expected to bring a backlog, by the monotonic clock.
    expected_until: i64,
    /// One that goes on.
    pause: Option<Pause>,
    rests: Vec<Rest>,
    /// Where the frontier was when the last pause began.
    paused_at: Timestamp,
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

/// How far the frontier may follow those that are waited for.
struct Waited {
    /// Not further than targets that are there and behind.
    there: Timestamp,
    /// As far as 95 % of all targets in any case.
    all: Timestamp,
}

/// Time in which nobody can send: it began at this event time. Senders may back off for so long.
#[derive(Clone, Copy, Debug)]
struct Pause {
    began: Timestamp,
    back_off_ms: i64,
}

/// A pause that is over was so long, and counts for nobody until then by the monotonic clock. Of several
/// the longest is what counts: whoever backed off in one of them may still be away.
#[derive(Clone, Copy, Debug)]
struct Rest {
    lasted_ms: i64,
    until: i64,
    /// Whether senders backed off in it: a directory that is new had none.
    is_return: bool,
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
        Self {
            grace_ms,
            wait_ms,
            waiting_until,
            returning: Returning::default(),
            expected_until: monotonic,
            pause: paused.map(Pause::since),
            rests: Vec::new(),
            paused_at: frontier,
            held: None,
            frontier,
        }
    }

    /// A policy for a directory that was just made: nobody could send before, so for as long as
    /// `grace` the frontier goes on from `start`.
    pub fn fresh(grace_ms: i64, wait_ms: i64, start: Timestamp, monotonic: i64) -> Self {
        let pause = Pause { began: start + grace_ms, back_off_ms: 0 };
        Self { pause: Some(pause), ..Self::new(grace_ms, wait_ms, start - 1, None, monotonic) }
    }

    /// Agents bring what another directory had: their targets' progress decides.
    pub fn follow_targets(&mut self, monotonic: i64) {
        if !self.is_waiting() {
            self.returning = Returning::of_strangers();
        }
        self.waiting_until = Some(monotonic + self.wait_ms);
        self.expected_until = monotonic + self.grace_ms;
    }

    /// Takes over a reloaded configuration.
    pub fn reconfigure(&mut self, grace_ms: i64, wait_ms: i64) {
        (self.grace_ms, self.wait_ms) = (grace_ms, wait_ms);
    }

    /// Nobody can send for now: afterwards the targets' progress decides.
    pub fn pause(&mut self, now: Timestamp, monotonic: i64) {
        self.waiting_until = Some(monotonic + self.wait_ms);
        if self.pause.is_none() {
            if !self.is_resting(monotonic) {
                (self.returning, self.paused_at) = (Returning::default(), self.frontier);
            }
            self.pause = Some(Pause::since(now));
        }
    }

    /// Where the frontier was when the last pause began that counts.
    pub fn paused_at(&self) -> Timestamp {
        self.paused_at
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
        self.pause.is_some() || self.rest_ms(monotonic) > 0
    }

    /// Whether the targets' progress decides.
    pub fn is_waiting(&self) -> bool {
        self.waiting_until.is_some()
    }

    /// How long the pause is that senders may not have come back from, milliseconds; 0 if there is none. What
    /// happens next, an end of the process included, adds to it.
    pub fn paused_ms(&self, now: Timestamp, monotonic: i64) -> i64 {
        let counts = |rest: &&Rest| rest.is_return && monotonic < rest.until;
        let over = self.rests.iter().filter(counts).map(|rest| rest.lasted_ms);
        let goes_on = self.pause.filter(|pause| pause.back_off_ms > 0).map(|p| now - p.began);
        over.chain(goes_on).max().unwrap_or(0).max(0)
    }

    /// `windows.grace`, milliseconds.
    pub fn grace_ms(&self) -> i64 {
        self.grace_ms
    }

    /// The frontier as it stands.
    pub fn frontier(&self) -> Timestamp {
        self.frontier
    }

    /// The new frontier, if it moves. `targets` are those that are alive, while their progress decides.
    pub fn tick(
        &mut self,
        now: Timestamp,
        monotonic: i64,
        targets: &[Progress],
    ) -> Option<Timestamp> {
        let by_clock = now - self.grace_ms;
        let mut to = by_clock - self.not_counted(now, monotonic);
        if let Some(until) = self.waiting_until {
            match self.waited_for(by_clock, monotonic, targets).filter(|_| monotonic < until) {
                Some(Waited { there, all }) => to = to.min(there).max(all),
                None => (self.waiting_until, self.returning) = (None, Returning::default()),
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

    /// How far those that are waited for have come; `None` if nobody is any more.
    fn waited_for(
        &mut self,
        by_clock: Timestamp,
        monotonic: i64,
        targets: &[Progress],
    ) -> Option<Waited> {
        self.returning.note(targets, by_clock, monotonic);
        let all = self.returning.all_reached();
        let there = self.returning.reached_since(monotonic - self.grace_ms.max(MOVES_WITHIN_MS));
        let behind = there.filter(|&reached| reached < Timestamp::MAX);
        let expected = monotonic < self.expected_until;
        let may_come = expected || self.is_resting(monotonic);
        if all == Some(Timestamp::MAX) || (behind.is_none() && !may_come) {
            return None;
        }
        // Grace in event time: what belongs to one scrape comes in several requests.
        let so_far = |reached: Timestamp| reached.saturating_sub(self.grace_ms).min(by_clock);
        let nobody = if expected { self.frontier } else { by_clock };
        let there = behind.map_or(nobody, so_far);
        Some(Waited { there, all: all.map_or(self.frontier, so_far) })
    }

    /// How long a pause was that does not count yet. One that goes on ends with this tick.
    fn not_counted(&mut self, now: Timestamp, monotonic: i64) -> i64 {
        if let Some(Pause { began, back_off_ms }) = self.pause.take() {
            let lasted_ms = (now - began).max(0);
            let until = monotonic + self.grace_ms.max(lasted_ms.min(back_off_ms));
            let outlasts = |rest: &Rest| rest.lasted_ms > lasted_ms || rest.until > until;
            self.rests.retain(|rest| rest.until > monotonic && outlasts(rest));
            self.rests.push(Rest { lasted_ms, until, is_return: back_off_ms > 0 });
        }
        self.rest_ms(monotonic)
    }

    /// The longest pause that does not count yet.
    fn rest_ms(&self, monotonic: i64) -> i64 {
        let rests = self.rests.iter().filter(|rest| monotonic < rest.until);
        rests.map(|rest| rest.lasted_ms).max().unwrap_or(0)
    }
}

impl Pause {
    fn since(began: Timestamp) -> Self {
        Self { began, back_off_ms: BACK_OFF_MS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_clock_at_grace_and_never_goes_back() {
        let mut policy = Policy::new(30_000, 300_000, 0, None, 0);
        assert_eq!(policy.tick(100_000, 0, &[]), Some(70_000));
        assert_eq!(policy.tick(99_000, 1000, &[]), None);
        assert_eq!(policy.tick(101_000, 2000, &[]), Some(71_000));
    }

    #[test]
    fn it_runs_ahead_on_promises_and_follows_the_clock_otherwise() {
        let mut policy = Policy::new(30_000, 300_000, 0, None, 0);
        assert_eq!(policy.tick(100_000, 0, &[]), Some(70_000));
        assert_eq!(policy.run_ahead(95_000, 1_000), Some(95_000));
        assert_eq!(policy.run_ahead(95_000, 1_000), None, "once");
        assert_eq!(policy.tick(124_000, 24_000, &[]), None, "the clock is not there yet");
        assert_eq!(policy.tick(126_000, 26_000, &[]), Some(96_000));
        policy.pause(127_000, 27_000);
        assert_eq!(
            policy.run_ahead(127_000, 27_000),
            None,
            "after a pause not everybody has been heard"
        );
    }

    /// A virtual shard moved while senders were still away from before a long outage.
    #[test]
    fn a_short_pause_does_not_end_the_rest_after_a_long_one() {
        let mut policy = Policy::new(30_000, 300_000, 970_000, Some(1_000_000), 0);
        assert_eq!(policy.tick(1_060_000, 0, &at(1_000_000, 9)), None, "60 s do not count");
        policy.pause(1_070_000, 10_000);
        assert_eq!(policy.paused_at(), 970_000);
        assert_eq!(policy.tick(1_070_200, 10_200, &at(1_000_000, 9)), Some(980_200));
        assert_eq!(policy.tick(1_119_000, 59_000, &at(1_000_000, 9)), Some(1_029_000));
        assert!(!policy.is_resting(60_000), "the longer one is over, and so is the shorter");
    }

    /// Killed again and again, a gateway was never up for long enough that all senders had come back; only
    /// the last time that it was down counted, and what they brought of before was late.
    #[test]
    fn a_pause_that_is_not_over_goes_on_after_a_restart() {
        let mut policy = Policy::new(10_000, 300_000, 990_000, Some(1_000_000), 0);
        assert_eq!(policy.paused_ms(1_008_000, 0), 8_000);
        policy.tick(1_008_000, 0, &[]);
        assert_eq!(policy.paused_ms(1_012_000, 4_000), 8_000);
        assert_eq!(policy.paused_ms(1_018_000, 10_000), 0, "it is over");
        policy.pause(1_020_000, 12_000);
        assert_eq!(policy.paused_ms(1_021_000, 13_000), 1_000);
        let fresh = Policy::fresh(10_000, 300_000, 700_000, 0);
        assert_eq!(fresh.paused_ms(1_000_000, 0), 0, "nobody was sent away");
    }

    /// A disk was lost, and agents that had backed off came after others had closed the windows.
    #[test]
    fn a_fresh_directory_waits_for_as_long_as_grace_and_for_those_who_return() {
        let mut policy = Policy::fresh(30_000, 300_000, 1_000_000, 0);
        assert_eq!(policy.tick(9_000_000, 0, &[]), Some(1_000_000));
        assert_eq!(policy.run_ahead(8_999_000, 1_000), None, "not everybody has been heard");
        assert_eq!(policy.tick(9_029_999, 29_999, &[]), Some(1_029_999));
        let mut quiet = policy.clone();
        assert_eq!(quiet.tick(9_030_000, 30_000, &[]), Some(9_000_000));
        assert_eq!(quiet.run_ahead(9_025_000, 30_000), Some(9_025_000));
        policy.follow_targets(29_999);
        assert_eq!(policy.tick(9_030_000, 30_000, &at(8_700_000, 9)), Some(8_670_000));
        assert_eq!(policy.tick(9_090_000, 90_000, &at(9_089_000, 9)), Some(9_060_000));
    }

    #[test]
    fn it_waits_for_a_backlog_but_not_for_ever() {
        let mut policy = Policy::new(30_000, 300_000, 0, None, 0);
        policy.hold(Some(60_000), 0);
        assert_eq!(policy.tick(100_000, 0, &[]), Some(60_000));
        policy.hold(Some(65_000), 10_000);
        assert_eq!(policy.tick(110_000, 10_000, &[]), Some(65_000), "it moves with it");
        policy.hold(Some(65_000), 299_999);
        assert_eq!(policy.tick(399_999, 299_999, &[]), None);
        policy.hold(Some(65_000), 300_000);
        assert!(!policy.is_held(300_000));
        assert_eq!(policy.tick(400_000, 300_000, &[]), Some(370_000));
        policy.hold(None, 301_000);
        policy.hold(Some(371_000), 302_000);
        assert!(policy.is_held(302_000), "another backlog, another wait");
    }

    fn at(newest: Timestamp, count: u64) -> Vec<Progress> {
        (0..count).map(|key| Progress { target: (weir_model::VShard(0), key), newest }).collect()
    }

    #[test]
    fn after_a_pause_it_waits_for_targets_but_not_for_ever() {
        let began = Some(1_030_000);
        let mut policy = Policy::new(30_000, 300_000, 1_000_000, began, 0);
        let before = at(1_005_000, 100);
        assert_eq!(policy.tick(1_600_000, 0, &before), None, "grace counts in event time");
        assert_eq!(policy.tick(1_600_500, 500, &at(1_065_000, 100)), Some(1_035_000));
        let caught_up = [&at(1_590_000, 96)[..], &at(1_065_000, 100)[96..]].concat();
        assert_eq!(policy.tick(1_601_000, 1_000, &caught_up), None);
        assert!(!policy.is_waiting(), "95 % have caught up");
        assert_eq!(policy.tick(1_659_999, 59_999, &[]), Some(1_059_999), "the others may back off");
        assert_eq!(policy.tick(1_660_000, 60_000, &[]), Some(1_630_000));
        let mut slow = Policy::new(30_000, 300_000, 1_000_000, began, 0);
        assert_eq!(slow.tick(1_600_000, 0, &before), None);
        for second in 1..300 {
            let behind = at(1_005_000 + second * 1_000, 100);
            let (now, monotonic) = (1_600_000 + second * 1_000, second * 1_000);
            slow.tick(now, monotonic, &behind);
            assert_eq!(slow.frontier(), 1_000_000.max(975_000 + monotonic));
        }
        assert_eq!(slow.tick(1_900_000, 300_000, &before), Some(1_870_000));
    }

    /// Of three targets one had died before a restart of 5 s: windows waited for it until
    /// `backlog_wait_max` was over.
    #[test]
    fn a_target_that_died_is_not_waited_for() {
        let mut policy = Policy::new(30_000, 300_000, 970_000, Some(1_000_000), 0);
        let three = |newest: Timestamp| [&at(newest, 3)[..2], &at(960_000, 3)[2..]].concat();
        policy.tick(1_005_000, 0, &three(999_000));
        assert_eq!(
            policy.tick(1_029_000, 24_000, &three(1_028_000)),
            Some(994_000),
            "by the pause"
        );
        assert_eq!(policy.tick(1_035_000, 30_000, &three(1_034_000)), Some(1_005_000));
        assert!(!policy.is_waiting());
        // After a minute the others work off a backlog.
        let mut policy = Policy::new(30_000, 300_000, 970_000, Some(1_000_000), 0);
        assert_eq!(policy.tick(1_060_000, 0, &three(999_000)), None);
        assert_eq!(policy.tick(1_110_000, 50_000, &three(1_020_000)), Some(990_000));
        assert_eq!(policy.tick(1_125_000, 65_000, &three(1_060_000)), Some(1_030_000));
        assert_eq!(policy.tick(1_130_000, 70_000, &three(1_129_000)), Some(1_100_000));
    }

    /// A restart of 8 s under a grace of 10 s: every target had been heard of within grace, and a
    /// sender that had backed off came 15 s after its last sample, to be late with all it had.
    #[test]
    fn a_pause_shorter_than_grace_does_not_count_toward_it() {
        let mut policy = Policy::new(10_000, 300_000, 990_000, Some(1_000_000), 0);
        let heard_of = at(1_000_000, 16);
        assert_eq!(policy.tick(1_008_000, 0, &heard_of), None);
        assert_eq!(policy.tick(1_015_000, 7_000, &[]), Some(997_000), "it may still come");
        assert_eq!(policy.tick(1_017_999, 9_999, &[]), Some(999_999));
        assert_eq!(policy.tick(1_018_000, 10_000, &[]), Some(1_008_000));
        policy.pause(1_020_000, 12_000);
        policy.pause(1_021_000, 13_000);
        assert_eq!(policy.tick(1_022_000, 14_000, &at(1_021_000, 16)), Some(1_010_000));
    }
}
