//! Stores a destination's cursor now and then, off the runtime's threads.
//!
//! Invariant: one write at a time, in the order of positions. It does not decide what is done.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::TICK;
use crate::seams::{CursorStore, FramesError};

/// Where a cursor was stored, and the write that is under way.
pub(super) struct Keeper {
    store: Arc<dyn CursorStore>,
    stored: u64,
    next_at: Instant,
    running: Option<JoinHandle<Result<u64, FramesError>>>,
}

impl Keeper {
    pub(super) fn new(store: Arc<dyn CursorStore>, position: u64) -> Self {
        Self { store, stored: position, next_at: Instant::now(), running: None }
    }

    /// Starts a write if one is due, and gives the position that became durable since the last
    /// call. It does not wait for the disk.
    pub(super) async fn keep(&mut self, position: u64) -> Result<Option<u64>, FramesError> {
        if let Some(running) = self.running.take_if(|r| r.is_finished()) {
            return self.end(running).await.map(Some);
        }
        if self.running.is_none() && position != self.stored && Instant::now() >= self.next_at {
            self.next_at = Instant::now() + TICK;
            self.running = Some(self.start(position));
        }
        Ok(None)
    }

    /// Stores the last position and waits for it.
    pub(super) async fn finish(&mut self, position: u64) -> Result<(), FramesError> {
        if let Some(running) = self.running.take() {
            self.end(running).await?;
        }
        if position != self.stored {
            let running = self.start(position);
            self.end(running).await?;
        }
        Ok(())
    }

    fn start(&self, position: u64) -> JoinHandle<Result<u64, FramesError>> {
        let store = self.store.clone();
        tokio::task::spawn_blocking(move || store.save(position).map(|()| position))
    }

    async fn end(
        &mut self,
        running: JoinHandle<Result<u64, FramesError>>,
    ) -> Result<u64, FramesError> {
        let stored = running.await.map_err(|e| FramesError(e.to_string()))??;
        self.stored = stored;
        Ok(stored)
    }
}
