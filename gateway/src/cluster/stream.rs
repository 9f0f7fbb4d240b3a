//! What this node tells the others of windows: the exchange, read for each member and posted in order.
//!
//! A member says how far it has come, so nothing is remembered here about it, and a member that lost
//! its disk gets all that is still kept: what it has is kept until it has delivered the windows. What no
//! member needs is cut ([`progress`]). Invariant: a member gets the places in ascending order, each at
//! least once, and a slow one holds up nobody else.

mod progress;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::watch;
use weir_aggregate::codec::Writer;
use weir_http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weir_journal::{Item as Record, Journal, ReadError};
use weir_model::Timestamp;

use progress::{Marked, Progress};

use crate::emit::{Told, What};
use crate::node::Node;
use crate::shard::worker::lock;
use crate::wal::tier::{Content, Item};

/// Where members take what others tell.
pub const PARTIALS_PATH: &str = "/cluster/v1/partials";

/// The epoch of a stream: of the data directory that it comes from; in an answer of the one that it comes to.
pub const EPOCH_HEADER: HeaderName = HeaderName::from_static("weir-epoch");

/// The data directory that a piece is meant for: another one does not have what came before it.
pub const MEANT_HEADER: HeaderName = HeaderName::from_static("weir-meant");

/// Bytes of one post, unless one record is larger.
const PIECE_BYTES: usize = 4 << 20;

/// For one post.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Before a member that failed is asked again.
const PAUSE: Duration = Duration::from_millis(300);

/// How often it is looked who belongs to the tier, and what can be cut.
const LOOK: Duration = Duration::from_secs(2);

/// The streams to all members.
#[derive(Default)]
pub struct Streams {
    /// How far each member has come.
    progress: Mutex<BTreeMap<String, Progress>>,
    /// How often what was taken and not delivered was given up, for want of room.
    pub given_up: AtomicU64,
    /// Since when each member has not had everything; `None` for one that has.
    behind_since: Mutex<BTreeMap<String, Option<Instant>>>,
    /// Bytes that each member was told.
    sent_bytes: Mutex<BTreeMap<String, u64>>,
    tasks: Mutex<BTreeMap<String, tokio::task::JoinHandle<()>>>,
}

impl Streams {
    /// Tells the members of the table, whoever they are, from now on.
    pub fn start(node: &Arc<Node>, journal: &Arc<Journal>, durable: &watch::Receiver<u64>) {
        let (node, journal, durable) = (Arc::clone(node), Arc::clone(journal), durable.clone());
        tokio::spawn(async move {
            loop {
                node.streams.follow(&node, &journal, &durable);
                node.streams.cut(&node, &journal);
                tokio::time::sleep(LOOK).await;
            }
        });
    }

    /// How long each member has not had everything.
    pub fn lags(&self, now: Instant) -> Vec<(String, Duration)> {
        let behind = lock(&self.behind_since);
        let lag = |since: Option<Instant>| since.map_or(Duration::ZERO, |at| now - at.min(now));
        behind.iter().map(|(name, &since)| (name.clone(), lag(since))).collect()
    }

    /// Notes whether a member has everything.
    fn note(&self, member: &str, has_all: bool) {
        let mut behind = lock(&self.behind_since);
        let since = behind.entry(member.to_owned()).or_default();
        *since = if has_all { None } else { Some(since.unwrap_or_else(Instant::now)) };
    }

    /// Bytes that each member was told, repeats included.
    pub fn sent_bytes(&self) -> Vec<(String, u64)> {
        lock(&self.sent_bytes).iter().map(|(name, &bytes)| (name.clone(), bytes)).collect()
    }

    fn follow(&self, node: &Arc<Node>, journal: &Arc<Journal>, durable: &watch::Receiver<u64>) {
        let peers = node.cluster.peers().all();
        let names: Vec<String> = peers.iter().map(|peer| peer.member().name.clone()).collect();
        let mut tasks = lock(&self.tasks);
        tasks.retain(|name, task| {
            let stays = names.contains(name);
            if !stays {
                task.abort();
                lock(&self.progress).remove(name);
                lock(&self.behind_since).remove(name);
            }
            stays
        });
        for name in names {
            tasks.entry(name.clone()).or_insert_with(|| {
                let stream = Stream {
                    node: Arc::clone(node),
                    journal: Arc::clone(journal),
                    durable: durable.clone(),
                    member: name,
                };
                tokio::spawn(stream.run())
            });
        }
    }

    /// Through when a member has on disk what this node told it of windows; `None` while that is not known.
    pub fn told(&self, member: &str) -> Option<Timestamp> {
        lock(&self.progress).get(member).and_then(Progress::told)
    }

    /// Cuts what no member needs; where that takes more room than a queue may, what every member has. The
    /// last record stays: its source tells a replay what was told.
    fn cut(&self, node: &Node, journal: &Journal) {
        let all = lock(&self.tasks).len();
        let mut progress = lock(&self.progress);
        for (member, progress) in &mut *progress {
            let through = node.cluster.delivered().through(member);
            through.into_iter().for_each(|through| progress.deliver(through));
        }
        if progress.len() < all {
            return;
        }
        let last = journal.next_position().saturating_sub(1);
        let least = |from: fn(&Progress) -> u64| {
            progress.values().map(from).min().map_or(last, |from| from.min(last))
        };
        let (needed, untaken) = (least(Progress::needed_from), least(Progress::untaken_from));
        let is_full = journal.bytes() > node.current.load().config.queue.max_bytes;
        if is_full && needed < untaken && journal.first() < untaken {
            self.given_up.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                "what members have not delivered is kept no longer: the exchange is full"
            );
        }
        if let Err(why) = journal.cut_below(if is_full { untaken } else { needed }) {
            tracing::error!(%why, "the exchange cannot be cut");
        }
    }
}

/// The stream to one member.
struct Stream {
    node: Arc<Node>,
    journal: Arc<Journal>,
    durable: watch::Receiver<u64>,
    member: String,
}

/// Why a stream has to begin anew.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("{0}")]
    Read(#[from] ReadError),
    #[error("{0}")]
    Peer(#[from] super::peers::PeerError),
    #[error("it answers {0}")]
    Answer(String),
    #[error("the exchange has ended")]
    Ended,
}

impl Stream {
    async fn run(mut self) {
        loop {
            self.node.streams.note(&self.member, false);
            if let Err(why) = self.tell().await {
                tracing::debug!(member = self.member, %why, "a stream begins anew");
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn tell(&mut self) -> Result<(), Broken> {
        let (mut place, epoch) = self.post(Bytes::new(), None).await?;
        let begins_anew = self.progress(|progress| progress.begin(place));
        if begins_anew || place + 1 < self.journal.first() {
            self.node.emit_facts.tier.knows_again.store(true, Ordering::Release);
        }
        let mut reader = self.journal.reader((place + 1).max(self.journal.first()));
        loop {
            let next = reader.position();
            self.node.streams.note(&self.member, *self.durable.borrow() < next);
            self.durable.wait_for(|&durable| durable >= next).await.map_err(|_| Broken::Ended)?;
            if *self.durable.borrow() == u64::MAX {
                return Err(Broken::Ended);
            }
            let (member, durable) = (self.member.clone(), *self.durable.borrow());
            let reading = move || {
                let piece = piece(&mut reader, &member, durable);
                (reader, piece)
            };
            let read = tokio::task::spawn_blocking(reading).await.map_err(|_| Broken::Ended)?;
            reader = read.0;
            let Piece { bytes, last, marks } = read.1?;
            if !bytes.is_empty() {
                (place, _) = self.post(bytes, Some(epoch)).await?;
                if place < last {
                    return Err(Broken::Answer(format!("it has {place} of {last}")));
                }
                self.progress(|progress| progress.take(place, &marks));
            }
        }
    }

    /// Posts a piece to a data directory; the member's answer is how far it has come, and its epoch.
    async fn post(&self, piece: Bytes, meant: Option<u64>) -> Result<(u64, u64), Broken> {
        let mut headers = HeaderMap::new();
        headers.insert(EPOCH_HEADER, HeaderValue::from(self.node.custody.epoch()));
        headers.extend(meant.map(|epoch| (MEANT_HEADER, HeaderValue::from(epoch))));
        let bytes = piece.len() as u64;
        *lock(&self.node.streams.sent_bytes).entry(self.member.clone()).or_default() += bytes;
        let peers = self.node.cluster.peers();
        let reply = peers.post(&self.member, PARTIALS_PATH, headers, piece, TIMEOUT).await?;
        let text = String::from_utf8_lossy(&reply.body);
        let place = text.trim().parse().ok().filter(|_| reply.status == StatusCode::OK);
        let answered = place.zip(epoch_in(&reply.headers, &EPOCH_HEADER));
        answered.ok_or_else(|| Broken::Answer(format!("{} {text}", reply.status)))
    }

    fn progress<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        change(lock(&self.node.streams.progress).entry(self.member.clone()).or_default())
    }
}

/// An epoch in a header.
pub(super) fn epoch_in(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// What a member is told next.
struct Piece {
    bytes: Bytes,
    /// The last place in it.
    last: u64,
    marks: Vec<Marked>,
}

fn piece(
    reader: &mut weir_journal::Reader,
    member: &str,
    durable: u64,
) -> Result<Piece, ReadError> {
    let (mut out, mut last, mut marks) = (Writer::default(), 0, Vec::new());
    while out.bytes.len() < PIECE_BYTES && reader.position() <= durable {
        let record = match reader.next()? {
            None => break,
            Some(Record::Gap { from, to, .. }) => {
                tracing::error!(from, to, "what other members were to be told is damaged");
                continue;
            }
            Some(Record::Record(record)) => record,
        };
        let place = record.position;
        match Told::read(record.kind, &record.payload).map(|told| told.what) {
            Ok(What::Parts { to, of, bytes }) if to == member => {
                Item { place, content: Content::Parts(&of, &bytes) }.write(&mut out);
                last = place;
            }
            Ok(What::Parts { .. }) => {}
            Ok(What::Mark { to, frontier }) => {
                Item { place, content: Content::Mark(to) }.write(&mut out);
                marks.push(Marked { place, to, frontier });
                last = place;
            }
            Ok(What::Knows(epochs)) => {
                Item { place, content: Content::Knows(epochs) }.write(&mut out);
                last = place;
            }
            Err(why) => tracing::error!(place, %why, "a record of the exchange"),
        }
    }
    Ok(Piece { bytes: Bytes::from(out.bytes), last, marks })
}
