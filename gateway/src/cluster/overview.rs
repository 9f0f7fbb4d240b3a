//! The tier as people see it: plain data for page, API and metrics.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::frontier::wall_ms;
use crate::node::Node;
use crate::shard::worker::lock;

/// The tier at one moment, from one member.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overview {
    /// Who says so.
    pub name: String,
    /// Of the table.
    pub table_version: u64,
    /// Whether what decides about the table (etcd) answers; `None` where nothing is asked.
    pub engine_up: Option<bool>,
    /// Why it does not; empty while it does.
    pub engine_error: String,
    /// All members, in the order of their names.
    pub members: Vec<MemberView>,
    /// Why the member that says so acknowledges nothing: no follower is in step. Empty while one is, and
    /// at replication factor 1.
    #[serde(default)]
    pub unfollowed: String,
    /// Windows that went out without some member's part, since the start.
    #[serde(default)]
    pub windows_incomplete: u64,
    /// Virtual shards that changed hands here.
    #[serde(default)]
    pub moves: MovesView,
}

/// One member.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Where other members reach it; empty for a node alone.
    pub address: String,
    /// Its weight.
    pub capacity: u16,
    /// Whether it answers.
    pub up: bool,
    /// Virtual shards that it owns.
    pub vshards: usize,
    /// Its last answer, milliseconds since the epoch; 0: none yet.
    pub seen_ms: i64,
    /// Requests to it that wait for their answer.
    pub in_flight: u64,
    /// Requests to it that were not answered.
    pub errors: u64,
    /// Why the last one was not; empty while it is up.
    pub last_error: String,
    /// Who has its twin, or is getting it; empty where nobody is.
    #[serde(default)]
    pub follower: String,
    /// Whether that one has everything.
    #[serde(default)]
    pub in_step: bool,
    /// Who has taken it over and runs it; empty where it runs itself.
    #[serde(default)]
    pub host: String,
    /// How far its windows are behind those of who says so, which wait for it; milliseconds.
    #[serde(default)]
    pub behind_ms: i64,
    /// For how long it has not had all that it is told of windows; milliseconds.
    #[serde(default)]
    pub untold_ms: u64,
}

/// Virtual shards that change hands.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct MovesView {
    /// Given away since the start.
    pub given: u64,
    /// Taken over since then.
    pub taken: u64,
    /// Taken back since then, for the taker had refused them.
    pub undone: u64,
    /// For how long the last ones given away took nothing, milliseconds.
    pub pause_ms: u64,
    /// On their way at this moment: how many, and to whom.
    pub under_way: Option<(usize, String)>,
}

impl Overview {
    /// As a node sees it.
    pub fn new(node: &Node) -> Self {
        let cluster = &node.cluster;
        let table = cluster.table();
        let records = cluster.records();
        let (behind, untold) = (behind(node), untold(node));
        let members = table.members().iter().map(|member| {
            let view = MemberView {
                name: member.name.clone(),
                address: member.address.clone(),
                capacity: member.capacity,
                vshards: table.owned_by(&member.name).len(),
                behind_ms: behind.get(&member.name).copied().unwrap_or_default(),
                untold_ms: untold.get(&member.name).copied().unwrap_or_default(),
                ..MemberView::default()
            };
            let view = match records.get(&member.name) {
                None => view,
                Some((host, follower, in_step)) => MemberView {
                    follower: follower.clone().unwrap_or_default(),
                    in_step: *in_step,
                    host: if *host == member.name { String::new() } else { host.clone() },
                    ..view
                },
            };
            match cluster.peers().get(&member.name) {
                None => MemberView { up: true, seen_ms: wall_ms(), ..view },
                Some(peer) => {
                    let facts = peer.facts();
                    MemberView {
                        up: facts.up.load(Ordering::Relaxed),
                        seen_ms: facts.last_seen_ms.load(Ordering::Relaxed),
                        in_flight: peer.in_flight(),
                        errors: facts.errors.load(Ordering::Relaxed),
                        last_error: facts.last_error(),
                        ..view
                    }
                }
            }
        });
        let (engine_up, engine_error) = cluster.engine_state().unzip();
        Self {
            name: cluster.own_name().to_owned(),
            table_version: table.version(),
            engine_up,
            engine_error: engine_error.unwrap_or_default(),
            members: members.collect(),
            unfollowed: node.follow.stalled().unwrap_or_default(),
            windows_incomplete: node.emit_facts.tier.windows_incomplete.load(Ordering::Relaxed),
            moves: moves(node),
        }
    }

    /// Members that answer, and those that do not.
    pub fn counts(&self) -> (usize, usize) {
        let up = self.members.iter().filter(|member| member.up).count();
        (up, self.members.len() - up)
    }

    /// What the member that says so owns.
    pub fn owned(&self) -> usize {
        let own = self.members.iter().find(|member| member.name == self.name);
        own.map_or(0, |member| member.vshards)
    }
}

/// How far each member's windows are behind this node's, milliseconds; at most a day.
pub(super) fn behind(node: &Node) -> BTreeMap<String, i64> {
    const DAY_MS: i64 = 86_400_000;
    let facts = &node.emit_facts.tier;
    let local = facts.local.load(Ordering::Relaxed);
    let origins = lock(&facts.origins);
    let members = origins.iter().filter(|origin| origin.is_member);
    let lag = |mark: i64| local.saturating_sub(mark).clamp(0, DAY_MS);
    members.map(|origin| (origin.name.clone(), lag(origin.mark))).collect()
}

fn untold(node: &Node) -> BTreeMap<String, u64> {
    let lags = node.streams.lags(Instant::now());
    lags.into_iter().map(|(name, lag)| (name, lag.as_millis() as u64)).collect()
}

fn moves(node: &Node) -> MovesView {
    let facts = &node.moves;
    let released = lock(&node.emit_facts.tier.released);
    let under_way = released.as_ref().map(|it| (it.record.vshards.len(), it.record.to.clone()));
    MovesView {
        given: facts.given.load(Ordering::Relaxed),
        taken: facts.taken.load(Ordering::Relaxed),
        undone: facts.undone.load(Ordering::Relaxed),
        pause_ms: facts.pause_ms.load(Ordering::Relaxed),
        under_way,
    }
}
