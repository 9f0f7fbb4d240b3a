//! From the log's end to what has left: how far all that the log holds is out, windows and all.
//!
//! A rung says that the log reaches a position, and that no sample in it is newer than a time. Once
//! the frontier has closed every window that such a sample can have fed, what those windows say stands
//! in the queue before some place; once every destination is done up to that place, the rung's
//! position is released. Invariant: it errs on the side of not released. Pure.

use weir_agent_config::steps::Steps;
use weir_model::Timestamp;

/// How far the emitter has come: all of the log up to a position has said what it had to say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settled {
    /// The position of a record that closed windows, or moved the frontier.
    pub position: u64,
    /// That frontier: every window that ended by then has been said.
    pub frontier: Timestamp,
    /// All that was said stands in the queue before this place.
    pub queue_end: u64,
}

/// Rungs that wait for their windows, then for destinations.
#[derive(Debug, Default)]
pub struct Ladder {
    rungs: Steps<Rung>,
    leaving: Steps<Leaving>,
    closed: u64,
    settled: Settled,
    released: u64,
    through: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Rung {
    position: u64,
    newest: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Leaving {
    queue_end: u64,
    position: u64,
    through: Timestamp,
}

impl Ladder {
    /// The log reaches `position`, and nothing in it belongs into a window that begins at or after
    /// `newest`.
    pub fn note(&mut self, position: u64, newest: Timestamp) {
        if self.rungs.last_mut().is_some_and(|last| last.position == position) {
            return;
        }
        self.rungs.push(Rung { position, newest });
    }

    /// The emitter has come so far; what is older than `complete` is of no use to any window that is
    /// still to close.
    pub fn settle(&mut self, settled: Settled, complete: Timestamp) {
        if settled.position <= self.settled.position {
            return;
        }
        self.settled = settled;
        let is_closed =
            |rung: &mut Rung| rung.position <= settled.position && rung.newest < complete;
        while let Some(rung) = self.rungs.pop_if(is_closed) {
            self.closed = rung.position;
        }
        let (position, queue_end) = (self.closed, settled.queue_end);
        self.leaving.push(Leaving { queue_end, position, through: settled.frontier });
    }

    /// All of the queue before `queue_done` is out.
    pub fn deliver(&mut self, queue_done: u64) {
        while let Some(left) = self.leaving.pop_if(|l| l.queue_end <= queue_done) {
            self.released = self.released.max(left.position);
            self.through = self.through.max(left.through);
        }
    }

    /// All of the log up to here is out; 0 while that is not known.
    pub fn released(&self) -> u64 {
        self.released
    }

    /// Every window that ended by then is out; 0 while that is not known.
    pub fn through(&self) -> Timestamp {
        self.through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(position: u64, frontier: Timestamp, queue_end: u64) -> Settled {
        Settled { position, frontier, queue_end }
    }

    #[test]
    fn a_position_is_released_when_its_windows_are_closed_and_delivered() {
        let mut ladder = Ladder::default();
        ladder.note(10, 5_000);
        ladder.settle(settled(9, 9_000, 100), 9_000);
        ladder.deliver(100);
        assert_eq!(ladder.released(), 0, "the emitter is not there yet");
        assert_eq!(ladder.through(), 9_000, "but windows are out");
        ladder.settle(settled(11, 10_000, 105), 5_000);
        ladder.deliver(105);
        assert_eq!(ladder.released(), 0, "a window that begins at 5000 is open");
        ladder.settle(settled(12, 11_000, 110), 5_001);
        ladder.deliver(109);
        assert_eq!((ladder.released(), ladder.through()), (0, 10_000), "not delivered");
        ladder.deliver(110);
        assert_eq!((ladder.released(), ladder.through()), (10, 11_000));
    }

    #[test]
    fn an_earlier_rung_does_not_wait_for_a_later_one() {
        let mut ladder = Ladder::default();
        ladder.note(10, 5_000);
        ladder.note(20, 605_000);
        ladder.note(30, 605_000);
        ladder.settle(settled(40, 30_000, 7), 20_000);
        ladder.deliver(7);
        assert_eq!(ladder.released(), 10);
        ladder.settle(settled(50, 700_000, 8), 690_000);
        ladder.deliver(8);
        assert_eq!(ladder.released(), 30);
    }
}
