//! The emitter in a tier: other nodes' parts come in, groups that live elsewhere are told of.
//!
//! A window closes here once this node's frontier and every other member's mark have passed its end.
//! Each of these steps is a record's, so a replay takes them at the same places.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use weir_aggregate::exchange;
use weir_aggregate::group::GroupKey;
use weir_aggregate::home::afar::{Export, Taken};
use weir_aggregate::home::{Home, Origin, Origins};
use weir_model::{TenantId, Timestamp, VShard, vshard_of_group};
use weir_ring::OwnedSet;
use weir_wire::compress::Decompressor;
use weir_wire::negotiate::Encoding;

use super::{Emitter, Released};
use crate::shard::worker::lock;
use crate::tenants::Tenants;
use crate::wal::tier::{Content, Item, PartialsRecord, PlacementRecord, WaiveRecord};

/// Most bytes of one record of parts before compression.
pub const PARTS_BYTES_MAX: usize = 256 << 20;

/// What the emitter publishes of a tier.
#[derive(Debug, Default)]
pub struct TierFacts {
    /// Parts of groups that were told to other members.
    pub parts_out: AtomicU64,
    /// Parts that came from them.
    pub parts_in: AtomicU64,
    /// Of these: came after their window, and joined the next one.
    pub parts_carried: AtomicU64,
    /// Of these: came after their window, and were dropped.
    pub parts_late: AtomicU64,
    /// Of these: of rules that are not in force here.
    pub parts_unknown: AtomicU64,
    /// Windows that closed.
    pub windows: AtomicU64,
    /// Windows that closed without some member's part.
    pub windows_incomplete: AtomicU64,
    /// How many members' parts were in when the last window closed, in thousandths of all.
    pub completeness_permille: AtomicU64,
    /// This node's own frontier, milliseconds.
    pub local: AtomicI64,
    /// What this node knows of moves is to be told again.
    pub knows_again: AtomicBool,
    /// The other members' marks.
    pub origins: Mutex<Vec<Origin>>,
    /// What was given away and is not settled.
    pub released: Mutex<Option<Released>>,
    /// Virtual shards that are this node's by its log, which is ahead of the table while they move.
    pub placed: Mutex<OwnedSet>,
    /// The last move of each giver that ended here, since the log's beginning.
    adopted: Mutex<BTreeMap<String, (u64, u64)>>,
}

impl TierFacts {
    /// Whether a move has ended here. A giver makes one after the other, so of those before its last nobody
    /// waits for anything.
    pub fn has_adopted(&self, from: &str, (epoch, position): (u64, u64)) -> bool {
        let adopted = lock(&self.adopted);
        let last = adopted.get(from).filter(|last| last.0 == epoch);
        last.is_some_and(|last| position <= last.1)
    }

    /// Notes a move that has ended here.
    pub(super) fn note_adopted(&self, from: &str, id: (u64, u64)) {
        lock(&self.adopted).insert(from.to_owned(), id);
    }

    /// Counts a part that came after its window.
    pub(super) fn count_late(&self, taken: Taken) {
        match taken {
            Taken::InTime | Taken::Known => {}
            Taken::Carried => drop(self.parts_carried.fetch_add(1, Ordering::Relaxed)),
            Taken::Late => drop(self.parts_late.fetch_add(1, Ordering::Relaxed)),
        }
    }

    /// A window has closed with the parts of so many others.
    fn closed(&self, there: usize, all: usize) {
        self.windows.fetch_add(1, Ordering::Relaxed);
        self.windows_incomplete.fetch_add(u64::from(there < all), Ordering::Relaxed);
        // This node's own part is always in.
        let permille = (there + 1) as u64 * 1000 / (all + 1) as u64;
        self.completeness_permille.store(permille, Ordering::Relaxed);
    }

    fn publish(&self, local: Timestamp, origins: &Origins) {
        self.local.store(local, Ordering::Relaxed);
        let mut published = lock(&self.origins);
        published.clear();
        published.extend(origins.iter().cloned());
    }
}

/// Where groups live, by member; what a PLACEMENT record said last.
pub struct Places {
    /// The record.
    pub record: PlacementRecord,
    /// The owner of each virtual shard among `record.others`; `None` for this node.
    owners: Vec<Option<Arc<str>>>,
}

impl Places {
    /// A node that stands alone.
    pub fn alone() -> Self {
        Self { record: PlacementRecord::alone(), owners: Vec::new() }
    }

    /// Where the groups of a tier live.
    pub fn new(record: PlacementRecord) -> Self {
        let names: Vec<Arc<str>> = record.others.iter().map(|name| name.as_str().into()).collect();
        let owner =
            |&at: &u16| usize::from(at).checked_sub(1).and_then(|at| names.get(at)).cloned();
        let owners = record.owners.iter().map(owner).collect();
        Self { record, owners }
    }

    /// Whose a group is, if it is another's.
    fn elsewhere(&self, tenants: &Tenants, key: &GroupKey) -> Option<Arc<str>> {
        if self.owners.is_empty() {
            return None;
        }
        self.owners.get(usize::from(vshard_of(tenants, key).0)).cloned().flatten()
    }
}

/// The virtual shard where a group lives.
pub(super) fn vshard_of(tenants: &Tenants, key: &GroupKey) -> VShard {
    vshard_of_group(&tenants.name(key.tenant), key.labels.iter())
}

/// Tells the home what lives on this node, and for whom it has to wait.
pub fn settle(home: &mut Home, places: &Arc<Places>, tenants: &Arc<Tenants>, from: Timestamp) {
    let (at, names) = (Arc::clone(places), Arc::clone(tenants));
    home.set_lives_here(Arc::new(move |key| at.elsewhere(&names, key).is_none()));
    let others = places.record.others.iter().map(String::as_str);
    home.origins.set_members(others, from);
    home.table = places.record.payload().to_vec();
}

impl Emitter {
    /// The table has changed.
    pub(super) fn place(&mut self, position: u64, record: &PlacementRecord, replayed: bool) {
        if position > self.home_position {
            self.replace(record, &OwnedSet::NONE);
            self.close(position, replayed);
        }
        self.complete(position);
    }

    /// Groups live where this record says, but for what has changed hands since; `decided` do so now.
    pub(super) fn replace(&mut self, record: &PlacementRecord, decided: &OwnedSet) {
        let record = self.places.record.followed_by(record, decided);
        self.places = Arc::new(Places::new(record));
        *lock(&self.facts.tier.placed) = self.places.record.owned();
        settle(&mut self.home, &self.places, &self.tenants, self.frontier);
    }

    /// Somebody is not waited for.
    pub(super) fn waive(&mut self, position: u64, record: &WaiveRecord, replayed: bool) {
        if position > self.home_position {
            self.home.origins.waive(&record.origin, record.through);
            self.close(position, replayed);
        }
        self.complete(position);
    }

    /// A piece of another node's stream.
    pub(super) fn partials(&mut self, position: u64, record: &PartialsRecord, replayed: bool) {
        if position > self.home_position {
            match Item::read_all(&record.body) {
                Ok(items) => items.iter().for_each(|item| self.item(position, record, item)),
                Err(why) => tracing::error!(position, %why, "a record of partials"),
            }
            self.close(position, replayed);
        }
        self.complete(position);
    }

    fn item(&mut self, position: u64, record: &PartialsRecord, item: &Item<'_>) {
        let PartialsRecord { origin, epoch, .. } = record;
        if self.home.origins.has(origin, *epoch, item.place) {
            return;
        }
        let number = self.home.origins.meet(origin);
        self.home.hear_epoch(number, *epoch);
        let mut mark = Timestamp::MIN;
        match &item.content {
            Content::Mark(to) => mark = *to,
            Content::Knows(epochs) => self.home.origins.chose_by(number, epochs.clone()),
            Content::Parts(of, bytes) => {
                // Not of what it passes on: that it has from others.
                let own = of.is_empty().then_some(number);
                let of = if of.is_empty() { origin.as_str() } else { of };
                self.import(position, (of, own), bytes);
            }
        }
        self.home.origins.advance(number, (*epoch, item.place), mark);
    }

    /// Takes in what lives here, and passes on what lives elsewhere by now, but for what counted before a disk was
    /// lost; `own` is the sender where it tells of its own.
    fn import(&mut self, position: u64, (of, own): (&str, Option<u32>), compressed: &[u8]) {
        let tenants = Arc::clone(&self.tenants);
        let mut tenant = |name: &str| tenants.meet(name).map(|(id, _)| id).unwrap_or_default();
        let mut plain = Vec::new();
        let decompressed = Decompressor::default().decompress(
            Encoding::Zstd,
            compressed,
            PARTS_BYTES_MAX,
            &mut plain,
        );
        let read = decompressed.map_err(|why| why.to_string()).and_then(|()| {
            let read = exchange::decode(&plain, self.home.config(), &mut tenant);
            read.map_err(|why| why.to_string())
        });
        let read = match read {
            Ok(read) => read,
            Err(why) => return tracing::error!(of, %why, "parts that cannot be read"),
        };
        let mut export = read.export;
        self.home.leave_out_known(own, &mut export);
        let here = self.tell(position, of, export);
        let origin = (*of != *self.own).then(|| self.home.origins.meet(of));
        let facts = &self.facts.tier;
        facts.parts_in.fetch_add(here.parts.len() as u64, Ordering::Relaxed);
        facts.parts_unknown.fetch_add(read.unknown, Ordering::Relaxed);
        self.home.import(origin, here, |taken| facts.count_late(taken));
    }

    /// Tells other nodes what this frontier gave.
    pub(super) fn export(&mut self, position: u64, to: Timestamp) {
        if self.exports.is_none() {
            return;
        }
        let export = self.home.export(to);
        let rows = export.parts.len() as u64;
        self.facts.tier.parts_out.fetch_add(rows, Ordering::Relaxed);
        self.tell(position, "", export);
        let knows = self.places.record.knows();
        // Who does not know of a move may send what this node then passes on.
        let relayed = self.home.origins.relayed_through(&knows);
        let mark = to.min(relayed).min(self.home.kept_past());
        let again = self.facts.tier.knows_again.swap(false, Ordering::AcqRel);
        if let Some(exports) = &mut self.exports {
            exports.mark(position, (mark, to), knows, again);
        }
    }

    /// Tells each member what of an export lives there, but for what is on its way; gives back what lives
    /// here.
    fn tell(&mut self, position: u64, of: &str, export: Export) -> Export {
        let leaving = lock(&self.facts.tier.released).as_ref().map(|r| Arc::clone(&r.record));
        let is_leaving = |key: &GroupKey| {
            let vshards = leaving.as_ref().map(|record| &record.vshards);
            vshards.is_some_and(|vshards| vshards.contains(vshard_of(&self.tenants, key)))
        };
        let mut dealt = export.deal(is_leaving);
        let kept = dealt.remove(&true).and_then(|leaving| self.home.keep(of, leaving));
        let staying = dealt.remove(&false).unwrap_or_default();
        kept.into_iter().for_each(|export| drop(self.pass_on(position, of, export)));
        self.pass_on(position, of, staying)
    }

    /// Tells each member what of an export lives there; gives back what lives here.
    pub(super) fn pass_on(&mut self, position: u64, of: &str, export: Export) -> Export {
        let mut dealt = export.deal(|key| self.places.elsewhere(&self.tenants, key));
        let here = dealt.remove(&None).unwrap_or_default();
        let elsewhere = dealt.into_iter().filter_map(|(member, export)| Some((member?, export)));
        let names = |id: TenantId| self.tenants.name(id);
        if let Some(exports) = &mut self.exports {
            exports.tell(position, of, elsewhere.collect(), self.home.config(), &names);
        }
        here
    }

    /// Closes what this node and all others are past.
    ///
    /// Not before every worker has said which groups it has, or they would be taken for forgotten.
    pub(super) fn close(&mut self, position: u64, replayed: bool) {
        if self.heard.contains(&false) {
            return;
        }
        let to = self.local.min(self.home.origins.complete());
        if to > self.frontier {
            while let Some((end, emissions)) = self.home.close_next(self.frontier, to) {
                let (there, all) = self.home.origins.completeness(end);
                self.facts.tier.closed(there, all);
                self.emit(position, end, emissions, replayed);
            }
            self.frontier = to;
            self.settling.push_back((position, to));
            self.facts.frontier.store(to, Ordering::Relaxed);
            self.publish_rules();
        }
        self.facts.tier.publish(self.local, &self.home.origins);
    }
}
