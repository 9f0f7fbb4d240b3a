//! The way of a request: who is it, is there room, what does it say, whose is it, is it on disk.
//!
//! Invariant: 204 is answered only when the request's record is durable and every shard has given
//! its verdict. Statuses are chosen in `answer.rs` and nowhere else. Between the log position and
//! the mailboxes there is no await, so a sender that hangs up cannot leave half a submission.

mod admission;
mod answer;
mod decode;
mod facts;
mod rates;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::HeaderName;
use hyper::{HeaderMap, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use weir_agent_config::custody::{EPOCH_HEADER, Meant};
use weir_agent_config::watermark::{SENDER_HEADER, from_sender};
use weir_aggregate::shard::Outcome;
use weir_journal::Importance;
use weir_model::{Batch, TenantId};
use weir_wire::negotiate::{self, Encoding, Version};

pub use answer::{Answer, Refused};
pub use decode::{Decoded, Decoder};
pub use facts::IngestFacts;
pub use rates::Rates;

use crate::cluster::forward::{self, Route, Shares};
use crate::frontier::wall_ms;
use crate::node::{Current, Node};
use crate::pipeline::BatchWork;
use crate::shard::owner;
use crate::wal::records::counts;
use crate::wal::{BatchRecord, FIRST_EPOCH};

/// Takes one remote write request.
pub async fn handle(node: &Arc<Node>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let began = Instant::now();
    let answer = match take(node, request).await {
        Ok(answer) | Err(answer) => answer,
    };
    node.ingest_facts.answered(&answer, began.elapsed());
    answer.into_response()
}

async fn take(node: &Arc<Node>, request: Request<Incoming>) -> Result<Answer, Answer> {
    let (parts, incoming) = request.into_parts();
    let current = node.current.load_full();
    let (tenant, name) = admission::tenant(node, &current.config, &parts.headers)?;
    let hop = Hop::of(&parts.headers, false);
    hop.check(node)?;
    hear(node, &parts.headers);
    drop(current);
    receive(node, hop, (tenant, name), &parts.headers, incoming).await
}

/// Notes who has sent a request with these headers.
fn hear(node: &Node, headers: &HeaderMap) {
    let sender = headers.get(SENDER_HEADER).and_then(|value| value.to_str().ok());
    let sender = sender.and_then(from_sender);
    let sender = sender.as_ref().map(|(name, buffer)| (name.as_str(), *buffer));
    node.promises.heard(sender, wall_ms());
}

/// The tenant of a request with these headers.
pub fn tenant_of(node: &Node, headers: &HeaderMap) -> Result<Arc<str>, Answer> {
    let current = node.current.load_full();
    admission::tenant(node, &current.config, headers).map(|(_, name)| name)
}

/// Lets a request in if there is room, reads its body, and takes it.
async fn receive(
    node: &Arc<Node>,
    hop: Hop,
    tenant: (TenantId, Arc<str>),
    headers: &HeaderMap,
    incoming: Incoming,
) -> Result<Answer, Answer> {
    let current = node.current.load_full();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let version = negotiate::version(header("content-type"))?;
    let encoding = negotiate::encoding(header("content-encoding"))?;
    let _held = admission::admit(node, &hop, &current.config, headers).await?;
    let body = admission::read(&current.config, headers, incoming).await?;
    drop(current);
    store_at(node, hop, tenant, (version, encoding), body).await
}

/// Where a request comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hop {
    /// From another member: all of it must be this node's.
    is_last: bool,
    /// What the sender says of itself, and of whom it means: what is another member's goes there with it.
    along: HeaderMap,
    /// The latter.
    meant: Option<Meant>,
}

impl Hop {
    fn of(headers: &HeaderMap, is_last: bool) -> Self {
        let names = [SENDER_HEADER, EPOCH_HEADER].map(HeaderName::from_static);
        let along = names.into_iter().filter_map(|name| {
            let value = headers.get(&name)?.clone();
            Some((name, value))
        });
        let along: HeaderMap = along.collect();
        let text = along.get(EPOCH_HEADER).and_then(|value| value.to_str().ok());
        let meant = text.and_then(Meant::from_text);
        Self { is_last, along, meant }
    }

    /// Refuses what is meant for another data directory of this node.
    fn check(&self, node: &Node) -> Result<(), Answer> {
        let cluster = &node.cluster;
        let is_mine = |meant: &Meant| match &meant.member {
            Some(member) => member == cluster.own_name(),
            None => cluster.is_alone(),
        };
        let meant = self.meant.as_ref().filter(|meant| is_mine(meant));
        if meant.is_some_and(|meant| meant.epoch != node.custody.epoch()) {
            node.custody.turn_away();
            return Err(Answer::another_epoch());
        }
        Ok(())
    }

    /// Whether its sender keeps it for another member than this node.
    fn is_kept_for_another(&self, node: &Node) -> bool {
        let member = self.meant.as_ref().and_then(|meant| meant.member.as_ref());
        member.is_some_and(|member| member != node.cluster.own_name())
    }
}

/// Takes a remote write request that another member has sent on.
pub async fn handle_forwarded(
    node: &Arc<Node>,
    request: Request<Incoming>,
) -> Response<Full<Bytes>> {
    node.forward.taken.fetch_add(1, Ordering::Relaxed);
    let (parts, incoming) = request.into_parts();
    let taken = async {
        let current = node.current.load_full();
        let tenant = admission::tenant(node, &current.config, &parts.headers)?;
        drop(current);
        let hop = Hop::of(&parts.headers, true);
        hop.check(node)?;
        hear(node, &parts.headers);
        receive(node, hop, tenant, &parts.headers, incoming).await
    };
    match taken.await {
        Ok(answer) | Err(answer) => answer.into_response(),
    }
}

/// Takes a body: 204 once its record is durable and every shard has judged it, here and at every
/// other owner of its series.
pub async fn store(
    node: &Arc<Node>,
    tenant: (TenantId, Arc<str>),
    wire: (Version, Encoding),
    body: Bytes,
) -> Result<Answer, Answer> {
    store_at(node, Hop::default(), tenant, wire, body).await
}

async fn store_at(
    node: &Arc<Node>,
    hop: Hop,
    (tenant, name): (TenantId, Arc<str>),
    (version, encoding): (Version, Encoding),
    body: Bytes,
) -> Result<Answer, Answer> {
    let current = node.current.load_full();
    node.ingest_facts.received_bytes(body.len());
    let cap = current.config.http.body_bytes_max;
    let decoded = Decoder::take(|decoder| {
        let shard_key = &current.decisions.shard_key;
        decoder.decode(&node.hasher, (version, encoding), &body, cap, (&name, tenant), shard_key)
    })?;
    let samples = decoded.body.sample_fields(&decoded.columns);
    node.families.learn(tenant, &decoded.columns);
    if !hop.is_last {
        let limits = current.config.limits.of(&name);
        let (rates, usage) = (&node.ingest_facts.rates, node.cluster.usage());
        let allowed = rates.check(usage, (tenant, &name), limits, samples, wall_ms());
        allowed.inspect_err(|_| {
            node.ingest_facts.received_samples(samples);
            node.audit.refuse(tenant, samples);
        })?;
    }
    let route = match node.cluster.is_alone() {
        true => Route::Here,
        false => forward::route(&decoded, &node.cluster.table(), node.cluster.own_name()),
    };
    let wire = (version, encoding);
    if !matches!(route, Route::There(_)) && hop.is_kept_for_another(node) {
        node.custody.note_elsewhere();
    }
    match route {
        Route::Here => {
            let whole = Mine { samples, bits: None, theirs: [0; 3] };
            keep((node, &current), (tenant, name), wire, body, decoded, whole).await
        }
        _ if hop.is_last => Err(Answer::not_owner()),
        Route::There(member) => {
            let whole = (body, samples);
            Ok(forward::whole(node, &member, (&name, &hop.along), wire, whole).await)
        }
        Route::Split(Shares { mine, others, theirs }) => {
            let mut answers = forward::begin(node, (&name, &hop.along), version, others);
            let mut all = None;
            if mine.is_some() {
                let theirs_of_both = theirs[0] + theirs[1];
                let samples = samples.saturating_sub(theirs_of_both);
                let part = Mine { samples, bits: mine, theirs };
                let kept = keep((node, &current), (tenant, name), wire, body, decoded, part).await;
                all = Some(kept.unwrap_or_else(|refused| refused));
            }
            while let Some(answer) = answers.join_next().await {
                let answer = answer.unwrap_or_else(|_| Answer::stopping());
                all = Some(match all {
                    Some(before) => forward::merged(before, answer),
                    None => answer,
                });
            }
            all.ok_or_else(Answer::stopping)
        }
    }
}

/// What of a body counts on this node.
struct Mine {
    /// Samples of both kinds.
    samples: u64,
    /// Which series, where not all do.
    bits: Option<Vec<u8>>,
    /// Float samples, native histograms and exemplars of the others.
    theirs: [u64; 3],
}

/// Logs what is this node's of a body, and answers once it is durable and judged.
async fn keep(
    (node, current): (&Arc<Node>, &Current),
    (tenant, name): (TenantId, Arc<str>),
    (version, encoding): (Version, Encoding),
    body: Bytes,
    mut decoded: Decoded,
    mine: Mine,
) -> Result<Answer, Answer> {
    let received = wall_ms();
    node.ingest_facts.received_samples(mine.samples);
    let limits = current.config.limits.of(&name);
    let future = received + current.config.windows.future_max.0;
    let newest = decoded.newest();
    if newest > future {
        decoded.refuse_future(future);
    }
    node.custody.stamp(newest.min(future));
    let rates = &node.ingest_facts.rates;
    let no_new_series = rates.is_at_series_limit(node, (tenant, &name), limits, received);
    let record = BatchRecord {
        tenant: name.to_string(),
        received,
        config_version: current.decisions.version,
        epoch: FIRST_EPOCH,
        version,
        encoding,
        body_bytes: decoded.body_bytes as u64,
        samples: mine.samples,
        no_new_series,
        refused: std::mem::take(&mut decoded.refused),
        mine: mine.bits,
    };
    let [floats, histograms, exemplars] = mine.theirs;
    let columns = &decoded.columns;
    let counted = answer::Counted {
        version,
        floats: columns.timestamps.len() as u64 - floats,
        histograms: columns.histograms.len() as u64 - histograms,
        exemplars: columns.exemplars.len() as u64 - exemplars,
    };
    let first_future = decoded.first_future.take();
    decoded.set_aside(encoding, &body);
    let (position, verdict) =
        submit(node, record, body, decoded, (tenant, Arc::clone(&name))).await?;
    // The disk is as a rule the slower one.
    node.synced_soon(position).await?;
    let outcome = judged(node, verdict).await?;
    Ok(answer::of(&outcome, counted, first_future))
}

/// Reserves what the critical section needs, then enters it.
async fn submit(
    node: &Arc<Node>,
    record: BatchRecord,
    body: Bytes,
    decoded: Decoded,
    (tenant, name): (TenantId, Arc<str>),
) -> Result<(u64, oneshot::Receiver<Outcome>), Answer> {
    let permit = permit(node).await?;
    let head = record.head();
    let bytes = (head.len() + body.len()) as u64;
    let room = node.log.reserve(bytes, Importance::Ordinary)?;
    let work = work(node.workers, record, decoded, (tenant, name), Some(permit));
    let (reply, verdict) = oneshot::channel();
    let position = node.pipeline.batch(room, vec![head, body], work, reply)?;
    Ok((position, verdict))
}

/// What workers get of a record and its decoded body; the same live and in replay.
pub fn work(
    workers: usize,
    record: BatchRecord,
    decoded: Decoded,
    (tenant, name): (TenantId, Arc<str>),
    permit: Option<OwnedSemaphorePermit>,
) -> BatchWork {
    let room = decoded.columns.entries.len();
    let mut entries: Vec<Vec<u32>> = (0..workers).map(|_| Vec::with_capacity(room)).collect();
    let mine = record.mine.as_deref();
    let counting = decoded.columns.entries.iter().enumerate().filter(|(at, _)| counts(mine, *at));
    for (at, entry) in counting {
        entries[owner(entry.vshard, workers)].push(at as u32);
    }
    let received = record.received;
    let (columns, source) = (Arc::new(decoded.columns), Arc::new(decoded.body));
    BatchWork {
        batch: Batch { tenant, received, columns, source },
        tenant: name,
        entries,
        refused: record.refused,
        no_new_series: record.no_new_series,
        samples: record.samples,
        skipped: 0,
        permit,
        verdict: Arc::default(),
    }
}

/// Waits until fewer batches are on their way.
async fn permit(node: &Node) -> Result<OwnedSemaphorePermit, Answer> {
    let mut permit = std::pin::pin!(Arc::clone(&node.in_flight).acquire_owned());
    unless_blocked(node, permit.as_mut()).await?.map_err(|_| Answer::stopping())
}

/// Waits for the verdict. What the sender sends again is a repeat.
async fn judged(node: &Node, mut verdict: oneshot::Receiver<Outcome>) -> Result<Outcome, Answer> {
    unless_blocked(node, &mut verdict).await?.map_err(|_| Answer::stopping())
}

/// Waits for what the emitter may have to do first; but not for room in the send queue, for which that one
/// may wait without end.
async fn unless_blocked<T>(
    node: &Node,
    mut what: impl Future<Output = T> + Unpin,
) -> Result<T, Answer> {
    loop {
        match tokio::time::timeout(LOOK_AFTER, &mut what).await {
            Ok(done) => return Ok(done),
            Err(_) if node.is_blocked() => return Err(Answer::queue_full(node)),
            Err(_) if let Some(why) = node.follow.stalled() => {
                return Err(Answer::no_follower(&why));
            }
            Err(_) => {}
        }
    }
}

/// How long a request waits before it looks whether the emitter can go on.
const LOOK_AFTER: Duration = Duration::from_millis(500);

/// Whether a version reports what it wrote in headers.
fn counts_in_headers(version: Version) -> bool {
    version == Version::V2
}
