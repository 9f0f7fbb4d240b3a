//! Who waits for which position of the log to be on disk.
//!
//! Each waits for its own: a group commit wakes those whose records it holds, once each, and nobody
//! else. Invariant: a position that is durable is waited for by nobody; once the log has failed nobody waits.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::oneshot;

use crate::shard::worker::lock;

/// The log's durable position, and who waits for later ones.
#[derive(Debug, Default)]
pub struct Durable(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    reached: u64,
    /// By position and turn.
    waiting: BTreeMap<(u64, u64), oneshot::Sender<()>>,
    turns: u64,
}

/// The log can no longer be written: what waits for it never becomes durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the log could not be written")]
pub struct LogFailed;

impl Durable {
    /// The log is durable up to here; `u64::MAX` once it has failed.
    pub fn reach(&self, position: u64) {
        let mut inner = lock(&self.0);
        inner.reached = position;
        let later = inner.waiting.split_off(&(position.saturating_add(1), 0));
        let woken = std::mem::replace(&mut inner.waiting, later);
        drop(inner);
        // Who has hung up need not know.
        for waiter in woken.into_values() {
            waiter.send(()).ok();
        }
    }

    /// Waits until a position is on disk.
    pub async fn wait(&self, position: u64) -> Result<(), LogFailed> {
        loop {
            let woken = {
                let mut inner = lock(&self.0);
                match inner.reached {
                    u64::MAX => return Err(LogFailed),
                    reached if reached >= position => return Ok(()),
                    _ => {}
                }
                let (tell, woken) = oneshot::channel();
                let turn = inner.turns;
                inner.turns += 1;
                inner.waiting.insert((position, turn), tell);
                woken
            };
            // Whatever ended it, the position says how things are.
            drop(woken.await);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn each_is_woken_by_what_holds_its_position() {
        let durable = Durable::default();
        let mut context = Context::from_waker(Waker::noop());
        durable.reach(4);
        let (mut known, mut next, mut later) =
            (pin!(durable.wait(4)), pin!(durable.wait(5)), pin!(durable.wait(7)));
        let mut same = pin!(durable.wait(7));
        assert_eq!(known.as_mut().poll(&mut context), Poll::Ready(Ok(())));
        assert!(next.as_mut().poll(&mut context).is_pending());
        assert!(later.as_mut().poll(&mut context).is_pending());
        assert!(same.as_mut().poll(&mut context).is_pending());
        durable.reach(6);
        assert_eq!(next.as_mut().poll(&mut context), Poll::Ready(Ok(())));
        assert!(later.as_mut().poll(&mut context).is_pending());
        durable.reach(u64::MAX);
        assert_eq!(later.as_mut().poll(&mut context), Poll::Ready(Err(LogFailed)));
        assert_eq!(same.as_mut().poll(&mut context), Poll::Ready(Err(LogFailed)));
        assert_eq!(lock(&durable.0).waiting.len(), 0);
    }
}
