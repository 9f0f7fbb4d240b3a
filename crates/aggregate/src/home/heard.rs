//! Parts that are in windows which closed without waiting for those whose they are.
//!
//! A member that was not waited for may have told a part of a window and not that this was all; once it is
//! back it tells the part again, and what comes after its window is carried. Invariant: what was in a window
//! is not carried into another.

use ahash::AHashSet;
use weir_model::Timestamp;

use super::Origins;
use crate::group::GroupKey;

/// A part: its origin, the window's end, the rule's place, the group.
pub(crate) type HeardPart = (u32, Timestamp, u16, GroupKey);

/// Forgotten once its origin's mark is past the window: it tells it no more.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(AHashSet<HeardPart>);

impl Heard {
    /// A window has closed with this part in it, before its origin was past the window.
    pub(crate) fn note(&mut self, part: HeardPart) {
        self.0.insert(part);
    }

    /// Whether this part is in its window.
    pub(super) fn has(&self, part: &HeardPart) -> bool {
        !self.0.is_empty() && self.0.contains(part)
    }

    /// Forgets what does not come again.
    pub(super) fn forget(&mut self, origins: &Origins) {
        let may_come = |&(origin, end, ..): &HeardPart| {
            origins.get(origin).is_some_and(|origin| origin.mark < end)
        };
        self.0.retain(may_come);
    }

    /// Rules have other places; those without one are gone.
    pub(super) fn renumber(&mut self, place: impl Fn(u16) -> Option<u16>) {
        let all = std::mem::take(&mut self.0).into_iter();
        self.0 = all.filter_map(|(o, end, rule, key)| Some((o, end, place(rule)?, key))).collect();
    }

    /// All, in an order that depends on nothing but them.
    pub(crate) fn all(&self) -> Vec<&HeardPart> {
        let mut all: Vec<&HeardPart> = self.0.iter().collect();
        all.sort_unstable_by(|a, b| {
            (a.0, a.1, a.2, a.3.tenant, &a.3.labels).cmp(&(b.0, b.1, b.2, b.3.tenant, &b.3.labels))
        });
        all
    }
}
