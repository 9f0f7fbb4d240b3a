//! A member as others' follower: sees who is gone for good, takes over, and runs whom it has taken over.
//!
//! Invariant: the twin is fenced before the record is asked for, so whatever the member was answered is
//! in it; and nobody is started whom the record does not place here. A member that was there all the
//! time only loses its follower, and gets another copy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::hosts::Seat;
use super::record::{Record, Standing};
use super::twins::Twins;
use crate::cluster::etcd::Etcd;
use crate::node::Node;

const LOOK: Duration = Duration::from_millis(250);

/// Between attempts to hear how a fail-over ended.
const RETRY: Duration = Duration::from_millis(500);

struct Keeper<'a> {
    node: &'a Arc<Node>,
    etcd: &'a Etcd,
    twins: &'a Twins,
    own: &'a str,
    /// From when on each member whose session has ended may be taken over.
    due: BTreeMap<String, Instant>,
    /// Epochs whose older twins were removed here.
    discarded: BTreeMap<String, u64>,
    began: Instant,
}

/// Who ships is there, whatever its session says: it is etcd that it does not reach.
const QUIET: Duration = Duration::from_secs(3);

/// Looks as long as the process runs.
pub(super) async fn run(node: &Arc<Node>, etcd: &Etcd) {
    let Some(twins) = node.follow.twins.get() else { return };
    let own = node.cluster.own_name();
    let is_hosted = node.current.load().config.cluster.host.is_some();
    let (due, discarded, began) = (BTreeMap::new(), BTreeMap::new(), Instant::now());
    let mut keeper = Keeper { node, etcd, twins, own, due, discarded, began };
    let mut standing = etcd.standing();
    while !node.readiness.stopping.load(Ordering::Acquire) {
        let now = Arc::clone(&standing.borrow_and_update());
        if let Some(why) = keeper.lost(&now) {
            return node.follow.lose(&why);
        }
        // Who runs on another's machine follows nobody: both would be gone at once.
        if !is_hosted {
            keeper.look(&now).await;
        }
        drop(tokio::time::timeout(LOOK, standing.changed()).await);
    }
}

impl Keeper<'_> {
    /// Why this node must not go on, if its record says so.
    fn lost(&self, standing: &Standing) -> Option<String> {
        let (record, _) = standing.records.get(self.own)?;
        let config = self.node.current.load();
        let host = config.config.cluster.host.as_deref().unwrap_or(self.own);
        (record.host != host).then(|| format!("{} has taken {} over", record.host, self.own))
    }

    async fn look(&mut self, standing: &Standing) {
        for (name, (record, revision)) in &standing.records {
            if name == self.own {
                continue;
            }
            if record.host == self.own {
                self.host(name, record);
            } else if record.follower.as_deref() == Some(self.own) {
                if self.is_due(name, record, standing) {
                    self.take_over(name, record, *revision).await;
                }
            } else if record.in_step && !self.node.follow.hosts.has(name) {
                self.discard(name, record.epoch);
            }
        }
        let is_here = |name: &str| {
            standing.records.get(name).is_some_and(|(record, _)| record.host == self.own)
        };
        // Before anything was read there are no records.
        if !standing.members.is_empty() {
            self.node.follow.hosts.retain(is_here);
        }
    }

    fn discard(&mut self, name: &str, epoch: u64) {
        if self.discarded.insert(name.to_owned(), epoch) != Some(epoch)
            && let Err(why) = self.twins.discard(name)
        {
            tracing::warn!(member = name, %why, "an old twin cannot be removed");
        }
    }

    /// Whether a member has been gone for long enough.
    fn is_due(&mut self, name: &str, record: &Record, standing: &Standing) -> bool {
        if standing.members.contains_key(name) || !record.in_step {
            self.due.remove(name);
            return false;
        }
        let now = Instant::now();
        let delay = self.node.current.load().config.cluster.failover_delay;
        // After a start of this node the member may be starting, too.
        let earliest = self.began + self.etcd.session_ttl() + delay;
        let due = *self.due.entry(name.to_owned()).or_insert_with(|| {
            tracing::warn!(member = name, ?delay, "a member whose twin is here is gone");
            (now + delay).max(earliest)
        });
        now >= due && self.twins.quiet_for(name).is_none_or(|quiet| quiet > QUIET)
    }

    async fn take_over(&mut self, name: &str, record: &Record, revision: u64) {
        if let Err(why) = self.twins.fence(name, record.epoch) {
            tracing::error!(member = name, why, "a member cannot be taken over");
            self.due.insert(name.to_owned(), Instant::now() + Duration::from_secs(10));
            return;
        }
        let next = record.taken_over(self.own);
        if self.swap(name, revision, &next).await {
            tracing::warn!(member = name, epoch = next.epoch, "a member is taken over");
            self.node.follow.count_promotion();
            self.host(name, &next);
        } else {
            tracing::info!(member = name, "a member that was gone is there again");
            self.twins.unfence(name);
        }
        self.due.remove(name);
    }

    /// Writes the record, if the member is still gone; says whether it stands.
    async fn swap(&self, name: &str, revision: u64, next: &Record) -> bool {
        loop {
            match self.etcd.look().await {
                Ok(now) => match now.records.get(name) {
                    Some((found, _)) if found == next => return true,
                    Some((_, at)) if *at == revision && !now.members.contains_key(name) => {}
                    _ => return false,
                },
                Err(_) => {
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            }
            // What came of it the next look tells.
            if let Err(why) = self.etcd.swap_record(name, revision, next).await {
                tracing::debug!(%why, "a record cannot be written");
            }
        }
    }

    fn host(&self, name: &str, record: &Record) {
        if self.node.follow.hosts.has(name) {
            return;
        }
        match self.twins.hosted(name, record.epoch) {
            Ok(data_dir) => {
                let config = &self.node.current.load().config;
                let seat = Seat::of(config, name, data_dir);
                self.node.follow.hosts.run(seat);
            }
            Err(why) => tracing::error!(member = name, %why, "a member cannot be started here"),
        }
    }
}
