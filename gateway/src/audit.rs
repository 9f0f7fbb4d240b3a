//! The audit: what the decoder counted against what shards made of it, position by position.
//!
//! Every sample received falls in exactly one class. The left side comes from the decoder (live)
//! or from the record (replay), the right side from the shards; they meet at the emitter, where a
//! position is complete. Cumulative over the process; replayed positions are compared as well.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ahash::AHashMap;
use weir_model::{Class, ClassCounts, TenantId};

use crate::shard::worker::lock;

/// One tenant's two sides.
#[derive(Clone, Copy, Debug, Default)]
pub struct TenantAudit {
    /// Samples that the decoder counted.
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
    /// Positions at which the sides differed.
    pub unbalanced_positions: AtomicU64,
    /// Samples applied by replay.
    pub replayed_samples: AtomicU64,
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
