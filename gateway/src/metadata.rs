//! What senders say of metric families: type, help, unit.
//!
//! Remote write 1.0 sends it apart from samples, 2.0 with each series. It is kept by tenant and
//! family, and travels on with the samples that pass. Not durable: senders repeat it every minute.

use std::sync::Arc;

use dashmap::DashMap;
use weir_model::{Columns, Metadata, TenantId};

/// Families that are remembered at most; more are left out.
const FAMILIES_MAX: usize = 100_000;

/// Suffixes that samples of a family add to its name.
const SUFFIXES: [&str; 5] = ["_total", "_bucket", "_sum", "_count", "_created"];

/// Families by tenant and name.
#[derive(Debug, Default)]
pub struct Families {
    known: DashMap<(TenantId, String), Arc<Metadata>>,
}

impl Families {
    /// Learns what a request says.
    pub fn learn(&self, tenant: TenantId, columns: &Columns) {
        for metadata in &columns.metadata {
            self.put(tenant, &metadata.family, metadata);
        }
    }

    /// What is known of a metric, by its own name or its family's.
    pub fn of(&self, tenant: TenantId, metric: &str) -> Option<Arc<Metadata>> {
        if self.known.is_empty() {
            return None;
        }
        let stems = SUFFIXES.iter().filter_map(|suffix| metric.strip_suffix(suffix));
        let mut names = std::iter::once(metric).chain(stems);
        names.find_map(|name| Some(Arc::clone(self.known.get(&(tenant, name.to_owned()))?.value())))
    }

    fn put(&self, tenant: TenantId, family: &str, metadata: &Metadata) {
        let key = (tenant, family.to_owned());
        let changed = self.known.get(&key).is_none_or(|known| **known != *metadata);
        if changed && (self.known.len() < FAMILIES_MAX || self.known.contains_key(&key)) {
            self.known.insert(key, Arc::new(metadata.clone()));
        }
    }
}
