//! A virtual shard changes hands: its series leave this worker as bytes, and nothing of them stays.
//!
//! They are taken in elsewhere, or here again, frontier, bases and open windows included.

use weir_model::{TenantId, VShard};

use crate::shard::Shard;
use crate::snapshot::RestoreError;

impl Shard {
    /// Gives a virtual shard away: its state, and this worker forgets it. `None` if it had none. News
    /// and closings must have been taken; those of the groups that go follow.
    pub fn give_away(&mut self, vshard: VShard) -> Option<Vec<u8>> {
        let state = self.snapshot(vshard)?;
        let at = usize::from(vshard.0);
        let mut shard = self.vshards[at].take()?;
        let rules = self.config.rules.len().min(shard.cells.len());
        for rule in 0..rules {
            let layout = self.config.rules[rule].layout.clone();
            let Some(cells) = shard.cells[rule].as_deref_mut() else {
                continue;
            };
            cells.forget_windows();
            let mut freed = Vec::new();
            cells.free_idle(&layout, &mut freed);
            freed.into_iter().for_each(|group| self.release_group(rule as u16, group));
        }
        let series: Vec<u32> = shard.live_series().collect();
        self.vshards[at] = Some(shard);
        series.into_iter().for_each(|series| self.forget(vshard, series));
        self.vshards[at] = None;
        Some(state)
    }

    /// Takes virtual shards over, or back: as [`Shard::restore`], for a worker at work. What it has passed
    /// while the states were on their way closes then, once all are in: a group's number that this sets
    /// free may not be another's before its windows are taken. `refused` hears of those that cannot be read.
    /// News and closings are to be taken.
    pub fn take_over<'a>(
        &mut self,
        states: impl Iterator<Item = (VShard, &'a [u8])>,
        tenant: &mut dyn FnMut(&str) -> TenantId,
        mut refused: impl FnMut(VShard, RestoreError),
    ) {
        let mut passed = Vec::new();
        for (vshard, bytes) in states {
            let frontier = self.frontiers[usize::from(vshard.0)];
            match self.restore(vshard, bytes, tenant) {
                Ok(()) => passed.push((vshard, frontier)),
                Err(why) => refused(vshard, why),
            }
        }
        for (vshard, frontier) in passed {
            self.handle_frontier(std::iter::once(vshard), frontier);
        }
    }
}
