//! How fast a backlog is read: at most so many times as fast as it was written.
//!
//! After an outage every sender has one, and a receiver that is sized for the live load would drown
//! in them. Frames tell when they were written, so pace needs no estimate of any rate: they leave in
//! their own rhythm, only quicker. Invariant: a frame younger than [`LIVE_MS`] never waits, and time
//! in which nothing could be sent is not made up for. Time is an argument.

use weir_model::Timestamp;

use crate::outbox::Now;

/// Frames written so recently are no backlog.
pub const LIVE_MS: i64 = 30_000;
/// A frame that is so much later than its turn begins the rhythm anew.
const SLACK_MS: u64 = 1_000;

/// The rhythm of one destination's backlog.
#[derive(Debug)]
pub struct Pace {
    /// `None` where a backlog is read as fast as it goes.
    times: Option<u32>,
    /// When a frame began the rhythm, and when it was written.
    begun: Option<(u64, Timestamp)>,
}

impl Pace {
    /// At most `times` as fast as it was written; 0 is no bound.
    pub fn new(times: u32) -> Self {
        Self { times: (times > 0).then_some(times), begun: None }
    }

    /// When the next frame, written then, may leave; `None` if it may now.
    pub fn due_ms(&mut self, written_ms: Timestamp, now: Now) -> Option<u64> {
        let times = self.times?;
        if now.wall_ms.saturating_sub(written_ms) < LIVE_MS {
            self.begun = None;
            return None;
        }
        let (begun_ms, first_ms) = *self.begun.get_or_insert((now.mono_ms, written_ms));
        let written_later = u64::try_from(written_ms.saturating_sub(first_ms)).unwrap_or(0);
        let due_ms = begun_ms.saturating_add(written_later / u64::from(times));
        if due_ms.saturating_add(SLACK_MS) < now.mono_ms {
            self.begun = Some((now.mono_ms, written_ms));
        }
        (due_ms > now.mono_ms).then_some(due_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mono_ms: u64) -> Now {
        Now { mono_ms, wall_ms: 10_000_000 + mono_ms as i64 }
    }

    /// Takes frames written every 10 s from `first_ms` on, each when it is due, and returns when.
    fn drain(pace: &mut Pace, first_ms: i64, from_ms: u64, count: i64) -> Vec<u64> {
        let mut now_ms = from_ms;
        let due = (0..count).map(|number| {
            now_ms = pace.due_ms(first_ms + 10_000 * number, at(now_ms)).unwrap_or(now_ms);
            now_ms
        });
        due.collect()
    }

    #[test]
    fn a_backlog_leaves_in_its_own_rhythm_but_quicker() {
        let mut pace = Pace::new(5);
        assert_eq!(drain(&mut pace, 0, 100, 5), [100, 2100, 4100, 6100, 8100]);
        assert_eq!(drain(&mut Pace::new(0), 0, 100, 3), [100, 100, 100]);
    }

    #[test]
    fn what_is_live_does_not_wait() {
        let mut pace = Pace::new(5);
        assert_eq!(pace.due_ms(0, at(0)), None);
        assert_eq!(pace.due_ms(50_000, at(0)), Some(10_000));
        assert_eq!(pace.due_ms(10_000_000 - LIVE_MS + 1, at(0)), None);
        assert_eq!(pace.due_ms(20_000_000, at(0)), None, "a clock that was put back");
    }

    #[test]
    fn an_outage_in_the_middle_is_not_made_up_for() {
        let mut pace = Pace::new(5);
        assert_eq!(drain(&mut pace, 0, 0, 3), [0, 2000, 4000]);
        // A minute later: the next frame is overdue, and those after it keep the rhythm.
        assert_eq!(drain(&mut pace, 30_000, 64_000, 3), [64_000, 66_000, 68_000]);
    }
}
