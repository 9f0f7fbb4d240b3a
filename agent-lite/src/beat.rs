//! The beat at which what was scraped goes to the buffer, and what is then known to be in it.
//!
//! Scrapes of a beat share a body, and with it a sync, a request and a symbol table: that is most of
//! what a scrape costs beside its parsing. A process that is killed takes the scrapes of the running
//! beat with it, as though it had been killed one beat earlier; one that is told to stop takes none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use weir_journal::Journal;
use weir_model::Timestamp;
use weir_remote::destinations::now_ms;

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
    loop {
        tokio::time::sleep(BEAT).await;
        told.send_replace(flush(&force, &journal));
    }
}

fn flush(force: &Force, journal: &Journal) -> Reached {
    // In this order: what is stamped later has a later time, what was taken has a place.
    let now = now_ms();
    let targets = force.pools.with_manager(|manager| manager.flush());
    if let Some(pushes) = &force.pushes {
        // It waits for a scrape of pushed groups that is under way.
        pushes.counts();
    }
    // Outputs of rules are stamped with their window's end, and leave after it.
    let closed = force.rules.as_ref().map_or(now, |(rules, _)| rules.closed_through());
    let through = targets.unwrap_or(now).min(closed).min(now - 1);
    Reached { through, position: journal.next_position() }
}

/// Windows may end at each second, and outputs shall leave within three of it.
const BEAT: Duration = Duration::from_secs(1);
