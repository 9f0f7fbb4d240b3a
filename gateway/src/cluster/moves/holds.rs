//! Frontiers that stand still while virtual shards change hands.
//!
//! A taker's does from the first question until the table says that they are its own: before, nobody
//! sends it their samples, and they would be late. A giver's does until they are another's. Invariant:
//! while a hold is in force no frontier is submitted past where it stood when it began. None lasts for
//! ever: a taker that nothing comes to, and whoever waits for a member that is away, go on.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_model::mutation::{self, Mutation};
use weir_model::{Millis, Timestamp};

use super::Moves;
use crate::cluster::patience;
use crate::node::Node;
use crate::shard::worker::lock;

/// A taker waits for a state no longer.
const STATE: Duration = Duration::from_secs(20);

/// Nobody's frontier stands still for longer. Other members wait for this one for a minute, and after the
/// hold it goes on only once it would be `grace` and the hold's length behind the clock: it may have been
/// close to the clock before.
fn longest(grace: Millis) -> Duration {
    patience::WAIT.saturating_sub(grace.to_std() + SLACK).max(STATE)
}

const SLACK: Duration = Duration::from_secs(3);

/// Why the frontier stands still. Pure: time is an argument.
#[derive(Debug, Default)]
pub struct Holds {
    /// Until when for a state that may come.
    taker: Option<Instant>,
    /// Whether for one that leaves.
    giver: bool,
    /// So many virtual shards the table has given to others for too long: they hold nothing any more.
    worn: usize,
    /// Since when for any of them without a break.
    began: Option<Instant>,
}

impl Holds {
    /// It does for a state that may come.
    pub fn hold_taker(&mut self, now: Instant) {
        self.taker = Some(now + STATE);
    }

    /// What was to come has come, or will not.
    pub fn let_taker_go(&mut self) {
        self.taker = None;
    }

    /// It does for what leaves, or does no more.
    pub fn hold_giver(&mut self, is_held: bool) {
        self.giver = is_held;
    }

    /// Whether the frontier stands still now. `owed` is how many virtual shards are here that the table
    /// gives to others. What has held it for long, which depends on `grace`, does so no more; another move is
    /// another hold.
    pub fn stand(&mut self, owed: usize, grace: Millis, now: Instant) -> bool {
        self.worn = self.worn.min(owed);
        let may_come = self.taker.is_some_and(|until| until > now);
        if !may_come && !self.giver && owed == self.worn {
            self.began = None;
            return false;
        }
        let stands = now.duration_since(*self.began.get_or_insert(now)) < longest(grace);
        if !stands {
            *self = Self { worn: owed, ..Self::default() };
        }
        stands
    }
}

impl Moves {
    /// The frontier stands still for what will come; says where.
    pub(super) fn hold_taker(&self, stands: impl FnOnce() -> Timestamp) -> Timestamp {
        let mut held = lock(&self.holds);
        held.hold_taker(Instant::now());
        stands()
    }

    /// What was to come has come, or will not.
    pub(super) fn let_taker_go(&self) {
        lock(&self.holds).let_taker_go();
    }

    /// The frontier stands still for what leaves, or goes on.
    pub(super) fn hold_giver(&self, is_held: bool) {
        lock(&self.holds).hold_giver(is_held);
    }
}

/// Runs this with whether the frontier stands still for a move; that does not change meanwhile.
pub fn with_hold<R>(node: &Node, run: impl FnOnce(bool) -> R) -> R {
    let grace = node.current.load().config.windows.grace;
    let mut held = lock(&node.moves.holds);
    let is_held = held.stand(owed(node), grace, Instant::now());
    run(is_held)
}

/// For how long virtual shards that are on their way hold the frontier at most, where there are any.
pub fn held_at_most(node: &Node) -> Option<Millis> {
    let most = longest(node.current.load().config.windows.grace);
    let most = Millis(i64::try_from(most.as_millis()).unwrap_or(i64::MAX));
    with_hold(node, |is_held| is_held.then_some(most))
}

/// How many virtual shards are this node's by its log and not by the table: their giver is yet to say so.
fn owed(node: &Node) -> usize {
    if node.cluster.is_alone() || mutation::is(Mutation::AdoptedTwice) {
        return 0;
    }
    lock(&node.emit_facts.tier.placed).len_without(&node.cluster.owned())
}

/// Where this node's own frontier is, milliseconds since the epoch.
pub fn stands(node: &Node) -> Timestamp {
    let submitted = node.frontier_facts.submitted.load(Ordering::Acquire);
    submitted.max(node.emit_facts.tier.local.load(Ordering::Acquire))
}

/// After a restart: what was on its way is so still. Called before the frontier moves.
pub fn hold_again(node: &Node) {
    if lock(&node.emit_facts.tier.released).is_some() {
        node.moves.hold_giver(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With it no hold lasts longer than 50 s.
    const GRACE: Millis = Millis::from_secs(7);

    /// A giver died between the state and the table, and was away for 22 s: the taker held its frontier
    /// for 20, and what had been stamped in the 12 s before was late.
    #[test]
    fn a_taker_waits_for_the_table_but_not_until_others_give_up_on_it() {
        let (mut holds, start) = (Holds::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let stands = |holds: &mut Holds, owed, seconds| holds.stand(owed, GRACE, at(seconds));
        assert!(!stands(&mut holds, 0, 0));
        holds.taker = Some(at(20));
        assert!(stands(&mut holds, 0, 1) && !stands(&mut holds, 0, 20), "no state has come");
        holds.taker = Some(at(45));
        assert!(stands(&mut holds, 0, 25));
        assert!(stands(&mut holds, 3, 46) && stands(&mut holds, 3, 74), "not by the table yet");
        assert!(!stands(&mut holds, 3, 75) && !stands(&mut holds, 3, 200), "50 s after it began");
        holds.taker = Some(at(221));
        assert!(stands(&mut holds, 3, 201), "another giver, another hold");
        holds.taker = None;
        assert!(stands(&mut holds, 7, 202) && !stands(&mut holds, 3, 203), "as long as it takes");
        holds.giver = true;
        assert!(stands(&mut holds, 0, 204) && !stands(&mut holds, 0, 254));
        assert!(!stands(&mut holds, 0, 255));
    }

    #[test]
    fn no_hold_lasts_until_others_give_up() {
        assert_eq!(longest(Millis::from_secs(30)), Duration::from_secs(27));
        assert_eq!(longest(Millis::from_secs(1)), Duration::from_secs(56));
        assert_eq!(longest(Millis::from_secs(3600)), STATE);
    }
}
