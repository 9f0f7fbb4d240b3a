//! The helper thread that makes segment files ahead of their use.
//!
//! Invariant: it never makes more than the quota allows; what it cannot make it tries again, so a full
//! disk that is freed needs nobody's help. Deliberately not here: recycling, which cutting does.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use crate::journal::{Shared, wait};
use crate::room::lock;
use crate::segment::create_spare;

/// How soon a full disk is asked again.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Runs until the journal is closed.
pub(crate) fn run(shared: &Arc<Shared>) {
    loop {
        let mut room = lock(&shared.room);
        while !room.closing && !room.wants_spare(&shared.bounds) {
            room = wait(&shared.spare_wanted, room);
        }
        if room.closing {
            return;
        }
        // Writing zeros takes its time, and costs more than the syncs that it saves where segments follow
        // each other quickly or one is needed soon: then one that is only allocated will do.
        let soon = room.active_left < shared.bounds.usable_bytes / 4;
        let fill = !(room.is_quick || room.spares.is_empty() && soon);
        drop(room);
        let spare = create_spare(&*shared.fs, &shared.config, shared.next_spare_number(), fill);
        let mut room = lock(&shared.room);
        shared.stats.disk_full.store(spare.is_err(), Ordering::Relaxed);
        match spare {
            Ok(spare) => room.spares.push(spare),
            Err(_) if room.closing => return,
            Err(_) => {
                let woken = shared.spare_wanted.wait_timeout(room, RETRY_AFTER);
                drop(woken.unwrap_or_else(PoisonError::into_inner));
            }
        }
    }
}
