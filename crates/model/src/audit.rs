//! The classes into which every received sample falls, exactly once.
//!
//! The decoder counts what came; shards and log count what became of it. The difference of both
//! sides, taken at one position of the log, is `weir_audit_imbalance_samples`, and is 0.

/// What became of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
pub enum Class {
    /// Answered as invalid.
    Refused = 0,
    /// Taken by at least one rule.
    Folded = 1,
    /// Taken by no rule, passed on raw.
    Passed = 2,
    /// A stale marker.
    Marker = 3,
    /// A repeat of a known (series, timestamp).
    Duplicate = 4,
    /// From the HA replica that is not in charge.
    HaLoser = 5,
    /// Behind the frontier, and not to be carried.
    Late = 6,
    /// By relabelling or a rule's wish.
    Dropped = 7,
}

/// All classes, in the order of their numbers.
pub const CLASSES: [Class; 8] = [
    Class::Refused,
    Class::Folded,
    Class::Passed,
    Class::Marker,
    Class::Duplicate,
    Class::HaLoser,
    Class::Late,
    Class::Dropped,
];

impl Class {
    /// The value of the `class` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Folded => "folded",
            Self::Passed => "passed",
            Self::Marker => "marker",
            Self::Duplicate => "duplicate",
            Self::HaLoser => "ha_loser",
            Self::Late => "late",
            Self::Dropped => "dropped",
        }
    }
}

/// Samples by class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ClassCounts([u64; CLASSES.len()]);

impl ClassCounts {
    /// Counts `samples` more of a class.
    #[inline]
    pub fn add(&mut self, class: Class, samples: u64) {
        self.0[class as usize] += samples;
    }

    /// Samples of one class.
    pub fn get(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    /// Samples of all classes.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}
