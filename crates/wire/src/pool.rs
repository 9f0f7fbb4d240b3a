//! Memory of bodies, used again: fresh memory has to be zeroed before it can be filled.
//!
//! A decoding thread owns a pool, and bodies come back to it from wherever they are dropped.
//! Invariant: a pool holds at most [`KEPT_MAX`] vectors of at most [`KEPT_BYTES_MAX`].

use std::sync::{Arc, Mutex, PoisonError};

/// Vectors that a pool keeps: a thread has few bodies on their way to the workers at a time.
const KEPT_MAX: usize = 4;

/// Capacity of the largest that it keeps, bytes: that of requests with 10,000 samples.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// A thread's pool.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    /// Memory with any content, or none.
    pub(crate) fn take(&self) -> Vec<u8> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    /// Takes memory back.
    pub(crate) fn put(&self, bytes: Vec<u8>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if (1..=KEPT_BYTES_MAX).contains(&bytes.capacity()) && kept.len() < KEPT_MAX {
            kept.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_within_bounds() {
        let pool = Pool::default();
        assert_eq!(pool.take().capacity(), 0);
        pool.put(Vec::new());
        pool.put(Vec::with_capacity(KEPT_BYTES_MAX + 1));
        assert_eq!(pool.take().capacity(), 0, "neither nothing nor too much is kept");
        (0..2 * KEPT_MAX).for_each(|n| pool.clone().put(vec![n as u8; 10]));
        let given: Vec<_> = std::iter::repeat_with(|| pool.take()).take(KEPT_MAX + 1).collect();
        assert!(given[..KEPT_MAX].iter().all(|bytes| bytes.len() == 10));
        assert_eq!(given[KEPT_MAX].capacity(), 0);
    }
}
