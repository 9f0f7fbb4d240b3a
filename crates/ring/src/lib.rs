//! Which member of a tier owns a virtual shard.
//!
//! A [`Table`] says it for all of them, with an epoch for each that goes up with every change of
//! owner; [`place`] fills one from members and capacities, [`plan`] says what would have to move for
//! other members, [`Table::merged`] makes one of two; [`Owners`] is what senders are told. Invariant: all is a function of its arguments, and
//! integers only, so gateways, agents and tools that hold the same table give the same answer. How
//! tables are kept and agreed on is not decided here.

mod merge;
mod owned;
mod owners;
mod place;
mod runs;
mod table;

pub use owned::{OwnedSet, SetError};
pub use owners::{Door, Guide, OWNERS_HEADER, OWNERS_PATH, Owners};
pub use place::{place, score};
pub use runs::{runs, spread};
pub use table::{Member, Move, Slot, Table, TableError, plan};
