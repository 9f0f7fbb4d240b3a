//! What tenants use of their limits on other members, so that a limit is the tier's.
//!
//! Each second every other member is asked; what it says counts for [`FRESH`], for a member that is away
//! takes nothing. So a limit is followed a second or two late. Invariant: nobody waits for another
//! member here, and an answer has at most [`TENANTS_MAX`] tenants, those that use most.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use weir_http::{HeaderMap, StatusCode};

use super::peers::Peer;
use crate::frontier::wall_ms;
use crate::node::Node;
use crate::shard::worker::lock;

/// What tenants use here.
pub const USAGE_PATH: &str = "/cluster/v1/usage";

const EVERY: Duration = Duration::from_secs(1);
const TIMEOUT: Duration = Duration::from_secs(2);

/// For how long an answer counts.
const FRESH: Duration = Duration::from_secs(5);

/// Tenants in one answer.
const TENANTS_MAX: usize = 4_096;

/// What one tenant uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Use {
    /// Samples let in within the last whole second.
    pub samples: u64,
    /// Series born within it.
    pub births: u64,
    /// Active series.
    pub series: u64,
}

/// By tenant.
pub type Uses = BTreeMap<String, Use>;

/// What all other members use of a tenant's limits.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    /// Members heard of, this one included.
    pub members: u64,
    /// The sum of the others.
    pub used: Use,
}

/// What other members have said.
#[derive(Debug, Default)]
pub struct Usage(Mutex<BTreeMap<String, (Instant, Uses)>>);

impl Usage {
    /// Takes a member's word.
    pub fn heard(&self, member: &str, uses: Uses, now: Instant) {
        lock(&self.0).insert(member.to_owned(), (now, uses));
    }

    /// What the others use of a tenant's limits.
    pub fn elsewhere(&self, tenant: &str) -> Elsewhere {
        let all = lock(&self.0);
        let mut used = Use::default();
        for told in all.values().filter_map(|(_, uses)| uses.get(tenant)) {
            used.samples = used.samples.saturating_add(told.samples);
            used.births = used.births.saturating_add(told.births);
            used.series = used.series.saturating_add(told.series);
        }
        Elsewhere { members: all.len() as u64 + 1, used }
    }

    fn forget_before(&self, then: Instant) {
        lock(&self.0).retain(|_, (at, _)| *at >= then);
    }
}

/// What tenants use on this node, to be told.
pub fn own(node: &Node) -> Uses {
    let used = node.ingest_facts.rates.used(node, wall_ms());
    let used = used.into_iter().filter(|(_, used)| *used != Use::default());
    let name = |id| node.tenants.name(id).to_string();
    let mut all: Vec<(String, Use)> = used.map(|(id, used)| (name(id), used)).collect();
    all.sort_by_key(|(_, used)| std::cmp::Reverse((used.samples, used.series)));
    all.truncate(TENANTS_MAX);
    all.into_iter().collect()
}

/// Asks for as long as the node runs.
pub fn keep_asking(node: &Arc<Node>) {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let mut asking = JoinSet::new();
            for peer in node.cluster.peers().all() {
                let node = Arc::clone(&node);
                asking.spawn(async move { ask(node.cluster.usage(), &peer).await });
            }
            while asking.join_next().await.is_some() {}
            let then = Instant::now().checked_sub(FRESH);
            then.into_iter().for_each(|then| node.cluster.usage().forget_before(then));
        }
    });
}

async fn ask(usage: &Usage, peer: &Peer) {
    // A member of another version does not know the question: limits are then each member's own.
    let Ok(reply) = peer.get(USAGE_PATH, HeaderMap::new(), TIMEOUT).await else {
        return;
    };
    if reply.status == StatusCode::OK
        && let Ok(uses) = serde_json::from_slice::<Uses>(&reply.body)
    {
        usage.heard(&peer.member().name, uses, Instant::now());
    }
}
