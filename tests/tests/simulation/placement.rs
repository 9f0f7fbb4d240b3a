//! Who owns what: the table of a tier whose members stay and whose virtual shards move.

use weir_aggregate::group::GroupKey;
use weir_gateway::wal::PlacementRecord;
use weir_loadgen::samples::Labels;
use weir_model::{Label, ShardKey, VShard, vshard_of_group};
use weir_ring::{Member, Table};

/// The one tenant.
pub(crate) const TENANT: &str = "anonymous";

/// The first table of so many gateways.
pub(crate) fn first_table(gateways: usize) -> Table {
    let member = |at: usize| Member {
        name: name(at),
        address: String::new(),
        push: String::new(),
        capacity: 1,
    };
    Table::fill((0..gateways).map(member).collect()).expect("few members")
}

/// A gateway's name: single digits, in the order of their numbers.
pub(crate) fn name(number: usize) -> String {
    number.to_string()
}

/// Whose a name is.
pub(crate) fn number(name: &str) -> usize {
    name.parse().expect("a gateway's name")
}

/// The owner of a virtual shard by the table.
pub(crate) fn owner(table: &Table, vshard: VShard) -> usize {
    usize::from(table.slot(vshard).owner)
}

/// The virtual shard of a series.
pub(crate) fn vshard_of_series(labels: &Labels) -> VShard {
    let sorted = labels.iter().filter(|(n, _)| *n != "__replica__");
    let sorted: Vec<Label<'_>> = sorted.map(|(n, v)| Label::new(n, v)).collect();
    ShardKey::default().vshard(TENANT, &sorted)
}

/// The virtual shard where an output group lives.
pub(crate) fn vshard_of_key(key: &GroupKey) -> VShard {
    vshard_of_group(TENANT, key.labels.iter())
}

/// Where an output group lives, as the log of `own` has it.
pub(crate) fn home_of(places: &PlacementRecord, own: usize, key: &GroupKey) -> usize {
    places.owner(usize::from(vshard_of_key(key).0)).map_or(own, number)
}
