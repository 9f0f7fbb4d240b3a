//! A virtual shard changes hands: its series leave this worker as bytes, and nothing of them stays.
//!
//! [`crate::shard::Shard::restore`] takes them in elsewhere, frontier, bases and open windows included.

use weir_model::VShard;

use crate::shard::Shard;

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
}
