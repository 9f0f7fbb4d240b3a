//! What was sent is kept until the gateway has it out of its hands: a gateway whose disk is lost gets
//! again what only that disk had.
//!
//! Invariants: nothing is cut from the buffer that a destination has not done, nor what it has
//! acknowledged and not released, as long as size and age of the buffer allow it; what was sent already
//! is given up before anything that was not. Where a destination does not say what it has released
//! (all but Weir's gateways, and several endpoints), it is as if it had released what it acknowledged.
//! The epoch and the released position are stored; they may lag, which means a repeat. [`Holding`]
//! decides, [`crate::custodian`] asks and acts.

mod holding;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use weir_agent_config::custody::{EPOCH_HEADER, Inquiry, Meant, Standing};
use weir_journal::fs::DiskFs;
use weir_journal::{Journal, Ledger};
use weir_model::Timestamp;
use weir_remote::config::Destination;
use weir_remote::shares::Share;
use weir_telemetry::Scrape;

pub(crate) use holding::Step;
use holding::{Holding, Kept};

/// What is held, for all destinations.
#[derive(Debug)]
pub struct Custody {
    holdings: Mutex<BTreeMap<Key, Holding>>,
    ledger: Mutex<Ledger>,
    counts: Counts,
}

/// A destination's name and URL: under another URL it is another gateway. A branch has its trunk's, for a
/// member of a tier is the same wherever it is.
pub(crate) type Key = (String, String);

/// What has become of frames that were acknowledged.
#[derive(Debug, Default)]
struct Counts {
    resends: AtomicU64,
    resent_frames: AtomicU64,
    too_old: AtomicU64,
    too_many: AtomicU64,
}

/// Why frames are given up that were acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    /// All that was acknowledged before this time.
    Age(Timestamp),
    /// All frames before this position.
    Size(u64),
}

impl Custody {
    /// Reads what is known, beside this buffer.
    pub fn open(dir: &Path, journal: &Journal) -> Result<Self, String> {
        let ledger = Ledger::open(&DiskFs, dir, LEDGER).map_err(|why| why.to_string())?;
        let mut holdings = BTreeMap::new();
        for (name, &epoch) in ledger.load() {
            let Some(("epoch", key)) = name.split_once(' ') else {
                continue;
            };
            let number = |what: &str| ledger.load().get(&format!("{what} {key}")).copied();
            let (released, through) = (number("released"), number("through"));
            let through = through.and_then(|ms| Timestamp::try_from(ms).ok()).unwrap_or(0);
            // A buffer that was deleted begins anew below it.
            let released = released.filter(|&position| position <= journal.next_position());
            if let (Some((url, name)), Some(released)) = (key.split_once(' '), released) {
                let kept = Kept { epoch, released: released.max(journal.first()), through };
                holdings.insert((name.to_owned(), url.to_owned()), Holding::from_kept(kept));
            }
        }
        let counts = Counts::default();
        Ok(Self { holdings: Mutex::new(holdings), ledger: Mutex::new(ledger), counts })
    }

    /// Has requests say which epoch they are meant for, where one is known.
    pub fn sign(&self, destinations: &mut [Destination]) {
        for destination in destinations {
            let kept = lock(&self.holdings).get(&key(destination)).and_then(Holding::kept);
            mark(destination, kept.map(|kept| kept.epoch));
        }
    }

    /// Forgets destinations that are no more.
    pub(crate) fn retain(&self, stays: impl Fn(&Key) -> bool) {
        lock(&self.holdings).retain(|key, _| stays(key));
    }

    /// What a destination is to be asked.
    pub(crate) fn inquiry(&self, key: &Key) -> Inquiry {
        lock(&self.holdings).get(key).map_or_else(Inquiry::default, Holding::inquiry)
    }

    /// Takes its answer; before it was asked, all frames before `done` were acknowledged.
    pub(crate) fn handle(&self, key: &Key, said: &Standing, done: u64, now: Timestamp) -> Step {
        lock(&self.holdings).entry(key.clone()).or_default().handle(said, done, now)
    }

    /// Requests are meant for this epoch from here on, and frames held from `from` on; `resent` of
    /// them had been acknowledged under another.
    pub(crate) fn begin(&self, key: &Key, epoch: u64, from: u64, resent: Option<u64>) {
        lock(&self.holdings).entry(key.clone()).or_default().begin(epoch, from);
        if let Some(frames) = resent {
            self.counts.resends.fetch_add(1, Ordering::Relaxed);
            self.counts.resent_frames.fetch_add(frames, Ordering::Relaxed);
        }
    }

    /// Nothing is held for it from here on, nor ever at this epoch (`for_good`); whether something was.
    pub(crate) fn let_go(&self, key: &Key, for_good: bool) -> bool {
        let mut holdings = lock(&self.holdings);
        let Some(holding) = holdings.get_mut(key) else {
            return false;
        };
        let held = holding.kept().is_some();
        holding.let_go(for_good);
        held
    }

    /// Where a destination's held frames begin.
    pub(crate) fn released(&self, key: &Key) -> Option<u64> {
        lock(&self.holdings).get(key)?.released()
    }

    /// Frames from here on are held for some destination; `None` where none are.
    pub(crate) fn held_from(&self) -> Option<u64> {
        lock(&self.holdings).values().filter_map(Holding::released).min()
    }

    /// Gives up what a bound does not allow.
    pub(crate) fn give_up(&self, bound: Bound) {
        let (before, position, counter) = match bound {
            Bound::Age(before) => (before, 0, &self.counts.too_old),
            Bound::Size(position) => (Timestamp::MIN, position, &self.counts.too_many),
        };
        let mut holdings = lock(&self.holdings);
        let frames = holdings.values_mut().map(|holding| holding.give_up(before, position));
        counter.fetch_add(frames.sum(), Ordering::Relaxed);
    }

    /// Stores what outlives the process, if it has changed.
    pub(crate) fn store(&self) {
        let mut map = BTreeMap::new();
        for ((name, url), holding) in &*lock(&self.holdings) {
            if let Some(Kept { epoch, released, through }) = holding.kept() {
                map.insert(format!("epoch {url} {name}"), epoch);
                map.insert(format!("released {url} {name}"), released);
                map.insert(format!("through {url} {name}"), through.unsigned_abs());
            }
        }
        let mut ledger = lock(&self.ledger);
        if *ledger.load() != map
            && let Err(why) = ledger.store(&map)
        {
            tracing::error!(%why, "it cannot be stored what is released");
        }
    }

    /// Adds its metrics to a scrape; `done` is what each destination has acknowledged.
    pub fn collect(&self, done: &[(Destination, u64)], journal: &Journal, scrape: &mut Scrape) {
        let frames_all = (journal.durable() + 1).saturating_sub(journal.first()).max(1);
        for (destination, done) in done {
            let from = self.released(&key(destination)).unwrap_or(*done).max(journal.first());
            let frames = done.saturating_sub(from);
            let bytes = journal.bytes() as f64 * frames as f64 / frames_all as f64;
            let name = [("remote_name", &*destination.name), ("url", &*destination.url)];
            let help = "Frames that are acknowledged and kept until they are released.";
            scrape.gauge("weir_agent_retained_frames", help, &name, frames as f64);
            let through = self.inquiry(&key(destination)).through;
            let help =
                "Windows that ended by then are delivered, as the gateway says; 0 if it does not.";
            scrape.gauge("weir_agent_delivered_through_seconds", help, &name, through as f64 / 1e3);
            let help = "Bytes in the buffer that are kept until they are released, about.";
            scrape.gauge("weir_agent_retained_bytes", help, &name, bytes);
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let help = "How often a gateway came back with another disk.";
        scrape.counter("weir_agent_resends_total", help, &[], read(&self.counts.resends));
        let help = "Acknowledged frames that were sent again for that.";
        scrape.counter(
            "weir_agent_resent_frames_total",
            help,
            &[],
            read(&self.counts.resent_frames),
        );
        let help = "Acknowledged frames that were not kept until they were released, by reason.";
        for (reason, counter) in [("age", &self.counts.too_old), ("size", &self.counts.too_many)] {
            let name = "weir_agent_retained_given_up_frames_total";
            scrape.counter(name, help, &[("reason", reason)], read(counter));
        }
    }
}

/// Under what a destination is known here.
pub(crate) fn key(destination: &Destination) -> Key {
    let url = match &destination.share {
        Share::Trunk => &destination.url,
        Share::Branch { trunk_url, .. } => trunk_url,
    };
    (destination.name.clone(), url.clone())
}

/// The member of a tier that a destination is the way to.
pub(crate) fn member(destination: &Destination) -> Option<&str> {
    match &destination.share {
        Share::Trunk => None,
        Share::Branch { member, .. } => Some(member),
    }
}

/// Has its requests say which epoch they are meant for.
pub(crate) fn mark(destination: &mut Destination, epoch: Option<u64>) {
    match epoch {
        Some(epoch) => {
            let meant = Meant { epoch, member: member(destination).map(str::to_owned) };
            destination.headers.insert(EPOCH_HEADER.to_owned(), meant.to_text());
        }
        None => {
            destination.headers.remove(EPOCH_HEADER);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

const LEDGER: &str = "custody";

#[cfg(test)]
mod tests;
