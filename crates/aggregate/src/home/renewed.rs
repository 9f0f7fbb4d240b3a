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

    /// Leaves out of what a node tells of its own what it had told before its disk was lost.
    pub fn leave_out_told(&self, origin: u32, export: &mut Export) {
        if let Some(origin) = self.origins.get(origin) {
            export.parts.retain(|part| part.end > origin.told);
        }
    }
}
