//! Bounds on what a request may cost: body size, body time, and memory across requests.
//!
//! Invariant: no allocation follows a length that the peer merely claims; memory is reserved
//! before a body is read and given back when the [`Reservation`] is dropped. It deliberately does
//! not decompress: what a body becomes is bounded where it is decoded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONTENT_LENGTH, HeaderMap};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Why a body was not read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than the bound, by its declared length or by its bytes.
    #[error("body is larger than {max_bytes} bytes")]
    TooLarge {
        /// The bound that was exceeded.
        max_bytes: usize,
    },
    /// Not complete within the time allowed.
    #[error("body was not complete in time")]
    Timeout,
    /// The peer closed, reset, or sent a malformed body.
    #[error("connection broke inside the body")]
    Broken,
}

/// Bytes that may be held by requests at one time. Clones share one budget.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    inner: Arc<Budget>,
}

/// Bytes taken from a [`MemoryBudget`]; given back on drop.
#[derive(Debug)]
pub struct Reservation {
    permit: OwnedSemaphorePermit,
    budget: Arc<Budget>,
}

#[derive(Debug)]
struct Budget {
    limit: usize,
    free: Arc<Semaphore>,
    refused: AtomicU64,
}

/// The length that a request declares, if it does and it is a number.
pub fn declared_len(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Reads a whole body of at most `max_bytes` within `timeout`.
///
/// `declared_len` (see [`declared_len`]) lets an oversized body be refused unread, and sizes the
/// buffer so that it does not grow, but never beyond 1 MiB ahead of the bytes that arrived. A body
/// that came in one piece is returned without a copy.
pub async fn read_body(
    body: Incoming,
    declared_len: Option<u64>,
    max_bytes: usize,
    timeout: Duration,
) -> Result<Bytes, BodyError> {
    read_any_body(body, declared_len, max_bytes, timeout).await
}

async fn read_any_body<B: Body<Data = Bytes> + Unpin>(
    body: B,
    declared_len: Option<u64>,
    max_bytes: usize,
    timeout: Duration,
) -> Result<Bytes, BodyError> {
    if declared_len.is_some_and(|len| len > max_bytes as u64) {
        return Err(BodyError::TooLarge { max_bytes });
    }
    let collect = collect(body, declared_len, max_bytes);
    tokio::time::timeout(timeout, collect).await.unwrap_or(Err(BodyError::Timeout))
}

async fn collect<B: Body<Data = Bytes> + Unpin>(
    mut body: B,
    declared_len: Option<u64>,
    max_bytes: usize,
) -> Result<Bytes, BodyError> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > max_bytes {
            return Err(BodyError::TooLarge { max_bytes });
        }
        if first.is_empty() && rest.is_empty() {
            first = data;
            continue;
        }
        if rest.is_empty() {
            let claimed = usize::try_from(declared_len.unwrap_or(0)).unwrap_or(usize::MAX);
            let arrived = first.len() + data.len();
            rest.reserve(claimed.clamp(arrived, arrived.saturating_add(AHEAD_BYTES_MAX)));
            rest.extend_from_slice(&first);
            first = Bytes::new();
        }
        rest.extend_from_slice(&data);
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

impl MemoryBudget {
    /// A budget of `limit_bytes`, all free.
    pub fn new(limit_bytes: usize) -> Self {
        let limit = limit_bytes.min(Semaphore::MAX_PERMITS);
        let free = Arc::new(Semaphore::new(limit));
        Self { inner: Arc::new(Budget { limit, free, refused: AtomicU64::new(0) }) }
    }

    /// Takes `bytes` now, or nothing (counted) if they are not free.
    pub fn try_reserve(&self, bytes: usize) -> Option<Reservation> {
        let permit = self.inner.try_take(bytes)?;
        Some(Reservation { permit, budget: Arc::clone(&self.inner) })
    }

    /// Takes `bytes`, waiting at most `patience` for others to give theirs back, first come first
    /// served. More than the whole budget is refused at once.
    pub async fn reserve(&self, bytes: usize, patience: Duration) -> Option<Reservation> {
        let wanted = u32::try_from(bytes).ok().filter(|_| bytes <= self.inner.limit);
        let permit = match wanted {
            Some(wanted) => {
                let take = Arc::clone(&self.inner.free).acquire_many_owned(wanted);
                tokio::time::timeout(patience, take).await.ok().and_then(Result::ok)
            }
            None => None,
        };
        if permit.is_none() {
            self.inner.refused.fetch_add(1, Ordering::Relaxed);
        }
        permit.map(|permit| Reservation { permit, budget: Arc::clone(&self.inner) })
    }

    /// The whole budget in bytes.
    pub fn limit(&self) -> usize {
        self.inner.limit
    }

    /// Bytes reserved now.
    pub fn used(&self) -> usize {
        self.inner.limit.saturating_sub(self.inner.free.available_permits())
    }

    /// Reservations and growths that were refused since the start.
    pub fn refused(&self) -> u64 {
        self.inner.refused.load(Ordering::Relaxed)
    }
}

impl Budget {
    fn try_take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let taken = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.free).try_acquire_many_owned(bytes).ok());
        if taken.is_none() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}

impl Reservation {
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.permit.num_permits()
    }

    /// Takes `more` bytes in addition, or says that they are not free and stays as it was.
    #[must_use]
    pub fn try_grow(&mut self, more: usize) -> bool {
        match self.budget.try_take(more) {
            Some(permit) => {
                self.permit.merge(permit);
                true
            }
            None => false,
        }
    }

    /// Gives back what is held beyond `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes().saturating_sub(bytes);
        drop(self.permit.split(surplus));
    }
}

/// How far the buffer may run ahead of what arrived; a sender's usual request is far below.
const AHEAD_BYTES_MAX: usize = 1 << 20;

#[cfg(test)]
mod tests;
