//! Tenants' names and the numbers that the process gives them.
//!
//! Numbers never reach disk or wire; records carry names. Bounded: past the bound a new tenant
//! is refused, for every tenant costs memory in each worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use dashmap::DashMap;
use weir_model::TenantId;

/// Tenants of one process at most.
const TENANTS_MAX: u32 = 65_536;

/// Longest tenant name, Cortex's and Mimir's bound.
const NAME_BYTES_MAX: usize = 150;

/// Why a name is no tenant.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TenantError {
    /// A name that no backend would take.
    #[error("tenant {0:?} is not allowed: 1 to 150 letters, digits or any of !-_.*'()")]
    Name(String),
    /// Too many of them.
    #[error("there are {TENANTS_MAX} tenants already")]
    TooMany,
}

/// The tenants that this process has met.
#[derive(Debug, Default)]
pub struct Tenants {
    numbers: DashMap<Arc<str>, TenantId>,
    names: DashMap<TenantId, Arc<str>>,
    next: AtomicU32,
}

impl Tenants {
    /// The number and shared name of a tenant.
    pub fn meet(&self, name: &str) -> Result<(TenantId, Arc<str>), TenantError> {
        if let Some(known) = self.numbers.get(name) {
            return Ok((*known.value(), Arc::clone(known.key())));
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || "!-_.*'()".contains(c);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(legal) {
            return Err(TenantError::Name(name.chars().take(32).collect()));
        }
        if self.next.load(Ordering::Relaxed) >= TENANTS_MAX {
            return Err(TenantError::TooMany);
        }
        let name: Arc<str> = name.into();
        let entry = self.numbers.entry(Arc::clone(&name));
        let id = *entry.or_insert_with(|| {
            let id = TenantId(self.next.fetch_add(1, Ordering::Relaxed));
            self.names.insert(id, Arc::clone(&name));
            id
        });
        Ok((id, name))
    }

    /// The name behind a number that [`Tenants::meet`] gave.
    pub fn name(&self, id: TenantId) -> Arc<str> {
        self.names.get(&id).map_or_else(|| Arc::from(""), |name| Arc::clone(name.value()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_keeps_its_number() {
        let tenants = Tenants::default();
        let (a, _) = tenants.meet("a").unwrap();
        let (b, _) = tenants.meet("b").unwrap();
        assert_ne!(a, b);
        assert_eq!(tenants.meet("a").unwrap().0, a);
        assert_eq!(&*tenants.name(b), "b");
        assert!(tenants.meet("").is_err());
        assert!(tenants.meet("a/b").is_err());
    }
}
