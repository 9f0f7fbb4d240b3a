//! Shard workers: one plain thread each, owner of its virtual shards.
//!
//! Workers split the virtual shards into ranges, so their number may change between restarts.
//! Invariant: a worker reports every position that it was sent, in order, to the emitter.

pub mod pass;
pub mod worker;

use weir_model::{VSHARDS, VShard};

/// The worker that owns a virtual shard.
#[inline]
pub fn owner(vshard: VShard, workers: usize) -> usize {
    usize::from(vshard.0) * workers / usize::from(VSHARDS)
}

/// The virtual shards of a worker.
pub fn owned(worker: usize, workers: usize) -> impl Iterator<Item = VShard> {
    (0..VSHARDS).map(VShard).filter(move |&v| owner(v, workers) == worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_virtual_shard_has_one_owner() {
        for workers in [1, 2, 3, 7, 64] {
            let all: usize = (0..workers).map(|w| owned(w, workers).count()).sum();
            assert_eq!(all, usize::from(VSHARDS));
            assert!((0..workers).all(|w| owned(w, workers).count() > 0));
        }
    }
}
