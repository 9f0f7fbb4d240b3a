//! Short runs of `u32`s, allocated and freed all day: label sets, cell lists.
//!
//! One vector for each virtual shard instead of a heap block for each series: no header, no
//! rounding up. Freed runs wait in a list by length, threaded through their own first number.

/// No run.
const NONE: u32 = u32::MAX;

/// An arena of runs. A run is known by its offset and length; the owner keeps both.
#[derive(Clone, Debug, Default)]
pub struct Arena {
    data: Vec<u32>,
    free: Vec<u32>,
}

impl Arena {
    /// Stores a run and returns its offset.
    pub fn alloc(&mut self, run: &[u32]) -> u32 {
        let len = run.len();
        if len == 0 {
            return 0;
        }
        if let Some(head) = self.free.get_mut(len)
            && *head != NONE
        {
            let at = *head as usize;
            *head = self.data[at];
            self.data[at..at + len].copy_from_slice(run);
            return at as u32;
        }
        let at = self.data.len();
        reserve(&mut self.data, len);
        self.data.extend_from_slice(run);
        at as u32
    }

    /// The run at this offset.
    #[inline]
    pub fn get(&self, offset: u32, len: usize) -> &[u32] {
        &self.data[offset as usize..offset as usize + len]
    }

    /// Gives a run back.
    pub fn free(&mut self, offset: u32, len: usize) {
        if len == 0 {
            return;
        }
        if self.free.len() <= len {
            self.free.resize(len + 1, NONE);
        }
        self.data[offset as usize] = self.free[len];
        self.free[len] = offset;
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        (self.data.capacity() + self.free.capacity()) * size_of::<u32>()
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
}
