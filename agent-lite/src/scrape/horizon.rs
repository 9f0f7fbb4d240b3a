//! Up to which time no target brings any more samples.
//!
//! Invariant: when a horizon is read, every sample that its target has stamped at or before it has
//! been gathered for the buffer, and what comes is stamped later. A target that has ended bounds nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use weir_model::Timestamp;

/// The horizons of all targets.
#[derive(Debug, Default)]
pub(super) struct Horizons(Mutex<Vec<Weak<AtomicI64>>>);

/// The horizon of one target.
#[derive(Debug)]
pub(super) struct Horizon(Arc<AtomicI64>);

impl Horizons {
    /// A target whose first samples are stamped at `due` or later.
    pub(super) fn enter(&self, due: Timestamp) -> Horizon {
        let horizon = Arc::new(AtomicI64::new(due - EARLY_MS));
        self.lock().push(Arc::downgrade(&horizon));
        Horizon(horizon)
    }

    /// The least of all; `None` where there are none.
    pub(super) fn least(&self) -> Option<Timestamp> {
        let mut least = None;
        self.lock().retain(|horizon| {
            let horizon = horizon.upgrade().map(|horizon| horizon.load(Ordering::Acquire));
            least = [least, horizon].into_iter().flatten().min();
            horizon.is_some()
        });
        least
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Weak<AtomicI64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Horizon {
    /// All before `due` has been handed over; what comes is stamped at `due` or later.
    pub(super) fn reach(&self, due: Timestamp) {
        self.0.store(due - EARLY_MS, Ordering::Release);
    }
}

/// A timer follows the monotonic clock, and the wall clock may be a little behind it.
const EARLY_MS: i64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_target_is_the_bound_until_it_ends() {
        let all = Horizons::default();
        assert_eq!(all.least(), None);
        let (one, other) = (all.enter(1_000), all.enter(2_000));
        assert_eq!(all.least(), Some(1_000 - EARLY_MS));
        one.reach(5_000);
        assert_eq!(all.least(), Some(2_000 - EARLY_MS));
        drop(other);
        assert_eq!(all.least(), Some(5_000 - EARLY_MS));
        drop(one);
        assert_eq!(all.least(), None);
    }
}
