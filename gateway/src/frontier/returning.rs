//! Targets after a time in which nobody could send: how far each has come, and whether it is there.
//!
//! A target is there if something newer of it has come lately, and has caught up once what came was no
//! older than `grace`. One that has died says nothing more, and is nobody to wait for. Invariant: pure;
//! time is an argument.

use std::collections::HashMap;

use weir_aggregate::target::Progress;
use weir_model::{Timestamp, VShard};

/// Targets that were alive when the pause began, and those that came since.
#[derive(Clone, Debug, Default)]
pub(super) struct Returning {
    seen: HashMap<(VShard, u64), Seen>,
    /// Whether it is known where they stood when they could send again.
    began: bool,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    newest: Timestamp,
    /// When something newer came, by the monotonic clock.
    moved: Option<i64>,
    caught_up: bool,
}

impl Returning {
    /// Nobody is known: all that come bring a backlog.
    pub(super) fn of_strangers() -> Self {
        Self { began: true, ..Self::default() }
    }

    /// Notes how far targets have come by now; who has come to `by_clock` has caught up.
    pub(super) fn note(&mut self, targets: &[Progress], by_clock: Timestamp, monotonic: i64) {
        let moved = self.began.then_some(monotonic);
        self.began = true;
        for &Progress { target, newest } in targets {
            let now = Seen { newest, moved, caught_up: newest >= by_clock };
            let seen = self.seen.entry(target).or_insert(now);
            if newest > seen.newest {
                *seen = Seen { caught_up: now.caught_up || seen.caught_up, ..now };
            }
        }
    }

    /// What 95 % of all targets have reached: `Timestamp::MAX` if they have caught up. `None` if there
    /// are none.
    pub(super) fn all_reached(&self) -> Option<Timestamp> {
        reached(self.seen.values())
    }

    /// The same of those that have moved since then, by the monotonic clock.
    pub(super) fn reached_since(&self, then: i64) -> Option<Timestamp> {
        reached(self.seen.values().filter(|seen| seen.moved.is_some_and(|moved| moved > then)))
    }
}

fn reached<'a>(targets: impl Iterator<Item = &'a Seen>) -> Option<Timestamp> {
    let so_far = |seen: &Seen| if seen.caught_up { Timestamp::MAX } else { seen.newest };
    let mut reached: Vec<Timestamp> = targets.map(so_far).collect();
    reached.sort_unstable();
    reached.get(reached.len() / 20).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(newest: &[Timestamp]) -> Vec<Progress> {
        let each = newest.iter().zip(0..);
        each.map(|(&newest, key)| Progress { target: (VShard(0), key), newest }).collect()
    }

    #[test]
    fn who_moves_is_there_and_who_was_in_time_once_has_caught_up() {
        let mut returning = Returning::default();
        assert_eq!(returning.all_reached(), None);
        returning.note(&at(&[100, 200, 950]), 900, 0);
        assert_eq!((returning.all_reached(), returning.reached_since(-1)), (Some(100), None));
        returning.note(&at(&[100, 300, 950]), 910, 10);
        assert_eq!((returning.all_reached(), returning.reached_since(9)), (Some(100), Some(300)));
        returning.note(&at(&[100, 920, 950]), 920, 20);
        assert_eq!(returning.reached_since(9), Some(Timestamp::MAX));
        returning.note(&at(&[100, 925, 950]), 980, 80);
        assert_eq!(returning.reached_since(79), Some(Timestamp::MAX), "scraped seldom, not behind");
        assert_eq!(returning.reached_since(80), None);
        let mut strangers = Returning::of_strangers();
        strangers.note(&at(&[100]), 900, 5);
        assert_eq!(strangers.reached_since(4), Some(100));
    }
}
