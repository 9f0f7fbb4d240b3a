//! What tenants send and have, against their limits.
//!
//! In a tier a limit is the tier's: what other members told last is added ([`Usage`]), but an equal part
//! of it is always left to each member, or those who heard of each other first would keep the rest
//! out. Invariant: a request that is alone in its second gets in, however large; a limit on series
//! only ever keeps new ones out.

use std::sync::Mutex;

use ahash::AHashMap;
use weir_model::TenantId;

use super::Answer;
use crate::cluster::usage::{Elsewhere, Usage, Use};
use crate::config::TenantLimits;
use crate::node::Node;
use crate::shard::worker::lock;

/// By tenant, of this node.
#[derive(Debug, Default)]
pub struct Rates(Mutex<AHashMap<TenantId, Paces>>);

#[derive(Clone, Copy, Debug, Default)]
struct Paces {
    samples: Pace,
    births: Pace,
    /// Series when it was last looked, if it was.
    series: Option<u64>,
}

/// What came in the second that runs, and in the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Pace {
    second: i64,
    now: u64,
    before: u64,
}

impl Pace {
    fn at(&mut self, second: i64) -> &mut Self {
        if second != self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
        self
    }
}

/// What is left to this node of a limit a second of which others use some.
fn left(limit: u64, used: u64, members: u64) -> u64 {
    limit.saturating_sub(used).max(limit / members.max(1))
}

impl Rates {
    /// Counts samples against the tenant's rate; `now` in milliseconds.
    pub(super) fn check(
        &self,
        usage: &Usage,
        (tenant, name): (TenantId, &str),
        limits: &TenantLimits,
        samples: u64,
        now: i64,
    ) -> Result<(), Answer> {
        let Some(limit) = limits.samples_per_second else {
            return Ok(());
        };
        let Elsewhere { members, used } = usage.elsewhere(name);
        let mut all = lock(&self.0);
        let pace = all.entry(tenant).or_default().samples.at(now / 1000);
        if pace.now > 0 && pace.now + samples > left(limit, used.samples, members) {
            return Err(Answer::over_limit(limits.status_over_limit, limit));
        }
        pace.now += samples;
        Ok(())
    }

    /// Whether the tenant may have no more series: at its limit, or born too many this second.
    pub(super) fn is_at_series_limit(
        &self,
        node: &Node,
        (tenant, name): (TenantId, &str),
        limits: &TenantLimits,
        now: i64,
    ) -> bool {
        if limits.max_series.is_none() && limits.new_series_per_second.is_none() {
            return false;
        }
        let Elsewhere { members, used } = node.cluster.usage().elsewhere(name);
        let series = series_of(node, tenant);
        if limits.max_series.is_some_and(|most| series + used.series >= most) {
            return true;
        }
        let Some(limit) = limits.new_series_per_second else {
            return false;
        };
        let mut all = lock(&self.0);
        let paces = all.entry(tenant).or_default();
        let known = paces.series.replace(series).unwrap_or(series);
        let pace = paces.births.at(now / 1000);
        pace.now += series.saturating_sub(known);
        pace.now >= left(limit, used.births, members)
    }

    /// What each tenant had in the second before this one, and its series.
    pub(crate) fn used(&self, node: &Node, now: i64) -> AHashMap<TenantId, Use> {
        let mut all = AHashMap::<TenantId, Use>::new();
        for facts in &node.worker_facts {
            lock(&facts.series).iter().for_each(|(id, n)| all.entry(*id).or_default().series += n);
        }
        for (&id, paces) in lock(&self.0).iter_mut() {
            let used = all.entry(id).or_default();
            used.samples = paces.samples.at(now / 1000).before;
            used.births = paces.births.at(now / 1000).before;
        }
        all
    }
}

fn series_of(node: &Node, tenant: TenantId) -> u64 {
    let of = |facts: &crate::shard::worker::Facts| -> u64 {
        lock(&facts.series).iter().filter(|(id, _)| *id == tenant).map(|(_, count)| count).sum()
    };
    node.worker_facts.iter().map(|facts| of(facts)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TenantLimits = TenantLimits {
        max_series: None,
        new_series_per_second: None,
        samples_per_second: Some(900),
        status_over_limit: 429,
    };

    fn allowed(rates: &Rates, usage: &Usage, samples: u64, now: i64) -> bool {
        rates.check(usage, (TenantId(0), "a"), &LIMITS, samples, now).is_ok()
    }

    #[test]
    fn a_limit_is_that_of_the_second() {
        let (rates, usage) = (Rates::default(), Usage::default());
        assert!(allowed(&rates, &usage, 500, 1_000));
        assert!(allowed(&rates, &usage, 400, 1_500));
        assert!(!allowed(&rates, &usage, 1, 1_999));
        assert!(allowed(&rates, &usage, 2_000, 2_000), "alone in its second");
    }

    #[test]
    fn what_others_use_is_not_left_but_an_equal_part_is() {
        let (rates, usage) = (Rates::default(), Usage::default());
        let told = |samples| [("a".to_owned(), Use { samples, births: 0, series: 0 })].into();
        usage.heard("b", told(500), std::time::Instant::now());
        usage.heard("c", told(0), std::time::Instant::now());
        assert!(allowed(&rates, &usage, 400, 1_000));
        assert!(!allowed(&rates, &usage, 1, 1_001), "500 elsewhere and 400 here are all");
        usage.heard("b", told(5_000), std::time::Instant::now());
        assert!(allowed(&rates, &usage, 300, 2_000));
        assert!(!allowed(&rates, &usage, 1, 2_001), "a third of 900 and no more");
    }
}
