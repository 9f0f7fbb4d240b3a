//! Whether a request may come in: who it is from, what it may cost, what its tenant may send.
//!
//! Bytes are reserved before a body is read. Overload is 503 with Retry-After, never 429, which
//! Prometheus takes as leave to drop; 429 is for a tenant over its contract.

use std::sync::Mutex;

use ahash::AHashMap;
use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::Incoming;
use weir_http::limits::{Reservation, declared_len, read_body};
use weir_model::TenantId;

use super::Answer;
use crate::config::{Config, TenantLimits};
use crate::node::Node;
use crate::shard::worker::lock;

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
    if node.frontier_facts.clock_in_doubt.load(Relaxed) {
        return Err(Answer::clock_in_doubt());
    }
    let most = config.http.body_bytes_max;
    let declared = declared_len(headers).and_then(|len| usize::try_from(len).ok());
    if declared.is_some_and(|len| len > most) {
        return Err(Answer::too_large(most));
    }
    let bytes = declared.map_or(most, |len| len.saturating_mul(DECODED_FACTOR).min(most * 2));
    let bytes = bytes.clamp(4096, node.budget.limit());
    node.budget.reserve(bytes, PATIENCE).await.ok_or_else(Answer::memory)
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

/// What tenants have sent in the second that runs.
#[derive(Debug, Default)]
pub struct Rates {
    seconds: Mutex<AHashMap<TenantId, (i64, u64)>>,
    births: Mutex<AHashMap<TenantId, (i64, u64)>>,
}

impl Rates {
    /// Counts samples against the tenant's rate; `now` in milliseconds.
    pub(super) fn check(
        &self,
        tenant: TenantId,
        limits: &TenantLimits,
        samples: u64,
        now: i64,
    ) -> Result<(), Answer> {
        let Some(max) = limits.samples_per_second else {
            return Ok(());
        };
        let mut seconds = lock(&self.seconds);
        let entry = seconds.entry(tenant).or_default();
        if entry.0 != now / 1000 {
            *entry = (now / 1000, 0);
        }
        if entry.1 + samples > max && entry.1 > 0 {
            return Err(Answer::over_limit(limits.status_over_limit, max));
        }
        entry.1 += samples;
        Ok(())
    }

    /// Whether the tenant may have no more series: at its limit, or born too many this second.
    pub(super) fn is_at_series_limit(
        &self,
        node: &Node,
        tenant: TenantId,
        limits: &TenantLimits,
    ) -> bool {
        if limits.max_series.is_none() && limits.new_series_per_second.is_none() {
            return false;
        }
        let of = |facts: &crate::shard::worker::Facts| -> u64 {
            lock(&facts.series).iter().filter(|(id, _)| *id == tenant).map(|(_, count)| count).sum()
        };
        let series: u64 = node.worker_facts.iter().map(|facts| of(facts)).sum();
        if limits.max_series.is_some_and(|max| series >= max) {
            return true;
        }
        let Some(rate) = limits.new_series_per_second else {
            return false;
        };
        let second = crate::frontier::wall_ms() / 1000;
        let mut births = lock(&self.births);
        let entry = births.entry(tenant).or_insert((second, series));
        if entry.0 != second {
            *entry = (second, series);
        }
        series.saturating_sub(entry.1) >= rate
    }
}
