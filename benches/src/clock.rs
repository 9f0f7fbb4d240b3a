//! What things cost: CPU time of the calling thread, bytes that the allocator has given out.
//!
//! Wall time on a shared machine measures its other users; thread time leaves most of them out
//! (not what they take of caches and memory bandwidth).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tikv_jemalloc_ctl::{epoch, stats};

/// CPU time that this thread has used, kernel included.
pub fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Bytes allocated and not freed by the whole process, as jemalloc counts them: each rounded up to
/// its size class, without the allocator's own.
pub fn allocated_bytes() -> usize {
    epoch::advance().expect("jemalloc keeps statistics");
    stats::allocated::read().expect("jemalloc keeps statistics")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocator_counts() {
        let before = allocated_bytes();
        let kept = vec![1u8; 8 << 20];
        let grown = allocated_bytes().saturating_sub(before);
        assert!(grown >= 7 << 20, "{grown}");
        drop(kept);
    }

    #[test]
    fn thread_time_grows_with_work_and_not_with_sleep() {
        let begin = thread_time();
        std::thread::sleep(Duration::from_millis(50));
        assert!(thread_time() - begin < Duration::from_millis(40));
        while thread_time() == begin {
            std::hint::black_box(allocated_bytes());
        }
    }
}
