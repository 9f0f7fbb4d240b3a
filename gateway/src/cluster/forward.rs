//! Whose a request's series are, and the way to their owners.
//!
//! A request whose series are all another's goes there as it came. One of several owners is cut, each
//! owner gets its series' bytes, and what is ours stays decoded as it is. The sender is answered when
//! every owner has its part on disk; where one has not, it is told to come again, which is harmless.
//! Invariant: what came from another member is never sent on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use tokio::task::JoinSet;
use weir_http::Reply;
use weir_ring::Table;
use weir_wire::negotiate::{Encoding, Version};
use weir_wire::{Compressor, split};

use super::peers::PeerError;
use crate::ingest::{Answer, Decoded};
use crate::node::Node;
use crate::shard::worker::lock;

/// Where members take each other's requests.
pub const WRITE_PATH: &str = "/cluster/v1/write";

/// For an owner's answer; senders wait 30 s for all of it.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Requests that wait for one owner. Each holds memory that others need; who comes on top is told to come
/// again.
const WAITING_MAX: u64 = 256;
/// The same for one that has not answered the last time: enough to see when it is back.
const TRYING_MAX: u64 = 8;

/// Whose a request is.
pub enum Route {
    /// All of it is this node's.
    Here,
    /// All of it is this member's.
    There(String),
    /// Of several.
    Split(Shares),
}

/// A request of several owners.
pub struct Shares {
    /// Which series are this node's, as a record's bits; `None` if none is.
    pub mine: Option<Vec<u8>>,
    /// What others get.
    pub others: Vec<Share>,
    /// Float samples, native histograms and exemplars of what others get.
    pub theirs: [u64; 3],
}

/// What one member gets.
pub struct Share {
    /// Who.
    pub member: String,
    /// A whole request, decompressed.
    pub body: Vec<u8>,
    /// Samples in it.
    pub samples: u64,
}

/// What forwarding counts.
#[derive(Debug, Default)]
pub struct ForwardFacts {
    /// By member.
    pub sent: Mutex<BTreeMap<String, Sent>>,
    /// Requests that were cut.
    pub cut: AtomicU64,
    /// Bytes that were sent on.
    pub bytes: AtomicU64,
    /// Requests that came from other members.
    pub taken: AtomicU64,
}

/// What was sent on to one member.
#[derive(Clone, Copy, Default, Debug)]
pub struct Sent {
    /// Requests, or parts of them, that it has answered for good.
    pub answered: u64,
    /// Those for which the sender is told to come again.
    pub failed: u64,
    /// Samples in those that it has answered.
    pub samples: u64,
}

impl ForwardFacts {
    fn note(&self, member: &str, answer: &Answer, samples: u64) {
        let mut sent = lock(&self.sent);
        let sent = sent.entry(member.to_owned()).or_default();
        if answer.status.is_server_error() {
            sent.failed += 1;
        } else {
            sent.answered += 1;
            sent.samples += samples;
        }
    }
}

/// Whose the series of a decoded request are.
pub fn route(decoded: &Decoded, table: &Table, own: &str) -> Route {
    let entries = &decoded.columns.entries;
    let own_place = table.find(own);
    let Some(first) = entries.first().map(|entry| table.slot(entry.vshard).owner) else {
        return Route::Here;
    };
    if entries.iter().all(|entry| table.slot(entry.vshard).owner == first) {
        let is_own = own_place == Some(first);
        let name = || table.members()[usize::from(first)].name.clone();
        return if is_own { Route::Here } else { Route::There(name()) };
    }
    Route::Split(shares(decoded, table, own_place))
}

fn shares(decoded: &Decoded, table: &Table, own: Option<u16>) -> Shares {
    let columns = &decoded.columns;
    let mut mine = vec![0u8; columns.entries.len().div_ceil(8)];
    let mut theirs = [0; 3];
    let mut part_of = Vec::with_capacity(columns.entries.len());
    let (mut owners, mut samples): (Vec<u16>, Vec<u64>) = Default::default();
    for (at, entry) in columns.entries.iter().enumerate() {
        let owner = table.slot(entry.vshard).owner;
        if Some(owner) == own {
            mine[at / 8] |= 1 << (at % 8);
            part_of.push(None);
            continue;
        }
        let histograms = columns.histograms_of(entry).len() as u64;
        theirs[0] += u64::from(entry.samples_len);
        theirs[1] += histograms;
        theirs[2] += columns.exemplars_of(entry).len() as u64;
        let known = owners.iter().position(|&other| other == owner);
        let part = known.unwrap_or_else(|| {
            owners.push(owner);
            samples.push(0);
            owners.len() - 1
        });
        samples[part] += u64::from(entry.samples_len) + histograms;
        part_of.push(Some(part as u16));
    }
    let version = decoded.body.version();
    let bodies = split(version, decoded.body.bytes(), &part_of, owners.len());
    let name = |at: u16| table.members()[usize::from(at)].name.clone();
    let others = owners.into_iter().zip(bodies).zip(samples);
    let others = others.map(|((at, body), samples)| Share { member: name(at), body, samples });
    let others = others.collect();
    let mine = mine.iter().any(|&byte| byte != 0).then_some(mine);
    Shares { mine, others, theirs }
}

/// Sends each owner its part at the same time. Dropped with the future that waits for it.
pub fn begin(
    node: &Arc<Node>,
    (tenant, along): (&Arc<str>, &HeaderMap),
    version: Version,
    others: Vec<Share>,
) -> JoinSet<Answer> {
    node.forward.cut.fetch_add(1, Ordering::Relaxed);
    let mut answers = JoinSet::new();
    for Share { member, body, samples } in others {
        let (node, tenant, along) = (Arc::clone(node), Arc::clone(tenant), along.clone());
        answers.spawn(async move {
            let mut compressed = Vec::new();
            let done = Compressor::default().compress(Encoding::Snappy, &body, &mut compressed);
            drop(body);
            match done {
                Ok(()) => {
                    let wire = (version, Encoding::Snappy);
                    let body = (Bytes::from(compressed), samples);
                    whole(&node, &member, (&tenant, &along), wire, body).await
                }
                Err(why) => Answer::owner_away(&member, &why.to_string()),
            }
        });
    }
    answers
}

/// Sends a body to its owner, and gives its answer.
pub async fn whole(
    node: &Node,
    member: &str,
    (tenant, along): (&str, &HeaderMap),
    (version, encoding): (Version, Encoding),
    (body, samples): (Bytes, u64),
) -> Answer {
    let facts = &node.forward;
    facts.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    let headers = headers(node, tenant, version, encoding);
    let answer = match headers {
        Ok(mut headers) => {
            // The sender's promises cover what is sent on, too, and it may keep it for the owner.
            headers.extend(along.clone());
            match post(node, member, headers, body).await {
                Ok(reply) => answer(member, &reply),
                Err(why) => Answer::owner_away(member, &why),
            }
        }
        Err(why) => Answer::owner_away(member, &why.to_string()),
    };
    facts.note(member, &answer, samples);
    answer
}

/// Asks an owner, unless too many wait for it already.
async fn post(node: &Node, member: &str, headers: HeaderMap, body: Bytes) -> Result<Reply, String> {
    let peer = node.cluster.peers().get(member);
    let peer = peer.ok_or_else(|| PeerError::Unknown(member.to_owned()).to_string())?;
    let is_up = peer.facts().up.load(Ordering::Relaxed);
    let (waiting, most) = (peer.in_flight(), if is_up { WAITING_MAX } else { TRYING_MAX });
    if waiting >= most {
        return Err(format!("{waiting} requests wait for it already"));
    }
    let reply = peer.post(WRITE_PATH, headers, body, TIMEOUT).await;
    reply.map_err(|why| why.to_string())
}

fn headers(
    node: &Node,
    tenant: &str,
    version: Version,
    encoding: Encoding,
) -> Result<HeaderMap, hyper::http::Error> {
    let coding = match encoding {
        Encoding::Snappy => "snappy",
        Encoding::Zstd => "zstd",
    };
    let mut headers = HeaderMap::new();
    let name = node.current.load().config.tenancy.header.parse::<HeaderName>()?;
    headers.insert(name, HeaderValue::from_str(tenant)?);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(version.content_type()));
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    Ok(headers)
}

const WRITTEN: [&str; 3] = [
    "x-prometheus-remote-write-samples-written",
    "x-prometheus-remote-write-histograms-written",
    "x-prometheus-remote-write-exemplars-written",
];

/// What an owner has answered, as this node's answer. Credentials and paths between members are none
/// of the sender's business: it comes again.
fn answer(member: &str, reply: &Reply) -> Answer {
    let message = String::from_utf8_lossy(&reply.body).trim_end().to_owned();
    let number = |name: &str| reply.headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    match reply.status {
        StatusCode::NO_CONTENT | StatusCode::BAD_REQUEST | StatusCode::TOO_MANY_REQUESTS => {
            let [samples, histograms, exemplars] = WRITTEN.map(number);
            let written = samples.zip(histograms).zip(exemplars);
            let written =
                written.map(|((samples, histograms), exemplars)| [samples, histograms, exemplars]);
            let retry_after = number("retry-after").map(|seconds| seconds as u32);
            Answer { status: reply.status, message, retry_after, written, refused: Vec::new() }
        }
        status => Answer::owner_away(member, &format!("{status} {message}")),
    }
}

/// One answer for a request whose parts were answered apart: what says to come again wins, then what
/// was refused; what was written is added up.
pub fn merged(mut one: Answer, other: Answer) -> Answer {
    let weight = |answer: &Answer| match answer.status {
        status if status.is_server_error() => 3,
        StatusCode::TOO_MANY_REQUESTS => 2,
        status if status.is_client_error() => 1,
        _ => 0,
    };
    let written = match (one.written, other.written) {
        (Some(a), Some(b)) => Some([a[0] + b[0], a[1] + b[1], a[2] + b[2]]),
        (a, b) => a.or(b),
    };
    if weight(&other) > weight(&one) {
        let refused = std::mem::take(&mut one.refused);
        one = Answer { refused, ..other };
    }
    one.written = written;
    one
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: StatusCode, written: [u64; 3]) -> Answer {
        let message = status.to_string();
        Answer { status, message, retry_after: None, written: Some(written), refused: Vec::new() }
    }

    #[test]
    fn who_has_to_come_again_is_told_so_whatever_the_others_say() {
        let cases = [
            (StatusCode::NO_CONTENT, StatusCode::NO_CONTENT, 204),
            (StatusCode::NO_CONTENT, StatusCode::BAD_REQUEST, 400),
            (StatusCode::SERVICE_UNAVAILABLE, StatusCode::BAD_REQUEST, 503),
            (StatusCode::BAD_REQUEST, StatusCode::SERVICE_UNAVAILABLE, 503),
            (StatusCode::TOO_MANY_REQUESTS, StatusCode::NO_CONTENT, 429),
        ];
        for (a, b, expected) in cases {
            let answer = merged(of(a, [1, 2, 3]), of(b, [10, 20, 30]));
            assert_eq!((answer.status.as_u16(), answer.written), (expected, Some([11, 22, 33])));
        }
    }
}
