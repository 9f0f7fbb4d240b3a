//! The end of a member that nobody needs any more: it takes its record along, and nobody takes it over.
//!
//! Invariant: only who owns nothing, by the table and by its own log, and has delivered all that it had
//! leaves so. Everybody else who stops is expected back, or taken over. At replication factor 1 nobody is
//! taken over, and nothing is to be done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::cluster::engine::Engine;
use crate::node::Node;
use crate::outlets::Outlets;
use crate::shard::worker::lock;

/// Who was taken over ends after so long without anything to do.
const REST: Duration = Duration::from_secs(10);

const LOOK: Duration = Duration::from_millis(250);

/// Whether this node owns nothing and owes nothing: not a sample to a destination, not a part to a member.
fn is_needless(node: &Node, outlets: &Outlets) -> bool {
    let table = node.cluster.table().version();
    let owns = !node.cluster.owned().is_empty() || !lock(&node.emit_facts.tier.placed).is_empty();
    let has_delivered = outlets.done_below(node) >= node.queue.next_position();
    let has_told = node.streams.lags(Instant::now()).iter().all(|(_, lag)| lag.is_zero());
    table > 0 && !owns && has_delivered && has_told
}

/// The last that a node does in its tier, once nothing comes in and everything that can be is delivered.
pub async fn leave(node: &Node, outlets: &Outlets, within: Duration) {
    let Engine::Etcd(etcd) = &node.cluster.engine else { return };
    if !node.cluster.owned().is_empty() || node.follow.standing().is_none() {
        return;
    }
    let until = Instant::now() + within;
    while !is_needless(node, outlets) {
        if Instant::now() >= until {
            tracing::warn!("it owns nothing, but not all is delivered: it is expected back");
            return;
        }
        tokio::time::sleep(LOOK / 10).await;
    }
    match etcd.leave().await {
        Ok(true) => tracing::info!("it owns nothing, all is delivered: it has left the tier"),
        Ok(false) => tracing::warn!("it may be needed yet: it is expected back"),
        Err(why) => tracing::warn!(%why, "etcd cannot be told that this node is gone for good"),
    }
}

/// A member that runs on another one's machine ends by itself once it was drained: nobody else would stop it.
pub fn keep_ready_to_leave(node: &Arc<Node>, outlets: &Arc<Outlets>) {
    if node.current.load().config.cluster.host.is_none() {
        return;
    }
    let (node, outlets) = (Arc::clone(node), Arc::clone(outlets));
    tokio::spawn(async move {
        let mut since = Instant::now();
        while since.elapsed() < REST {
            tokio::time::sleep(LOOK).await;
            if !is_needless(&node, &outlets) {
                since = Instant::now();
            }
        }
        tracing::info!("it was taken over and drained, and ends");
        super::end_in_order();
    });
}
