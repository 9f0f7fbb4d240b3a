//! What waits for a window to close: by group what this node has, and what others have.
//!
//! Parts are set, not added: a newer one of the same origin takes the older one's place. They are
//! merged when the window closes, this node's first and then in the order of the origins' numbers, so
//! that the order in which they came changes no bit of a sum.

use ahash::AHashMap;
use weir_model::mutation::{self, Mutation};

use super::{HomeGroup, HomeRule};
use crate::accumulator::{Complex, Layout};

/// A partial of one group and window.
#[derive(Clone, Debug)]
pub(crate) struct PendingRow {
    pub(crate) alive: bool,
    pub(crate) row: Vec<f64>,
    pub(crate) complex: Complex,
}

impl PendingRow {
    /// One into which nothing was folded.
    pub(crate) fn untouched(layout: &Layout) -> Self {
        let mut row = vec![0.0; layout.stride()];
        layout.reset(&mut row);
        Self { alive: false, row, complex: Complex::default() }
    }

    pub(super) fn merge(&mut self, layout: &Layout, other: Self) {
        self.alive |= other.alive;
        layout.merge(&mut self.row, &other.row);
        self.complex.merge(other.complex);
    }
}

/// All partials of one group and window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    local: Option<PendingRow>,
    /// By the number of the origin, ascending.
    afar: Vec<(u32, PendingRow)>,
}

impl Waiting {
    /// This node's, untouched if there was none.
    pub(crate) fn local(&mut self, layout: &Layout) -> &mut PendingRow {
        self.local.get_or_insert_with(|| PendingRow::untouched(layout))
    }

    /// Sets what an origin has.
    pub(crate) fn set(&mut self, origin: u32, layout: &Layout, part: PendingRow) {
        match self.afar.binary_search_by_key(&origin, |&(other, _)| other) {
            Ok(at) if mutation::is(Mutation::PartAdded) => self.afar[at].1.merge(layout, part),
            Ok(at) => self.afar[at].1 = part,
            Err(at) => self.afar.insert(at, (origin, part)),
        }
    }

    /// All of it, in the order in which it is merged; this node's has no origin.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Option<u32>, &PendingRow)> {
        let local = self.local.iter().map(|row| (None, row));
        local.chain(self.afar.iter().map(|(origin, row)| (Some(*origin), row)))
    }

    /// Whose parts are in it, this node left out.
    pub(crate) fn origins(&self) -> impl Iterator<Item = u32> {
        self.afar.iter().map(|(origin, _)| *origin)
    }

    /// Samples of this node that were folded into it.
    pub(crate) fn local_samples(&self) -> u64 {
        self.local.as_ref().map_or(0, |part| part.row[0] as u64)
    }

    /// The whole of it.
    pub(crate) fn merged(self, layout: &Layout) -> PendingRow {
        let mut parts = self.local.into_iter().chain(self.afar.into_iter().map(|(_, row)| row));
        let mut all = parts.next().unwrap_or_else(|| PendingRow::untouched(layout));
        parts.for_each(|part| all.merge(layout, part));
        all
    }
}

/// What waits for one window of one rule, by the group's place.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    rows: AHashMap<u32, Waiting>,
}

impl Pending {
    /// What waits for a group, which is not forgotten while it does.
    pub(crate) fn of(&mut self, at: u32, rule: &mut HomeRule) -> &mut Waiting {
        self.rows.entry(at).or_insert_with(|| {
            rule.begin_to_wait(at);
            Waiting::default()
        })
    }

    /// Takes what waits for a group.
    pub(crate) fn take(&mut self, at: u32, group: &mut HomeGroup) -> Option<Waiting> {
        let waiting = self.rows.remove(&at)?;
        group.pending = group.pending.saturating_sub(1);
        Some(waiting)
    }

    /// The places of groups for which something waits, ascending.
    pub(crate) fn places(&self) -> Vec<u32> {
        let mut places: Vec<u32> = self.rows.keys().copied().collect();
        places.sort_unstable();
        places
    }

    /// What waits for a group, to be looked at.
    pub(crate) fn get(&self, at: u32) -> Option<&Waiting> {
        self.rows.get(&at)
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
