//! What is held for one destination: from acknowledged to released.
//!
//! A rung says that all frames before a position of the buffer were acknowledged when the gateway's log
//! reached a position of its own; once the gateway has released that one, the frames are released.
//! Invariant: every frame from [`Holding::released`] to the newest rung was acknowledged under the
//! epoch at hand. Pure: time is an argument.

use weir_agent_config::custody::{Inquiry, Standing};
use weir_agent_config::steps::Steps;
use weir_model::Timestamp;

/// The frames that one destination has acknowledged and not released.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    kept: Option<Kept>,
    rungs: Steps<Rung>,
    /// Epochs that were left behind since the process began.
    left: Vec<u64>,
}

/// What outlives the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Kept {
    /// The gateway's data directory.
    pub(super) epoch: u64,
    /// Frames before this position of the buffer are released.
    pub(super) released: u64,
    /// Windows that ended by then are delivered, milliseconds since the epoch of Unix.
    pub(super) through: Timestamp,
}

#[derive(Clone, Copy, Debug)]
struct Rung {
    received: u64,
    below: u64,
    at: Timestamp,
}

/// What follows from an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// The destination is as it was known.
    None,
    /// It keeps custody, and that is news: requests carry its epoch from here on.
    Begin(u64),
    /// Its disk is another one: what is held is to be sent again, for this epoch.
    Resend(u64),
    /// There are several behind one address: nothing is held.
    LetGo,
}

impl Holding {
    /// What a process before this one knew.
    pub(super) fn from_kept(kept: Kept) -> Self {
        Self { kept: Some(kept), ..Self::default() }
    }

    /// What outlives the process; `None` where nothing is held.
    pub(super) fn kept(&self) -> Option<Kept> {
        self.kept
    }

    /// Frames from here on are held; `None` where none are.
    pub(super) fn released(&self) -> Option<u64> {
        self.kept.map(|kept| kept.released)
    }

    /// What is to be asked.
    pub(super) fn inquiry(&self) -> Inquiry {
        self.kept.map_or_else(Inquiry::default, |Kept { epoch, through, .. }| Inquiry {
            epoch: Some(epoch),
            through,
        })
    }

    /// Takes an answer. Before it was asked for, all before `done` was acknowledged.
    pub(super) fn handle(&mut self, standing: &Standing, done: u64, now: Timestamp) -> Step {
        let epoch = standing.epoch;
        let kept = match &mut self.kept {
            // Two that answer in turn have each a part of what was acknowledged.
            _ if self.left.contains(&epoch) => return Step::LetGo,
            None => return Step::Begin(epoch),
            Some(kept) if kept.epoch != epoch => return Step::Resend(epoch),
            Some(kept) => kept,
        };
        let rung = Rung { received: standing.received, below: done, at: now };
        match self.rungs.last_mut() {
            // All that was acknowledged since stands in the log as far back.
            Some(last) if last.received == rung.received => last.below = last.below.max(done),
            Some(last) if last.below >= done => {}
            _ => self.rungs.push(rung),
        }
        while let Some(rung) = self.rungs.pop_if(|r| r.received <= standing.released) {
            kept.released = kept.released.max(rung.below);
        }
        kept.through = kept.through.max(standing.through);
        Step::None
    }

    /// From here on requests are meant for this epoch.
    pub(super) fn begin(&mut self, epoch: u64, from: u64) {
        let through = self.kept.map_or(0, |kept| kept.through);
        self.leave();
        self.kept = Some(Kept { epoch, released: from, through });
    }

    /// Nothing is held from here on; `for_good`: nor will it be at this epoch.
    pub(super) fn let_go(&mut self, for_good: bool) {
        if for_good {
            self.leave();
        }
        self.kept = None;
        self.rungs.clear();
    }

    fn leave(&mut self) {
        self.left.extend(self.kept.take().map(|kept| kept.epoch));
        // A process does not see more of them; the oldest does not come back.
        let many = self.left.len().saturating_sub(LEFT_MAX);
        self.left.drain(..many);
        self.rungs.clear();
    }

    /// Gives up what was acknowledged before this time, and all frames before `position`. How many
    /// frames that are.
    pub(super) fn give_up(&mut self, before: Timestamp, position: u64) -> u64 {
        let Some(kept) = &mut self.kept else {
            return 0;
        };
        let was = kept.released;
        while let Some(rung) = self.rungs.pop_if(|r| r.at < before || r.below <= position) {
            kept.released = kept.released.max(rung.below);
        }
        kept.released = kept.released.max(position);
        kept.released - was
    }
}

const LEFT_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(epoch: u64, received: u64, released: u64) -> Standing {
        Standing { epoch, received, released, through: i64::try_from(released).expect("small") }
    }

    /// One that knows epoch 1, from frame 100 on.
    fn begun() -> Holding {
        let mut holding = Holding::default();
        assert_eq!(holding.handle(&standing(1, 50, 40), 100, 0), Step::Begin(1));
        holding.begin(1, 100);
        holding
    }

    #[test]
    fn frames_are_released_with_the_log_that_holds_them() {
        let mut holding = begun();
        assert_eq!(holding.handle(&standing(1, 60, 50), 110, 0), Step::None);
        assert_eq!(holding.released(), Some(100), "frames to 110 may stand at 60");
        holding.handle(&standing(1, 70, 59), 120, 1);
        assert_eq!(holding.released(), Some(100));
        holding.handle(&standing(1, 80, 60), 120, 2);
        assert_eq!(holding.released(), Some(110));
        holding.handle(&standing(1, 90, 69), 120, 3);
        assert_eq!(holding.released(), Some(110), "not by others' records behind 70");
        holding.handle(&standing(1, 95, 70), 120, 4);
        assert_eq!(holding.released(), Some(120));
        assert_eq!(holding.inquiry(), Inquiry { epoch: Some(1), through: 70 });
    }

    #[test]
    fn another_disk_gets_what_is_held_and_an_old_one_that_comes_back_ends_it() {
        let mut holding = begun();
        holding.handle(&standing(1, 60, 50), 110, 0);
        assert_eq!(holding.handle(&standing(2, 3, 0), 115, 1), Step::Resend(2));
        assert_eq!(holding.inquiry().epoch, Some(1), "not before it was begun");
        holding.begin(2, 100);
        holding.handle(&standing(2, 9, 3), 105, 2);
        assert_eq!((holding.released(), holding.inquiry().through), (Some(100), 50));
        holding.handle(&standing(2, 20, 9), 115, 3);
        assert_eq!(holding.released(), Some(105));
        assert_eq!(holding.handle(&standing(1, 61, 60), 116, 4), Step::LetGo, "there are two");
        holding.let_go(true);
        assert_eq!((holding.released(), holding.inquiry()), (None, Inquiry::default()));
        assert_eq!(
            holding.handle(&standing(2, 20, 9), 120, 5),
            Step::LetGo,
            "neither of them again"
        );
        assert_eq!(holding.handle(&standing(3, 20, 9), 120, 6), Step::Begin(3));
    }

    #[test]
    fn one_that_did_not_know_the_question_for_a_while_may_keep_custody_again() {
        let mut holding = begun();
        holding.let_go(false);
        assert_eq!(holding.handle(&standing(1, 60, 50), 110, 0), Step::Begin(1));
    }

    #[test]
    fn it_gives_up_by_age_and_by_position() {
        let mut holding = begun();
        for at in 1..=5u64 {
            let (received, done) = (50 + at, 100 + 10 * at);
            holding.handle(&standing(1, received, 0), done, i64::try_from(at).expect("small"));
        }
        assert_eq!((holding.give_up(3, 0), holding.released()), (20, Some(120)));
        assert_eq!((holding.give_up(0, 135), holding.released()), (15, Some(135)));
        holding.handle(&standing(1, 60, 53), 150, 9);
        assert_eq!(holding.released(), Some(135), "what is given up is not taken back");
        holding.handle(&standing(1, 60, 54), 150, 9);
        assert_eq!(holding.released(), Some(140));
    }
}
