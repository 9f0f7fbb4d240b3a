//! The tier as people see it: plain data for page, API and metrics.

use std::sync::atomic::Ordering;

use serde::{Deserialize, Serialize};

use super::Cluster;
use crate::frontier::wall_ms;

/// The tier at one moment, from one member.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overview {
    /// Who says so.
    pub name: String,
    /// Of the table.
    pub table_version: u64,
    /// Whether what decides about the table (etcd) answers; `None` where nothing is asked.
    pub engine_up: Option<bool>,
    /// Why it does not; empty while it does.
    pub engine_error: String,
    /// All members, in the order of their names.
    pub members: Vec<MemberView>,
}

/// One member.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Where other members reach it; empty for a node alone.
    pub address: String,
    /// Its weight.
    pub capacity: u16,
    /// Whether it answers.
    pub up: bool,
    /// Virtual shards that it owns.
    pub vshards: usize,
    /// Its last answer, milliseconds since the epoch; 0: none yet.
    pub seen_ms: i64,
    /// Requests to it that wait for their answer.
    pub in_flight: u64,
    /// Requests to it that were not answered.
    pub errors: u64,
    /// Why the last one was not; empty while it is up.
    pub last_error: String,
}

impl Overview {
    /// As a cluster's node sees it.
    pub fn new(cluster: &Cluster) -> Self {
        let table = cluster.table();
        let members = table.members().iter().map(|member| {
            let view = MemberView {
                name: member.name.clone(),
                address: member.address.clone(),
                capacity: member.capacity,
                vshards: table.owned_by(&member.name).len(),
                ..MemberView::default()
            };
            match cluster.peers().get(&member.name) {
                None => MemberView { up: true, seen_ms: wall_ms(), ..view },
                Some(peer) => {
                    let facts = peer.facts();
                    MemberView {
                        up: facts.up.load(Ordering::Relaxed),
                        seen_ms: facts.last_seen_ms.load(Ordering::Relaxed),
                        in_flight: peer.in_flight(),
                        errors: facts.errors.load(Ordering::Relaxed),
                        last_error: facts.last_error(),
                        ..view
                    }
                }
            }
        });
        let (engine_up, engine_error) = cluster.engine_state().unzip();
        Self {
            name: cluster.own_name().to_owned(),
            table_version: table.version(),
            engine_up,
            engine_error: engine_error.unwrap_or_default(),
            members: members.collect(),
        }
    }

    /// Members that answer, and those that do not.
    pub fn counts(&self) -> (usize, usize) {
        let up = self.members.iter().filter(|member| member.up).count();
        (up, self.members.len() - up)
    }

    /// What the member that says so owns.
    pub fn owned(&self) -> usize {
        let own = self.members.iter().find(|member| member.name == self.name);
        own.map_or(0, |member| member.vshards)
    }
}
