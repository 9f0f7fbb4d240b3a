//! Virtual shards change hands by records; as `gateway/src/emit/moves.rs` does.

use std::sync::Arc;

use weir_aggregate::group::GroupKey;
use weir_aggregate::home::afar::Taken;
use weir_model::{TenantId, VShard};

use super::{Gateway, Outcome, Said, TENANT};
use crate::disk::{Adopt, Carried, Release};
use crate::placement;
use crate::slip::Slip;

/// What was given away and is not settled.
#[derive(Clone)]
pub(crate) struct Released {
    pub(crate) record: Arc<Release>,
    pub(crate) position: usize,
    pub(crate) state: Arc<Carried>,
}

impl Gateway {
    /// What was given away and is not settled.
    pub(crate) fn released(&self) -> Option<&Released> {
        self.released.as_ref()
    }

    /// Whether a move has ended here.
    pub(crate) fn has_adopted(&self, from: usize, id: usize) -> bool {
        self.adopted.get(&from).is_some_and(|&last| id <= last)
    }

    /// Whether all of these are this gateway's by its log.
    pub(crate) fn has_placed(&self, vshards: &weir_ring::OwnedSet) -> bool {
        let owned = self.places.owned();
        vshards.iter().all(|vshard| owned.contains(vshard))
    }

    pub(super) fn release(&mut self, position: usize, record: &Arc<Release>) -> Outcome {
        let workers = self.workers.len();
        let mut vshards = Vec::new();
        for vshard in record.vshards.iter() {
            self.gone.insert(vshard);
            let at = usize::from(vshard.0) % workers;
            vshards.extend(self.workers[at].give_away(vshard).map(|bytes| (vshard, bytes)));
            self.hear(at);
        }
        let tenant = Arc::clone(&self.tenant);
        let names = |_: TenantId| Arc::clone(&tenant);
        let goes = |key: &GroupKey| record.vshards.contains(placement::vshard_of_key(key));
        let own = placement::name(self.identity.number);
        let groups = self.home.give_away(&goes, &own, &names);
        let outcome = self.place(&record.after, &record.vshards);
        let (frontier, closed) = (self.frontier, self.closed);
        let state = Arc::new(Carried { vshards, groups, frontier, closed });
        self.released = Some(Released { record: Arc::clone(record), position, state });
        outcome
    }

    pub(super) fn adopt(&mut self, position: usize, record: &Adopt, said: &Said) -> Outcome {
        let mut outcome = self.place(&record.after, &record.vshards);
        let workers = self.workers.len();
        record.vshards.iter().for_each(|vshard| self.gone.remove(vshard));
        for (at, worker) in self.workers.iter_mut().enumerate() {
            let here = |(vshard, _): &&(VShard, Vec<u8>)| usize::from(vshard.0) % workers == at;
            let states = record.state.vshards.iter().filter(here);
            let states = states.map(|(vshard, bytes)| (*vshard, &bytes[..]));
            worker.take_over(states, &mut |_| TENANT, |_, why| panic!("a gateway wrote it: {why}"));
        }
        (0..workers).for_each(|at| self.hear(at));
        let own = placement::name(self.identity.number);
        let groups = &record.state.groups;
        self.adopted.insert(record.from, record.id);
        let workers = self.workers.iter_mut().enumerate();
        let late = workers.flat_map(|(at, worker)| {
            worker.take_closings().into_values().map(move |closing| (at, closing))
        });
        let late = late.collect();
        let mut missed = false;
        if record.from == self.identity.number {
            self.released = None;
            let (what, node) = ((&groups[..], late), (&*own, self.frontier));
            let back = self.home.take_back(what, node, &mut |_| TENANT, |taken| {
                missed |= taken != Taken::InTime;
            });
            self.note_missed(missed);
            for (end, emissions) in back.expect("a gateway wrote it") {
                outcome.frames.extend(self.say(position, end, emissions, said));
            }
            return outcome;
        }
        let moved = record.after.knows().of(|vshard| record.vshards.contains(vshard));
        let names = (placement::name(record.from), own);
        let names = (names.0.as_str(), names.1.as_str());
        let taken = self.home.take_over(groups, names, &moved, &mut |_| TENANT);
        taken.expect("a gateway wrote it");
        self.home.take_overdue(late, self.frontier, |taken| missed |= taken != Taken::InTime);
        self.note_missed(missed);
        outcome
    }

    /// What was given away is another's, and so is what came for it meanwhile.
    pub(super) fn settled(&mut self, position: usize) -> Outcome {
        self.released = None;
        let mut outcome = Outcome::default();
        for (of, export) in self.home.let_go() {
            let of = placement::number(&of);
            outcome.told.extend(self.pass_on(position, of, export).1);
        }
        outcome
    }

    /// After a start nothing is known of what was on its way: a mistake.
    pub(crate) fn forget_release(&mut self) {
        if self.identity.slips(Slip::ReleaseForgotten) {
            self.released = None;
        }
    }
}
