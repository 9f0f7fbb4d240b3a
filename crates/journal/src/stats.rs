//! What the journal counts, as plain atomics that any thread may read.
//!
//! Invariant: each counter only grows, each gauge is the latest value; they are not read together, so
//! they may be a commit apart. Deliberately not here: names and labels of metrics.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counters since the journal was opened, and gauges.
#[derive(Debug, Default)]
pub struct Stats {
    /// Group commits.
    pub commits: AtomicU64,
    /// Records made durable.
    pub records: AtomicU64,
    /// Bytes of frames made durable, headers and padding included.
    pub bytes: AtomicU64,
    /// How long the last write and sync took, in nanoseconds.
    pub last_commit_ns: AtomicU64,
    /// Records in the last group.
    pub last_group_records: AtomicU64,
    /// Bytes reserved or appended and not yet durable.
    pub queue_bytes: AtomicU64,
    /// Segments begun.
    pub segments_started: AtomicU64,
    /// Of those, on files used before.
    pub segments_recycled: AtomicU64,
    /// Reservations refused, for whatever reason.
    pub refused: AtomicU64,
    /// The last attempt to prepare a segment failed, most likely for want of space.
    pub disk_full: AtomicBool,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

pub(crate) fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

pub(crate) fn set(gauge: &AtomicU64, value: u64) {
    gauge.store(value, Ordering::Relaxed);
}
