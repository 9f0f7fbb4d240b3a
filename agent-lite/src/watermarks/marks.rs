//! From what is delivered to what is promised, for one destination.
//!
//! A mark says: every sample stamped at or before this time stands in the buffer before this
//! position. Once the destination is done with all before the position, the time is reached. Pure.

use weir_agent_config::steps::Steps;
use weir_model::Timestamp;

/// Marks that are not reached, in their order.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// A long backlog is promised in coarser steps.
    waiting: Steps<Mark>,
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
        if let Some(last) = self.waiting.last_mut().filter(|last| last.position == position) {
            // No frame came in between: the later time is as good.
            last.through = last.through.max(through);
            return;
        }
        self.waiting.push(Mark { position, through });
    }

    /// How far it has come, once everything before `done` is done; `None` where that is not known.
    pub(super) fn reach(&mut self, done: u64) -> Option<Timestamp> {
        while let Some(mark) = self.waiting.pop_if(|mark| mark.position <= done) {
            self.reached = self.reached.max(Some(mark.through));
        }
        self.reached
    }
}

#[cfg(test)]
mod tests {
    use weir_agent_config::steps::STEPS_MAX;

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
            assert!(marks.waiting.len() <= STEPS_MAX);
        }
        let reached = marks.reach(50_000);
        assert!(reached > Some(49_900) && reached <= Some(50_000), "{reached:?}");
        assert!(marks.reach(100_000) > Some(99_900));
        marks.note(100_001, 100_001);
        assert_eq!(marks.reach(100_001), Some(100_001), "and in full where there is none");
    }
}
