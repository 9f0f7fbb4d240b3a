//! Who owns what: the placement table of a tier whose members do not change.

use weir_aggregate::group::GroupKey;
use weir_loadgen::samples::Labels;
use weir_model::{Label, ShardKey, VSHARDS, VShard, vshard_of_group};
use weir_ring::{Member, Table};

/// The one tenant.
pub(crate) const TENANT: &str = "anonymous";

/// The owner of each virtual shard.
pub(crate) struct Placement {
    owners: Vec<usize>,
    gateways: usize,
}

impl Placement {
    /// Of so many gateways.
    pub(crate) fn new(gateways: usize) -> Self {
        let member = |at: usize| Member { name: name(at), address: String::new(), capacity: 1 };
        let table = Table::fill((0..gateways).map(member).collect()).expect("few members");
        let owner = |vshard| usize::from(table.slot(VShard(vshard)).owner);
        Self { owners: (0..VSHARDS).map(owner).collect(), gateways }
    }

    /// All gateways but one.
    pub(crate) fn others(&self, number: usize) -> impl Iterator<Item = usize> + use<> {
        (0..self.gateways).filter(move |&other| other != number)
    }

    pub(crate) fn owner(&self, vshard: VShard) -> usize {
        self.owners[usize::from(vshard.0)]
    }

    /// Where a series belongs.
    pub(crate) fn of_series(&self, labels: &Labels) -> usize {
        let sorted: Vec<Label<'_>> = labels.iter().map(|(n, v)| Label::new(n, v)).collect();
        self.owner(ShardKey::default().vshard(TENANT, &sorted))
    }

    /// Where an output group lives.
    pub(crate) fn of_group(&self, key: &GroupKey) -> usize {
        self.owner(vshard_of_group(TENANT, key.labels.iter()))
    }
}

/// A gateway's name: single digits, in the order of their numbers.
pub(crate) fn name(number: usize) -> String {
    number.to_string()
}
