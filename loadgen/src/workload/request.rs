//! What the next request of a slot is.
//!
//! A slot is a place in the round: the same series each time, with the same replica. Invariant: a
//! [`Request`] says all that its samples depend on besides workload and seed, so whoever keeps it
//! can have its samples again.

use super::Workload;
use super::mishaps::Malformed;
use crate::seed::Purpose;

/// One request's samples, told by few numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Request {
    /// Its number in the run. Its slot is this modulo [`Workload::slots`].
    pub number: u64,
    /// Timestamp in milliseconds, by a right clock.
    pub time: i64,
    /// Timestamp of the slot's samples before. A target that was replaced since ends in this
    /// request: its series get stale markers.
    pub since: i64,
}

/// A request, and what is done with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// What is in it.
    pub request: Request,
    /// It is sent a second time once it was acknowledged.
    pub repeats: bool,
    /// It is broken before it is sent.
    pub malformed: Option<Malformed>,
}

/// What a slot remembers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// The two newest timestamps, the newer one first.
    stamps: Option<(i64, i64)>,
}

impl Slot {
    /// The slot's next request, due at this time (milliseconds since the epoch). None while its
    /// replica is away.
    pub fn step(&mut self, workload: &Workload, number: u64, due: i64) -> Option<Step> {
        let (seed, shape) = (workload.seed(), workload.shape());
        let slot = number % workload.slots();
        let (block, replica) = workload.place(slot);
        if shape.replicas.is_away(seed, replica, block, due) {
            return None;
        }
        let happens = |share, purpose| seed.happens(share, purpose, number, 0);
        let mishaps = &shape.mishaps;
        let repeats = happens(mishaps.duplicates, Purpose::Duplicate);
        let malformed = happens(mishaps.malformed, Purpose::Malformed)
            .then(|| Malformed::of(seed.number(Purpose::Malformed, number, 1)));
        let mut time = due - shape.replicas.behind(replica);
        if let Some((since, before)) = self.stamps {
            time = time.max(since + 1);
            let between = before + (since - before) / 2;
            if between > before && happens(mishaps.out_of_order, Purpose::OutOfOrder) {
                let request = Request { number, time: between, since: before };
                return Some(Step { request, repeats, malformed });
            }
        }
        if happens(mishaps.late, Purpose::Late) {
            let time = time - mishaps.late_by;
            return Some(Step {
                request: Request { number, time, since: time },
                repeats,
                malformed,
            });
        }
        let since = self.stamps.map_or(time, |(since, _)| since);
        if malformed.is_none() {
            self.stamps = Some((time, since));
        }
        Some(Step { request: Request { number, time, since }, repeats, malformed })
    }
}
