//! Who moves the frontier: once a second a FRONTIER record for all virtual shards.
//!
//! It follows the wall clock at `grace` behind. After a pause (restart, 503) it follows the event
//! time that 95 % of the live targets have reached instead, until they have caught up or
//! `backlog_wait_max` is over; and for as long as `grace` it stays as far behind as the pause was
//! long. So time in which nobody could send counts for nobody, senders that back off included. Where
//! every sender has promised to be past a window's end (`promises.rs`) it runs ahead, to that end and
//! no further; where one that matters works off a backlog it waits, up to `backlog_wait_max`. A wall
//! clock that jumps against the monotonic one freezes it. [`Policy`] decides and is pure; [`run`]
//! drives it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use weir_model::{Timestamp, VSHARDS};

use crate::node::Node;
use crate::pipeline::Message;
use crate::shard::worker::{Facts, lock};
use crate::wal::FrontierRecord;

mod policy;

pub use policy::Policy;

/// What the frontier's driver publishes.
#[derive(Debug, Default)]
pub struct FrontierFacts {
    /// The last frontier that was submitted, milliseconds; 0 before the first.
    pub submitted: AtomicI64,
    /// Whether it waits for senders that work off a backlog.
    pub catching_up: AtomicBool,
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
    let mut since = policy.frontier() - ALIVE_MS;
    let mut clock = Clock { offset_ms: wall_ms() - millis_since(origin), jumped_to: None };
    while !node.readiness.stopping.load(Ordering::Acquire) {
        let windows = node.current.load().config.windows;
        policy.reconfigure(windows.grace.0, windows.backlog_wait_max.0);
        let monotonic = millis_since(origin);
        let in_doubt = clock.is_in_doubt(wall_ms(), monotonic);
        node.frontier_facts.clock_in_doubt.store(in_doubt, Ordering::Relaxed);
        let blocked = node.is_blocked() || node.log.stats().disk_full.load(Ordering::Relaxed);
        let stands_still = in_doubt || blocked;
        if stands_still {
            policy.pause(wall_ms(), monotonic);
            since = policy.frontier() - ALIVE_MS;
        } else {
            heed(node, &mut policy, monotonic);
            let mut newest = if policy.is_waiting() { progress(node, since) } else { Vec::new() };
            if newest.is_empty() && !node.cluster.is_alone() {
                // All its targets are others' by now. They would wait for it, not it for them.
                newest.push(wall_ms());
            }
            if let Some(to) = policy.tick(wall_ms(), monotonic, &mut newest) {
                submit(node, to);
            }
            let is_behind = policy.is_waiting() || policy.is_resting(monotonic);
            let catching_up = is_behind || policy.is_held(monotonic);
            node.frontier_facts.catching_up.store(catching_up, Ordering::Relaxed);
        }
        for _ in 0..TICK.as_millis() / LOOK.as_millis() {
            std::thread::sleep(LOOK);
            if !stands_still {
                run_ahead(node, &mut policy, millis_since(origin));
            }
        }
    }
}

/// Waits for agents that work off a backlog, where they matter.
fn heed(node: &Node, policy: &mut Policy, monotonic: i64) {
    if node.custody.take_return() {
        policy.follow_targets(monotonic);
    }
    let series = |facts: &Arc<Facts>| lock(&facts.series).iter().map(|(_, n)| n).sum::<u64>();
    let series = node.worker_facts.iter().map(series).sum();
    // An agent speaks every 5 s: it is waited for before it would be late.
    let slow_ms = (policy.grace_ms() - SPEAKS_MS).max(policy.grace_ms() / 2);
    let outlook = node.promises.look(wall_ms(), series, slow_ms);
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
        submit(node, to);
    }
}

fn progress(node: &Node, since: Timestamp) -> Vec<Timestamp> {
    let (reply, answers) = crossbeam_channel::bounded(node.workers);
    node.pipeline.tell_workers(&Message::Progress(since, reply));
    answers.iter().flatten().collect()
}

/// Logs a frontier for all virtual shards and hands it on. While it stands still for a move it is the last
/// one again, so that other members go on to hear of this one.
pub fn submit(node: &Node, to: Timestamp) {
    node.moves.with_hold(|is_held| {
        let last = crate::cluster::moves::stands(node);
        submit_now(node, if is_held && last > 0 { last.min(to) } else { to });
    });
}

fn submit_now(node: &Node, to: Timestamp) {
    node.custody.pass(to);
    let record = FrontierRecord { vshards: vec![(0, VSHARDS)], to };
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
}
