//! Whether a request may come in: who it is from, and what it may cost.
//!
//! Bytes are reserved before a body is read, and for what other members send on from a budget of its
//! own: requests that wait for each other's members would otherwise hold all there is on both. Overload is 503 with Retry-After, never 429, which
//! Prometheus takes as leave to drop; 429 is for a tenant over its contract.

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Incoming;
use weir_http::limits::{Reservation, declared_len, read_body};
use weir_model::TenantId;

use super::{Answer, Hop};
use crate::config::Config;
use crate::node::Node;

/// How long a request waits for memory before it is sent away.
const PATIENCE: std::time::Duration = std::time::Duration::from_millis(500);

/// What a body of unknown length reserves, and what decoding adds to a known one.
const DECODED_FACTOR: usize = 12;

/// Which tenant a request is for.
pub(super) fn tenant(
    node: &Node,
    config: &Config,
    headers: &HeaderMap,
) -> Result<(TenantId, std::sync::Arc<str>), Answer> {
    let named = headers.get(&config.tenancy.header);
    let name = match named.map(|value| value.to_str()) {
        Some(Ok(name)) if !name.is_empty() => name,
        Some(Err(_)) => return Err(Answer::bad_tenant("its header is not ASCII")),
        _ if config.tenancy.required => {
            return Err(Answer::no_tenant(&config.tenancy.header));
        }
        _ => &config.tenancy.default,
    };
    if !config.tenancy.several && *name != config.tenancy.default {
        return Err(Answer::bad_tenant(
            "a destination cannot carry tenants, so only the default one may send; \
             set its tenant_header or tenant_label",
        ));
    }
    node.tenants.meet(name).map_err(|why| Answer::bad_tenant(&why.to_string()))
}

/// Refuses what there is no room for; what it returns is held while the request is.
pub(super) async fn admit(
    node: &Node,
    hop: &Hop,
    config: &Config,
    headers: &HeaderMap,
) -> Result<Reservation, Answer> {
    use std::sync::atomic::Ordering::Relaxed;
    if node.readiness.stopping.load(Relaxed) {
        return Err(Answer::stopping());
    }
    if !node.readiness.ready.load(Relaxed) {
        return Err(Answer::not_ready());
    }
    if node.is_blocked() {
        return Err(Answer::queue_full(node));
    }
    if let Some(why) = node.follow.stalled() {
        return Err(Answer::no_follower(&why));
    }
    if node.frontier_facts.clock_in_doubt.load(Relaxed) {
        return Err(Answer::clock_in_doubt());
    }
    let most = config.http.body_bytes_max;
    let declared = declared_len(headers).and_then(|len| usize::try_from(len).ok());
    if declared.is_some_and(|len| len > most) {
        return Err(Answer::too_large(most));
    }
    let bytes = declared.map_or(most, |len| len.saturating_mul(DECODED_FACTOR).min(most * 2));
    let budget = match hop.is_last {
        false => &node.budget,
        true => &node.forwarded_budget,
    };
    let bytes = bytes.clamp(4096, budget.limit());
    budget.reserve(bytes, PATIENCE).await.ok_or_else(Answer::memory)
}

/// Reads the body within the configured bounds.
pub(super) async fn read(
    config: &Config,
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<Bytes, Answer> {
    let declared = declared_len(headers);
    Ok(read_body(incoming, declared, config.http.body_bytes_max, config.http.body_timeout).await?)
}
