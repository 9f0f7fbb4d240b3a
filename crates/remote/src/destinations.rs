//! All destinations of a program: one durable sender for each, all on one journal, each at its own
//! cursor.
//!
//! Invariant: a cursor is durable before its destination is sent anything, and the queue is needed
//! from the lowest of them on. A reload leaves a destination alone whose settings did not change.
//! Not here: who writes the journal, when it is cut, and what metrics are called.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use weir_journal::fs::Fs;
use weir_journal::{Journal, Ledger};

use crate::config::{Destination, OnFull};
use crate::metrics::State;
use crate::seams::Transport;
use crate::sender::{Parts, Sender};
use crate::shares::{Claims, Share, members_of};
use crate::source::{Cursors, JournalFrames};
use crate::transport::HttpTransport;

/// The ledger's name in the data directory.
const LEDGER: &str = "destinations";
/// How often it is looked whether a queue is full.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);
/// The same where none can be: a reload may bring one that can.
const IDLE_INTERVAL: Duration = Duration::from_secs(5);
/// How long requests on their way may take when a reload changes or removes their destination.
/// What is not answered by then is sent again, if it still has somewhere to go.
const RESTART_WITHIN: Duration = Duration::from_secs(5);
/// Without progress for so long, a stop waits no more for the queue to become empty.
const DRAIN_PATIENCE: Duration = Duration::from_millis(250);
/// How often a stop looks for progress.
const DRAIN_INTERVAL: Duration = Duration::from_millis(20);

/// The journal that destinations read, and where their cursors are kept.
pub struct JournalQueue<'a> {
    /// Frames, as in [`crate::frame`].
    pub journal: Arc<Journal>,
    /// Follows the journal's durable position.
    pub durable: watch::Receiver<u64>,
    /// The file system of the cursors.
    pub fs: &'a dyn Fs,
    /// The directory of the cursors.
    pub dir: &'a Path,
    /// Set while the queue of a blocking destination is full.
    pub blocked: Arc<AtomicBool>,
}

/// All destinations. `T` is the way to one of them.
#[derive(Debug)]
pub struct Destinations<T = HttpTransport> {
    running: Arc<Mutex<BTreeMap<String, Running>>>,
    connect: Connect<T>,
    queue: Arc<Journal>,
    durable: watch::Receiver<u64>,
    cursors: Arc<Cursors>,
    claims: Claims,
    /// Whether it was stopped; reloads and the stop come one after the other.
    stopped: tokio::sync::Mutex<bool>,
    watcher: JoinHandle<()>,
}

/// Makes the way to a destination: reads certificates and secrets, connects to nothing. The error
/// names the destination.
pub type Connect<T> = fn(&Destination) -> Result<T, String>;

#[derive(Debug)]
struct Running {
    destination: Destination,
    external_labels: BTreeMap<String, String>,
    sender: Sender,
}

impl<T: Transport> Destinations<T> {
    /// Starts a sender for each destination on the current runtime. The error says which
    /// destination cannot work, or that the cursors cannot be read or stored.
    ///
    /// A new destination begins at the queue's end; the first ones of all at its beginning; and
    /// where none of the old ones stays, the new ones take over what those have not delivered.
    pub fn start(
        destinations: &[Destination],
        external_labels: &BTreeMap<String, String>,
        queue: JournalQueue<'_>,
        connect: Connect<T>,
    ) -> Result<Self, String> {
        let JournalQueue { journal: queue, durable, fs, dir, blocked } = queue;
        let transports = transports(destinations, connect)?;
        let ledger = Ledger::open(fs, dir, LEDGER).map_err(|e| e.to_string())?;
        let stored = ledger.load().clone();
        let cursors = Arc::new(Cursors::new(ledger));
        begin(&cursors, &queue, destinations, &stored.keys().cloned().collect())?;
        let running = Arc::default();
        let started = Self {
            watcher: tokio::spawn(watch_queues(Arc::clone(&running), blocked)),
            running,
            connect,
            queue,
            durable,
            cursors,
            claims: Claims::default(),
            stopped: tokio::sync::Mutex::new(false),
        };
        started.claims.set(destinations);
        for (destination, transport) in destinations.iter().zip(transports) {
            started.spawn(destination, external_labels, transport)?;
        }
        started.forget_others(destinations, &stored);
        Ok(started)
    }

    /// The members of a tier for which this destination had branches when the ledger was last stored.
    pub fn branches(fs: &dyn Fs, dir: &Path, trunk: &str) -> Result<Vec<String>, String> {
        let ledger = Ledger::open(fs, dir, LEDGER).map_err(|e| e.to_string())?;
        let names = ledger.load().keys().map(String::as_str);
        Ok(members_of(trunk, names).map(str::to_owned).collect())
    }

    /// Brings other destinations into force: those that did not change go on untouched, changed
    /// ones go on at their cursors, removed ones are forgotten. An error changes nothing.
    pub async fn reload(
        &self,
        destinations: &[Destination],
        external_labels: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let stopped = self.stopped.lock().await;
        if *stopped {
            return Err("destinations are stopped: the program is shutting down".to_owned());
        }
        let known: BTreeMap<String, u64> =
            self.lock().iter().map(|(name, r)| (name.clone(), r.sender.needed_from())).collect();
        let changed = self.changed(destinations, external_labels);
        let transports = transports(&changed, self.connect)?;
        begin(&self.cursors, &self.queue, destinations, &known.keys().cloned().collect())?;
        let stays = |name: &String| {
            destinations.iter().any(|d| d.name == *name) && !changed.iter().any(|d| d.name == *name)
        };
        let mut ending = JoinSet::new();
        for (_, gone) in self.lock().extract_if(.., |name, _| !stays(name)) {
            ending.spawn(gone.sender.stop(RESTART_WITHIN));
        }
        ending.join_all().await;
        self.claims.set(destinations);
        for (destination, transport) in changed.iter().zip(transports) {
            self.spawn(destination, external_labels, transport)?;
        }
        self.forget_others(destinations, &known);
        Ok(())
    }

    /// Sends a destination's frames again from this position on, and from now on as `destination`
    /// says, which has the name of one that is running. What was on its way counts as not sent. After
    /// an error it goes on at its old cursor.
    pub async fn begin_again(&self, destination: &Destination, from: u64) -> Result<(), String> {
        let stopped = self.stopped.lock().await;
        if *stopped {
            return Err("destinations are stopped: the program is shutting down".to_owned());
        }
        let name = &destination.name;
        let transport = (self.connect)(destination)?;
        let gone = self.lock().remove(name);
        let gone = gone.ok_or_else(|| format!("there is no destination {name:?}"))?;
        gone.sender.stop(Duration::ZERO).await;
        let saved = self.cursors.save(name, from);
        self.spawn(destination, &gone.external_labels, transport)?;
        saved.map_err(|e| e.to_string())
    }

    /// The queue is not to be cut at this position or after it: the lowest stored cursor, or the
    /// queue's end where there is no destination.
    pub fn needed_from(&self) -> u64 {
        let lowest = self.cursors.needed_from();
        lowest.unwrap_or_else(|| self.queue.durable() + 1)
    }

    /// Why nothing more is to be taken in: a blocking destination whose queue is full.
    pub fn blocked(&self) -> Option<String> {
        let running = self.lock();
        let full = running.values().find(|r| r.sender.is_full())?;
        let (name, queue) = (&full.destination.name, &full.destination.queue);
        let lag = full.sender.metrics().lag_bytes.load(Ordering::Relaxed);
        let max = queue.max_bytes;
        Some(format!("the send queue is full: {lag} bytes wait for {name:?}, max_bytes is {max}"))
    }

    /// Shows every destination and its sender, by name.
    pub fn each(&self, mut show: impl FnMut(&Destination, &Sender)) {
        self.lock().values().for_each(|running| show(&running.destination, &running.sender));
    }

    /// Sends on while that makes the queue shorter, then what was read, and waits for answers; all
    /// within this time. Cursors are stored; what was not delivered stays in the queue.
    pub async fn stop(&self, within: Duration) {
        let deadline = Instant::now() + within;
        let mut stopped = self.stopped.lock().await;
        *stopped = true;
        self.drain(deadline).await;
        let left = deadline.saturating_duration_since(Instant::now());
        let mut ending = JoinSet::new();
        for running in std::mem::take(&mut *self.lock()).into_values() {
            ending.spawn(running.sender.stop(left));
        }
        ending.join_all().await;
        self.watcher.abort();
    }

    /// Waits while any destination works off its queue.
    async fn drain(&self, deadline: Instant) {
        let lag = || -> u64 {
            let running = self.lock();
            let well = running.values().filter(|r| r.sender.status().state == State::Sending);
            well.map(|r| r.sender.metrics().lag_frames.load(Ordering::Relaxed)).sum()
        };
        let (mut least, mut since) = (lag(), Instant::now());
        while since.elapsed() < DRAIN_PATIENCE && Instant::now() < deadline {
            tokio::time::sleep(DRAIN_INTERVAL).await;
            let now = lag();
            if now < least {
                (least, since) = (now, Instant::now());
            }
        }
    }

    /// The destinations that are new or not what is running under their name.
    fn changed(
        &self,
        destinations: &[Destination],
        external_labels: &BTreeMap<String, String>,
    ) -> Vec<Destination> {
        let running = self.lock();
        let is_same = |d: &&Destination| {
            let same = |r: &Running| r.destination == **d && r.external_labels == *external_labels;
            running.get(&d.name).is_some_and(same)
        };
        destinations.iter().filter(|d| !is_same(d)).cloned().collect()
    }

    fn spawn(
        &self,
        destination: &Destination,
        external_labels: &BTreeMap<String, String>,
        transport: T,
    ) -> Result<(), String> {
        let name = &destination.name;
        // It is stored by now: `begin` has seen to that.
        let position = self.cursors.begin(name, self.queue.first()).map_err(|e| e.to_string())?;
        let labels = external_labels.iter().map(|(n, v)| (n.clone(), v.clone()));
        let (queue, durable) = (Arc::clone(&self.queue), self.durable.clone());
        let sender = Sender::spawn(Parts {
            destination: destination.clone(),
            external_labels: labels.collect(),
            frames: JournalFrames::new(queue, position, durable).only(self.claims.of(destination)),
            position,
            cursor: self.cursors.store(name),
            transport,
            clock: Arc::new(now_ms),
            seed: RandomState::new().hash_one(name),
        });
        tracing::info!(destination = name, position, "sending");
        let (destination, external_labels) = (destination.clone(), external_labels.clone());
        let running = Running { destination, external_labels, sender };
        self.lock().insert(name.clone(), running);
        Ok(())
    }

    /// Forgets the cursors of destinations that are configured no more, and says what they lose.
    fn forget_others(&self, destinations: &[Destination], known: &BTreeMap<String, u64>) {
        let stays = |name: &str| destinations.iter().any(|d| d.name == name);
        let end = self.queue.durable() + 1;
        for (destination, position) in known.iter().filter(|(name, _)| !stays(name)) {
            let frames = end.saturating_sub(*position);
            tracing::warn!(destination, frames, "removed, with so many frames undelivered");
        }
        if let Err(error) = self.cursors.retain(&stays) {
            tracing::error!(%error, "the cursor of a removed destination cannot be forgotten yet");
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Running>> {
        lock(&self.running)
    }
}

impl<T> Drop for Destinations<T> {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

fn lock(running: &Mutex<BTreeMap<String, Running>>) -> MutexGuard<'_, BTreeMap<String, Running>> {
    running.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client for each; an error names its destination.
fn transports<T>(destinations: &[Destination], connect: Connect<T>) -> Result<Vec<T>, String> {
    destinations.iter().map(connect).collect()
}

/// Stores where each destination begins that has no cursor yet; see [`Destinations::start`].
fn begin(
    cursors: &Cursors,
    queue: &Journal,
    destinations: &[Destination],
    known: &BTreeSet<String>,
) -> Result<(), String> {
    let end = queue.durable() + 1;
    let some_stay = destinations.iter().any(|d| known.contains(&d.name));
    let fresh = match cursors.needed_from() {
        _ if some_stay => end,
        Some(lowest) => lowest.min(end),
        None => queue.first(),
    };
    // A branch begins where its trunk stands, so trunks come first.
    let (trunks, branches): (Vec<_>, Vec<_>) =
        destinations.iter().partition(|d| d.share == Share::Trunk);
    for Destination { name, share, .. } in trunks.into_iter().chain(branches) {
        let fresh = match share {
            Share::Branch { trunk, .. } => cursors.get(trunk).unwrap_or(fresh),
            Share::Trunk => fresh,
        };
        let position = cursors.begin(name, fresh).map_err(|e| e.to_string())?;
        // A queue that was deleted, or that a disk has lost, begins anew below its cursors.
        if position > queue.next_position() {
            let first = queue.first();
            tracing::error!(destination = name, position, first, "the cursor is past the queue");
            cursors.save(name, first).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

async fn watch_queues(running: Arc<Mutex<BTreeMap<String, Running>>>, blocked: Arc<AtomicBool>) {
    loop {
        let (blocks, is_full) = {
            let running = lock(&running);
            let blocks = running.values().any(|r| r.destination.queue.on_full == OnFull::Block);
            (blocks, running.values().any(|r| r.sender.is_full()))
        };
        if blocked.swap(is_full, Ordering::Relaxed) != is_full {
            tracing::warn!(is_full, "the send queue of a blocking destination");
        }
        tokio::time::sleep(if blocks { WATCH_INTERVAL } else { IDLE_INTERVAL }).await;
    }
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    i64::try_from(since).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
