//! What decides about the table: nothing, for a node alone; each member for itself, from a file that
//! all have; or etcd.
//!
//! With a file, members that change the table at the same time agree by epochs (`Table::merged`); that
//! two do not give the same virtual shard away is whoever's affair who moves it. With etcd it is etcd's.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_model::VShard;

use super::etcd::Etcd;
use super::follow::record::Record;
use super::{AssignError, Cluster, probe};

/// One of them.
pub(super) enum Engine {
    /// A node alone.
    None,
    /// `cluster.peers_file`.
    File,
    /// `cluster.etcd`.
    Etcd(Arc<Etcd>),
}

/// Comes to a table that is in force, before anything is decided by it: from etcd, from other members,
/// from the data directory, or the tier's first.
pub async fn settle(cluster: &Arc<Cluster>) -> Result<(), String> {
    match &cluster.engine {
        Engine::None => Ok(()),
        Engine::File => {
            probe::round(cluster).await;
            cluster.confirm()
        }
        Engine::Etcd(etcd) => {
            etcd.settle(cluster).await;
            Ok(())
        }
    }
}

/// Follows etcd and the other members for as long as the process runs.
pub fn keep(cluster: &Arc<Cluster>) {
    if let Engine::Etcd(etcd) = &cluster.engine {
        etcd.keep(cluster);
    }
    if !cluster.is_alone() {
        probe::keep_probing(cluster);
    }
}

impl Cluster {
    /// Gives virtual shards of one member to another, all or none. What becomes of their state is the
    /// caller's affair.
    pub async fn assign(
        &self,
        vshards: &[VShard],
        from: &str,
        to: &str,
    ) -> Result<(), AssignError> {
        if self.table().find(to).is_none() {
            return Err(AssignError::NoMember(to.to_owned()));
        }
        match &self.engine {
            Engine::Etcd(etcd) => etcd.assign(self, vshards, from, to).await,
            Engine::File | Engine::None => self.assign_here(vshards, from, to),
        }
    }

    /// Of each member that is followed: who runs it, who follows it, and whether that one is in step.
    pub fn records(&self) -> BTreeMap<String, (String, Option<String>, bool)> {
        let Engine::Etcd(etcd) = &self.engine else {
            return BTreeMap::new();
        };
        let standing = etcd.standing().borrow().records.clone();
        let told = |(name, (record, _)): (String, (Record, u64))| {
            (name, (record.host, record.follower, record.in_step))
        };
        standing.into_iter().map(told).collect()
    }

    /// Whether what decides about the table answers, and if not, why; `None` where nothing is asked.
    pub fn engine_state(&self) -> Option<(bool, String)> {
        match &self.engine {
            Engine::Etcd(etcd) => Some(etcd.state()),
            Engine::File | Engine::None => None,
        }
    }
}
