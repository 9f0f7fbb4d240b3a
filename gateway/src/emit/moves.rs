//! The emitter where virtual shards change hands: output groups go with them.
//!
//! What is given away is gathered here, workers' states and groups, and waits until it is another's: the
//! log alone has it until then, so no checkpoint is taken meanwhile.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use weir_aggregate::group::GroupKey;
use weir_model::{TenantId, Timestamp};

use super::Emitter;
use super::tier::vshard_of;
use crate::shard::worker::{Content, lock};
use crate::wal::moves::State;
use crate::wal::{AdoptRecord, ReleaseRecord};

/// Something that was given away, and is not settled.
#[derive(Clone, Debug)]
pub struct Released {
    /// The record.
    pub record: Arc<ReleaseRecord>,
    /// Its position.
    pub position: u64,
    /// What is to be carried over.
    pub state: Bytes,
    /// Through where the windows in it are closed; milliseconds since the epoch.
    pub frontier: Timestamp,
}

impl Emitter {
    /// Virtual shards are given away.
    pub(super) fn release(
        &mut self,
        position: u64,
        record: &Arc<ReleaseRecord>,
        reply: Option<oneshot::Sender<()>>,
    ) {
        let mut state = State::default();
        for worker in 0..self.reports.len() {
            if let Some(Content::Released(states)) = self.report(worker, position) {
                state.vshards.extend(states);
            }
        }
        if position > self.home_position {
            let tenants = Arc::clone(&self.tenants);
            let names = |id: TenantId| tenants.name(id);
            let goes = |key: &GroupKey| record.vshards.contains(vshard_of(&tenants, key));
            state.groups = self.home.give_away(&goes, &self.own, &names);
            self.replace(record.after.clone());
        }
        let (record, state, frontier) = (Arc::clone(record), state.write(), self.local);
        let released = Released { record, position, state, frontier };
        *lock(&self.facts.tier.released) = Some(released);
        self.complete(position);
        if let Some(reply) = reply {
            // Who asked for the move may have gone; whoever takes it up again finds the state above.
            reply.send(()).unwrap_or_default();
        }
    }

    /// Virtual shards are taken over.
    pub(super) fn adopt(&mut self, position: u64, record: &AdoptRecord) {
        if position > self.home_position {
            self.replace(record.after.clone());
        }
        for worker in 0..self.reports.len() {
            self.report(worker, position);
        }
        if position > self.home_position {
            let tenants = Arc::clone(&self.tenants);
            let mut tenant = |name: &str| tenants.meet(name).map(|(id, _)| id).unwrap_or_default();
            let state = State::read(&record.state);
            let taken = state.map_err(|why| why.to_string()).and_then(|state| {
                let taken = self.home.take_over(&state.groups, &self.own, &mut tenant);
                taken.map_err(|why| why.to_string())
            });
            if let Err(why) = taken {
                tracing::error!(position, %why, "output groups cannot be taken over");
            }
        }
        let facts = &self.facts.tier;
        lock(&facts.adopted).push((record.from.clone(), record.id));
        if record.from == *self.own {
            *lock(&facts.released) = None;
        }
        self.complete(position);
    }

    /// What was given away is another's.
    pub(super) fn settled(&mut self, position: u64) {
        *lock(&self.facts.tier.released) = None;
        self.complete(position);
    }
}
