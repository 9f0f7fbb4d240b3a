//! What senders are told of the tier: a word in each answer, and whose their series are where they ask.
//!
//! Invariant: a node alone says nothing, nor does one that has no table in force yet. What is told is
//! this node's table; senders take the newer of two.

use weir_agent_config::control::version_of;
use weir_http::{Bytes, Full, HeaderMap, HeaderValue, Response, StatusCode};
use weir_ring::{OWNERS_HEADER, Owners, Table};

use crate::ingest;
use crate::node::Node;
use crate::router::{page, plain};

/// Names what a table says to senders: its generation, and a hash of owners and doors.
pub(super) fn word(table: &Table) -> Option<HeaderValue> {
    if table.version() == 0 {
        return None;
    }
    let told = Owners::of(table, &weir_model::ShardKey::default(), "");
    // Names and numbers always have a JSON.
    let text = serde_json::to_string(&told).unwrap_or_default();
    HeaderValue::from_str(&format!("{}-{}", told.generation, version_of(&text))).ok()
}

/// Puts the word into an answer.
pub fn say(node: &Node, headers: &mut HeaderMap) {
    if node.cluster.is_alone() {
        return;
    }
    if let Some(word) = &node.cluster.view().word {
        headers.insert(OWNERS_HEADER, word.clone());
    }
}

/// Answers `GET /api/v1/agents/owners` with [`Owners`] as JSON: 404 where this node stands alone.
pub fn handle(node: &Node, headers: &HeaderMap) -> Response<Full<Bytes>> {
    if node.cluster.is_alone() || node.cluster.view().word.is_none() {
        return plain(StatusCode::NOT_FOUND, "this gateway is none of a tier\n");
    }
    let tenant = match ingest::tenant_of(node, headers) {
        Ok(tenant) => tenant,
        Err(answer) => return answer.into_response(),
    };
    let current = node.current.load();
    let key = &current.decisions.shard_key;
    let told = Owners::of(&node.cluster.table(), key, &tenant);
    page(StatusCode::OK, serde_json::to_vec(&told).unwrap_or_default())
}
