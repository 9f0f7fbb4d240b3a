//! The send queue on a journal: one journal for all destinations, a reader and a cursor for each.
//!
//! Invariant: a destination's cursor is durable before its first frame is sent, so that a crash
//! never makes it a new one that starts at the queue's end. What may be cut below is the smallest
//! stored cursor, never one that is only in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use weir_journal::{Item, Journal, Ledger, Reader};

use crate::seams::{Backlog, CursorStore, Frames, FramesError, Queued};
use crate::shares::Taken;

/// One destination's reader of a journal.
#[derive(Debug)]
pub struct JournalFrames {
    journal: Arc<Journal>,
    reader: Reader,
    durable: watch::Receiver<u64>,
    taken: Option<Taken>,
}

impl JournalFrames {
    /// Reads from this position. `durable` is told of group commits: the sender of that channel
    /// belongs into the journal's `on_durable`.
    pub fn new(journal: Arc<Journal>, from: u64, durable: watch::Receiver<u64>) -> Self {
        Self { reader: journal.reader(from), journal, durable, taken: None }
    }

    /// Reads only what a destination takes.
    pub fn only(self, taken: Taken) -> Self {
        Self { taken: Some(taken), ..self }
    }
}

impl Frames for JournalFrames {
    fn next(&mut self) -> Result<Option<Queued>, FramesError> {
        let item = self.reader.next().map_err(|e| FramesError(e.to_string()))?;
        Ok(item.map(|item| match item {
            Item::Record(record)
                if self.taken.as_ref().is_some_and(|taken| !taken.takes(&record.payload)) =>
            {
                Queued::Elsewhere(record.position)
            }
            Item::Record(record) => {
                Queued::Frame { position: record.position, payload: record.payload }
            }
            Item::Gap { from, to, .. } => Queued::Missing { from, to },
        }))
    }

    fn end(&self) -> u64 {
        self.journal.durable() + 1
    }

    /// Bytes are the segments' bytes by the share of their records: the journal does not know
    /// sizes by position, and a bound on them need not be exact.
    fn backlog(&self, from: u64) -> Backlog {
        let (first, end) = (self.journal.first(), self.end());
        let frames = end.saturating_sub(from.max(first));
        let all = end.saturating_sub(first).max(1);
        let bytes = u128::from(self.journal.bytes()) * u128::from(frames) / u128::from(all);
        Backlog { frames, bytes: u64::try_from(bytes).unwrap_or(u64::MAX) }
    }

    async fn wait(&mut self) {
        if self.durable.changed().await.is_err() {
            // The journal is gone: there will be nothing more.
            std::future::pending().await
        }
    }
}

/// The cursors of all destinations, in one ledger.
#[derive(Debug)]
pub struct Cursors(Mutex<Stored>);

#[derive(Debug)]
struct Stored {
    ledger: Ledger,
    map: BTreeMap<String, u64>,
}

impl Cursors {
    /// Takes the ledger over.
    pub fn new(ledger: Ledger) -> Self {
        let map = ledger.load().clone();
        Self(Mutex::new(Stored { ledger, map }))
    }

    /// Where a destination begins: its stored cursor, or `fresh`, which is stored before it is
    /// returned.
    pub fn begin(&self, name: &str, fresh: u64) -> Result<u64, FramesError> {
        let stored = self.lock().map.get(name).copied();
        stored.map_or_else(|| self.save(name, fresh).map(|()| fresh), Ok)
    }

    /// A destination's stored cursor.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.lock().map.get(name).copied()
    }

    /// Stores a destination's cursor.
    pub fn save(&self, name: &str, position: u64) -> Result<(), FramesError> {
        self.change(|map| {
            map.insert(name.to_owned(), position);
        })
    }

    /// Forgets the cursors of destinations that are configured no more.
    pub fn retain(&self, keep: &dyn Fn(&str) -> bool) -> Result<(), FramesError> {
        self.change(|map| map.retain(|name, _| keep(name)))
    }

    /// The smallest cursor stored: the journal may be cut below it.
    pub fn needed_from(&self) -> Option<u64> {
        self.lock().map.values().copied().min()
    }

    /// A destination's own part of it.
    pub fn store(self: &Arc<Self>, name: &str) -> Arc<dyn CursorStore> {
        Arc::new(NamedCursor { cursors: self.clone(), name: name.to_owned() })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, u64>)) -> Result<(), FramesError> {
        let mut stored = self.lock();
        let mut map = stored.map.clone();
        change(&mut map);
        if map != stored.map {
            let result = stored.ledger.store(&map);
            result.map_err(|e| FramesError(e.to_string()))?;
            stored.map = map;
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Stored> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct NamedCursor {
    cursors: Arc<Cursors>,
    name: String,
}

impl CursorStore for NamedCursor {
    fn save(&self, position: u64) -> Result<(), FramesError> {
        self.cursors.save(&self.name, position)
    }
}

#[cfg(test)]
mod tests;
