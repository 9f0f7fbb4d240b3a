//! From what is delivered to what is promised, for one destination.
//!
//! A mark says: every sample stamped at or before this time stands in the buffer before this
//! position. Once the destination is done with all before the position, the time is reached. Pure.

use std::collections::VecDeque;

use weir_model::Timestamp;

/// Marks that are not reached, in their order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    waiting: VecDeque<Mark>,
    /// One in so many is kept, and how many were left out since.
    stride: u32,
    skipped: u32,
    reached: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    position: u64,
    through: Timestamp,
}

impl Marks {
    /// Every sample up to `through` stands before `position`.
    pub(super) fn note(&mut self, position: u64, through: Timestamp) {
        if let Some(last) = self.waiting.back_mut().filter(|last| last.position == position) {
            // No frame came in between: the later time is as good.
            last.through = last.through.max(through);
            return;
        }
        self.skipped += 1;
        if self.skipped < self.stride {
            return;
        }
        self.skipped = 0;
        self.waiting.push_back(Mark { position, through });
        if self.waiting.len() > MARKS_MAX {
            // A long backlog is promised in coarser steps.
            let mut keep = false;
            self.waiting.retain(|_| {
                keep = !keep;
                !keep
            });
            self.stride = self.stride.max(1) * 2;
        }
    }

    /// How far it has come, once everything before `done` is done; `None` where that is not known.
    pub(super) fn reach(&mut self, done: u64) -> Option<Timestamp> {
        while let Some(mark) = self.waiting.front().filter(|mark| mark.position <= done) {
            self.reached = self.reached.max(Some(mark.through));
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() {
            self.stride = 1;
        }
        self.reached
    }
}

/// One every quarter of a second: a quarter of an hour in full.
const MARKS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_reached_when_all_before_its_position_is_done() {
        let mut marks = Marks::default();
        assert_eq!(marks.reach(100), None, "nothing is known yet");
        marks.note(5, 1_000);
        marks.note(5, 1_250);
        marks.note(8, 1_500);
        assert_eq!(marks.reach(4), None);
        assert_eq!(marks.reach(5), Some(1_250));
        assert_eq!(marks.reach(7), Some(1_250));
        assert_eq!(marks.reach(9), Some(1_500));
        marks.note(9, 1_400);
        assert_eq!(marks.reach(9), Some(1_500), "a clock that was set back takes nothing back");
    }

    #[test]
    fn a_long_backlog_is_kept_in_coarser_steps() {
        let mut marks = Marks::default();
        for at in 1..=100_000 {
            marks.note(at, i64::try_from(at).expect("small"));
            assert!(marks.waiting.len() <= MARKS_MAX);
        }
        let reached = marks.reach(50_000);
        assert!(reached > Some(49_900) && reached <= Some(50_000), "{reached:?}");
        assert!(marks.reach(100_000) > Some(99_900));
        marks.note(100_001, 100_001);
        assert_eq!(marks.reach(100_001), Some(100_001), "and in full where there is none");
    }
}
