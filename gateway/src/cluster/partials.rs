//! Taking what other members tell of windows: on disk before it is answered.
//!
//! The answer is how far their stream has come here. What cannot be used yet (a rule that only they
//! have, for a reload goes from node to node) is told to come again for a minute; then it counts as
//! unknown.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::{Request, Response, StatusCode};
use weir_aggregate::exchange;
use weir_http::limits::{declared_len, read_body};
use weir_model::TenantId;
use weir_wire::compress::Decompressor;
use weir_wire::negotiate::Encoding;

use super::MEMBER_HEADER;
use super::stream::{EPOCH_HEADER, MEANT_HEADER, epoch_in};
use crate::emit::PARTS_BYTES_MAX;
use crate::frontier::wall_ms;
use crate::node::Node;
use crate::router::page;
use crate::shard::worker::lock;
use crate::wal::PartialsRecord;
use crate::wal::tier::{Content, Item};

/// Bytes of one post.
const BODY_BYTES_MAX: usize = 64 << 20;

/// For a whole post to come.
const BODY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

/// So long parts of a rule that is not known wait for a reload.
const UNKNOWN_WAIT_MS: i64 = 60_000;

type Page = Response<Full<Bytes>>;

/// Takes a piece of a member's stream, and answers how far that has come.
pub async fn handle(node: &Arc<Node>, request: Request<Incoming>) -> Page {
    let mut answer = match take(node, request).await {
        Ok(place) => page(StatusCode::OK, place.to_string()),
        Err((status, why)) => page(status, why),
    };
    answer.headers_mut().insert(EPOCH_HEADER, HeaderValue::from(node.custody.epoch()));
    answer
}

type Refusal = (StatusCode, String);

async fn take(node: &Arc<Node>, request: Request<Incoming>) -> Result<u64, Refusal> {
    use std::sync::atomic::Ordering::Acquire;
    let later = |why: &str| (StatusCode::SERVICE_UNAVAILABLE, why.to_owned());
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    if !node.readiness.ready.load(Acquire) || node.readiness.stopping.load(Acquire) {
        return Err(later("not ready"));
    }
    let (parts, incoming) = request.into_parts();
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let origin = header(MEMBER_HEADER).unwrap_or_default().to_owned();
    if node.cluster.table().find(&origin).is_none() || origin == node.cluster.own_name() {
        return Err((StatusCode::FORBIDDEN, format!("{origin:?} is no other member")));
    }
    let epoch =
        epoch_in(&parts.headers, &EPOCH_HEADER).ok_or_else(|| bad("no epoch".to_owned()))?;
    let meant = epoch_in(&parts.headers, &MEANT_HEADER);
    if meant.is_some_and(|meant| meant != node.custody.epoch()) {
        // A disk was lost between two pieces: what came before this one is to come again first.
        return Err((StatusCode::CONFLICT, "this data directory is another".to_owned()));
    }
    let declared = declared_len(&parts.headers);
    let body = read_body(incoming, declared, BODY_BYTES_MAX, BODY_TIMEOUT).await;
    let body = body.map_err(|why| bad(why.to_string()))?;
    if body.is_empty() {
        return Ok(place_of(node, &origin, epoch));
    }
    let last = check(node, &body)?;
    let record = PartialsRecord { origin, epoch, body };
    let position = node.pipeline.partials(record).map_err(|why| later(&why.to_string()))?;
    node.synced_soon(position).await.map_err(|why| later(&why.to_string()))?;
    Ok(last)
}

/// How far an origin's stream has come here.
fn place_of(node: &Node, origin: &str, epoch: u64) -> u64 {
    let origins = lock(&node.emit_facts.tier.origins);
    let known = origins.iter().find(|known| known.name == origin && known.epoch == epoch);
    known.map_or(0, |known| known.place)
}

/// Whether a piece can be used; its last place.
fn check(node: &Node, body: &[u8]) -> Result<u64, Refusal> {
    let bad = |why: String| (StatusCode::BAD_REQUEST, why);
    let items = Item::read_all(body).map_err(|why| bad(why.to_string()))?;
    let decisions = Arc::clone(&node.current.load().decisions);
    let newest = items.iter().filter_map(|item| match item.content {
        Content::Mark(to) => Some(to),
        Content::Parts(..) | Content::Knows(_) => None,
    });
    let newest = newest.max().unwrap_or(i64::MAX);
    let is_patient = wall_ms() - newest < UNKNOWN_WAIT_MS || newest == i64::MAX;
    let mut decompressor = Decompressor::default();
    let mut plain = Vec::new();
    for item in &items {
        let Content::Parts(_, bytes) = item.content else { continue };
        let done = decompressor.decompress(Encoding::Zstd, bytes, PARTS_BYTES_MAX, &mut plain);
        done.map_err(|why| bad(why.to_string()))?;
        let read = exchange::decode(&plain, &decisions, &mut |_| TenantId(0));
        let read = read.map_err(|why| bad(why.to_string()))?;
        if read.unknown > 0 && is_patient {
            let why = "it has rules that are not in force here; reload this node too".to_owned();
            return Err((StatusCode::SERVICE_UNAVAILABLE, why));
        }
    }
    Ok(items.last().map_or(0, |item| item.place))
}
