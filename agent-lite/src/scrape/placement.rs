//! Which owner's body a target's samples go into.
//!
//! Invariant: an owner is only named where its frames are taken by somebody: whoever makes a placement
//! has seen to that. A target whose series are not all of one owner, or whose owner nobody goes to, is
//! nobody's. Owners that would have been named are remembered, so that somebody may go to them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use weir_model::{Label, LabelsBuilder};
use weir_ring::Guide;

/// Owners of targets, for as long as it is in force.
#[derive(Debug, Default)]
pub struct Placement {
    /// Differs from that of the placement before.
    version: u64,
    guide: Option<Guide>,
    /// By place among the members.
    numbers: Vec<Option<u64>>,
    wanted: Mutex<BTreeSet<u16>>,
}

/// A target's owner, as it was last looked up.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Placed {
    version: u64,
    owner: Option<u64>,
}

impl Placement {
    /// After this many others: owners by this guide, named by the numbers of members that somebody goes
    /// to.
    pub fn new(version: u64, guide: Guide, numbers: Vec<Option<u64>>) -> Self {
        Self { version, guide: Some(guide), numbers, wanted: Mutex::default() }
    }

    /// After this many others: everything is nobody's.
    pub fn none(version: u64) -> Self {
        Self { version, ..Self::default() }
    }

    /// Members that own a target and were not named.
    pub fn wanted(&self) -> BTreeSet<u16> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The owner of a target whose series have these labels, in the order of names.
    pub(super) fn owner(
        &self,
        placed: &mut Placed,
        labels: impl FnOnce() -> LabelsBuilder,
    ) -> Option<u64> {
        let guide = self.guide.as_ref()?;
        if placed.version != self.version {
            let labels = labels();
            let labels: Vec<Label<'_>> = labels.iter().collect();
            let place = guide.owner_of_target(&labels);
            *placed = Placed { version: self.version, owner: place.and_then(|at| self.number(at)) };
        }
        placed.owner
    }

    fn number(&self, place: u16) -> Option<u64> {
        let number = self.numbers.get(usize::from(place)).copied().flatten();
        if number.is_none() {
            self.wanted.lock().unwrap_or_else(PoisonError::into_inner).insert(place);
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use weir_model::ShardKey;
    use weir_ring::{Member, Owners, Table};

    use super::*;

    #[test]
    fn a_target_is_its_owners_where_somebody_goes_there() {
        let member = |name: &str| Member {
            name: name.into(),
            address: String::new(),
            push: String::new(),
            capacity: 1,
        };
        let table = Table::fill(vec![member("a"), member("b")]).unwrap();
        let guide = || Owners::of(&table, &ShardKey::default(), "anonymous").guide().unwrap();
        let of = |instance: &str| {
            let labels = [Label::new("instance", instance), Label::new("job", "node")];
            LabelsBuilder::from_labels(labels)
        };
        let labels = || of("h1:9100");
        // Virtual shard 1749, as docs/WIRE.md has it.
        let place = table.slot(weir_model::VShard(1749)).owner;
        let mut placed = Placed::default();
        assert_eq!(Placement::none(1).owner(&mut placed, labels), None);
        let first = Placement::new(2, guide(), vec![None, None]);
        assert_eq!(first.owner(&mut placed, labels), None);
        assert_eq!(first.wanted(), BTreeSet::from([place]));
        let mut numbers = vec![None, None];
        numbers[usize::from(place)] = Some(77);
        let second = Placement::new(3, guide(), numbers);
        assert_eq!(second.owner(&mut placed, labels), Some(77));
        assert_eq!(second.owner(&mut placed, || of("h2:1")), Some(77), "it is not looked up again");
        assert!(second.wanted().is_empty());
        let spread = || of("127.0.0.1:1");
        assert_eq!(second.owner(&mut Placed::default(), spread), None);
    }
}
