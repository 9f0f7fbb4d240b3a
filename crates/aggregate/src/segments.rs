//! A growing list in pieces of one size: growing copies nothing and leaves little room unused.
//!
//! A virtual shard is small and there are thousands of them, so what a doubling vector and the
//! allocator's size classes leave unused is a fifth of all memory. A piece has the size of a class.
//! Nothing is ever taken out: freed places are their owner's to use again.

use std::ops::{Index, IndexMut};

use crate::arena::size_class;

/// Items of a piece. With items of 8·2^n or 10·2^n bytes, pieces fill size classes exactly.
const PIECE: usize = 32;

/// The list.
#[derive(Clone, Debug)]
pub struct Segments<T> {
    pieces: Vec<Box<[T; PIECE]>>,
    len: usize,
}

impl<T> Default for Segments<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T: Copy + Default> Segments<T> {
    /// Appends an item.
    pub fn push(&mut self, item: T) {
        if self.len == self.pieces.len() * PIECE {
            self.pieces.push(Box::new([T::default(); PIECE]));
        }
        self.len += 1;
        let last = self.len - 1;
        self[last] = item;
    }

    /// How many items there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The item at this place, if there is one.
    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        (at < self.len).then(|| &self[at])
    }

    /// The items in their order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flat_map(|piece| piece.iter()).take(self.len)
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        self.pieces.len() * size_of::<[T; PIECE]>()
            + size_class(self.pieces.capacity() * size_of::<Box<[T; PIECE]>>())
    }
}

impl<T> Index<usize> for Segments<T> {
    type Output = T;

    /// Places past the end but within the last piece hold what `T` is by default.
    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.pieces[at / PIECE][at % PIECE]
    }
}

impl<T> IndexMut<usize> for Segments<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pieces[at / PIECE][at % PIECE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list() {
        let mut list = Segments::default();
        let mut twin = Vec::new();
        for n in 0..1000u64 {
            list.push(n);
            twin.push(n);
        }
        (list[40], twin[40]) = (7, 7);
        assert_eq!(list.iter().copied().collect::<Vec<_>>(), twin);
        assert_eq!((list.len(), list[999], list.get(1000)), (1000, 999, None));
        assert!(list.memory_bytes() < 1000 * 8 * 11 / 10, "{}", list.memory_bytes());
    }
}
