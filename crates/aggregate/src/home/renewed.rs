//! After a disk was lost: what was said and told before is neither said nor counted again.
//!
//! A node that begins anew hears through when windows of its groups were delivered, and says nothing of
//! them; what it has of groups that live elsewhere it tells, for that may not have been taken. Where those
//! live it is known how far the lost directory had told. Invariant: of what a node tells again of a window,
//! the part that was told with a mark behind it stays, for it was the whole.

use weir_model::Timestamp;

use super::Home;
use super::afar::Export;

impl Home {
    /// Windows that end by then were said by another data directory: what comes of them is listened to in
    /// silence, and totals begin after them.
    pub fn stay_silent_through(&mut self, through: Timestamp) {
        self.closed_through = self.closed_through.max(through);
        self.silent_through = self.silent_through.max(through);
        for (&(_, rule), pending) in self.pending.range_mut(..=(through, u16::MAX)) {
            let home = &mut self.rules[usize::from(rule)];
            for at in pending.places() {
                let group = home.groups[at as usize].as_mut();
                if let Some(group) = group.filter(|group| group.lives_here)
                    && pending.take(at, group).is_some()
                {
                    home.forget_if_idle(at);
                }
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
    }

    /// Another node tells of this epoch. If that is not the one before, its disk is another one, and it
    /// tells anew what groups it has.
    pub fn hear_epoch(&mut self, origin: u32, epoch: u64) {
        if self.origins.begin(origin, epoch) {
            self.rules.iter_mut().for_each(|rule| rule.forget_origin(origin));
        }
    }

    /// Leaves out of what another node tells what counted before a disk was lost, wherever it lives by now:
    /// windows that this node's lost directory said, and, of what a node tells of its own (`own`), those that
    /// its lost one had told.
    pub fn leave_out_known(&self, own: Option<u32>, export: &mut Export) {
        let told = own.and_then(|own| self.origins.get(own)).map(|origin| origin.told);
        let known = told.unwrap_or(Timestamp::MIN).max(self.silent_through);
        export.parts.retain(|part| part.end > known);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_model::{Labels, TenantId};

    use super::super::afar::Part;
    use super::*;
    use crate::accumulator::Complex;
    use crate::decisions::Decisions;
    use crate::group::GroupKey;

    /// A group that had moved was told again to a member with a new disk, and that passed all of it on.
    #[test]
    fn what_was_said_before_is_not_passed_on_either() {
        let mut home = Home::new(Arc::new(Decisions::new(1, Vec::new())));
        home.stay_silent_through(20_000);
        let other = home.origins.meet("b");
        let part = |end| Part {
            rule: 0,
            end,
            key: GroupKey { tenant: TenantId(0), labels: Labels::from_sorted(&[]) },
            alive: true,
            row: Vec::new(),
            complex: Complex::default(),
        };
        let ends = |home: &Home, own| {
            let parts = [10_000, 20_000, 30_000, 40_000].map(part).into();
            let mut export = Export { parts, ..Export::default() };
            home.leave_out_known(own, &mut export);
            export.parts.iter().map(|part| part.end).collect::<Vec<_>>()
        };
        assert_eq!(ends(&home, Some(other)), [30_000, 40_000]);
        // The sender has lost its disk as well, and had told more.
        home.hear_epoch(other, 1);
        home.origins.advance(other, (1, 1), 30_000);
        home.hear_epoch(other, 2);
        assert_eq!(ends(&home, Some(other)), [40_000]);
        assert_eq!(ends(&home, None), [30_000, 40_000], "what it passes on it has from others");
    }
}
