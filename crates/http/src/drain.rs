//! Shutting down in stages: serve, drain, cut.
//!
//! Invariant: a stage never goes back, and whatever holds a [`DrainGuard`] is counted until it is
//! dropped. It deliberately sets no deadline of its own: the caller waits as long as it wants
//! ([`Drain::wait`]) and then may [`Drain::cut`] what is left.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

/// A shared shutdown signal with a count of what is still open. Clones are the same drain.
#[derive(Clone, Debug)]
pub struct Drain {
    inner: Arc<Inner>,
}

/// Keeps [`Drain::wait`] waiting while it lives.
#[derive(Debug)]
pub struct DrainGuard {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    stage: watch::Sender<Stage>,
    open: watch::Sender<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Draining,
    Cut,
}

impl Drain {
    /// A drain that has not started.
    pub fn new() -> Self {
        let inner =
            Inner { stage: watch::Sender::new(Stage::Serving), open: watch::Sender::new(0) };
        Self { inner: Arc::new(inner) }
    }

    /// First stage: listeners close, idle connections close, requests in flight finish.
    pub fn start(&self) {
        self.raise(Stage::Draining);
    }

    /// Last stage: connections that are still open are dropped where they stand.
    pub fn cut(&self) {
        self.raise(Stage::Cut);
    }

    /// Whether [`Drain::start`] or [`Drain::cut`] was called.
    pub fn is_draining(&self) -> bool {
        *self.inner.stage.borrow() >= Stage::Draining
    }

    /// Resolves once draining has started; at once if it already has.
    pub async fn started(&self) {
        self.reached(Stage::Draining).await;
    }

    /// Resolves once what is left is to be dropped.
    pub async fn was_cut(&self) {
        self.reached(Stage::Cut).await;
    }

    /// Counts one open thing (a listener, a connection, a flush) until the guard is dropped.
    pub fn guard(&self) -> DrainGuard {
        self.inner.open.send_modify(|open| *open += 1);
        DrainGuard { inner: Arc::clone(&self.inner) }
    }

    /// How many guards are held.
    pub fn open(&self) -> usize {
        *self.inner.open.borrow()
    }

    /// Waits until no guard is held, at most `deadline`. Says whether all are gone. It waits for
    /// guards only: without [`Drain::start`] listeners hold theirs for ever.
    pub async fn wait(&self, deadline: Duration) -> bool {
        let mut open = self.inner.open.subscribe();
        let gone = open.wait_for(|open| *open == 0);
        matches!(tokio::time::timeout(deadline, gone).await, Ok(Ok(_)))
    }

    fn raise(&self, stage: Stage) {
        self.inner.stage.send_if_modified(|now| {
            let raised = stage > *now;
            *now = stage.max(*now);
            raised
        });
    }

    async fn reached(&self, stage: Stage) {
        let mut now = self.inner.stage.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        if now.wait_for(|now| *now >= stage).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for DrainGuard {
    fn drop(&mut self) {
        self.inner.open.send_modify(|open| *open = open.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn waits_for_every_guard() {
        let drain = Drain::new();
        let (first, second) = (drain.guard(), drain.guard());
        assert_eq!(drain.open(), 2);
        drop(first);
        assert!(!drain.wait(Duration::ZERO).await);
        let waiter = tokio::spawn({
            let drain = drain.clone();
            async move { drain.wait(LONG).await }
        });
        drop(second);
        assert!(waiter.await.unwrap());
        assert_eq!(drain.open(), 0);
    }

    #[tokio::test]
    async fn stages_only_rise() {
        let drain = Drain::new();
        assert!(!drain.is_draining());
        drain.cut();
        drain.start();
        assert!(drain.is_draining());
        drain.started().await;
        drain.was_cut().await;
    }

    #[tokio::test]
    async fn with_nothing_open_the_wait_is_over_at_once() {
        assert!(Drain::new().wait(Duration::ZERO).await);
    }
}
