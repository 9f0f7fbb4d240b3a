//! Two members' tables made one.
//!
//! Invariant: of two owners of a virtual shard the later one counts, by its epoch, whoever tells of
//! it. Where epochs are equal, which only happens before members have agreed on a first table, the
//! higher version counts, then the smaller name, so that all come to the same.

use std::cmp::Reverse;

use weir_model::{VSHARDS, VShard};

use crate::table::{Member, Slot, Table};

impl Table {
    /// This table with what `other` knows better; `None` where that is nothing. Members are this
    /// table's own, and those of `other` that own something.
    pub fn merged(&self, other: &Self) -> Option<Self> {
        let mut members: Vec<Member> = self.members().to_vec();
        let mut slots: Vec<Slot> = (0..VSHARDS).map(|v| self.slot(VShard(v))).collect();
        let mut is_new = other.version() > self.version();
        for (at, slot) in slots.iter_mut().enumerate() {
            let vshard = VShard(at as u16);
            if rank(other, vshard) <= rank(self, vshard) {
                continue;
            }
            let owner = other.owner(vshard);
            let place = members.iter().position(|member| member.name == owner.name);
            let place = place.unwrap_or_else(|| {
                members.push(owner.clone());
                members.len() - 1
            });
            *slot = Slot { owner: place as u16, epoch: other.slot(vshard).epoch };
            is_new |=
                self.owner(vshard).name != owner.name || self.slot(vshard).epoch != slot.epoch;
        }
        let version = self.version().max(other.version());
        is_new.then(|| Self::from_parts(version, members, slots).ok()).flatten()
    }

    /// This version with other members: those given, and who else owns something.
    pub fn among(&self, members: &[Member]) -> Self {
        let mut all = members.to_vec();
        let mut places = vec![None; self.members().len()];
        let mut slots = Vec::with_capacity(usize::from(VSHARDS));
        for vshard in (0..VSHARDS).map(VShard) {
            let (slot, owner) = (self.slot(vshard), self.owner(vshard));
            let place = *places[usize::from(slot.owner)].get_or_insert_with(|| {
                all.iter().position(|member| member.name == owner.name).unwrap_or_else(|| {
                    all.push(owner.clone());
                    all.len() - 1
                })
            });
            slots.push(Slot { owner: place as u16, ..slot });
        }
        // Names that stand twice in `members` make no table.
        Self::from_parts(self.version(), all, slots).unwrap_or_else(|_| self.clone())
    }
}

fn rank(table: &Table, vshard: VShard) -> (u32, u64, Reverse<&str>) {
    (table.slot(vshard).epoch, table.version(), Reverse(&table.owner(vshard).name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(names: &[&str]) -> Table {
        let member = |name: &&str| Member {
            name: (*name).into(),
            address: format!("{name}:9202"),
            push: String::new(),
            capacity: 1,
        };
        Table::fill(names.iter().map(member).collect()).unwrap()
    }

    #[test]
    fn the_later_owner_counts_whoever_tells_of_it() {
        let old = table(&["a", "b", "c"]);
        let vshard = old.owned_by("a").iter().next().unwrap();
        let new = old.moved(vshard, "b").unwrap();
        let other = old.owned_by("c").iter().next().unwrap();
        let also_new = old.moved(other, "a").unwrap();
        let both = new.merged(&also_new).unwrap();
        assert_eq!(both.owner(vshard).name, "b");
        assert_eq!(both.owner(other).name, "a");
        assert_eq!(also_new.merged(&new), Some(both.clone()), "in either order");
        assert_eq!(both.merged(&old), None);
        assert_eq!(both.merged(&new), None);
        assert_eq!(old.merged(&old), None);
    }

    #[test]
    fn an_owner_that_is_not_known_here_becomes_a_member() {
        let old = table(&["a", "b"]);
        let mut members = old.members().to_vec();
        for name in ["c", "d"] {
            let address = "x:1".to_owned();
            members.push(Member { name: name.into(), address, push: String::new(), capacity: 1 });
        }
        let vshard = old.owned_by("a").iter().next().unwrap();
        let new = old.with_members(members).unwrap().moved(vshard, "d").unwrap();
        let merged = old.merged(&new).unwrap();
        let names: Vec<&str> = merged.members().iter().map(|m| m.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d"], "c owns nothing");
        assert_eq!(merged.owner(vshard).name, "d");
        assert_eq!(merged.version(), 3);
    }

    #[test]
    fn members_change_within_a_version_but_for_owners() {
        let moved = table(&["a", "b", "c"]);
        let member = |name: &str, capacity| Member {
            name: name.into(),
            address: "y:1".into(),
            push: String::new(),
            capacity,
        };
        let new = moved.among(&[member("d", 1), member("b", 7)]);
        let names: Vec<(&str, u16)> =
            new.members().iter().map(|m| (m.name.as_str(), m.capacity)).collect();
        assert_eq!(names, [("a", 1), ("b", 7), ("c", 1), ("d", 1)]);
        assert_eq!(new.version(), moved.version());
        for name in ["a", "b", "c"] {
            assert_eq!(new.owned_by(name), moved.owned_by(name));
        }
    }

    #[test]
    fn tables_of_one_epoch_come_to_the_same_in_either_order() {
        let (one, other) = (table(&["a", "b"]), table(&["b", "c"]));
        let slots = |table: Table| -> Vec<String> {
            (0..VSHARDS).map(|v| table.owner(VShard(v)).name.clone()).collect()
        };
        let together = one.merged(&other).unwrap_or(one.clone());
        let turned = other.merged(&one).unwrap_or(other.clone());
        assert_eq!(slots(together), slots(turned));
    }
}
