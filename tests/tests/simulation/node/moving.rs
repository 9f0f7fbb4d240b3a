//! Virtual shards change hands: giver and taker, as `gateway/src/cluster/moves.rs` has them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use weir_gateway::wal::PlacementRecord;
use weir_loadgen::torture::dice::Dice;
use weir_model::VShard;
use weir_ring::{OwnedSet, Table};

use super::running::{Owed, Running};
use crate::disk::{Adopt, Carried, Disk, Record, Release};
use crate::message::{Between, Message};
use crate::placement;
use crate::slip::Slip;
use crate::world::TIMEOUT_MS;

/// For the answer to the first question, and until windows are closed.
const BEGIN_MS: i64 = 10_000;

/// A moment of the simulated clock, for what counts by the monotonic one.
pub(super) fn instant(now: i64) -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now) + Duration::from_millis(now.unsigned_abs())
}

/// A move from here, as far as it has come.
pub(super) enum Giving {
    /// The taker is asked to hold its frontier.
    Asking { to: usize, vshards: OwnedSet, since: i64, again_at: i64 },
    /// Windows here have to be where the taker's frontier is.
    Closing { to: usize, vshards: OwnedSet, since: i64, frontier: i64 },
    /// The state is on its way.
    Carrying { again_at: i64 },
}

impl Running {
    /// Somebody wishes that virtual shards change hands.
    pub(super) fn wish(&mut self, now: i64, disk: &Disk, dice: &mut Dice) {
        if dice.between(0, 99) != 0 || self.giving.is_some() || self.gateway.released().is_some() {
            return;
        }
        let others: Vec<usize> = self.identity.others().collect();
        let Some(to) = dice.one_of(&others) else { return };
        let (of, which) = (dice.between(1, 6) as u16, dice.between(0, 5) as u16);
        let vshards: OwnedSet = disk.owned.iter().filter(|v| v.0 % of == which % of).collect();
        if !vshards.is_empty() {
            self.giving = Some(Giving::Asking { to, vshards, since: now, again_at: now });
        }
    }

    /// What a crash has interrupted goes on.
    pub(super) fn resume_move(&mut self, now: i64) {
        if self.gateway.released().is_some() {
            self.holds.hold_giver(true);
            self.giving = Some(Giving::Carrying { again_at: now });
        }
    }

    /// The next step of a move from here.
    pub(super) fn advance_move(&mut self, now: i64, disk: &mut Disk) -> Vec<Message> {
        match self.giving.take() {
            Some(Giving::Asking { to, vshards, since, again_at }) if now < since + BEGIN_MS => {
                let asks = now >= again_at;
                let again_at = if asks { now + TIMEOUT_MS as i64 } else { again_at };
                self.giving = Some(Giving::Asking { to, vshards, since, again_at });
                asks.then(|| self.to(to, Between::Prepare)).into_iter().collect()
            }
            Some(Giving::Closing { to, vshards, since, frontier }) if now < since + BEGIN_MS => {
                if self.gateway.closed() >= frontier {
                    self.release(now, disk, to, vshards);
                } else {
                    self.giving = Some(Giving::Closing { to, vshards, since, frontier });
                }
                Vec::new()
            }
            Some(Giving::Carrying { again_at }) => self.carry(now, again_at, disk),
            _ => Vec::new(),
        }
    }

    fn release(&mut self, now: i64, disk: &mut Disk, to: usize, vshards: OwnedSet) {
        let own = placement::name(self.identity.number);
        if vshards.len_without(&disk.owned) > 0 {
            return;
        }
        let after = moved(&disk.table, &vshards, &placement::name(to));
        let after = PlacementRecord::of(&after, &own);
        self.log(disk, Record::Release(Arc::new(Release { to, vshards, after })));
        if !self.identity.slips(Slip::GiverNotHeld) {
            self.holds.hold_giver(true);
        }
        self.giving = Some(Giving::Carrying { again_at: now });
    }

    fn carry(&mut self, now: i64, again_at: i64, disk: &mut Disk) -> Vec<Message> {
        let Some(released) = self.gateway.released().cloned() else {
            self.holds.hold_giver(false);
            return Vec::new();
        };
        if released.record.vshards.iter().all(|vshard| !disk.owned.contains(vshard)) {
            return self.settle(disk);
        }
        let synced = released.position < disk.log_synced;
        let sends = now >= again_at && (synced || self.identity.slips(Slip::ReleaseNotSynced));
        let again_at = if sends { now + TIMEOUT_MS as i64 } else { again_at };
        self.giving = Some(Giving::Carrying { again_at });
        let vshards = Box::new(released.record.vshards.clone());
        let (id, state) = (released.position, released.state);
        let what = Between::Adopt { id, vshards, state };
        sends.then(|| self.to(released.record.to, what)).into_iter().collect()
    }

    /// The taker has them: the table says so, and whoever is concerned hears of it.
    fn settle(&mut self, disk: &mut Disk) -> Vec<Message> {
        let Some(released) = self.gateway.released().cloned() else {
            return Vec::new();
        };
        let to = released.record.to;
        let still = released.record.vshards.iter().filter(|&vshard| disk.owned.contains(vshard));
        let after = moved(&disk.table, &still.collect(), &placement::name(to));
        self.learn(disk, after);
        self.log(disk, Record::Settled);
        self.holds.hold_giver(false);
        self.giving = None;
        vec![self.to(to, Between::Done(Arc::new(disk.table.clone())))]
    }

    /// What others say of moves, and of the table.
    pub(super) fn hear_of_move(
        &mut self,
        now: i64,
        disk: &mut Disk,
        from: usize,
        what: Between,
    ) -> Vec<Message> {
        match what {
            Between::Prepare => {
                self.holds.hold_taker(instant(now));
                let frontier = self.gateway.frontier();
                return vec![self.to(from, Between::Prepared { frontier })];
            }
            Between::Prepared { frontier } => self.is_prepared(now, from, frontier),
            Between::Adopt { id, vshards, state } => {
                return self.adopt(now, disk, from, (id, *vshards, state)).into_iter().collect();
            }
            Between::Adopted { id } if self.is_carrying(id) => return self.settle(disk),
            Between::Refused { id } if self.is_carrying(id) => self.take_back(disk),
            Between::Done(table) => {
                self.holds.let_taker_go();
                self.learn_of(disk, &table);
            }
            Between::Table(table) => self.learn_of(disk, &table),
            _ => {}
        }
        Vec::new()
    }

    fn is_prepared(&mut self, now: i64, from: usize, frontier: i64) {
        self.giving = match self.giving.take() {
            Some(Giving::Asking { to, vshards, .. }) if to == from => {
                Some(Giving::Closing { to, vshards, since: now, frontier })
            }
            other => other,
        };
    }

    fn is_carrying(&self, id: usize) -> bool {
        self.gateway.released().is_some_and(|released| released.position == id)
    }

    /// A state has come. The answer waits for the log where it is there.
    fn adopt(
        &mut self,
        now: i64,
        disk: &mut Disk,
        from: usize,
        (id, vshards, state): (usize, OwnedSet, Arc<Carried>),
    ) -> Option<Message> {
        let adopted = Owed::Another { to: from, what: Between::Adopted { id } };
        let is_theirs = |vshard: VShard| placement::owner(&disk.table, vshard) == from;
        let all_theirs = vshards.iter().all(is_theirs);
        let is_known =
            self.gateway.has_adopted(from, id) || (all_theirs && self.gateway.has_placed(&vshards));
        if is_known && !self.identity.slips(Slip::AdoptedTwice) {
            self.owe(disk, adopted, Slip::AdoptedBeforeSync);
            return None;
        }
        if !all_theirs || self.gateway.frontier() > state.closed {
            self.holds.let_taker_go();
            return Some(self.to(from, Between::Refused { id }));
        }
        self.holds.hold_taker(instant(now));
        let own = placement::name(self.identity.number);
        let after = PlacementRecord::of(&moved(&disk.table, &vshards, &own), &own);
        self.log(disk, Record::Adopt(Arc::new(Adopt { from, id, vshards, after, state })));
        self.owe(disk, adopted, Slip::AdoptedBeforeSync);
        None
    }

    fn take_back(&mut self, disk: &mut Disk) {
        let Some(released) = self.gateway.released().cloned() else { return };
        let from = self.identity.number;
        let after = PlacementRecord::of(&disk.table, &placement::name(from));
        let vshards = released.record.vshards.clone();
        let (id, state) = (released.position, released.state);
        self.log(disk, Record::Adopt(Arc::new(Adopt { from, id, vshards, after, state })));
        self.holds.hold_giver(false);
        self.giving = None;
    }

    fn learn_of(&mut self, disk: &mut Disk, table: &Table) {
        if let Some(merged) = disk.table.merged(table) {
            self.learn(disk, merged);
        }
    }

    fn learn(&mut self, disk: &mut Disk, table: Table) {
        let own = placement::name(self.identity.number);
        (disk.owned, disk.table) = (table.owned_by(&own), table);
        let record = Arc::new(PlacementRecord::of(&disk.table, &own));
        self.log(disk, Record::Placement(record));
    }
}

fn moved(table: &Table, vshards: &OwnedSet, to: &str) -> Table {
    vshards
        .iter()
        .fold(table.clone(), |table, vshard| table.moved(vshard, to).expect("a member of the tier"))
}
