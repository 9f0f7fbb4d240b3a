//! The placement table: for each virtual shard its owner and epoch.
//!
//! Invariant: members stand in the order of their names, each once; every slot names one of them. The
//! version goes up with every change, a slot's epoch with every change of its owner.

use weir_model::{VSHARDS, VShard};

use crate::owned::OwnedSet;
use crate::place::place;

/// A member of the tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where other members reach it, `host:port`.
    pub address: String,
    /// Where senders reach it, `host:port`; empty where nobody knows.
    pub push: String,
    /// Its weight; 0 for one that is being drained.
    pub capacity: u16,
}

/// Who has a virtual shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// The owner's place among the members.
    pub owner: u16,
    /// How often it has changed hands.
    pub epoch: u32,
}

/// A virtual shard that is to change hands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Move {
    /// Which.
    pub vshard: VShard,
    /// Its owner.
    pub from: String,
    /// Who is to own it.
    pub to: String,
}

/// Who owns what, all over the tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Table {
    version: u64,
    members: Vec<Member>,
    slots: Vec<Slot>,
}

/// Why there is no such table.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TableError {
    /// Nobody to own anything.
    #[error("a tier has at least one member")]
    Empty,
    /// Owners are numbered in 16 bits, and a member without a virtual shard has no use.
    #[error("{0} members; a tier has at most {VSHARDS}")]
    TooMany(usize),
    /// Two members of one name.
    #[error("the member {0:?} is listed twice")]
    Twice(String),
    /// Not one slot for each virtual shard, or an owner that is none of the members.
    #[error("slots that do not fit the members")]
    Slots,
}

impl Table {
    /// The first table of a tier.
    pub fn fill(members: Vec<Member>) -> Result<Self, TableError> {
        let members = in_order(members)?;
        let slots = place(&members).into_iter().map(|owner| Slot { owner, epoch: 1 }).collect();
        Ok(Self { version: 1, members, slots })
    }

    /// A table as it was kept: `members` in any order, `slots` with places in that order.
    pub fn from_parts(
        version: u64,
        members: Vec<Member>,
        slots: Vec<Slot>,
    ) -> Result<Self, TableError> {
        if slots.len() != usize::from(VSHARDS) {
            return Err(TableError::Slots);
        }
        let names: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
        let members = in_order(members)?;
        let place_of = |slot: Slot| {
            let name = names.get(usize::from(slot.owner))?;
            let owner = members.binary_search_by(|member| member.name.cmp(name)).ok()?;
            Some(Slot { owner: owner as u16, ..slot })
        };
        let slots = slots.into_iter().map(place_of).collect::<Option<_>>();
        Ok(Self { version, members, slots: slots.ok_or(TableError::Slots)? })
    }

    /// Goes up with every change.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How often virtual shards have changed hands in all: the sum of the epochs. It says who is ahead
    /// whatever counts versions.
    pub fn generation(&self) -> u64 {
        self.slots.iter().map(|slot| u64::from(slot.epoch)).sum()
    }

    /// All members, in the order of their names.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member's place.
    pub fn find(&self, name: &str) -> Option<u16> {
        let found = self.members.binary_search_by(|member| member.name.as_str().cmp(name));
        found.ok().map(|at| at as u16)
    }

    /// Who has a virtual shard.
    #[inline]
    pub fn slot(&self, vshard: VShard) -> Slot {
        self.slots[usize::from(vshard.0 % VSHARDS)]
    }

    /// The owner of a virtual shard.
    pub fn owner(&self, vshard: VShard) -> &Member {
        &self.members[usize::from(self.slot(vshard).owner)]
    }

    /// What a member owns; nothing, for one that is not in the table.
    pub fn owned_by(&self, name: &str) -> OwnedSet {
        let Some(at) = self.find(name) else {
            return OwnedSet::NONE;
        };
        (0..VSHARDS).map(VShard).filter(|&vshard| self.slot(vshard).owner == at).collect()
    }

    /// The next version, in which a virtual shard is another member's, with its next epoch.
    pub fn moved(&self, vshard: VShard, to: &str) -> Option<Self> {
        let owner = self.find(to)?;
        let mut next = Self { version: self.version + 1, ..self.clone() };
        let slot = next.slots.get_mut(usize::from(vshard.0))?;
        *slot = Slot { owner, epoch: slot.epoch + 1 };
        Some(next)
    }

    /// The next version, with other members: those who own something must be among them.
    pub fn with_members(&self, members: Vec<Member>) -> Result<Self, TableError> {
        let members = in_order(members)?;
        let place_of = |slot: &Slot| {
            let name = &self.members[usize::from(slot.owner)].name;
            let owner = members.binary_search_by(|member| member.name.cmp(name)).ok()?;
            Some(Slot { owner: owner as u16, ..*slot })
        };
        let slots = self.slots.iter().map(place_of).collect::<Option<_>>();
        Ok(Self { version: self.version + 1, slots: slots.ok_or(TableError::Slots)?, members })
    }
}

/// What has to change hands so that a table is as [`place`] would fill it for its members today.
pub fn plan(table: &Table) -> Vec<Move> {
    let wanted = place(&table.members);
    let name = |at: u16| table.members[usize::from(at)].name.clone();
    let moves = (0..VSHARDS).map(VShard).filter_map(|vshard| {
        let (from, to) = (table.slot(vshard).owner, wanted[usize::from(vshard.0)]);
        (from != to).then(|| Move { vshard, from: name(from), to: name(to) })
    });
    moves.collect()
}

fn in_order(mut members: Vec<Member>) -> Result<Vec<Member>, TableError> {
    members.sort_by(|a, b| a.name.cmp(&b.name));
    if members.is_empty() {
        return Err(TableError::Empty);
    }
    if members.len() > usize::from(VSHARDS) {
        return Err(TableError::TooMany(members.len()));
    }
    match members.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => Err(TableError::Twice(pair[0].name.clone())),
        None => Ok(members),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, capacity: u16) -> Member {
        Member { name: name.into(), address: format!("{name}:9202"), push: String::new(), capacity }
    }

    fn three() -> Table {
        Table::fill(vec![member("c", 1), member("a", 1), member("b", 1)]).unwrap()
    }

    #[test]
    fn every_virtual_shard_has_one_owner() {
        let table = three();
        let all: usize = ["a", "b", "c"].iter().map(|name| table.owned_by(name).len()).sum();
        assert_eq!(all, usize::from(VSHARDS));
        assert!(table.owned_by("d").is_empty());
        assert!(plan(&table).is_empty());
    }

    #[test]
    fn a_move_is_a_version_and_an_epoch() {
        let table = three();
        let vshard = table.owned_by("a").iter().next().unwrap();
        let moved = table.moved(vshard, "b").unwrap();
        assert_eq!((moved.version(), moved.slot(vshard).epoch), (2, 2));
        assert_eq!((table.generation(), moved.generation()), (4096, 4097));
        assert_eq!(moved.owner(vshard).name, "b");
        assert_eq!(plan(&moved), [Move { vshard, from: "b".into(), to: "a".into() }]);
        assert_eq!(table.moved(vshard, "d"), None);
    }

    #[test]
    fn members_come_and_go_when_they_own_nothing() {
        let table = three();
        let mut members = table.members().to_vec();
        members.push(member("d", 1));
        let wider = table.with_members(members.clone()).unwrap();
        let moves = plan(&wider);
        assert!(moves.iter().filter(|m| m.to == "d").count() >= 1000);
        members.remove(0);
        assert_eq!(wider.with_members(members), Err(TableError::Slots), "a owns something");
        let twice = vec![member("a", 1), member("a", 2)];
        assert_eq!(Table::fill(twice), Err(TableError::Twice("a".into())));
    }

    #[test]
    fn a_drained_member_owns_nothing_in_the_plan() {
        let mut members = three().members().to_vec();
        members[0].capacity = 0;
        let drained = three().with_members(members).unwrap();
        let moves = plan(&drained);
        let leaving = moves.iter().filter(|m| m.from == "a").count();
        assert_eq!(leaving, three().owned_by("a").len());
        assert!(moves.iter().all(|m| m.to != "a"));
    }

    #[test]
    fn parts_come_back_in_any_order_of_members() {
        let table = three();
        let members: Vec<Member> = table.members().iter().rev().cloned().collect();
        let slot = |v: u16| Slot { owner: 2 - table.slot(VShard(v)).owner, epoch: 1 };
        let slots = (0..VSHARDS).map(slot).collect();
        assert_eq!(Table::from_parts(1, members.clone(), slots), Ok(table));
        let bad = vec![Slot { owner: 3, epoch: 1 }; usize::from(VSHARDS)];
        assert_eq!(Table::from_parts(1, members, bad), Err(TableError::Slots));
    }
}
