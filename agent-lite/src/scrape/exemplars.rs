//! Exemplars that a target still shows have been sent already: only newer ones are.
//!
//! What is kept is one exemplar's time and hash for each series that has any. As in Prometheus, one
//! that equals the last is passed over, and so is an older one.

use hashbrown::HashMap;
use weir_model::{Exemplar, Timestamp};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The newest exemplar of each series.
#[derive(Debug, Default)]
pub(super) struct NewestExemplars {
    by_series: HashMap<u32, (Timestamp, u64)>,
}

impl NewestExemplars {
    /// Keeps those of `exemplars` that are newer than the series' last one.
    pub(super) fn keep_newer(&mut self, id: u32, exemplars: &mut Vec<Exemplar>) {
        if exemplars.is_empty() {
            return;
        }
        exemplars.sort_by_key(|e| e.timestamp);
        let mut newest = self.by_series.get(&id).copied();
        exemplars.retain(|exemplar| {
            let this = (exemplar.timestamp, hash(exemplar));
            let is_newer =
                newest.is_none_or(|last| this.0 > last.0 || (this.0 == last.0 && this.1 != last.1));
            if is_newer {
                newest = Some(this);
            }
            is_newer
        });
        if let Some(newest) = newest {
            self.by_series.insert(id, newest);
        }
    }

    /// Series have other numbers now: `moved[old]`, which is past all numbers for those that ended.
    pub(super) fn renumber(&mut self, moved: &[u32]) {
        if !self.by_series.is_empty() {
            self.by_series = std::mem::take(&mut self.by_series)
                .into_iter()
                .filter_map(|(id, newest)| Some((*moved.get(id as usize)?, newest)))
                .filter(|&(id, _)| id != u32::MAX)
                .collect();
        }
    }

    /// Bytes of memory that it holds.
    pub(super) fn held_bytes(&self) -> usize {
        self.by_series.allocation_size()
    }
}

fn hash(exemplar: &Exemplar) -> u64 {
    let mut hash = exemplar.value.to_bits();
    for (name, value) in &exemplar.labels {
        hash = xxh3_64_with_seed(name.as_bytes(), hash);
        hash = xxh3_64_with_seed(value.as_bytes(), hash);
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exemplar_is_sent_once() {
        let exemplar = |timestamp, id: &str| Exemplar {
            labels: vec![("trace_id".into(), id.into())],
            value: 1.0,
            timestamp,
        };
        let mut newest = NewestExemplars::default();
        let mut kept = |id, mut exemplars: Vec<Exemplar>| {
            newest.keep_newer(id, &mut exemplars);
            exemplars.iter().map(|e| e.labels[0].1.clone()).collect::<Vec<_>>()
        };
        assert_eq!(kept(1, vec![exemplar(20, "b"), exemplar(10, "a")]), ["a", "b"]);
        assert!(kept(1, vec![exemplar(20, "b"), exemplar(10, "a")]).is_empty());
        assert_eq!(kept(1, vec![exemplar(20, "c")]), ["c"]);
        assert_eq!(kept(2, vec![exemplar(5, "a")]), ["a"]);
        newest.renumber(&[0, 7, u32::MAX]);
        assert_eq!(newest.by_series.keys().copied().collect::<Vec<_>>(), [7]);
    }
}
