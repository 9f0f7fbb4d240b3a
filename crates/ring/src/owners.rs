//! What a tier tells its senders: whose a series is, and where that member takes requests.
//!
//! A gateway of a tier names the text by [`OWNERS_HEADER`] in each of its answers; a sender that knows
//! another one fetches it from [`OWNERS_PATH`] and goes to the owners directly. Invariant: a series has
//! the owner that the gateways give it, for shard key and table are theirs. Where a sender is wrong, or
//! late, its request is sent on: nothing depends on this text but the way.

use serde::{Deserialize, Serialize};
use weir_model::{Label, ShardKey};

use crate::runs::{runs, spread};
use crate::table::Table;

/// Where a sender gets it: GET, with the credentials and the tenant that it sends samples with.
pub const OWNERS_PATH: &str = "/api/v1/agents/owners";

/// Names the text that is in force: `generation-hash`.
pub const OWNERS_HEADER: &str = "x-weir-owners";

/// Whose every series of one tenant is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Owners {
    /// [`Table::generation`]: the higher one is the newer.
    pub generation: u64,
    /// The tenant that the asking sender's samples belong to.
    pub tenant: String,
    /// [`ShardKey::labels`].
    pub labels: Vec<String>,
    /// [`ShardKey::replica_label`].
    pub replica_label: String,
    /// [`ShardKey::split`].
    pub split: Vec<Vec<String>>,
    /// All members.
    pub members: Vec<Door>,
    /// Runs of virtual shards of one owner, a place among the members, from virtual shard 0 on.
    pub owners: Vec<(u16, u16)>,
}

/// Where a member takes requests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Door {
    /// The member's name.
    pub name: String,
    /// `host:port`; empty where nobody knows.
    pub push: String,
}

/// [`Owners`], made ready to be asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guide {
    owners: Owners,
    key: ShardKey,
    slots: Vec<u16>,
}

impl Owners {
    /// What a table says, to a sender of this tenant.
    pub fn of(table: &Table, key: &ShardKey, tenant: &str) -> Self {
        let door = |m: &crate::Member| Door { name: m.name.clone(), push: m.push.clone() };
        let slots = (0..weir_model::VSHARDS).map(|v| table.slot(weir_model::VShard(v)).owner);
        Self {
            generation: table.generation(),
            tenant: tenant.to_owned(),
            labels: key.labels.clone(),
            replica_label: key.replica_label.clone(),
            split: key.split.clone(),
            members: table.members().iter().map(door).collect(),
            owners: runs(slots),
        }
    }

    /// Checks it; `None` where it does not say of every virtual shard whose it is.
    pub fn guide(self) -> Option<Guide> {
        let slots = spread(&self.owners)?;
        let is_known = |&owner: &u16| usize::from(owner) < self.members.len();
        let key = ShardKey {
            labels: self.labels.clone(),
            replica_label: self.replica_label.clone(),
            split: self.split.clone(),
        };
        slots.iter().all(is_known).then_some(Guide { owners: self, key, slots })
    }
}

impl Guide {
    /// The text that it was made of.
    pub fn text(&self) -> &Owners {
        &self.owners
    }

    /// All members.
    pub fn doors(&self) -> &[Door] {
        &self.owners.members
    }

    /// The owner of a series, as a place among the members. `sorted` must be in the order of names.
    pub fn owner(&self, sorted: &[Label<'_>]) -> u16 {
        let vshard = self.key.vshard(&self.owners.tenant, sorted);
        self.slots.get(usize::from(vshard.0)).copied().unwrap_or_default()
    }

    /// The owner of all series of a target, whose labels these are; `None` where they are spread. In
    /// the order of names.
    pub fn owner_of_target(&self, sorted: &[Label<'_>]) -> Option<u16> {
        let value = |name: &String| sorted.iter().find(|l| l.name == name).map(|l| l.value);
        let values: Option<Vec<&str>> = self.key.labels.iter().map(value).collect();
        values.filter(|values| self.key.is_target(values)).map(|_| self.owner(sorted))
    }

    /// Whether this member owns anything.
    pub fn is_owner(&self, place: u16) -> bool {
        self.slots.contains(&place)
    }
}

#[cfg(test)]
mod tests {
    use weir_model::VShard;

    use super::*;
    use crate::Member;

    fn table() -> Table {
        let member = |name: &str| Member {
            name: name.into(),
            address: format!("{name}:9202"),
            push: format!("{name}:9201"),
            capacity: 1,
        };
        Table::fill(vec![member("a"), member("b"), member("c")]).unwrap()
    }

    fn guide() -> Guide {
        Owners::of(&table(), &ShardKey::default(), "anonymous").guide().unwrap()
    }

    /// The virtual shards of `docs/WIRE.md`: 1749 by target, 3368 by label set.
    #[test]
    fn a_series_is_whose_its_virtual_shard_is() {
        let guide = guide();
        let name = |place: u16| guide.doors()[usize::from(place)].name.clone();
        let target = [("__name__", "up"), ("instance", "h1:9100"), ("job", "node")]
            .map(|(n, v)| Label::new(n, v));
        assert_eq!(name(guide.owner(&target)), table().owner(VShard(1749)).name);
        assert_eq!(guide.owner_of_target(&target), Some(guide.owner(&target)));
        let alone = [("__name__", "up"), ("job", "node")].map(|(n, v)| Label::new(n, v));
        assert_eq!(name(guide.owner(&alone)), table().owner(VShard(3368)).name);
        assert_eq!(guide.owner_of_target(&alone), None, "no instance");
        let local =
            [("instance", "localhost:9100"), ("job", "node")].map(|(n, v)| Label::new(n, v));
        assert_eq!(guide.owner_of_target(&local), None, "the same on every host");
    }

    #[test]
    fn what_does_not_say_whose_everything_is_is_no_guide() {
        let good = Owners::of(&table(), &ShardKey::default(), "t");
        assert!(good.clone().guide().is_some());
        for owners in [vec![], vec![(4095, 0)], vec![(4096, 3)], vec![(4096, 0), (1, 0)]] {
            assert_eq!(Owners { owners, ..good.clone() }.guide(), None);
        }
    }
}
