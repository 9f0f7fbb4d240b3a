//! The audit: what came in against what shards made of it, position by position.
//!
//! Every sample received falls in exactly one class. The left side is counted on the wire, apart
//! from the decoder that feeds the shards, and stands in the record; a replay compares with what
//! came in back then. The right side comes from the shards; they meet at the emitter, where a
//! position is complete. No position may be missing there either, but those that the disk has lost
//! or that replay has set aside and said so. Cumulative over the process.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ahash::AHashMap;
use weir_model::{Class, ClassCounts, TenantId};

use crate::shard::worker::lock;

/// One tenant's two sides.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantAudit {
    /// Samples that stood in requests.
    pub received: u64,
    /// What became of them.
    pub classes: ClassCounts,
    /// Left less right.
    pub imbalance: i64,
}

/// Both sides, by tenant.
#[derive(Debug, Default)]
pub struct Audit {
    tenants: Mutex<AHashMap<TenantId, TenantAudit>>,
    /// Left less right, over all tenants.
    pub imbalance: AtomicI64,
    /// Positions at which the sides differed; see [`Audit::unbalanced`].
    unbalanced_positions: AtomicU64,
    /// Samples applied by replay.
    pub replayed_samples: AtomicU64,
    /// Positions that replay found damaged or missing on the disk.
    pub lost_positions: AtomicU64,
    /// Records that replay could not use, or that had ended the process time and again.
    pub set_aside_records: AtomicU64,
    /// Positions that never came to the emitter.
    unseen_positions: AtomicU64,
}

impl Audit {
    /// Compares both sides of a position. `skipped` samples stand behind a checkpoint.
    pub fn compare(
        &self,
        tenant: TenantId,
        position: u64,
        received: u64,
        skipped: u64,
        counts: &ClassCounts,
        replayed: bool,
    ) {
        let right = counts.total() + skipped;
        let difference = received as i64 - right as i64;
        if difference != 0 {
            self.imbalance.fetch_add(difference, Ordering::Relaxed);
            self.unbalanced_positions.fetch_add(1, Ordering::Relaxed);
            tracing::error!(position, received, classified = right, "the audit does not balance");
        }
        let mut tenants = lock(&self.tenants);
        let entry = tenants.entry(tenant).or_default();
        entry.imbalance += difference;
        if replayed {
            self.replayed_samples.fetch_add(counts.total(), Ordering::Relaxed);
        } else {
            entry.received += received;
            entry.classes.merge(counts);
        }
    }

    /// Positions of the log that the emitter was not told of.
    pub fn miss(&self, positions: u64) {
        self.unseen_positions.fetch_add(positions, Ordering::Relaxed);
    }

    /// Positions at which the sides differed, or that are missing without a reason.
    pub fn unbalanced(&self) -> u64 {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        // What explains a missing position is counted before it is missed.
        let unseen = read(&self.unseen_positions);
        let explained = read(&self.lost_positions) + read(&self.set_aside_records);
        read(&self.unbalanced_positions) + unseen.saturating_sub(explained)
    }

    /// Samples that were received but never logged: all refused at the door.
    pub fn refuse(&self, tenant: TenantId, samples: u64) {
        let mut tenants = lock(&self.tenants);
        let entry = tenants.entry(tenant).or_default();
        entry.received += samples;
        entry.classes.add(Class::Refused, samples);
    }

    /// Every tenant's sides.
    pub fn tenants(&self) -> Vec<(TenantId, TenantAudit)> {
        lock(&self.tenants).iter().map(|(&id, &audit)| (id, audit)).collect()
    }
}
