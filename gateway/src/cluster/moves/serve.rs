//! The other side of a move: what the taker answers, and who is told to give away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use weir_http::HeaderMap;
use weir_http::limits::{declared_len, read_body};
use weir_model::VShard;
use weir_model::mutation::{self, Mutation};
use weir_ring::{OwnedSet, Table};

use super::{
    FRONTIER_HEADER, MOVE_HEADER, MoveError, RULES_HEADER, TIMEOUT, give, moved, rules, stands,
    take_over,
};
use crate::cluster::stream::EPOCH_HEADER;
use crate::cluster::{MEMBER_HEADER, table_text};
use crate::node::Node;
use crate::router::page;
use crate::shard::worker::lock;
use crate::wal::{AdoptRecord, PlacementRecord};

/// Bytes of a lot's state.
const STATE_BYTES_MAX: usize = 1 << 30;

/// Bytes of an [`OwnedSet`].
const SET_BYTES: usize = weir_model::VSHARDS as usize / 8;

type Page = Response<Full<Bytes>>;

/// A move to this node begins: its frontier stands still, and the answer says where.
pub fn prepare(node: &Node) -> Page {
    if !node.readiness.ready.load(Ordering::Acquire) {
        return page(StatusCode::SERVICE_UNAVAILABLE, "not ready");
    }
    page(StatusCode::OK, node.moves.hold_taker(|| stands(node)).to_string())
}

/// The state of virtual shards that another member has given away to this one.
pub async fn adopt(node: &Arc<Node>, request: Request<Incoming>) -> Page {
    let (parts, incoming) = request.into_parts();
    let declared = declared_len(&parts.headers);
    let body = match read_body(incoming, declared, STATE_BYTES_MAX, TIMEOUT).await {
        Ok(body) => body,
        Err(why) => return page(StatusCode::BAD_REQUEST, why.to_string()),
    };
    // To its end, even if the giver does not wait for it.
    let taker = Arc::clone(node);
    let adopting = tokio::spawn(async move { adopted(&taker, &parts.headers, &body).await });
    let ended = adopting.await.unwrap_or_else(|why| Err(MoveError::Log(why.to_string())));
    match ended {
        Ok(()) => page(StatusCode::NO_CONTENT, ""),
        Err(MoveError::Request(why)) => {
            node.moves.let_taker_go();
            page(StatusCode::CONFLICT, why)
        }
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
    }
}

async fn adopted(node: &Arc<Node>, headers: &HeaderMap, body: &Bytes) -> Result<(), MoveError> {
    let unusable = |why: &str| MoveError::Request(why.to_owned());
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    let from = text(MEMBER_HEADER).unwrap_or_default().to_owned();
    let id = number(EPOCH_HEADER.as_str()).zip(number(MOVE_HEADER.as_str()));
    let id = id.ok_or_else(|| unusable("no epoch and number of the move"))?;
    let vshards = body.get(..SET_BYTES).and_then(OwnedSet::from_bytes);
    let vshards = vshards.ok_or_else(|| unusable("no set of virtual shards"))?;
    if !node.readiness.ready.load(Ordering::Acquire) {
        return Err(MoveError::Log("it is read back".to_owned()));
    }
    let _one_at_a_time = node.moves.adopting.lock().await;
    let giver = from.clone();
    let is_known = || node.emit_facts.tier.has_adopted(&giver, id);
    let table = node.cluster.table();
    let all: Vec<VShard> = vshards.iter().collect();
    let is_repeat = is_known() || is_placed_here(node, &table, &all, &from);
    if is_repeat && !mutation::is(Mutation::AdoptedTwice) {
        return Ok(());
    }
    if let Some(vshard) = all.iter().find(|&&vshard| table.owner(vshard).name != from) {
        return Err(MoveError::Request(format!("virtual shard {} is not {from}'s", vshard.0)));
    }
    if number(RULES_HEADER.as_str()) != Some(rules(node)) {
        return Err(unusable("it has other rules; reload both"));
    }
    let frontier = text(FRONTIER_HEADER.as_str()).and_then(|text| text.parse::<i64>().ok());
    if frontier.is_none_or(|frontier| node.moves.hold_taker(|| stands(node)) > frontier) {
        return Err(unusable("windows that are open there are closed here by now; try again"));
    }
    let own = node.cluster.own_name();
    let after = PlacementRecord::of(&moved(&table, &all, own)?, own);
    let state = body.slice(SET_BYTES..);
    take_over(node, AdoptRecord { from, id, vshards, after, state }).await?;
    let until = Instant::now() + TIMEOUT;
    while !is_known() {
        if Instant::now() > until {
            return Err(MoveError::Log("it is not taken over yet".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    node.moves.taken.fetch_add(all.len() as u64, Ordering::Relaxed);
    Ok(())
}

/// Whether these, the giver's by the table, are this node's by its log: they came before, and a
/// checkpoint has taken the place of the record that named the move.
fn is_placed_here(node: &Node, table: &Table, vshards: &[VShard], from: &str) -> bool {
    let placed = lock(&node.emit_facts.tier.placed);
    let is_on_its_way = |&v: &VShard| table.owner(v).name == from && placed.contains(v);
    !vshards.is_empty() && vshards.iter().all(is_on_its_way)
}

/// The table that says so; then the frontier goes on.
pub async fn done(node: &Arc<Node>, request: Request<Incoming>) -> Page {
    let (parts, incoming) = request.into_parts();
    let body = read_body(incoming, declared_len(&parts.headers), 1 << 20, TIMEOUT).await;
    let table = body
        .map_err(|why| why.to_string())
        .and_then(|body| table_text::read(&body).map_err(|why| why.to_string()));
    let answer = match table {
        Ok(table) => {
            node.cluster.learn(&table);
            page(StatusCode::NO_CONTENT, "")
        }
        Err(why) => page(StatusCode::BAD_REQUEST, why),
    };
    node.moves.let_taker_go();
    answer
}

/// Another member passes on what its operator asked for.
pub async fn begin(node: &Arc<Node>, request: Request<Incoming>) -> Page {
    let (parts, incoming) = request.into_parts();
    let body = read_body(incoming, declared_len(&parts.headers), 1 << 20, TIMEOUT).await;
    let command = body.ok().and_then(|body| read_command(&body));
    let Some((vshards, to)) = command else {
        return page(StatusCode::BAD_REQUEST, "no set of virtual shards with a member");
    };
    match give(node, &vshards, &to).await {
        Ok(()) => page(StatusCode::NO_CONTENT, ""),
        Err(why @ (MoveError::Request(_) | MoveError::Refused(..))) => {
            page(StatusCode::CONFLICT, why.to_string())
        }
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
    }
}

/// An operator's wish, at any member: `vshards=0-31,77&to=NAME`.
pub async fn handle(node: &Arc<Node>, query: &str) -> Page {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let pairs: std::collections::BTreeMap<_, _> = pairs.into_owned().collect();
    let (Some(vshards), Some(to)) = (pairs.get("vshards"), pairs.get("to")) else {
        return page(StatusCode::BAD_REQUEST, "say which and to whom: vshards=0-31,77&to=NAME\n");
    };
    if node.cluster.is_alone() {
        return page(StatusCode::CONFLICT, "this gateway stands alone\n");
    }
    let vshards: OwnedSet = match vshards.parse() {
        Ok(vshards) => vshards,
        Err(why) => return page(StatusCode::BAD_REQUEST, format!("{why}\n")),
    };
    match super::command(node, &vshards, to).await {
        Ok(moved) => page(StatusCode::OK, format!("{moved}\n")),
        Err(why @ MoveError::Request(_)) => page(StatusCode::CONFLICT, format!("{why}\n")),
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// A set and who is to get it, for [`begin`].
pub(super) fn write_command(vshards: &[VShard], to: &str) -> Bytes {
    let set: OwnedSet = vshards.iter().copied().collect();
    Bytes::from([&set.to_bytes()[..], to.as_bytes()].concat())
}

fn read_command(body: &[u8]) -> Option<(Vec<VShard>, String)> {
    let (set, to) = body.split_at_checked(SET_BYTES)?;
    let to = std::str::from_utf8(to).ok()?.to_owned();
    Some((OwnedSet::from_bytes(set)?.iter().collect(), to))
}
