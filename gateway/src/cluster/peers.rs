//! The other members, and how each is asked: one bounded client by name, made and dropped with the
//! table.
//!
//! Invariant: a member is up if its last answer came, whatever it said, and away if none did. A
//! request goes to the member that was meant, or fails: an answer under another name, or other [`Terms`], is no
//! answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use weir_http::client::ClientConfigError;
use weir_http::{Bytes, Client, ClientConfig, ClientError, HeaderMap, HeaderValue, Reply, Uri};
use weir_model::ShardKey;
use weir_ring::{Member, Table};

use super::MEMBER_HEADER;
use super::terms::Terms;
use crate::config::ClusterTls;
use crate::frontier::wall_ms;
use crate::shard::worker::lock;

/// Requests to one member at a time; more wait, within their timeouts.
const CONCURRENCY_MAX: usize = 64;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of an answer: the largest is a table, of a tier with as many members as there may be.
const REPLY_BYTES_MAX: usize = 1 << 20;

/// Why a member has not answered.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The table has no such member, or it is this node.
    #[error("{0} is no other member")]
    Unknown(String),
    /// Its address is no URL.
    #[error("{0}")]
    Address(String),
    /// Somebody else answers there.
    #[error("who answers there is {0}")]
    Other(String),
    /// It would not understand what it is told, or be misunderstood.
    #[error("{0}")]
    Terms(String),
    /// No answer.
    #[error("{0}")]
    Failed(#[from] ClientError),
}

/// All other members.
pub struct Peers {
    own: String,
    terms: Terms,
    tls: Option<ClusterTls>,
    all: ArcSwap<BTreeMap<String, Arc<Peer>>>,
}

/// One of them.
pub struct Peer {
    member: Member,
    terms: Terms,
    scheme: &'static str,
    client: Client,
    facts: PeerFacts,
}

/// What is known of a member from asking it.
#[derive(Debug, Default)]
pub struct PeerFacts {
    /// The last request was answered.
    pub up: AtomicBool,
    /// The last answer, milliseconds since the epoch; 0: none yet.
    pub last_seen_ms: AtomicI64,
    /// Requests that were not answered.
    pub errors: AtomicU64,
    last_error: Mutex<String>,
}

impl Peers {
    /// Of a node without any.
    pub(super) fn none() -> Self {
        Self::new("", Terms::of(&ShardKey::default()), None)
    }

    pub(super) fn new(own: &str, terms: Terms, tls: Option<&ClusterTls>) -> Self {
        Self { own: own.to_owned(), terms, tls: tls.cloned(), all: ArcSwap::default() }
    }

    /// What is said in every exchange.
    pub(super) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Makes clients of new members, and drops those that are gone. A member that stays where it was
    /// keeps its connections.
    pub(super) fn follow(&self, table: &Table) -> Result<(), String> {
        let old = self.all.load();
        let mut all = BTreeMap::new();
        for member in table.members().iter().filter(|member| member.name != self.own) {
            let known = old.get(&member.name).filter(|peer| peer.member.address == member.address);
            let peer = match known {
                Some(peer) => Arc::clone(peer),
                None => Arc::new(self.peer(member).map_err(|why| format!("cluster.tls: {why}"))?),
            };
            all.insert(member.name.clone(), peer);
        }
        self.all.store(Arc::new(all));
        Ok(())
    }

    /// A way to a member that nobody else uses.
    pub(super) fn way_to(&self, member: &Member) -> Result<Peer, String> {
        self.peer(member).map_err(|why| format!("cluster.tls: {why}"))
    }

    fn peer(&self, member: &Member) -> Result<Peer, ClientConfigError> {
        let mut headers = HeaderMap::new();
        if let Ok(own) = HeaderValue::from_str(&self.own) {
            headers.insert(MEMBER_HEADER, own);
        }
        headers.extend([self.terms.header()]);
        let config = ClientConfig {
            tls: self.tls.as_ref().map(ClusterTls::client).unwrap_or_default(),
            headers,
            concurrency_max: CONCURRENCY_MAX,
            connect_timeout: CONNECT_TIMEOUT,
            reply_bytes_max: REPLY_BYTES_MAX,
            follow_redirects: false,
            ..ClientConfig::default()
        };
        let client = Client::new(config, Instant::now())?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let (member, terms) = (member.clone(), self.terms.clone());
        Ok(Peer { member, terms, scheme, client, facts: PeerFacts::default() })
    }

    /// A member by its name.
    pub fn get(&self, name: &str) -> Option<Arc<Peer>> {
        self.all.load().get(name).map(Arc::clone)
    }

    /// All, in the order of their names.
    pub fn all(&self) -> Vec<Arc<Peer>> {
        self.all.load().values().map(Arc::clone).collect()
    }

    /// Posts to a member; `timeout` is for everything.
    pub async fn post(
        &self,
        name: &str,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, PeerError> {
        let peer = self.get(name).ok_or_else(|| PeerError::Unknown(name.to_owned()))?;
        peer.post(path, headers, body, timeout).await
    }
}

impl Peer {
    /// Who it is.
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// What is known of it.
    pub fn facts(&self) -> &PeerFacts {
        &self.facts
    }

    /// Requests to it that wait for their answer.
    pub fn in_flight(&self) -> u64 {
        self.client.counters().in_flight.load(Ordering::Relaxed)
    }

    /// Posts; `timeout` is for everything.
    pub async fn post(
        &self,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Reply, PeerError> {
        self.judged(match self.url(path) {
            Ok(url) => Ok(self.client.post(&url, headers, body, timeout).await),
            Err(why) => Err(why),
        })
    }

    /// Asks; `timeout` is for everything.
    pub async fn get(
        &self,
        path: &str,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Reply, PeerError> {
        self.judged(match self.url(path) {
            Ok(url) => Ok(self.client.get(&url, headers, timeout).await),
            Err(why) => Err(why),
        })
    }

    fn url(&self, path: &str) -> Result<Uri, PeerError> {
        if self.member.address.is_empty() {
            return Err(PeerError::Address("nobody knows its address".into()));
        }
        let url = format!("{}://{}{path}", self.scheme, self.member.address);
        url.parse().map_err(|why| PeerError::Address(format!("{url}: {why}")))
    }

    fn judged(
        &self,
        outcome: Result<Result<Reply, ClientError>, PeerError>,
    ) -> Result<Reply, PeerError> {
        let answered = outcome.and_then(|sent| sent.map_err(PeerError::from)).and_then(|reply| {
            let who = reply.headers.get(MEMBER_HEADER).and_then(|value| value.to_str().ok());
            match who {
                Some(name) if name == self.member.name => {
                    let same = self.terms.check_answer(&reply.headers);
                    same.map(|()| reply).map_err(PeerError::Terms)
                }
                other => Err(PeerError::Other(other.unwrap_or("no member").to_owned())),
            }
        });
        match &answered {
            Ok(_) => self.facts.answered(),
            Err(why) => self.facts.failed(&self.member.name, why),
        }
        answered
    }
}

impl PeerFacts {
    /// Why the last request was not answered; empty while it is up.
    pub fn last_error(&self) -> String {
        lock(&self.last_error).clone()
    }

    fn answered(&self) {
        self.last_seen_ms.store(wall_ms(), Ordering::Relaxed);
        if !self.up.swap(true, Ordering::Relaxed) {
            lock(&self.last_error).clear();
        }
    }

    fn failed(&self, name: &str, why: &PeerError) {
        let is_first = self.errors.fetch_add(1, Ordering::Relaxed) == 0;
        *lock(&self.last_error) = why.to_string();
        if self.up.swap(false, Ordering::Relaxed) || is_first {
            tracing::warn!(member = name, %why, "a member is away");
        }
    }
}
