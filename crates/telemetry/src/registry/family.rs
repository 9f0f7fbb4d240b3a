//! Metrics of one name that differ by labels.
//!
//! Invariant: a family holds at most its bound of label sets, so that no sender's choice of a
//! tenant or rule name makes the registry grow for ever. What comes after shares one series whose
//! label values are `__overflow__`, and its sums stay right.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::instrument::Instrument;

/// Label pairs, sorted by name.
pub(super) type Labels = Vec<(String, String)>;

/// Metrics of one name. Clones are the same family.
#[derive(Clone, Debug)]
pub struct Family<M> {
    inner: Arc<FamilyInner<M>>,
}

#[derive(Debug)]
struct FamilyInner<M> {
    pattern: M,
    sets: Mutex<BTreeMap<Labels, M>>,
}

impl<M: Clone> Family<M> {
    pub(super) fn new(pattern: M) -> Self {
        Self { inner: Arc::new(FamilyInner { pattern, sets: Mutex::default() }) }
    }

    pub(super) fn each(&self, mut visit: impl FnMut(&Labels, &M)) {
        for (labels, metric) in &*self.lock() {
            visit(labels, metric);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Labels, M>> {
        self.inner.sets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle(&self, labels: &[(&str, &str)], fresh: fn(&M) -> M) -> M {
        let mut key = sorted(labels);
        let mut sets = self.lock();
        if !sets.contains_key(&key) && sets.len() >= LABEL_SETS_MAX {
            for (_, value) in &mut key {
                *value = OVERFLOW.to_owned();
            }
        }
        sets.entry(key).or_insert_with(|| fresh(&self.inner.pattern)).clone()
    }
}

/// The public face is written out for each instrument: the trait behind it stays private.
macro_rules! family_of {
    ($($instrument:ty),*) => {$(
        impl Family<$instrument> {
            /// The metric with these labels, made if there is none. Look it up once and keep it:
            /// the look-up takes a lock, the handle does not.
            pub fn with(&self, labels: &[(&str, &str)]) -> $instrument {
                self.handle(labels, Instrument::fresh)
            }

            /// Stops exposing the metric with these labels; handles to it go on counting unseen.
            pub fn remove(&self, labels: &[(&str, &str)]) {
                self.lock().remove(&sorted(labels));
            }
        }

        impl Default for Family<$instrument> {
            fn default() -> Self {
                Self::new(<$instrument>::default())
            }
        }
    )*};
}

family_of!(super::Counter, super::Gauge, super::Histogram);

pub(super) fn sorted(labels: &[(&str, &str)]) -> Labels {
    let mut sorted: Labels = Vec::with_capacity(labels.len());
    for (name, value) in labels {
        debug_assert!(valid_label_name(name), "{name:?} is no label name");
        if valid_label_name(name) {
            sorted.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    sorted.sort();
    sorted.dedup_by(|later, earlier| later.0 == earlier.0);
    sorted
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
fn valid_label_name(name: &str) -> bool {
    !name.contains(':') && super::valid_metric_name(name)
}

/// Label sets of one family. Rules and tenants are counted in hundreds.
pub const LABEL_SETS_MAX: usize = 2_000;

const OVERFLOW: &str = "__overflow__";
