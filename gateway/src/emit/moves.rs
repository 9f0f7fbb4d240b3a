//! The emitter where virtual shards change hands: output groups go with them.
//!
//! What is given away is gathered here, workers' states and groups, and waits until it is another's: the
//! log alone has it until then, so no checkpoint is taken meanwhile.

use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;
use weir_aggregate::group::GroupKey;
use weir_aggregate::home::Emission;
use weir_aggregate::sweep::Closing;
use weir_model::{TenantId, Timestamp};

use super::Emitter;
use super::tier::vshard_of;
use crate::shard::worker::{Content, lock};
use crate::wal::moves::State;
use crate::wal::{AdoptRecord, ReleaseRecord};

/// What is said, by windows' ends.
type ByWindow = Vec<(Timestamp, Vec<Emission>)>;

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
            self.replace(&record.after, &record.vshards);
        }
        // Not this node's own frontier: a group's window that waits for other members is open in it.
        let (record, state, frontier) = (Arc::clone(record), state.write(), self.frontier);
        let released = Released { record, position, state, frontier };
        *lock(&self.facts.tier.released) = Some(released);
        self.complete(position);
        if let Some(reply) = reply {
            // All that was said before is to leave before its new owner speaks. Where the log fails,
            // nothing will leave at all.
            self.frames.finish(&self.log);
            // Who asked for the move may have gone; whoever takes it up again finds the state above.
            reply.send(()).unwrap_or_default();
        }
    }

    /// Virtual shards are taken over.
    pub(super) fn adopt(&mut self, position: u64, record: &AdoptRecord, replayed: bool) {
        if position > self.home_position {
            self.replace(&record.after, &record.vshards);
        }
        let mut late = Vec::new();
        for worker in 0..self.reports.len() {
            if let Some(Content::Adopted(closings)) = self.report(worker, position) {
                late.extend(closings.into_values().map(|closing| (worker, closing)));
            }
        }
        if position > self.home_position {
            match self.take(record, late) {
                Ok(said) => {
                    said.into_iter().for_each(|(end, all)| self.emit(position, end, all, replayed));
                }
                Err(why) => tracing::error!(position, %why, "output groups cannot be taken over"),
            }
        }
        let facts = &self.facts.tier;
        facts.note_adopted(&record.from, record.id);
        if record.from == *self.own {
            *lock(&facts.released) = None;
        }
        self.complete(position);
    }

    /// Takes groups over, or back; then what they say of windows that have closed meanwhile. `late` is what
    /// workers have of those.
    fn take(
        &mut self,
        record: &AdoptRecord,
        late: Vec<(usize, Closing)>,
    ) -> Result<ByWindow, Box<dyn Error>> {
        let tenants = Arc::clone(&self.tenants);
        let mut tenant = |name: &str| tenants.meet(name).map(|(id, _)| id).unwrap_or_default();
        let state = State::read(&record.state)?;
        let facts = &self.facts.tier;
        let each = |taken| facts.count_late(taken);
        if record.from == *self.own {
            let (what, node) = ((&state.groups[..], late), (&*self.own, self.local));
            return Ok(self.home.take_back(what, node, &mut tenant, each)?);
        }
        let moved = record.after.knows().of(|vshard| record.vshards.contains(vshard));
        let names = (record.from.as_str(), &*self.own);
        self.home.take_over(&state.groups, names, &moved, &mut tenant)?;
        // There is none while the frontier stands still for a move.
        self.home.take_overdue(late, self.local, each);
        Ok(Vec::new())
    }

    /// What was given away is another's, and so is what came for it meanwhile.
    pub(super) fn settled(&mut self, position: u64) {
        *lock(&self.facts.tier.released) = None;
        if position > self.home_position {
            for (of, export) in self.home.let_go() {
                self.pass_on(position, &of, export);
            }
        }
        self.complete(position);
    }
}
