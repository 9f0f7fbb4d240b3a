//! How far a destination has come: positions of frames that are not yet done, in order.
//!
//! Invariant: the cursor is never past a frame of which a part is neither delivered, set aside
//! nor given up. So a restart sends again what may be missing, and nothing is skipped.

use std::collections::VecDeque;

/// A frame of which something is still to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenFrame {
    /// Its position in the queue.
    pub position: u64,
    /// The position after it.
    pub next: u64,
    /// Its size in the queue.
    pub bytes: u64,
    /// When it was written, milliseconds since the epoch.
    pub written_ms: i64,
    /// Parts on their way.
    pub parts: usize,
}

/// The frames that were read and are not done, and where reading would begin after a restart.
#[derive(Debug)]
pub struct Cursor {
    position: u64,
    open: VecDeque<OpenFrame>,
}

impl Cursor {
    /// A cursor before this position.
    pub fn new(position: u64) -> Self {
        Self { position, open: VecDeque::new() }
    }

    /// The first position that is not done with everything before it.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Takes a frame; frames come in the order of positions.
    pub fn open(&mut self, frame: OpenFrame) {
        debug_assert!(self.open.back().is_none_or(|f| f.position < frame.position));
        self.open.push_back(frame);
        self.advance();
    }

    /// One part of a frame has become two.
    pub fn add_part(&mut self, position: u64) {
        if let Some(frame) = self.find(position) {
            frame.parts += 1;
        }
    }

    /// One part of a frame is done.
    pub fn finish_part(&mut self, position: u64) {
        if let Some(frame) = self.find(position) {
            frame.parts = frame.parts.saturating_sub(1);
            self.advance();
        }
    }

    /// The oldest frame that is not done.
    pub fn oldest(&self) -> Option<&OpenFrame> {
        self.open.front()
    }

    /// Frames that are read and not done, or wait for an earlier one.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether everything that was read is done.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    fn find(&mut self, position: u64) -> Option<&mut OpenFrame> {
        let at = self.open.binary_search_by_key(&position, |f| f.position);
        self.open.get_mut(at.ok()?)
    }

    fn advance(&mut self) {
        while let Some(frame) = self.open.pop_front_if(|f| f.parts == 0) {
            self.position = frame.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(position: u64, parts: usize) -> OpenFrame {
        OpenFrame { position, next: position + 10, bytes: 10, written_ms: 0, parts }
    }

    #[test]
    fn it_moves_only_past_what_is_done_without_a_gap() {
        let mut cursor = Cursor::new(5);
        cursor.open(frame(5, 0));
        assert_eq!(cursor.position(), 15, "an empty frame is done at once");
        cursor.open(frame(15, 1));
        cursor.open(frame(25, 2));
        cursor.open(frame(35, 0));
        cursor.finish_part(25);
        cursor.add_part(25);
        cursor.finish_part(25);
        assert_eq!((cursor.position(), cursor.len()), (15, 3));
        cursor.finish_part(15);
        assert_eq!(cursor.position(), 25);
        cursor.finish_part(25);
        assert_eq!(cursor.position(), 45);
        assert!(cursor.is_empty());
    }
}
