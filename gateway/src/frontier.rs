//! Who moves the frontier: once a second a FRONTIER record for all virtual shards.
//!
//! It follows the wall clock at `grace` behind. After a pause (restart, 503, a move) it stays as far
//! behind as the pause was long until senders that back off have come back, and then follows the event
//! time that 95 % of the targets have reached that are there, until they have caught up or
//! `backlog_wait_max` is over. So time in which nobody could send counts for nobody. Where
//! every sender has promised to be past a window's end (`promises.rs`) it runs ahead, to that end and
//! no further; where one that matters works off a backlog it waits, up to `backlog_wait_max`. A wall
//! clock that jumps against the monotonic one freezes it. [`Policy`] decides and is pure; [`run`]
//! drives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_aggregate::target::Progress;
use weir_model::{Timestamp, VSHARDS};

use crate::cluster::moves::with_hold;
use crate::node::Node;
use crate::pipeline::Message;
use crate::shard::worker::{Facts, lock};
use crate::wal::FrontierRecord;

mod policy;
mod returning;

pub use policy::Policy;

/// What the frontier's driver publishes.
#[derive(Debug, Default)]
pub struct FrontierFacts {
    /// The last frontier that was submitted, milliseconds; 0 before the first.
    pub submitted: AtomicI64,
    /// Whether it waits for senders that work off a backlog.
    pub catching_up: AtomicBool,
    /// When senders were last able to send, less a pause that was not over then; milliseconds since the epoch, 0
    /// before the first time.
    pub heard_until: AtomicI64,
    /// Whether the wall clock is in doubt.
    pub clock_in_doubt: AtomicBool,
    /// Agents whose promises are fresh.
    pub agents: AtomicUsize,
}

/// How often the frontier moves by the clock.
const TICK: Duration = Duration::from_secs(1);

/// How often promises are looked at in between.
const LOOK: Duration = Duration::from_millis(100);

/// How long an agent may be silent between two promises, and a little more.
const SPEAKS_MS: i64 = 6_000;

/// A wall clock that leaves the monotonic one by more is in doubt.
const JUMP_MS: i64 = 5_000;

/// A wall clock that jumped is believed again after so long without another jump.
const STEADY_MS: i64 = 60_000;

/// Targets that were silent for longer when the node stopped are not waited for: PromQL's lookback.
const ALIVE_MS: i64 = 300_000;

/// Moves the frontier until the node stops.
pub fn run(node: &Arc<Node>, mut policy: Policy, origin: Instant) {
    let mut clock = Clock { offset_ms: wall_ms() - millis_since(origin), jumped_to: None };
    while !node.readiness.stopping.load(Ordering::Acquire) {
        let windows = node.current.load().config.windows;
        policy.reconfigure(windows.grace.0, windows.backlog_wait_max.0);
        // Asked once: what is followed is what was found sane.
        let (wall, monotonic) = (wall_ms(), millis_since(origin));
        let in_doubt = clock.is_in_doubt(wall, monotonic);
        node.frontier_facts.clock_in_doubt.store(in_doubt, Ordering::Relaxed);
        let blocked = node.is_blocked() || node.log.stats().disk_full.load(Ordering::Relaxed);
        let stands_still = in_doubt || blocked;
        let moves = with_hold(node, |is_held| is_held);
        if stands_still || moves {
            policy.pause(clock.believed(monotonic), monotonic);
        }
        if !stands_still && moves {
            // The last one again, so that other members go on to hear of this one.
            submit(node, policy.frontier(), carried_ms(node, &policy, (wall, monotonic)));
            node.frontier_facts.catching_up.store(true, Ordering::Relaxed);
        } else if !stands_still {
            let heard_until = wall - carried_ms(node, &policy, (wall, monotonic));
            node.frontier_facts.heard_until.store(heard_until, Ordering::Relaxed);
            heed(node, &mut policy, (wall, monotonic));
            let since = policy.paused_at() - ALIVE_MS;
            let targets = if policy.is_waiting() { progress(node, since) } else { Vec::new() };
            if let Some(to) = policy.tick(wall, monotonic, &targets) {
                submit(node, to, carried_ms(node, &policy, (wall, monotonic)));
            }
            let is_behind = policy.is_waiting() || policy.is_resting(monotonic);
            let catching_up = is_behind || policy.is_held(monotonic);
            node.frontier_facts.catching_up.store(catching_up, Ordering::Relaxed);
        }
        for _ in 0..TICK.as_millis() / LOOK.as_millis() {
            std::thread::sleep(LOOK);
            let monotonic = millis_since(origin);
            if with_hold(node, |is_held| is_held) {
                policy.pause(clock.believed(monotonic), monotonic);
            } else if !stands_still {
                run_ahead(node, &mut policy, monotonic);
            }
        }
    }
}

/// Waits for agents that work off a backlog, where they matter.
fn heed(node: &Node, policy: &mut Policy, (wall, monotonic): (i64, i64)) {
    if node.custody.take_return() {
        policy.follow_targets(monotonic);
    }
    let series = |facts: &Arc<Facts>| lock(&facts.series).iter().map(|(_, n)| n).sum::<u64>();
    let series = node.worker_facts.iter().map(series).sum();
    // An agent speaks every 5 s: it is waited for before it would be late.
    let slow_ms = (policy.grace_ms() - SPEAKS_MS).max(policy.grace_ms() / 2);
    let outlook = node.promises.look(wall, series, slow_ms);
    policy.hold(outlook.behind, monotonic);
    node.frontier_facts.agents.store(outlook.agents, Ordering::Relaxed);
}

/// Closes windows whose every sample is in.
fn run_ahead(node: &Node, policy: &mut Policy, monotonic: i64) {
    let Some(complete) = node.promises.look(wall_ms(), 0, i64::MAX).complete else {
        return;
    };
    let current = node.current.load();
    let intervals = current.decisions.rules.iter().map(|active| active.rule.interval().0.max(1));
    let ends = intervals.map(|interval| complete - complete.rem_euclid(interval));
    if let Some(to) = ends.max().and_then(|end| policy.run_ahead(end, monotonic)) {
        // It does not run ahead while a pause is not over.
        submit(node, to, 0);
    }
}

fn progress(node: &Node, since: Timestamp) -> Vec<Progress> {
    let (reply, answers) = crossbeam_channel::bounded(node.workers);
    node.pipeline.tell_workers(&Message::Progress(since, reply));
    answers.iter().flatten().collect()
}

/// What of a pause a restart would go on with. In a tier nothing: the others wait for a minute at most, and would
/// go on without this node's parts while it still waited for senders.
pub fn carried_ms(node: &Node, policy: &Policy, (wall, monotonic): (i64, i64)) -> i64 {
    if node.cluster.is_alone() { policy.paused_ms(wall, monotonic) } else { 0 }
}

/// Logs a frontier for all virtual shards and hands it on. While it stands still for a move it is the last
/// one again. `paused_ms` is what [`carried_ms`] says.
pub fn submit(node: &Node, to: Timestamp, paused_ms: i64) {
    with_hold(node, |is_held| {
        let last = crate::cluster::moves::stands(node);
        submit_now(node, if is_held && last > 0 { last.min(to) } else { to }, paused_ms);
    });
}

fn submit_now(node: &Node, to: Timestamp, paused_ms: i64) {
    node.custody.pass(to);
    let record = FrontierRecord { vshards: vec![(0, VSHARDS)], to, paused_ms };
    match node.pipeline.frontier(&record) {
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

    /// The time by the wall clock as it was before it came into doubt.
    fn believed(&self, monotonic: i64) -> i64 {
        self.offset_ms + monotonic
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
    fn a_clock_that_jumps_is_in_doubt_until_it_is_back_or_steady() {
        let mut clock = Clock { offset_ms: 1_000_000, jumped_to: None };
        assert!(!clock.is_in_doubt(1_001_000, 1000));
        assert!(clock.is_in_doubt(5_002_000, 2000));
        assert!(!clock.is_in_doubt(1_003_000, 3000), "it came back");
        assert!(clock.is_in_doubt(5_004_000, 4000));
        assert!(clock.is_in_doubt(5_050_000, 50_000));
        assert!(!clock.is_in_doubt(5_064_000, 64_000), "a minute later it is believed");
    }

    /// A clock was half a minute ahead for eight seconds, and by it the pause had not begun when it was
    /// over: it counted toward the grace of senders that had backed off.
    #[test]
    fn a_pause_begins_by_the_clock_that_was_believed() {
        let mut clock = Clock { offset_ms: 1_000_000, jumped_to: None };
        let mut policy = Policy::new(10_000, 300_000, 985_000, None, 0);
        assert_eq!(policy.tick(1_000_000, 0, &[]), Some(990_000));
        assert!(clock.is_in_doubt(1_031_000, 1_000));
        policy.pause(clock.believed(1_000), 1_000);
        assert!(!clock.is_in_doubt(1_009_000, 9_000));
        assert_eq!(policy.tick(1_009_000, 9_000, &[]), Some(991_000), "8 s do not count");
    }
}
