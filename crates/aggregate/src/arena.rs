//! Short runs of `u32`s, allocated and freed all day: label sets, cell lists.
//!
//! Pieces of memory for each virtual shard instead of a heap block for each series: no header, no
//! rounding up. Freed runs wait in a list by length, threaded through their own first number. A
//! run lies within one piece; one that is longer has a piece of its own.

/// No run.
const NONE: u32 = u32::MAX;

/// Numbers of a piece: 1 KiB, a size class of allocators.
const PIECE: usize = 256;

/// An arena of runs. A run is known by its offset and length; the owner keeps both.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    /// Each begins at a multiple of [`PIECE`]. Places that a long run covers are empty.
    pieces: Vec<Box<[u32]>>,
    /// Numbers taken in the last piece.
    taken: usize,
    free: Vec<u32>,
}

impl Arena {
    /// Stores a run and returns its offset.
    pub fn alloc(&mut self, run: &[u32]) -> u32 {
        let len = run.len();
        if len == 0 {
            return 0;
        }
        let at = self.reuse(len).unwrap_or_else(|| self.append(len));
        self.get_mut(at, len).copy_from_slice(run);
        at
    }

    /// The run at this offset.
    #[inline]
    pub fn get(&self, offset: u32, len: usize) -> &[u32] {
        if len == 0 {
            return &[];
        }
        let begin = offset as usize % PIECE;
        &self.pieces[offset as usize / PIECE][begin..begin + len]
    }

    /// The run at this offset, to be changed.
    #[inline]
    pub fn get_mut(&mut self, offset: u32, len: usize) -> &mut [u32] {
        if len == 0 {
            return &mut [];
        }
        let begin = offset as usize % PIECE;
        &mut self.pieces[offset as usize / PIECE][begin..begin + len]
    }

    /// Gives a run back.
    pub fn free(&mut self, offset: u32, len: usize) {
        if len == 0 {
            return;
        }
        if self.free.len() <= len {
            self.free.resize(len + 1, NONE);
        }
        let next = std::mem::replace(&mut self.free[len], offset);
        self.get_mut(offset, len)[0] = next;
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let numbers: usize = self.pieces.iter().map(|piece| piece.len()).sum();
        (numbers + self.free.capacity()) * size_of::<u32>()
            + size_class(self.pieces.capacity() * size_of::<Box<[u32]>>())
    }

    fn reuse(&mut self, len: usize) -> Option<u32> {
        let head = *self.free.get(len).filter(|&&head| head != NONE)?;
        self.free[len] = self.get(head, len)[0];
        Some(head)
    }

    fn append(&mut self, len: usize) -> u32 {
        let has_room = !self.pieces.is_empty() && self.taken + len <= PIECE;
        if !has_room {
            self.pieces.push(vec![0; len.max(PIECE)].into_boxed_slice());
            self.taken = 0;
        }
        let at = (self.pieces.len() - 1) * PIECE + self.taken;
        self.taken += len;
        // Offsets go on behind a long run.
        let covered = self.taken.div_ceil(PIECE).saturating_sub(1);
        self.pieces.extend((0..covered).map(|_| Box::default()));
        if covered > 0 {
            self.taken = PIECE;
        }
        at as u32
    }
}

/// What an allocator hands out for so many bytes: jemalloc's size classes, four in each doubling.
pub fn size_class(bytes: usize) -> usize {
    match bytes {
        0..=128 => bytes.next_multiple_of(16),
        _ => bytes.next_multiple_of(1 << ((bytes - 1).ilog2() - 2)),
    }
}

/// Room for `more`, growing by an eighth instead of by doubling: there are thousands of these.
pub fn reserve<T>(vec: &mut Vec<T>, more: usize) {
    if vec.len() + more > vec.capacity() {
        vec.reserve_exact(more.max(vec.len() / 8 + 4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn freed_runs_are_used_again() {
        let mut arena = Arena::default();
        let a = arena.alloc(&[1, 2, 3]);
        let b = arena.alloc(&[4, 5]);
        arena.free(a, 3);
        assert_eq!(arena.alloc(&[6, 7, 8]), a);
        assert_eq!(arena.get(b, 2), [4, 5]);
        assert_eq!(arena.get(a, 3), [6, 7, 8]);
    }

    #[test]
    fn size_classes_are_jemallocs() {
        // From jemalloc(3), "Size classes".
        for (bytes, class) in [(0, 0), (1, 16), (128, 128), (129, 160), (160, 160), (257, 320)] {
            assert_eq!(size_class(bytes), class);
        }
        for (kib, class) in [(5, 5), (17, 20), (65, 80), (112, 112), (113, 128), (129, 160)] {
            assert_eq!(size_class(kib << 10), class << 10);
        }
    }

    #[test]
    fn runs_of_every_length_stand_apart() {
        let mut arena = Arena::default();
        let lengths = [0, 1, 11, 255, 256, 257, 511, 512, 513, 3, 1000, 7, 0, 250, 6, 1, 2];
        let run = |n: usize| vec![n as u32; lengths[n % lengths.len()]];
        let offsets: Vec<u32> = (0..200).map(|n| arena.alloc(&run(n))).collect();
        for round in 0..3 {
            for n in (0..200).filter(|n| n % 3 == round) {
                arena.free(offsets[n], run(n).len());
            }
            for n in (0..200).rev().filter(|n| n % 3 == round) {
                arena.alloc(&run(n));
            }
        }
        let before = arena.memory_bytes();
        assert!(before < 200 * 230 * 4 * 5 / 4, "{before}");
        let offsets: Vec<u32> = (0..200).map(|n| arena.alloc(&run(n))).collect();
        for (n, &offset) in offsets.iter().enumerate() {
            assert_eq!(arena.get(offset, run(n).len()), run(n));
        }
    }
}
