//! This node as one of a tier: the table in force, and the way to the other members.
//!
//! Invariant: what a part reads is one [`View`], in which table and own virtual shards agree; it only
//! changes as a whole, and whoever watches is told. A node alone has a table of itself and no peers.
//! [`listener`] serves other members, [`peers`] asks them, [`probe`] finds out who is up and who
//! knows a newer table; [`engine`] is what decides about the table. Nothing here moves the state of a
//! virtual shard.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;
use weir_http::{Bytes, HeaderValue};
use weir_model::VShard;
use weir_ring::{Member, OwnedSet, Table};

use crate::config::{Config, Membership};
use crate::shard::worker::lock;
use engine::Engine;
use peers::Peers;
use terms::Terms;

pub mod delivered;
pub mod engine;
mod etcd;
pub mod follow;
pub mod forward;
mod kept;
pub mod listener;
pub mod metrics;
pub mod moves;
pub mod overview;
pub mod partials;
pub mod patience;
pub mod peers;
pub mod placement;
pub mod probe;
pub mod router;
pub mod senders;
pub mod stream;
pub mod table_text;
pub mod terms;
pub mod usage;

/// Says who answers, and who asks, in every exchange between members.
pub const MEMBER_HEADER: &str = "weir-member";

/// A node and its tier.
pub struct Cluster {
    name: String,
    engine: Engine,
    view: ArcSwap<View>,
    version: watch::Sender<u64>,
    /// One change at a time.
    changing: Mutex<()>,
    peers: Peers,
    usage: usage::Usage,
    delivered: delivered::Delivered,
    /// Where the table is kept over a restart; a node alone needs no file.
    file: Option<PathBuf>,
}

/// One state of the tier, as far as this node knows.
pub struct View {
    /// Who owns what.
    pub table: Arc<Table>,
    /// What this node owns.
    pub owned: OwnedSet,
    /// The table as members are told it.
    pub text: Bytes,
    /// Names the text: texts of one tag are the same.
    pub tag: String,
    /// The same for senders; `None` while the table is a draft.
    pub word: Option<HeaderValue>,
}

/// Why virtual shards have not changed hands.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AssignError {
    /// Another member's, by now.
    #[error("virtual shard {0} is not {1}'s")]
    NotOwner(u16, String),
    /// Nobody of that name.
    #[error("{0} is no member")]
    NoMember(String),
    /// What decides about the table has not.
    #[error("{0}")]
    Engine(String),
}

impl Cluster {
    /// A node without others.
    pub fn alone(name: &str) -> Self {
        let (address, push) = (String::new(), String::new());
        let own = Member { name: name.to_owned(), address, push, capacity: 1 };
        // One member is a table.
        let table = Table::fill(vec![own]).unwrap_or_else(|why| unreachable!("{why}"));
        Self::of(name, table, Engine::None, Peers::none(), None)
    }

    /// What the configuration says. The table is the one that was kept in the data directory; without
    /// that it is a draft until [`engine::settle`] has asked others.
    pub fn open(config: &Config) -> Result<Self, String> {
        let (name, tier) = (&config.node_name, &config.cluster);
        let (engine, members) = match &tier.membership {
            Membership::Alone => return Ok(Self::alone(name)),
            Membership::Static(members) => (Engine::File, members.clone()),
            Membership::Etcd(etcd) => {
                let (address, push) = (tier.advertise.clone(), tier.advertise_push.clone());
                let own = Member { name: name.clone(), address, push, capacity: tier.capacity };
                (Engine::Etcd(Arc::new(etcd::Etcd::new(name, tier, etcd)?)), vec![own])
            }
        };
        let file = config.data_dir.join(kept::FILE);
        let table = match (kept::read(&file), &engine) {
            (None, _) => draft(members),
            (Some(table), Engine::Etcd(_)) => Ok(table),
            (Some(table), _) => kept::with_listed(&table, &members),
        };
        let table = table.map_err(|why| why.to_string())?;
        let terms = Terms::of(&config.decisions.shard_key());
        let peers = Peers::new(name, terms, tier.tls.as_ref());
        peers.follow(&table)?;
        Ok(Self::of(name, table, engine, peers, Some(file)))
    }

    fn of(name: &str, table: Table, engine: Engine, peers: Peers, file: Option<PathBuf>) -> Self {
        let version = watch::Sender::new(table.version());
        let view = ArcSwap::from_pointee(View::new(name, table));
        let changing = Mutex::default();
        Self {
            name: name.to_owned(),
            engine,
            view,
            version,
            changing,
            peers,
            usage: Default::default(),
            delivered: Default::default(),
            file,
        }
    }

    /// Whether there are no others.
    pub fn is_alone(&self) -> bool {
        matches!(self.engine, Engine::None)
    }

    /// This node's name.
    pub fn own_name(&self) -> &str {
        &self.name
    }

    /// The state in force.
    #[inline]
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Who owns what.
    pub fn table(&self) -> Arc<Table> {
        Arc::clone(&self.view.load().table)
    }

    /// What this node owns.
    pub fn owned(&self) -> OwnedSet {
        self.view.load().owned.clone()
    }

    /// The other members.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// What tenants use of their limits on them.
    pub fn usage(&self) -> &usage::Usage {
        &self.usage
    }

    /// What other members have delivered.
    pub fn delivered(&self) -> &delivered::Delivered {
        &self.delivered
    }

    /// The table's version, to be told of changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Takes over what another member's table knows better; says whether that was anything.
    pub fn learn(&self, other: &Table) -> bool {
        let _one_at_a_time = lock(&self.changing);
        let merged = self.table().merged(other);
        merged.is_some_and(|table| self.put(table).is_ok())
    }

    /// Takes over the engine's table and members. Of an owner the later epoch counts, as in
    /// [`Cluster::learn`]: an engine that was set back does not set this node back.
    fn adopt(&self, told: &Table) -> Result<(), String> {
        let _one_at_a_time = lock(&self.changing);
        let known = self.table();
        let next = match known.version() {
            0 => told.clone(),
            _ => known.merged(told).unwrap_or_else(|| (*known).clone()).among(told.members()),
        };
        if next == *known { Ok(()) } else { self.put(next) }
    }

    /// [`Cluster::assign`], where every member decides for itself.
    fn assign_here(&self, vshards: &[VShard], from: &str, to: &str) -> Result<(), AssignError> {
        let _one_at_a_time = lock(&self.changing);
        let mut table = (*self.table()).clone();
        for &vshard in vshards {
            if table.owner(vshard).name != from {
                return Err(AssignError::NotOwner(vshard.0, from.to_owned()));
            }
            table = table.moved(vshard, to).ok_or_else(|| AssignError::NoMember(to.to_owned()))?;
        }
        self.put(table).map_err(AssignError::Engine)
    }

    /// Whether the tier can have these members; the error says who is missing.
    pub fn check_members(&self, members: &[Member]) -> Result<(), String> {
        self.revised(members).map(drop)
    }

    /// Gives the tier these members. Nothing changes its owner.
    pub fn set_members(&self, members: &[Member]) -> Result<(), String> {
        let _one_at_a_time = lock(&self.changing);
        match self.revised(members)? {
            Some(table) => self.put(table),
            None => Ok(()),
        }
    }

    /// Makes a draft the tier's first table.
    fn confirm(&self) -> Result<(), String> {
        let _one_at_a_time = lock(&self.changing);
        let table = self.table();
        if table.version() > 0 {
            return Ok(());
        }
        let first = table.with_members(table.members().to_vec());
        self.put(first.map_err(|why| why.to_string())?)
    }

    fn revised(&self, members: &[Member]) -> Result<Option<Table>, String> {
        let table = self.table();
        let gone = table.members().iter().filter(|old| {
            let is_listed = members.iter().any(|new| new.name == old.name);
            !is_listed && !table.owned_by(&old.name).is_empty()
        });
        let gone: Vec<String> = gone
            .map(|old| format!("{} owns {}", old.name, table.owned_by(&old.name).len()))
            .collect();
        if !gone.is_empty() {
            let gone = gone.join(", ");
            return Err(format!(
                "cluster.peers_file: {gone} virtual shards and is no longer listed; move its \
                 virtual shards first, or list it"
            ));
        }
        let next = table.with_members(members.to_vec()).map_err(|why| why.to_string())?;
        Ok((next.members() != table.members()).then_some(next))
    }

    /// Puts a table in force, and keeps it. Called with the lock held.
    fn put(&self, table: Table) -> Result<(), String> {
        self.peers.follow(&table)?;
        let view = View::new(&self.name, table);
        if let Some(file) = &self.file
            && let Err(why) = kept::write(file, &view.text)
        {
            // It is known to the others, and asked for again.
            tracing::warn!(%why, file = %file.display(), "the table cannot be written down");
        }
        let (version, owned) = (view.table.version(), view.owned.len());
        tracing::info!(version, owned, "another table");
        self.view.store(Arc::new(view));
        self.version.send_replace(version);
        Ok(())
    }
}

/// What a tier of these members would begin with: version 0, so that any table in force wins.
fn draft(members: Vec<Member>) -> Result<Table, weir_ring::TableError> {
    let filled = Table::fill(members)?;
    let slots = (0..weir_model::VSHARDS).map(|v| filled.slot(VShard(v))).collect();
    Table::from_parts(0, filled.members().to_vec(), slots)
}

impl View {
    fn new(name: &str, table: Table) -> Self {
        let text = table_text::write(&table);
        let tag = weir_agent_config::control::version_of(&text);
        let (owned, word) = (table.owned_by(name), senders::word(&table));
        Self { owned, table: Arc::new(table), text: text.into(), tag, word }
    }
}

#[cfg(test)]
mod tests;
