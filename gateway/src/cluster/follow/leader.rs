//! A member and its own follower: finds one, copies, ships, and says in etcd when it is in step.
//!
//! Invariant: syncs are let go only while the record, which this node has written itself, names the
//! follower as in step. A follower that does not answer is given up after [`PATIENCE`], and another one
//! is asked; until that is in step nothing is acknowledged.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weir_ring::Member;

use super::PATIENCE;
use super::record::Record;
use super::serve::TWIN_PATH;
use crate::cluster::etcd::Etcd;
use crate::cluster::peers::Peer;
use crate::cluster::stream::EPOCH_HEADER;
use crate::node::Node;
use crate::shard::worker::lock;
use crate::twin::{Batch, Outgoing, Step};

/// How many changes of the stream come before those of a request.
pub(super) const FIRST_HEADER: HeaderName = HeaderName::from_static("weir-first");

/// For one batch: a disk that takes longer is no follower's.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Between attempts to reach a follower.
const PAUSE: Duration = Duration::from_millis(100);

/// The longest time between two copies that came to nothing: each is all of the data directory, and a new
/// epoch. Nothing is acknowledged meanwhile.
const COPY_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Between attempts to find one, and to reach etcd.
const RETRY: Duration = Duration::from_millis(500);

struct Leader<'a> {
    node: &'a Arc<Node>,
    etcd: &'a Etcd,
    outgoing: Arc<Outgoing>,
    record: Record,
    revision: u64,
    /// The follower that was given up last: others come first.
    given_up: Option<String>,
}

/// The record is another's: this node must not go on.
struct Lost(String);

/// Looks after this node's follower until the node must not go on.
pub(super) async fn run(
    node: &Arc<Node>,
    etcd: &Etcd,
    outgoing: Arc<Outgoing>,
    record: Record,
    revision: u64,
) {
    let mut leader = Leader { node, etcd, outgoing, record, revision, given_up: None };
    let mut pause = PAUSE;
    while leader.outgoing.step() != Step::Alone {
        match leader.follow_one().await {
            Err(Lost(why)) => return node.follow.lose(&why),
            Ok(()) if leader.record.in_step => pause = PAUSE,
            Ok(()) => pause = (pause * 2).min(COPY_PAUSE_MAX),
        }
        tokio::time::sleep(pause).await;
    }
}

impl Leader<'_> {
    /// One follower, from its choice to its end.
    async fn follow_one(&mut self) -> Result<(), Lost> {
        let Some(member) = self.choose().await else {
            tokio::time::sleep(RETRY).await;
            return Ok(());
        };
        let way = self.node.cluster.peers().way_to(&member);
        let peer = match way {
            Ok(peer) => peer,
            Err(why) => {
                self.outgoing.fall_apart(&why);
                return Ok(());
            }
        };
        self.put(self.record.next(Some(&member.name))).await?;
        *lock(&self.node.follow.follower) = Some(member.name.clone());
        if let Err(why) = self.outgoing.begin(self.record.epoch) {
            self.outgoing.fall_apart(&format!("the data directory cannot be copied: {why}"));
            return Ok(());
        }
        tracing::info!(
            follower = member.name,
            epoch = self.record.epoch,
            "a follower is copied to"
        );
        self.node.follow.copies.fetch_add(1, Ordering::Relaxed);
        let ended = self.ship(&peer).await;
        if self.outgoing.step() != Step::Alone {
            self.given_up = Some(member.name.clone());
            self.out_of_step(&member.name);
        }
        ended
    }

    fn out_of_step(&self, follower: &str) {
        if let Step::Apart(_, why) = self.outgoing.step() {
            tracing::warn!(follower, why, "the follower is out of step; nothing is acknowledged");
        }
    }

    /// The member that shall follow: the first that can be reached.
    async fn choose(&self) -> Option<Member> {
        let own = self.node.cluster.own_name();
        let standing = match self.etcd.look().await {
            Ok(standing) => standing,
            Err(why) => {
                self.outgoing.fall_apart(&format!("etcd cannot be asked for a follower: {why}"));
                return None;
            }
        };
        let peers = self.node.cluster.peers();
        let is_up = |member: &&Member| {
            peers.get(&member.name).is_some_and(|peer| peer.facts().up.load(Ordering::Relaxed))
        };
        let candidates = standing.candidates(own, &self.record.host);
        let up: Vec<&Member> = candidates.iter().filter(is_up).collect();
        let is_other = |member: &&&Member| Some(&member.name) != self.given_up.as_ref();
        let chosen = up.iter().find(is_other).or(up.first()).map(|&member| member.clone());
        if chosen.is_none() {
            self.outgoing.fall_apart("no other member is there to follow this one");
        }
        chosen
    }

    /// Ships until the stream is over.
    async fn ship(&mut self, peer: &Peer) -> Result<(), Lost> {
        let epoch = self.record.epoch;
        let mut failing: Option<Instant> = None;
        while let Some(batch) = self.outgoing.next(epoch).await {
            let began = Instant::now();
            match post(peer, &batch).await {
                Ok(changes) => {
                    failing = None;
                    self.outgoing.acknowledge(epoch, changes);
                }
                Err(Unshipped::Over(why)) => {
                    self.outgoing.fall_apart(&format!("{} says: {why}", peer.member().name));
                    return Ok(());
                }
                Err(Unshipped::Away(why)) => {
                    let since = *failing.get_or_insert(began);
                    if since.elapsed() > PATIENCE {
                        let name = &peer.member().name;
                        self.outgoing.fall_apart(&format!("{name} does not follow: {why}"));
                        return Ok(());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
            if !self.record.in_step && self.outgoing.is_copied() {
                self.put(Record { in_step: true, ..self.record.clone() }).await?;
                if self.outgoing.in_step(epoch) {
                    tracing::info!(follower = peer.member().name, epoch, "the follower is in step");
                }
            }
        }
        Ok(())
    }

    /// Writes the record, however long etcd takes; only what this node has written itself is replaced.
    async fn put(&mut self, record: Record) -> Result<(), Lost> {
        let own = self.node.cluster.own_name();
        loop {
            match self.etcd.swap_record(own, self.revision, &record).await {
                Ok(Some(revision)) => {
                    (self.record, self.revision) = (record, revision);
                    return Ok(());
                }
                Ok(None) => {}
                Err(why) => {
                    tracing::debug!(%why, "the record cannot be written");
                    tokio::time::sleep(RETRY).await;
                }
            }
            // It may have been written all the same, or another was faster.
            let Ok(standing) = self.etcd.look().await else { continue };
            match standing.records.get(own) {
                Some((found, revision)) if *found == record => {
                    (self.record, self.revision) = (record, *revision);
                    return Ok(());
                }
                Some((found, revision)) if *revision == self.revision => {
                    debug_assert_eq!(*found, self.record)
                }
                Some((found, _)) if found.host != self.record.host => {
                    return Err(Lost(format!("{} has taken {own} over", found.host)));
                }
                Some(_) => return Err(Lost(format!("another process runs as {own}"))),
                None => return Err(Lost(format!("{own} has been retired"))),
            }
        }
    }
}

enum Unshipped {
    /// The stream does not go on.
    Over(String),
    /// It may, later.
    Away(String),
}

/// How many changes the follower has.
async fn post(peer: &Peer, batch: &Batch) -> Result<u64, Unshipped> {
    let mut headers = HeaderMap::new();
    headers.insert(EPOCH_HEADER, HeaderValue::from(batch.epoch));
    headers.insert(FIRST_HEADER, HeaderValue::from(batch.first));
    let sent = peer.post(TWIN_PATH, headers, batch.bytes.clone(), TIMEOUT).await;
    let reply = sent.map_err(|why| Unshipped::Away(why.to_string()))?;
    let text = String::from_utf8_lossy(&reply.body);
    match reply.status {
        StatusCode::OK => {
            text.trim().parse().map_err(|_| Unshipped::Over(format!("it answers {text:?}")))
        }
        StatusCode::SERVICE_UNAVAILABLE => Err(Unshipped::Away(text.trim().to_owned())),
        status => Err(Unshipped::Over(format!("{status} {}", text.trim()))),
    }
}
