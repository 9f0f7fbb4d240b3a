//! How far a member has what it is told, and from where on it may need it again.
//!
//! What it has taken it needs once more if it loses its disk before the windows are delivered. Invariant:
//! what it may need is never said to be needless; after a restart of this node that is found out anew.
//! Pure.

use weir_agent_config::steps::Steps;
use weir_model::Timestamp;

/// A mark in what a member is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marked {
    pub(super) place: u64,
    /// All windows that end by then were told by there.
    pub(super) to: Timestamp,
    /// Nothing was of any that ends later.
    pub(super) frontier: Timestamp,
}

/// One member's.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// The last place that it has on disk.
    taken: u64,
    /// All windows that end by then were told by there; `None` while that is not known.
    told: Option<Timestamp>,
    /// Those that are not past all that it has delivered.
    marks: Steps<Marked>,
    /// Up to here it needs nothing any more.
    done: u64,
}

impl Progress {
    /// It says that it has come so far. Whether that is less than before: then its disk is another one.
    pub(super) fn begin(&mut self, place: u64) -> bool {
        let is_less = place < self.taken;
        if is_less {
            *self = Self { done: self.done.min(place), ..Self::default() };
        }
        self.taken = place;
        is_less
    }

    /// It has all up to `place`, and in that these marks.
    pub(super) fn take(&mut self, place: u64, marks: &[Marked]) {
        self.taken = self.taken.max(place);
        for &marked in marks {
            self.told = self.told.max(Some(marked.to));
            self.marks.push(marked);
        }
    }

    /// It has delivered all windows that end by `through`.
    pub(super) fn deliver(&mut self, through: Timestamp) {
        while let Some(marked) = self.marks.pop_if(|marked| marked.frontier <= through) {
            self.done = self.done.max(marked.place);
        }
    }

    /// All windows that end by then are told, and on its disk.
    pub(super) fn told(&self) -> Option<Timestamp> {
        self.told
    }

    /// The first place that it does not have.
    pub(super) fn untaken_from(&self) -> u64 {
        self.taken + 1
    }

    /// The first place that it may need.
    pub(super) fn needed_from(&self) -> u64 {
        self.taken.min(self.done) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(place: u64, frontier: Timestamp) -> Marked {
        Marked { place, to: frontier - 5_000, frontier }
    }

    #[test]
    fn what_is_taken_is_needed_until_its_windows_are_delivered() {
        let mut member = Progress::default();
        assert!(!member.begin(4), "before this process began");
        assert_eq!((member.told(), member.needed_from()), (None, 1));
        member.take(7, &[at(7, 10_000)]);
        member.take(12, &[at(9, 10_500), at(12, 20_000)]);
        assert_eq!((member.told(), member.untaken_from()), (Some(15_000), 13));
        member.deliver(19_999);
        assert_eq!(member.needed_from(), 10);
        member.deliver(20_000);
        assert_eq!(member.needed_from(), 13);
        assert!(!member.begin(12), "a connection broke");
        assert_eq!(member.needed_from(), 13);
    }

    #[test]
    fn a_member_that_has_lost_its_disk_gets_what_is_not_delivered() {
        let mut member = Progress::default();
        member.take(9, &[at(5, 10_000), at(9, 20_000)]);
        member.deliver(10_000);
        assert_eq!(member.needed_from(), 6);
        assert!(member.begin(0));
        assert_eq!((member.told(), member.needed_from()), (None, 1));
        member.take(9, &[at(9, 20_000)]);
        assert_eq!((member.told(), member.needed_from()), (Some(15_000), 1));
        member.deliver(20_000);
        assert_eq!(member.needed_from(), 10);
    }
}
