//! A virtual shard changes hands: the way from one owner to the next, step by step.
//!
//! The taker holds its frontier; once the giver has closed what that frontier has passed, it gives the
//! virtual shards away (RELEASE), carries their state over (the taker's ADOPT is what ends the move),
//! and then the table says so. In between they take nothing, which is the time of one request, and the
//! giver's frontier stands still too: neither side may be past windows that are open in the state.
//! Whatever is interrupted goes on from the giver's log: it asks until the taker has the state or has
//! refused it. Invariant: a state is in force on one side only; it is given back only if the taker has
//! refused it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use weir_http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use weir_journal::ReserveError;
use weir_model::VShard;
use weir_ring::{OwnedSet, Table};

use crate::durable::LogFailed;
use crate::emit::Released;
use crate::frontier::wall_ms;
use crate::node::Node;
use crate::outlets::Outlets;
use crate::pipeline::{Adoption, SubmitError};
use crate::shard::worker::lock;
use crate::wal::moves::State;
use crate::wal::{AdoptRecord, PlacementRecord, ReleaseRecord};

mod holds;
mod lots;
mod serve;

pub use holds::{Holds, held_at_most, hold_again, stands, with_hold};
pub use lots::LOT;
pub use serve::{adopt, begin, done, handle, prepare};

/// Where a member is told to give virtual shards away.
pub const BEGIN_PATH: &str = "/cluster/v1/moves/begin";
/// Where the taker is asked to hold its frontier.
pub const PREPARE_PATH: &str = "/cluster/v1/moves/prepare";
/// Where it gets the state.
pub const ADOPT_PATH: &str = "/cluster/v1/moves/adopt";
/// Where it gets the table that says so.
pub const DONE_PATH: &str = "/cluster/v1/moves/done";

/// The RELEASE's position.
const MOVE_HEADER: HeaderName = HeaderName::from_static("weir-move");
/// Through where windows are closed in the state; the taker must not be past it.
const FRONTIER_HEADER: HeaderName = HeaderName::from_static("weir-frontier");
/// What rules are in force, so that no group is lost on the way.
const RULES_HEADER: HeaderName = HeaderName::from_static("weir-rules");

/// For one answer; a state has some megabytes.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For a whole move.
const MOVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Until the giver's windows are where the taker's frontier is.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(15);
/// Until destinations have what was said before a move. A backend that is away is not waited for.
const OUT_TIMEOUT: Duration = Duration::from_secs(1);
/// Before something that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// What moves share, and count.
#[derive(Default)]
pub struct Moves {
    /// One at a time.
    turn: tokio::sync::Mutex<()>,
    /// One state is taken over at a time, or one that is sent twice might be taken twice.
    adopting: tokio::sync::Mutex<()>,
    holds: Mutex<Holds>,
    /// Where outputs leave.
    outlets: OnceLock<Arc<Outlets>>,
    /// Virtual shards that were given away.
    pub given: AtomicU64,
    /// Virtual shards that were taken over.
    pub taken: AtomicU64,
    /// Virtual shards that were taken back, for the taker had refused them.
    pub undone: AtomicU64,
    /// Milliseconds for which the last ones took nothing.
    pub pause_ms: AtomicU64,
}

impl Moves {
    /// Says where outputs leave.
    pub fn know_outlets(&self, outlets: &Arc<Outlets>) {
        // They are started once.
        self.outlets.get_or_init(|| Arc::clone(outlets));
    }
}

/// Why nothing moved, or not to its end yet.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// It makes no sense.
    #[error("{0}")]
    Request(String),
    /// The taker does not answer, or not as it should.
    #[error("{0}: {1}")]
    Taker(String, String),
    /// The giver's windows did not get where the taker's frontier is; nothing has moved.
    #[error("windows here are behind {0}'s frontier; try again")]
    Behind(String),
    /// The log takes nothing.
    #[error("the log: {0}")]
    Log(String),
    /// The taker has refused them; they are taken back.
    #[error("{0} has refused them ({1}); they stay here")]
    Refused(String, String),
}

impl From<SubmitError> for MoveError {
    /// A state that the log never takes makes no sense; whatever else may be otherwise later.
    fn from(why: SubmitError) -> Self {
        match why {
            SubmitError::Reserve(ReserveError::TooLarge { .. }) => Self::Request(why.to_string()),
            why => Self::Log(why.to_string()),
        }
    }
}

impl From<LogFailed> for MoveError {
    fn from(why: LogFailed) -> Self {
        Self::Log(why.to_string())
    }
}

/// Gives virtual shards of this node to another member, lot by lot; a lot that has begun goes to its end even
/// if nobody waits for it.
pub async fn give(node: &Arc<Node>, vshards: &[VShard], to: &str) -> Result<(), MoveError> {
    let sizes = lock(&node.checkpoint_facts.shard_bytes).clone();
    let bytes = |vshard: VShard| sizes.get(usize::from(vshard.0)).map_or(0, |&n| u64::from(n));
    for (number, lot) in
        lots::lots(vshards, bytes, node.log.payload_bytes_max()).into_iter().enumerate()
    {
        if number > 0 {
            everybody_knows(node).await;
        }
        let (node, to) = (Arc::clone(node), to.to_owned());
        let giving = tokio::spawn(async move { give_to_the_end(&node, &lot, &to).await });
        giving.await.unwrap_or_else(|why| Err(MoveError::Log(why.to_string())))?;
    }
    Ok(())
}

async fn give_to_the_end(node: &Arc<Node>, vshards: &[VShard], to: &str) -> Result<(), MoveError> {
    let _turn = node.moves.turn.lock().await;
    let own = node.cluster.own_name();
    let table = node.cluster.table();
    let theirs = vshards.iter().find(|&&vshard| table.owner(vshard).name != own);
    if let Some(vshard) = theirs {
        return Err(MoveError::Request(format!("virtual shard {} is not {own}'s", vshard.0)));
    }
    if to == own || table.find(to).is_none() {
        return Err(MoveError::Request(format!("{to} is no other member")));
    }
    // The one before has ended, but the emitter may have yet to hear of it.
    let until = Instant::now() + CLOSE_TIMEOUT;
    while lock(&node.emit_facts.tier.released).is_some() {
        if Instant::now() > until {
            return Err(MoveError::Request("another move has not ended yet".to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let frontier = ask(node, to, PREPARE_PATH, HeaderMap::new(), Bytes::new()).await?;
    let frontier: i64 = String::from_utf8_lossy(&frontier).trim().parse().unwrap_or(i64::MAX);
    let until = Instant::now() + CLOSE_TIMEOUT;
    while node.emit_facts.frontier.load(Ordering::Relaxed) < frontier {
        if Instant::now() > until {
            return Err(MoveError::Behind(to.to_owned()));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let after = moved(&table, vshards, to)?;
    node.moves.hold_giver(true);
    let ended = release(node, vshards, to, &after).await;
    node.moves.hold_giver(false);
    ended
}

async fn release(
    node: &Arc<Node>,
    vshards: &[VShard],
    to: &str,
    after: &Table,
) -> Result<(), MoveError> {
    let record = ReleaseRecord {
        to: to.to_owned(),
        vshards: vshards.iter().copied().collect(),
        after: PlacementRecord::of(after, node.cluster.own_name()),
    };
    let began = Instant::now();
    let (reply, is_gathered) = oneshot::channel();
    node.synced(node.pipeline.release(record, reply)?).await?;
    is_gathered.await.map_err(|why| MoveError::Log(why.to_string()))?;
    wait_until_out(node).await;
    let ended = carry(node).await;
    node.moves.pause_ms.store(began.elapsed().as_millis() as u64, Ordering::Relaxed);
    ended
}

/// What the new owner says of a series shall not overtake what was said of it here.
async fn wait_until_out(node: &Node) {
    if let Some(outlets) = node.moves.outlets.get()
        && !outlets.emptied(node, OUT_TIMEOUT).await
    {
        tracing::info!("a move does not wait for a backend that is behind");
    }
}

/// The table in which these are another's.
fn moved(table: &Table, vshards: &[VShard], to: &str) -> Result<Table, MoveError> {
    let mut after = table.clone();
    for &vshard in vshards {
        let next = after.moved(vshard, to);
        after = next.ok_or_else(|| MoveError::Request(format!("{to} is no member")))?;
    }
    Ok(after)
}

/// Carries what was given away to its end, however often that has to be tried.
async fn carry(node: &Arc<Node>) -> Result<(), MoveError> {
    loop {
        let released = lock(&node.emit_facts.tier.released).clone();
        let Some(released) = released else {
            return Ok(());
        };
        match hand_over(node, &released).await {
            Err(MoveError::Taker(member, why)) => {
                tracing::warn!(member, why, "virtual shards wait for their new owner");
                tokio::time::sleep(PAUSE).await;
            }
            Err(MoveError::Log(why)) => wait_for_log(&why).await,
            Err(MoveError::Refused(member, why)) => match take_back(node, &released).await {
                Err(MoveError::Log(why)) => wait_for_log(&why).await,
                taken => return taken.and(Err(MoveError::Refused(member, why))),
            },
            ended => return ended,
        }
    }
}

/// The disk is full, say: what was given away is nobody's until the log takes its end.
async fn wait_for_log(why: &str) {
    tracing::warn!(why, "virtual shards wait for the log");
    tokio::time::sleep(PAUSE).await;
}

async fn hand_over(node: &Arc<Node>, released: &Released) -> Result<(), MoveError> {
    let (to, own) = (released.record.to.as_str(), node.cluster.own_name());
    let vshards: Vec<VShard> = released.record.vshards.iter().collect();
    let table = node.cluster.table();
    // Where the table says so the taker has them, and may have given them on by now.
    if vshards.iter().any(|&vshard| table.owner(vshard).name == own) {
        send(node, released).await?;
        crate::crash::point("handed");
        let assigned = node.cluster.assign(&vshards, own, to).await;
        assigned.map_err(|why| MoveError::Taker("the table".to_owned(), why.to_string()))?;
    }
    crate::crash::point("assigned");
    let text = node.cluster.view().text.clone();
    if let Err(why) = ask(node, to, DONE_PATH, HeaderMap::new(), text).await {
        // It learns of it when it looks for newer tables.
        tracing::debug!(%why, "the new owner was not told");
    }
    node.synced(node.pipeline.settled()?).await?;
    node.moves.given.fetch_add(vshards.len() as u64, Ordering::Relaxed);
    tracing::info!(count = vshards.len(), to, "virtual shards given away");
    Ok(())
}

/// Sends the taker the state; it has it when this is done.
async fn send(node: &Node, released: &Released) -> Result<(), MoveError> {
    let Released { record, position, state, frontier } = released;
    let mut headers = HeaderMap::new();
    headers.insert(super::stream::EPOCH_HEADER, HeaderValue::from(node.custody.epoch()));
    headers.insert(MOVE_HEADER, HeaderValue::from(*position));
    headers.insert(RULES_HEADER, HeaderValue::from(rules(node)));
    headers.insert(FRONTIER_HEADER, HeaderValue::from(*frontier));
    let mut body = record.vshards.to_bytes();
    body.extend_from_slice(state);
    ask(node, &record.to, ADOPT_PATH, headers, Bytes::from(body)).await.map(drop)
}

/// The taker has refused: they go on here as if nothing had been.
async fn take_back(node: &Arc<Node>, released: &Released) -> Result<(), MoveError> {
    let own = node.cluster.own_name().to_owned();
    let after = PlacementRecord::of(&node.cluster.table(), &own);
    let id = (node.custody.epoch(), released.position);
    let (vshards, state) = (released.record.vshards.clone(), released.state.clone());
    let count = vshards.len() as u64;
    take_over(node, AdoptRecord { from: own, id, vshards, after, state }).await?;
    node.moves.undone.fetch_add(count, Ordering::Relaxed);
    Ok(())
}

/// Logs that virtual shards are this node's, with their state, and waits for the disk.
async fn take_over(node: &Arc<Node>, record: AdoptRecord) -> Result<(), MoveError> {
    let state = State::read(&record.state).map_err(|why| MoveError::Request(why.to_string()))?;
    let adoption = Adoption { vshards: state.vshards, tenants: Arc::clone(&node.tenants) };
    let is_anothers = record.from != node.cluster.own_name();
    if is_anothers {
        stamp_adopted(node);
    }
    let position = node.pipeline.adopt(record, adoption)?;
    if is_anothers {
        note_adopted(node, position);
    }
    Ok(node.synced(position).await?)
}

/// What was taken over up to this position no agent keeps for this node, until it is out.
pub fn note_adopted(node: &Node, position: u64) {
    stamp_adopted(node);
    if let Err(why) = node.custody.adopt(position) {
        tracing::error!(%why, "it cannot be stored that virtual shards were taken over");
    }
}

/// How new the samples of what is taken over are nobody says.
fn stamp_adopted(node: &Node) {
    node.custody.stamp(wall_ms() + node.current.load().config.windows.future_max.0);
}

/// Goes on with what a restart interrupted.
pub fn resume(node: &Arc<Node>) {
    let node = Arc::clone(node);
    tokio::spawn(async move {
        let _turn = node.moves.turn.lock().await;
        if lock(&node.emit_facts.tier.released).is_some() {
            wait_until_out(&node).await;
        }
        if let Err(why) = carry(&node).await {
            tracing::error!(%why, "a move that was interrupted");
        }
        node.moves.hold_giver(false);
    });
}

/// Gives virtual shards, whosever they are, to a member: each owner is told. The first error ends it;
/// what has moved by then stays moved. How many have moved.
pub async fn command(node: &Arc<Node>, vshards: &OwnedSet, to: &str) -> Result<usize, MoveError> {
    let table = node.cluster.table();
    let mut by_owner: BTreeMap<&str, Vec<VShard>> = BTreeMap::new();
    for vshard in vshards.iter() {
        by_owner.entry(&table.owner(vshard).name).or_default().push(vshard);
    }
    by_owner.remove(to);
    let mut count = 0;
    for (owner, vshards) in by_owner {
        for lot in vshards.chunks(LOT) {
            if owner == node.cluster.own_name() {
                // What it weighs may cut it further.
                give(node, lot, to).await?;
            } else {
                let told = serve::write_command(lot, to);
                ask(node, owner, BEGIN_PATH, HeaderMap::new(), told).await?;
            }
            count += lot.len();
            everybody_knows(node).await;
        }
    }
    Ok(count)
}

/// Waits until all members that are up have learned what has moved: what another move would do to parts
/// that are on their way is not worth a thought then.
async fn everybody_knows(node: &Arc<Node>) {
    for _ in 0..100 {
        let table = PlacementRecord::of(&node.cluster.table(), node.cluster.own_name());
        let known = table.knows();
        let origins = lock(&node.emit_facts.tier.origins).clone();
        let peers = node.cluster.peers().all();
        let lags = |name: &str| {
            let origin = origins.iter().find(|origin| origin.name == name);
            origin.is_none_or(|origin| !origin.knows.cover(&known))
        };
        let is_up = |peer: &super::peers::Peer| peer.facts().up.load(Ordering::Relaxed);
        if !peers.iter().any(|peer| is_up(peer) && lags(&peer.member().name)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ask(
    node: &Node,
    member: &str,
    path: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Bytes, MoveError> {
    // Who is told to begin answers when the move has ended.
    let within = if path == BEGIN_PATH { MOVE_TIMEOUT } else { TIMEOUT };
    let failed = |why: String| MoveError::Taker(member.to_owned(), why);
    let reply = node.cluster.peers().post(member, path, headers, body, within).await;
    let reply = reply.map_err(|why| failed(why.to_string()))?;
    let text = String::from_utf8_lossy(&reply.body).trim().to_owned();
    match reply.status {
        status if status.is_success() => Ok(reply.body),
        StatusCode::CONFLICT => Err(MoveError::Refused(member.to_owned(), text)),
        status => Err(failed(format!("{status} {text}"))),
    }
}

/// What rules are in force, as one number.
fn rules(node: &Node) -> u64 {
    let decisions = Arc::clone(&node.current.load().decisions);
    let mut identities: Vec<u128> =
        decisions.rules.iter().map(|active| active.rule.identity()).collect();
    identities.sort_unstable();
    // A sum is enough: identities are hashes.
    identities.iter().fold(0u64, |sum, id| sum.rotate_left(7) ^ (*id as u64) ^ (*id >> 64) as u64)
}
