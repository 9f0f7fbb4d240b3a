//! What agents may forget: how far all that they were told is on this disk has left it again.
//!
//! Agents keep what they have sent until it is released, and send it again where the epoch shows that
//! the disk is another one. Invariants: the epoch is made with the data directory and goes with it; a
//! position is released only when what the log holds up to there is of no use to any window to come,
//! and all that it said is out. A directory that was just made says nothing of windows which agents
//! know to be delivered, or other members: they were told so by the one before, and its values differ.
//! What is known of positions is in memory; after a restart it is found out anew. Agents are not told apart.
//!
//! In a tier nothing is released that other members have not delivered: parts of it are theirs. What came
//! with virtual shards that were taken over no agent keeps for this node, so until it is out custody is
//! not kept.

mod answer;
mod ladder;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use weir_aggregate::decisions::Decisions;
use weir_journal::fs::Fs;
use weir_journal::{IoError, Ledger};
use weir_model::{Millis, Timestamp};
use weir_telemetry::Scrape;

pub use answer::{handle, keep_looking};
pub use ladder::{Ladder, Settled};

use crate::shard::worker::lock;

/// The epoch, and how far everything is out.
#[derive(Debug)]
pub struct Custody {
    epoch: u64,
    /// No sample in the log is newer.
    newest: AtomicI64,
    /// Requests that were meant for another epoch.
    turned_away: AtomicU64,
    /// Requests with what agents keep for another member.
    elsewhere: AtomicU64,
    /// Questions that were answered so that nothing is kept, for what was taken over is not out.
    not_kept: AtomicU64,
    /// What was taken over came up to this position of the log; 0 where all of it is out.
    adopted: AtomicU64,
    /// An agent brings what the directory before this one had, and the frontier does not know yet.
    returning: AtomicBool,
    ladder: Mutex<Ladder>,
    silence: Mutex<Silence>,
}

/// Windows that this directory says nothing of.
#[derive(Debug)]
struct Silence {
    ledger: Ledger,
    /// They ended by then; 0 for none.
    through: Timestamp,
    /// More of them may be named while the frontier is no further than here.
    open_to: Timestamp,
    frontier: Timestamp,
}

/// A moment of a running gateway.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The log is durable up to here.
    pub durable: u64,
    /// The log's last position, read before the others.
    pub last: u64,
    /// The last frontier that was submitted.
    pub frontier: Timestamp,
    /// How far the emitter has come.
    pub settled: Settled,
    /// What is older is of no use to any window to come.
    pub complete: Timestamp,
    /// The queue is out before this place.
    pub queue_done: u64,
}

impl Custody {
    /// Reads the epoch of the data directory, or gives it one.
    pub fn open(fs: &dyn Fs, dir: &Path) -> Result<Self, IoError> {
        let mut ledger = Ledger::open(fs, dir, LEDGER)?;
        let mut known = ledger.load().clone();
        if !known.contains_key(EPOCH) {
            known.insert(EPOCH.to_owned(), RandomState::new().hash_one(dir));
            ledger.store(&known)?;
        }
        let number = |name: &str| known.get(name).copied().unwrap_or_default();
        let through = Timestamp::try_from(number(SILENT)).unwrap_or_default();
        let open_to = Timestamp::MIN;
        let silence = Silence { ledger, through, open_to, frontier: Timestamp::MIN };
        Ok(Self {
            epoch: number(EPOCH),
            newest: AtomicI64::new(Timestamp::MIN),
            turned_away: AtomicU64::new(0),
            elsewhere: AtomicU64::new(0),
            not_kept: AtomicU64::new(0),
            adopted: AtomicU64::new(if is_out(&known) { 0 } else { number(ADOPTED) }),
            returning: AtomicBool::new(false),
            ladder: Mutex::default(),
            silence: Mutex::new(silence),
        })
    }

    /// The number of this data directory.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Windows that ended by then are not said; 0 for none.
    pub fn silent_through(&self) -> Timestamp {
        lock(&self.silence).through
    }

    /// A directory that has no frontier yet: agents may name delivered windows while it is no further
    /// than here.
    pub fn begin_at(&self, frontier: Timestamp) {
        lock(&self.silence).open_to = frontier;
    }

    /// Samples up to this time are about to be logged.
    pub fn stamp(&self, newest: Timestamp) {
        self.newest.fetch_max(newest, Ordering::AcqRel);
    }

    /// A frontier is about to be logged: what ends by then is closed.
    pub fn pass(&self, frontier: Timestamp) {
        let mut silence = lock(&self.silence);
        silence.frontier = silence.frontier.max(frontier);
    }

    /// A request is meant for another epoch.
    pub fn turn_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// A request is here whose sender keeps it for another member.
    pub fn note_elsewhere(&self) {
        self.elsewhere.fetch_add(1, Ordering::Relaxed);
    }

    /// Virtual shards were taken over, up to this position of the log.
    pub fn adopt(&self, position: u64) -> Result<(), IoError> {
        let mut silence = lock(&self.silence);
        let mut known = silence.ledger.load().clone();
        if known.get(ADOPTED_OUT).is_some_and(|&out| position <= out) {
            return Ok(());
        }
        let position = position.max(self.adopted.fetch_max(position, Ordering::AcqRel));
        known.insert(ADOPTED.to_owned(), position);
        silence.ledger.store(&known)
    }

    /// Remembers that what was taken over is out, where it is: after a restart nothing is known to be released.
    fn note_adopted_out(&self, released: u64) {
        let mut silence = lock(&self.silence);
        let adopted = self.adopted.load(Ordering::Acquire);
        if adopted == 0 || adopted > released {
            return;
        }
        let mut known = silence.ledger.load().clone();
        known.insert(ADOPTED_OUT.to_owned(), adopted);
        match silence.ledger.store(&known) {
            Ok(()) => self.adopted.store(0, Ordering::Release),
            Err(why) => tracing::warn!(%why, "it cannot be stored that what was taken over is out"),
        }
    }

    /// What was taken over is not released with this position.
    pub fn awaits_adopted(&self, released: u64) -> Option<u64> {
        let adopted = self.adopted.load(Ordering::Acquire);
        let awaits = adopted > released;
        self.not_kept.fetch_add(u64::from(awaits), Ordering::Relaxed);
        awaits.then_some(adopted)
    }

    /// An agent of another epoch comes, under which windows were delivered through this time. `tell`
    /// is given the time where it is news, before the frontier can pass it.
    pub fn handle_return(
        &self,
        through: Timestamp,
        tell: impl FnOnce(Timestamp),
    ) -> Result<(), IoError> {
        if self.hear_delivered(through, tell)? {
            self.returning.store(true, Ordering::Release);
        }
        Ok(())
    }

    /// Another member knows that under another epoch windows were delivered through this time. Whether it
    /// may still be named.
    pub fn hear_delivered(
        &self,
        through: Timestamp,
        tell: impl FnOnce(Timestamp),
    ) -> Result<bool, IoError> {
        let mut silence = lock(&self.silence);
        if silence.frontier > silence.open_to.max(silence.through) {
            return Ok(false);
        }
        if through > silence.through {
            let mut known = silence.ledger.load().clone();
            known.insert(SILENT.to_owned(), through.unsigned_abs());
            silence.ledger.store(&known)?;
            silence.through = through;
            tell(through);
        }
        Ok(true)
    }

    /// Whether an agent has come back since this was asked last.
    pub fn take_return(&self) -> bool {
        self.returning.swap(false, Ordering::AcqRel)
    }

    /// What may be forgotten at this moment: positions of the log, and delivered windows.
    pub fn look(&self, moment: &Moment) -> (u64, Timestamp) {
        let (released, through) = {
            let mut ladder = lock(&self.ladder);
            // In this order: whatever is in the log up to `last` was stamped before it got there.
            let newest = self.newest.load(Ordering::Acquire).max(moment.frontier);
            ladder.note(moment.last, newest);
            ladder.settle(moment.settled, moment.complete);
            ladder.deliver(moment.queue_done);
            (ladder.released(), ladder.through())
        };
        self.note_adopted_out(released);
        (released, through)
    }

    /// Every window that ended by then is delivered, as it was found last; 0 while that is not known.
    pub fn through(&self) -> Timestamp {
        lock(&self.ladder).through()
    }

    /// Adds its metrics to a scrape.
    pub fn collect(&self, scrape: &mut Scrape) {
        let name = "weir_custody_released_position";
        let help = "Position of the log up to which everything has left, as agents were last told.";
        scrape.gauge(name, help, &[], lock(&self.ladder).released() as f64);
        let name = "weir_custody_delivered_through_seconds";
        let help = "Every window that ended by then is delivered; 0 while that is not known.";
        scrape.gauge(name, help, &[], self.through() as f64 / 1e3);
        let name = "weir_custody_turned_away_requests_total";
        let help = "Requests of agents that did not know yet that the data directory is another.";
        scrape.counter(name, help, &[], self.turned_away.load(Ordering::Relaxed));
        let name = "weir_custody_elsewhere_requests_total";
        let help = "Requests with samples that agents keep for another member: these have moved.";
        scrape.counter(name, help, &[], self.elsewhere.load(Ordering::Relaxed));
        let name = "weir_custody_not_kept_total";
        let help = "Agents' questions that were answered so that they keep nothing, after a move.";
        scrape.counter(name, help, &[], self.not_kept.load(Ordering::Relaxed));
    }
}

/// What is older is of no use to any window that ends after this frontier: it lies in windows that are
/// closed under every rule, and is no base and no last value any more, for its series is stale.
pub fn complete(decisions: &Decisions, frontier: Timestamp) -> Timestamp {
    let of_rule = |interval: Millis, staleness: Millis| {
        frontier.saturating_sub(frontier.rem_euclid(interval.0.max(1))).saturating_sub(staleness.0)
    };
    let rules = decisions.rules.iter().map(|active| &active.rule);
    let all = rules.map(|rule| of_rule(rule.interval(), rule.staleness()));
    all.min().unwrap_or(Timestamp::MAX)
}

const LEDGER: &str = "custody";
const EPOCH: &str = "epoch";
const SILENT: &str = "silent_through";
const ADOPTED: &str = "adopted";
const ADOPTED_OUT: &str = "adopted_out";

/// Whether what was taken over is known to be out.
fn is_out(known: &BTreeMap<String, u64>) -> bool {
    known.get(ADOPTED) == known.get(ADOPTED_OUT)
}

#[cfg(test)]
mod tests;
