//! A tier whose table and members stand in etcd.
//!
//! Each member has a session, a key that ends with its lease; the table is 64 keys that only change by
//! compare-and-swap. Invariant: etcd decides, and its absence changes nothing: the table that is
//! known stays in force until etcd is there again. What a watch says is only a hint to read everything
//! anew, so a watch that breaks, or misses something to a compaction, does no harm.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_model::VShard;
use weir_ring::Table;

use super::follow::record::Standing;
use super::{AssignError, Cluster};
use crate::config;
use crate::shard::worker::lock;
use client::{Client, EtcdError, Swap};
use keys::{Contents, IN_CHUNK, Session, chunk_key, member_key, slots_of, write_chunk};

mod answers;
mod client;
mod keys;
mod records;

/// How long the first member of a new tier waits for others before it fills the table.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// Between attempts while etcd is away.
const RETRY: Duration = Duration::from_secs(1);

/// Everything is read anew so often, whatever a watch says.
const LIST_EVERY: Duration = Duration::from_secs(10);

/// Attempts to change a part of the table that others change, too.
const SWAPS_MAX: usize = 10;

/// This node's part in what stands in etcd.
pub(super) struct Etcd {
    client: Client,
    prefix: String,
    name: String,
    session: Session,
    /// A way of its own for records: they must not wait for what the rest waits for.
    records: Client,
    /// Sessions and records, as they were last read.
    standing: watch::Sender<Arc<Standing>>,
    ttl: Duration,
    lease: AtomicI64,
    up: AtomicBool,
    error: Mutex<String>,
    /// When it last did not answer.
    away_at: Mutex<Option<Instant>>,
}

impl Etcd {
    /// Connects to nothing yet.
    pub(super) fn new(
        name: &str,
        config: &config::Cluster,
        etcd: &config::Etcd,
    ) -> Result<Self, String> {
        let session = Session {
            address: config.advertise.clone(),
            push: config.advertise_push.clone(),
            capacity: config.capacity,
            host: config.host.clone(),
        };
        let client = || Client::new(etcd).map_err(|why| format!("cluster.etcd: {why}"));
        Ok(Self {
            client: client()?,
            records: client()?,
            standing: watch::Sender::default(),
            prefix: etcd.prefix.clone(),
            name: name.to_owned(),
            session,
            ttl: etcd.session_ttl,
            lease: AtomicI64::new(0),
            up: AtomicBool::new(false),
            error: Mutex::default(),
            away_at: Mutex::default(),
        })
    }

    /// Whether it answers; if not, why.
    pub(super) fn state(&self) -> (bool, String) {
        (self.up.load(Ordering::Relaxed), lock(&self.error).clone())
    }

    /// Opens the session, keeps it from then on, and takes over the table, or makes the first one.
    /// Without etcd a node that has kept a table goes on with it; one that has none waits.
    pub(super) async fn settle(self: &Arc<Self>, cluster: &Cluster) {
        self.patiently(cluster, async || self.keep_session().await).await;
        let etcd = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(etcd.ttl / 3).await;
                let kept = etcd.keep_session().await;
                etcd.note(&kept);
            }
        });
        self.patiently(cluster, async || self.take_over(cluster).await).await;
    }

    /// Attempts until it is done, or need not be because a table is known.
    async fn patiently(&self, cluster: &Cluster, attempt: impl AsyncFn() -> Result<(), EtcdError>) {
        loop {
            let done = attempt().await;
            self.note(&done);
            if done.is_ok() || cluster.table().version() > 0 {
                return;
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn take_over(&self, cluster: &Cluster) -> Result<(), EtcdError> {
        loop {
            if self.list(cluster).await?.slots.is_some() {
                return Ok(());
            }
            let prefix = &self.prefix;
            tracing::info!(prefix, "a new tier; other members may join its first table");
            tokio::time::sleep(FIRST_WAIT).await;
            let contents = self.read().await?;
            if contents.slots.is_none() && self.fill(&contents).await? {
                tracing::info!(members = contents.sessions.len(), "filled the tier's first table");
            }
        }
    }

    /// Follows what changes, for as long as the process runs.
    pub(super) fn keep(self: &Arc<Self>, cluster: &Arc<Cluster>) {
        let (etcd, cluster) = (Arc::clone(self), Arc::clone(cluster));
        tokio::spawn(async move {
            loop {
                let followed = etcd.follow(&cluster).await;
                etcd.note(&followed);
                if followed.is_err() {
                    tokio::time::sleep(RETRY).await;
                }
            }
        });
    }

    async fn follow(&self, cluster: &Cluster) -> Result<(), EtcdError> {
        let contents = self.list(cluster).await?;
        self.note::<()>(&Ok(()));
        self.client.changed(&self.prefix, contents.revision, LIST_EVERY).await.map(drop)
    }

    async fn keep_session(&self) -> Result<(), EtcdError> {
        let lease = self.lease.load(Ordering::Relaxed);
        if lease != 0 && self.client.keep_alive(lease).await? {
            return Ok(());
        }
        if lease != 0 {
            tracing::warn!("the session with etcd has ended; a new one begins");
        }
        self.open_session().await
    }

    /// The member's key, with a lease. A key of the same address is an earlier life's; one of another
    /// address is another node's, and must end first.
    async fn open_session(&self) -> Result<(), EtcdError> {
        self.lease.store(0, Ordering::Relaxed);
        let key = member_key(&self.prefix, &self.name);
        let (_, pairs) = self.client.list(&self.prefix).await?;
        let before = pairs.iter().find(|pair| pair.key == key);
        if let Some(pair) = before
            && let Ok(session) = serde_json::from_slice::<Session>(&pair.value)
            && session.address != self.session.address
        {
            return Err(EtcdError::Taken { name: self.name.clone(), address: session.address });
        }
        if let Some(host) = self.host_in(&pairs) {
            return Err(EtcdError::Elsewhere { name: self.name.clone(), host });
        }
        let lease = self.client.grant(self.ttl).await?;
        let value = serde_json::to_vec(&self.session).unwrap_or_default();
        let expected = before.map_or(0, |pair| pair.revision);
        if !self.client.swap(&[Swap { key, expected, value, lease }]).await? {
            return Err(EtcdError::Answer("another node has just taken this one's name".into()));
        }
        self.lease.store(lease, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the first table of those that have a session; says whether it was the first.
    async fn fill(&self, contents: &Contents) -> Result<bool, EtcdError> {
        let table = Table::fill(contents.members());
        let table = table.map_err(|why| EtcdError::Answer(why.to_string()))?;
        let slots = slots_of(&table);
        let swap = |(chunk, slots): (usize, &[(String, u32)])| Swap {
            key: chunk_key(&self.prefix, chunk),
            expected: 0,
            value: write_chunk(slots),
            lease: 0,
        };
        let swaps: Vec<Swap> = slots.chunks(IN_CHUNK).enumerate().map(swap).collect();
        self.client.swap(&swaps).await
    }

    /// Gives virtual shards of one member to another, all or none.
    pub(super) async fn assign(
        &self,
        cluster: &Cluster,
        vshards: &[VShard],
        from: &str,
        to: &str,
    ) -> Result<(), AssignError> {
        for _ in 0..SWAPS_MAX {
            let contents = self.list(cluster).await.map_err(failed)?;
            let swaps = self.swaps(&contents, vshards, from, to)?;
            match self.client.swap(&swaps).await {
                Ok(true) => return self.list(cluster).await.map(drop).map_err(failed),
                // Somebody else has changed these keys: look again.
                Ok(false) => {}
                // It may have been made: what is there now tells.
                Err(EtcdError::Away(why)) if why.maybe_sent() => {
                    self.list(cluster).await.map_err(failed)?;
                    let now = cluster.table();
                    if vshards.iter().all(|&vshard| now.owner(vshard).name == to) {
                        return Ok(());
                    }
                }
                Err(why) => return Err(failed(why)),
            }
        }
        Err(AssignError::Engine("the table changes all the time".into()))
    }

    fn swaps(
        &self,
        contents: &Contents,
        vshards: &[VShard],
        from: &str,
        to: &str,
    ) -> Result<Vec<Swap>, AssignError> {
        let mut slots = contents.slots.clone().unwrap_or_default();
        let mut is_touched = [false; keys::CHUNKS];
        for &vshard in vshards {
            let at = usize::from(vshard.0);
            let slot = slots.get_mut(at).filter(|slot| slot.0 == from);
            let slot = slot.ok_or_else(|| AssignError::NotOwner(vshard.0, from.to_owned()))?;
            *slot = (to.to_owned(), slot.1 + 1);
            is_touched[at / IN_CHUNK] = true;
        }
        let touched = (0..keys::CHUNKS).filter(|&chunk| is_touched[chunk]);
        let swap = |chunk: usize| Swap {
            key: chunk_key(&self.prefix, chunk),
            expected: contents.revisions.get(chunk).copied().unwrap_or(0),
            value: write_chunk(&slots[chunk * IN_CHUNK..(chunk + 1) * IN_CHUNK]),
            lease: 0,
        };
        Ok(touched.map(swap).collect())
    }

    /// Reads everything, and puts the table in force.
    async fn list(&self, cluster: &Cluster) -> Result<Contents, EtcdError> {
        let mut contents = self.read().await?;
        if self.was_away() {
            contents.keep_sessions(cluster.table().members());
        }
        self.standing.send_replace(Arc::new(contents.standing()));
        if let Some(table) = contents.table(cluster.table().members()) {
            cluster.adopt(&table).map_err(EtcdError::Answer)?;
        }
        Ok(contents)
    }

    async fn read(&self) -> Result<Contents, EtcdError> {
        let (revision, pairs) = self.client.list(&self.prefix).await?;
        Contents::read(&self.prefix, revision, &pairs).map_err(EtcdError::Answer)
    }

    /// All sessions may have ended while it was away: members get the time of one to begin another
    /// before they count as gone.
    fn was_away(&self) -> bool {
        lock(&self.away_at).is_some_and(|at| at.elapsed() < self.ttl)
    }

    fn note<T>(&self, outcome: &Result<T, EtcdError>) {
        match outcome {
            Ok(_) if self.up.swap(true, Ordering::Relaxed) => {}
            Ok(_) => {
                lock(&self.error).clear();
                tracing::info!("etcd answers");
            }
            Err(why) => {
                *lock(&self.away_at) = Some(Instant::now());
                let said = std::mem::replace(&mut *lock(&self.error), why.to_string());
                if self.up.swap(false, Ordering::Relaxed) || said != why.to_string() {
                    tracing::warn!(%why, "etcd cannot be used; a table that is known stays in force");
                }
            }
        }
    }
}

fn failed(why: EtcdError) -> AssignError {
    AssignError::Engine(format!("etcd: {why}"))
}
