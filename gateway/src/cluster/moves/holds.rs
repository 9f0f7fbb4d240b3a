//! Frontiers that stand still while virtual shards change hands.
//!
//! Invariant: while a hold is in force no frontier is submitted past where it stood when it began. None
//! lasts for ever: a taker that nothing comes to, and a giver whose taker is away for as long as
//! anybody's windows wait for a member, go on.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_model::Timestamp;

use super::Moves;
use crate::node::Node;
use crate::shard::worker::lock;

/// A taker holds its frontier no longer.
const TAKER: Duration = Duration::from_secs(20);

/// A giver neither: windows wait for a member for so long.
const GIVER: Duration = Duration::from_secs(60);

/// Until when the frontier stands still.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// For a move to this node.
    taker: Option<Instant>,
    /// For one from it.
    giver: Option<Instant>,
}

impl Moves {
    /// Runs this with whether the frontier stands still for a move; that does not change meanwhile.
    pub fn with_hold(&self, run: impl FnOnce(bool)) {
        let held = lock(&self.holds);
        let now = Instant::now();
        run([held.taker, held.giver].into_iter().flatten().any(|until| until > now));
    }

    /// The frontier stands still for what will come; says where.
    pub(super) fn hold_taker(&self, stands: impl FnOnce() -> Timestamp) -> Timestamp {
        let mut held = lock(&self.holds);
        held.taker = Some(Instant::now() + TAKER);
        stands()
    }

    /// What was to come has come, or will not.
    pub(super) fn let_taker_go(&self) {
        lock(&self.holds).taker = None;
    }

    /// The frontier stands still for what leaves, or goes on.
    pub(super) fn hold_giver(&self, is_held: bool) {
        lock(&self.holds).giver = is_held.then(|| Instant::now() + GIVER);
    }
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
