//! An agent's question over HTTP; the path and the forms of [`custody`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[cfg(doc)]
use weir_agent_config::custody;
use weir_agent_config::custody::{Inquiry, Standing, asked_member};
use weir_http::{Bytes, Full, Response, StatusCode};
use weir_model::Timestamp;

use super::{Moment, complete};
use crate::cluster::delivered;
use crate::node::Node;
use crate::outlets::Outlets;
use crate::pipeline::Expect;
use crate::router::page;
use crate::shard::worker::lock;

/// Answers `POST /api/v1/agents/custody`: how it stands; 503 until the log is read back.
pub fn handle(node: &Node, outlets: Option<&Arc<Outlets>>, query: &str) -> Response<Full<Bytes>> {
    if let Err((status, why)) = is_asked(node, asked_member(query).as_deref()) {
        return page(status, why);
    }
    let is_ready = node.readiness.ready.load(Ordering::Acquire);
    let Some(outlets) = outlets.filter(|_| is_ready) else {
        return page(StatusCode::SERVICE_UNAVAILABLE, "reading the log back\n".to_owned());
    };
    let inquiry = match Inquiry::from_query(query) {
        Ok(inquiry) => inquiry,
        Err(why) => return page(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    let epoch = node.custody.epoch();
    if inquiry.epoch.is_some_and(|known| known != epoch) {
        let tell = |through| node.pipeline.tell_emitter(Expect::Silence(through));
        if let Err(why) = node.custody.handle_return(inquiry.through, tell) {
            tracing::error!(%why, "it cannot be stored which windows are delivered");
            return page(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n"));
        }
    }
    let (received, released, through) = look(node, outlets);
    if let Some(position) = node.custody.awaits_adopted(released) {
        let why = format!("virtual shards were taken over at {position}, which is not out yet\n");
        return page(StatusCode::NOT_FOUND, why);
    }
    let standing = Standing { epoch, received, released, through };
    page(StatusCode::OK, standing.to_body())
}

/// Whether this node is asked, or nobody who could answer.
fn is_asked(node: &Node, member: Option<&str>) -> Result<(), (StatusCode, String)> {
    let (cluster, own) = (&node.cluster, node.cluster.own_name());
    match member {
        None if cluster.is_alone() => Ok(()),
        // What an agent sends is on the disks of several members; one cannot speak for all.
        None => Err((StatusCode::NOT_FOUND, "a tier's members are asked one by one\n".to_owned())),
        Some(name) if name == own => Ok(()),
        Some(name) if cluster.table().find(name).is_some() => {
            Err((StatusCode::MISDIRECTED_REQUEST, format!("this is {own}\n")))
        }
        Some(name) => Err((StatusCode::NOT_FOUND, format!("{name} is no member\n"))),
    }
}

/// How it stands now: how far the log is durable, how far it is out, and through when windows are.
fn look(node: &Node, outlets: &Outlets) -> (u64, u64, Timestamp) {
    let moment = moment(node, outlets);
    let (released, through) = node.custody.look(&moment);
    (moment.durable, released, through)
}

/// Looks every second, so that agents and other members hear of each window that is delivered before more
/// stands behind it.
pub fn keep_looking(node: &Arc<Node>, outlets: &Arc<Outlets>) {
    let (node, outlets) = (Arc::clone(node), Arc::clone(outlets));
    tokio::spawn(async move {
        while !node.readiness.stopping.load(Ordering::Acquire) {
            look(&node, &outlets);
            tokio::time::sleep(LOOK).await;
        }
    });
}

const LOOK: Duration = Duration::from_secs(1);

fn moment(node: &Node, outlets: &Outlets) -> Moment {
    // In this order: all that was acknowledged is durable, and all that is durable before the last.
    let durable = node.log.durable();
    let last = node.log.next_position() - 1;
    let settled = *lock(&node.emit_facts.settled);
    let frontier = settled.frontier.min(delivered::everywhere(node));
    Moment {
        durable,
        last,
        frontier: node.frontier_facts.submitted.load(Ordering::Acquire),
        settled,
        complete: complete(&node.current.load().decisions, frontier),
        queue_done: outlets.done_below(node),
    }
}
