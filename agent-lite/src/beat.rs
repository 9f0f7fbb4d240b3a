//! The beat at which what was scraped goes to the buffer, and what is then known to be in it.
//!
//! Scrapes of a beat share a body, and with it a sync, a request and a symbol table: that is most of
//! what a scrape costs beside its parsing, and most of its bytes on the wire. The beat follows the wall
//! clock, just after the times at which windows end, so that a gateway need not wait for it.
//! Scrapes of the running beat stand in drafts meanwhile.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use weir_journal::Journal;
use weir_model::{Millis, Timestamp};
use weir_remote::destinations::now_ms;

use crate::footprint;
use crate::force::Force;

/// Every sample that is stamped here up to a time stands in the buffer before a position.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reached {
    /// Milliseconds since the epoch.
    pub through: Timestamp,
    /// Of the journal.
    pub position: u64,
}

/// Beats for ever; `told` learns of each one.
pub async fn run(force: Arc<Force>, journal: Arc<Journal>, told: watch::Sender<Reached>) {
    let mut give_back = Instant::now() + GIVE_BACK_FIRST;
    loop {
        let (every, now) = (every(&force), now_ms());
        let beat = (now.div_euclid(every.0) + 1) * every.0;
        tokio::time::sleep(Millis(beat - now + AFTER.0).to_std()).await;
        loop {
            let (reached, targets) = flush(&force, &journal);
            told.send_replace(reached);
            // A target that was due before the beat may still be being scraped. Whoever takes half a
            // beat holds windows back.
            if targets >= beat || now_ms() >= beat + every.0 / 2 {
                break;
            }
            tokio::time::sleep(RETRY).await;
        }
        if Instant::now() >= give_back {
            give_back = Instant::now() + GIVE_BACK_EVERY;
            footprint::give_back();
        }
    }
}

/// How long scrapes wait for others: as long as samples may wait for a fuller request at all
/// destinations. Rules, here as at a gateway with a short `grace`, wait for late samples from their own
/// time on.
fn every(force: &Force) -> Millis {
    let mut least = if force.rules.is_some() { BEAT_MIN } else { BEAT_MAX };
    force.destinations.each(|destination, _| {
        let deadline = destination.queue.batch_send_deadline.as_millis();
        least = least.min(Millis(i64::try_from(deadline).unwrap_or(i64::MAX)));
    });
    let whole = Millis(least.0 / 1000 * 1000);
    whole.max(BEAT_MIN)
}

/// What has reached the buffer, and up to when all targets have been scraped.
fn flush(force: &Force, journal: &Journal) -> (Reached, Timestamp) {
    // In this order: what is stamped later has a later time, what was taken has a place.
    let now = now_ms();
    let targets = force.pools.with_manager(|manager| manager.flush()).unwrap_or(now);
    if let Some(pushes) = &force.pushes {
        // It waits for a scrape of pushed groups that is under way.
        pushes.counts();
    }
    // Outputs of rules are stamped with their window's end, and leave after it.
    let closed = force.rules.as_ref().map_or(now, |(rules, _)| rules.closed_through());
    let through = targets.min(closed).min(now - 1);
    let position = journal.next_position();
    // They have waited for a fuller request already.
    force.destinations.each(|_, sender| sender.hurry(position));
    (Reached { through, position }, targets)
}

/// Most windows end at multiples of this, and outputs shall leave within three seconds of it.
const BEAT_MAX: Millis = Millis::from_secs(5);
const BEAT_MIN: Millis = Millis::from_secs(1);
/// What was due just before it is mostly scraped by then.
const AFTER: Millis = Millis(150);
const RETRY: Duration = Duration::from_millis(500);
/// When most targets have been scraped for the first time.
const GIVE_BACK_FIRST: Duration = Duration::from_secs(10);
const GIVE_BACK_EVERY: Duration = Duration::from_secs(20);
