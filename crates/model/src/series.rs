//! Where a series lives: virtual shards.
//!
//! A [`VShard`] comes from unseeded XXH3-64 over frozen bytes (`docs/WIRE.md` has test vectors): it
//! is stored and sent, and may never change for a cluster. Not to be mixed up with the hash of
//! [`crate::block_hash`], which is another in each process.

use xxhash_rust::xxh3::xxh3_64;

use crate::labels::{Label, METRIC_NAME, write_canonical};
use crate::varint;

/// Number of virtual shards of a cluster.
pub const VSHARDS: u16 = 4096;

/// One of the [`VSHARDS`] parts into which all series fall.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct VShard(pub u16);

/// Which labels decide where a series lives.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardKey {
    /// The labels of a target, in this order (`job`, `instance`).
    pub labels: Vec<String>,
    /// The HA replica label, which is never part of the key.
    pub replica_label: String,
    /// Targets (their label values, in order) whose series are spread by their whole label set.
    pub split: Vec<Vec<String>>,
}

impl Default for ShardKey {
    fn default() -> Self {
        Self {
            labels: vec!["job".into(), "instance".into()],
            replica_label: "__replica__".into(),
            split: Vec::new(),
        }
    }
}

impl ShardKey {
    /// The virtual shard of a series: by target where the key's labels are all there and the
    /// last of them is no loopback address, else by the whole label set less `le`, `quantile`
    /// and the replica label. `sorted` must be in the order of names.
    pub fn vshard(&self, tenant: &str, sorted: &[Label<'_>]) -> VShard {
        let value = |name: &String| sorted.iter().find(|l| l.name == name).map(|l| l.value);
        let values: Option<Vec<&str>> = self.labels.iter().map(value).collect();
        if let Some(values) = values
            && self.is_target(&values)
        {
            return vshard_of_target(tenant, &values);
        }
        vshard_of_set(tenant, sorted.iter().copied().filter(|l| self.is_spread_by(l.name)))
    }

    /// Whether these values of the key's labels name a target that keeps its series together.
    pub fn is_target(&self, values: &[&str]) -> bool {
        let Some(last) = values.last() else {
            return false;
        };
        !values.iter().any(|v| v.is_empty())
            && !is_loopback(last)
            && !self.split.iter().any(|s| s.iter().eq(values.iter()))
    }

    fn is_spread_by(&self, name: &str) -> bool {
        name != "le" && name != "quantile" && name != self.replica_label
    }
}

/// The virtual shard of a target: XXH3-64 over 0x01, tenant, then each value, all length-prefixed.
pub fn vshard_of_target(tenant: &str, values: &[&str]) -> VShard {
    vshard(0x01, tenant, |bytes| {
        for value in values {
            varint::write(value.len() as u64, bytes);
            bytes.extend_from_slice(value.as_bytes());
        }
    })
}

/// The virtual shard of a label set: XXH3-64 over 0x02, tenant, then the canonical bytes.
pub fn vshard_of_set<'a>(tenant: &str, sorted: impl Iterator<Item = Label<'a>>) -> VShard {
    vshard(0x02, tenant, |bytes| write_canonical(sorted, bytes))
}

/// The virtual shard where an output group lives: XXH3-64 over 0x03, tenant, then the canonical bytes
/// of its labels less `le`, with the metric's name less `_bucket`, `_sum` or `_count`. So all series of
/// a classic histogram meet, and leave in one request.
pub fn vshard_of_group<'a>(tenant: &str, sorted: impl Iterator<Item = Label<'a>>) -> VShard {
    let family = |name: &'a str| {
        let suffixes = ["_bucket", "_sum", "_count"];
        suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
    };
    let kept = sorted.filter(|label| label.name != "le").map(|label| match label.name {
        METRIC_NAME => Label::new(label.name, family(label.value)),
        _ => label,
    });
    vshard(0x03, tenant, |bytes| write_canonical(kept, bytes))
}

fn vshard(kind: u8, tenant: &str, rest: impl FnOnce(&mut Vec<u8>)) -> VShard {
    let mut bytes = Vec::with_capacity(128);
    bytes.push(kind);
    varint::write(tenant.len() as u64, &mut bytes);
    bytes.extend_from_slice(tenant.as_bytes());
    rest(&mut bytes);
    VShard((xxh3_64(&bytes) % u64::from(VSHARDS)) as u16)
}

/// `localhost:9100` is the same text on every host, so it names no target.
fn is_loopback(instance: &str) -> bool {
    let host = instance.rsplit_once(':').map_or(instance, |(host, _)| host);
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host == "::1" || host.starts_with("127.") || host == "0.0.0.0"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(pairs: &[(&'a str, &'a str)]) -> Vec<Label<'a>> {
        pairs.iter().map(|&(n, v)| Label::new(n, v)).collect()
    }

    /// Vectors computed with the reference implementation (python-xxhash 4.1, XXH3-64 seed 0)
    /// over the bytes that the documentation names.
    #[test]
    fn virtual_shards_are_frozen() {
        let key = ShardKey::default();
        let by_target = labels(&[("__name__", "up"), ("instance", "h1:9100"), ("job", "node")]);
        assert_eq!(key.vshard("anonymous", &by_target), VShard(vector::TARGET));
        let by_set = labels(&[("__name__", "up"), ("job", "node")]);
        assert_eq!(key.vshard("anonymous", &by_set), VShard(vector::SET));
    }

    #[test]
    fn a_histograms_groups_live_in_one_place() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            vshard_of_group("anonymous", labels(pairs).into_iter())
        };
        let plain = of(&[("__name__", "latency"), ("job", "node")]);
        assert_eq!(plain, VShard(vector::GROUP));
        assert_eq!(of(&[("__name__", "latency_bucket"), ("job", "node"), ("le", "1")]), plain);
        assert_eq!(of(&[("__name__", "latency_count"), ("job", "node")]), plain);
    }

    mod vector {
        pub(super) const TARGET: u16 = 1749;
        pub(super) const SET: u16 = 3368;
        pub(super) const GROUP: u16 = 1896;
    }

    #[test]
    fn a_series_stays_with_its_target_whatever_else_it_says() {
        let key = ShardKey::default();
        let one = labels(&[("__name__", "a"), ("instance", "h:1"), ("job", "j"), ("le", "1")]);
        let two = labels(&[("__name__", "b"), ("instance", "h:1"), ("job", "j")]);
        assert_eq!(key.vshard("t", &one), key.vshard("t", &two));
    }

    #[test]
    fn without_a_target_le_quantile_and_replica_do_not_count() {
        let key = ShardKey::default();
        for instance in ["localhost:9090", "127.0.0.1:80", "[::1]:80", ""] {
            let plain = labels(&[("__name__", "a"), ("instance", instance), ("job", "j")]);
            let full = labels(&[
                ("__name__", "a"),
                ("__replica__", "r1"),
                ("instance", instance),
                ("job", "j"),
                ("le", "5"),
            ]);
            assert_eq!(key.vshard("t", &plain), key.vshard("t", &full), "{instance}");
        }
    }

    #[test]
    fn a_split_target_spreads_its_series() {
        let split = vec![vec!["j".to_owned(), "h:1".to_owned()]];
        let key = ShardKey { split, ..ShardKey::default() };
        let names: Vec<String> = (0..50).map(|i| format!("m{i}")).collect();
        let shards: std::collections::BTreeSet<_> = names
            .iter()
            .map(|n| {
                key.vshard("t", &labels(&[("__name__", n), ("instance", "h:1"), ("job", "j")]))
            })
            .collect();
        assert!(shards.len() > 40);
    }
}
