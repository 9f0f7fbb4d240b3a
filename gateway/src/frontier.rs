//! Who moves the frontier: once a second a FRONTIER record for all virtual shards.
//!
//! It follows the wall clock at `grace` behind. After a pause (restart, 503) it follows the event
//! time that 95 % of the live targets have reached instead, until they have caught up or
//! `backlog_wait_max` is over; and for as long as `grace` it stays as far behind as the pause was
//! long. So time in which nobody could send counts for nobody, senders that back off included. A wall
//! clock that jumps against the monotonic one freezes it. [`Policy`] decides and is pure; [`run`]
//! drives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_journal::Importance;
use weir_model::{Timestamp, VSHARDS};

use crate::node::Node;
use crate::pipeline::Message;
use crate::wal::FrontierRecord;

/// What the frontier's driver publishes.
#[derive(Debug, Default)]
pub struct FrontierFacts {
    /// The last frontier that was submitted, milliseconds; 0 before the first.
    pub submitted: AtomicI64,
    /// Whether it waits for senders to catch up.
    pub catching_up: AtomicBool,
    /// Whether the wall clock is in doubt.
    pub clock_in_doubt: AtomicBool,
}

/// Decides how far the frontier may go.
#[derive(Clone, Debug)]
pub struct Policy {
    grace_ms: i64,
    wait_ms: i64,
    /// Until when the targets' progress is waited for, by the monotonic clock.
    waiting_until: Option<i64>,
    pause: Pause,
    frontier: Timestamp,
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
        Self { grace_ms, wait_ms, waiting_until, pause, frontier }
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

    /// Whether the targets' progress decides.
    pub fn is_waiting(&self) -> bool {
        self.waiting_until.is_some()
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

/// How often the frontier moves.
const TICK: Duration = Duration::from_secs(1);

/// A wall clock that leaves the monotonic one by more is in doubt.
const JUMP_MS: i64 = 5_000;

/// A wall clock that jumped is believed again after so long without another jump.
const STEADY_MS: i64 = 60_000;

/// Targets that were silent for longer when the node stopped are not waited for: PromQL's lookback.
const ALIVE_MS: i64 = 300_000;

/// Moves the frontier until the node stops.
pub fn run(node: &Arc<Node>, mut policy: Policy, origin: Instant) {
    let mut since = policy.frontier() - ALIVE_MS;
    let mut clock = Clock { offset_ms: wall_ms() - millis_since(origin), jumped_to: None };
    while !node.readiness.stopping.load(Ordering::Acquire) {
        let windows = node.current.load().config.windows;
        policy.reconfigure(windows.grace.0, windows.backlog_wait_max.0);
        let monotonic = millis_since(origin);
        let in_doubt = clock.is_in_doubt(wall_ms(), monotonic);
        node.frontier_facts.clock_in_doubt.store(in_doubt, Ordering::Relaxed);
        let blocked = node.is_blocked() || node.log.stats().disk_full.load(Ordering::Relaxed);
        if in_doubt || blocked {
            policy.pause(wall_ms(), monotonic);
            since = policy.frontier() - ALIVE_MS;
        } else {
            let mut newest = if policy.is_waiting() { progress(node, since) } else { Vec::new() };
            if let Some(to) = policy.tick(wall_ms(), monotonic, &mut newest) {
                submit(node, to);
            }
            node.frontier_facts.catching_up.store(policy.is_waiting(), Ordering::Relaxed);
        }
        std::thread::sleep(TICK);
    }
}

fn progress(node: &Node, since: Timestamp) -> Vec<Timestamp> {
    let (reply, answers) = crossbeam_channel::bounded(node.workers);
    node.pipeline.tell_workers(&Message::Progress(since, reply));
    answers.iter().flatten().collect()
}

/// Logs a frontier for all virtual shards and hands it on.
pub fn submit(node: &Node, to: Timestamp) {
    let record = FrontierRecord { vshards: vec![(0, VSHARDS)], to };
    let room = node.log.reserve(record.payload().len() as u64, Importance::Essential);
    let submitted = room
        .map_err(|why| why.to_string())
        .and_then(|room| node.pipeline.frontier(room, &record).map_err(|why| why.to_string()));
    match submitted {
        Ok(_) => node.frontier_facts.submitted.store(to, Ordering::Relaxed),
        Err(why) => tracing::warn!(%why, "the frontier cannot move"),
    }
}

/// How far the wall clock is ahead of the monotonic one, as long as that is sane.
struct Clock {
    offset_ms: i64,
    /// The offset after a jump, and since when it has been steady.
    jumped_to: Option<(i64, i64)>,
}

impl Clock {
    /// Whether the wall clock is in doubt: it has left the monotonic one, and has neither come
    /// back nor been steady for long enough to be believed.
    fn is_in_doubt(&mut self, wall: i64, monotonic: i64) -> bool {
        let offset = wall - monotonic;
        if (offset - self.offset_ms).abs() <= JUMP_MS {
            (self.offset_ms, self.jumped_to) = (offset, None);
            return false;
        }
        match self.jumped_to {
            Some((to, since)) if (offset - to).abs() <= JUMP_MS => {
                if monotonic - since < STEADY_MS {
                    return true;
                }
                (self.offset_ms, self.jumped_to) = (offset, None);
                false
            }
            _ => {
                self.jumped_to = Some((offset, monotonic));
                true
            }
        }
    }
}

/// Milliseconds since the epoch.
pub fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX))
}

fn millis_since(origin: Instant) -> i64 {
    i64::try_from(origin.elapsed().as_millis()).unwrap_or(i64::MAX)
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
    fn a_clock_that_jumps_is_in_doubt_until_it_is_back_or_steady() {
        let mut clock = Clock { offset_ms: 1_000_000, jumped_to: None };
        assert!(!clock.is_in_doubt(1_001_000, 1000));
        assert!(clock.is_in_doubt(5_002_000, 2000));
        assert!(!clock.is_in_doubt(1_003_000, 3000), "it came back");
        assert!(clock.is_in_doubt(5_004_000, 4000));
        assert!(clock.is_in_doubt(5_050_000, 50_000));
        assert!(!clock.is_in_doubt(5_064_000, 64_000), "a minute later it is believed");
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
