//! One batch on its way: the pieces it was cut into, and when the next one is sent.
//!
//! Invariant: pieces are sent one at a time, from the front, so halving keeps the order of every
//! series. A delivery ends when no piece is left; until then its lanes are taken.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::lanes::{Batch, Key};
use crate::split;
use crate::unit::Unit;

/// A batch, as far as it is not done.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) key: Key,
    pub(crate) lanes: Vec<usize>,
    /// Retries of the front piece.
    pub(crate) retries: u32,
    /// Answers to the front piece that sound as if it could never succeed.
    pub(crate) hopeless: u32,
    /// When the front piece may be sent.
    pub(crate) ready_ms: u64,
    /// Halvings that are left until something of the batch must be taken.
    pub(crate) halvings_left: u32,
    halvings_max: u32,
    pieces: VecDeque<Vec<Unit>>,
    sent: Option<Arc<Vec<Unit>>>,
}

impl Delivery {
    pub(crate) fn new(batch: Batch, now_ms: u64) -> Self {
        let halvings_max = split::budget(sample_count(&batch.units));
        Self {
            key: batch.key,
            lanes: batch.lanes,
            retries: 0,
            hopeless: 0,
            ready_ms: now_ms,
            halvings_left: halvings_max,
            halvings_max,
            pieces: VecDeque::from([batch.units]),
            sent: None,
        }
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.sent.is_some()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.pieces.is_empty() && self.sent.is_none()
    }

    /// The front piece, before it is sent.
    pub(crate) fn front(&mut self) -> Option<&mut Vec<Unit>> {
        self.pieces.front_mut()
    }

    /// Takes the front piece on its way.
    pub(crate) fn send(&mut self) -> Option<Arc<Vec<Unit>>> {
        let piece = Arc::new(self.pieces.pop_front()?);
        self.sent = Some(piece.clone());
        Some(piece)
    }

    /// The piece that was on its way, when its end is known.
    pub(crate) fn take_sent(&mut self) -> Option<Vec<Unit>> {
        self.sent.take().map(Arc::unwrap_or_clone)
    }

    /// Puts a piece to the front; it is new there, or sent again.
    pub(crate) fn put_front(&mut self, piece: Vec<Unit>) {
        if !piece.is_empty() {
            self.pieces.push_front(piece);
        }
    }

    /// A piece came to its end: the next one starts without a history.
    pub(crate) fn begin_next(&mut self, now_ms: u64) {
        self.retries = 0;
        self.hopeless = 0;
        self.ready_ms = now_ms;
    }

    /// The backend has taken a piece, or had it: it does not refuse everything, so the search for
    /// what it refuses may go on for as long.
    pub(crate) fn renew_budget(&mut self) {
        self.halvings_left = self.halvings_max;
    }

    /// Whether something of this frame is in it.
    pub(crate) fn holds(&self, position: u64) -> bool {
        let sent = self.sent.iter().flat_map(|p| p.iter());
        let mut all = self.pieces.iter().flatten().chain(sent);
        all.any(|unit| unit.position == position)
    }

    /// Takes out what it has of this frame and is not on its way.
    pub(crate) fn remove(&mut self, position: u64) -> Vec<Unit> {
        let mut removed = Vec::new();
        for piece in &mut self.pieces {
            removed.extend(piece.extract_if(.., |u| u.position == position));
        }
        self.remove_empty();
        removed
    }

    /// Forgets pieces of which nothing is left.
    pub(crate) fn remove_empty(&mut self) {
        self.pieces.retain(|piece| !piece.is_empty());
    }
}

/// Samples of both kinds in a piece.
pub(crate) fn sample_count(piece: &[Unit]) -> usize {
    piece.iter().map(Unit::sample_count).sum()
}
