//! Which rules take a series' samples: decided when the series is born, shared by all alike.
//!
//! A plan is a tenant and the rules that match, in the order of the rule set. Its number is what
//! a series keeps, so cost follows samples, not rules.

use ahash::RandomState;
use hashbrown::HashTable;
use weir_model::{TenantId, Timestamp};

use crate::decisions::Decisions;

/// What happens to the samples of some series.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whose series they are.
    pub tenant: TenantId,
    /// Rules that fold them.
    pub rules: Box<[u16]>,
    /// Whether samples also leave as they came.
    pub pass: bool,
    /// Until then they leave as they came in any case: all of the rules were added of late and are
    /// waiting for their first window boundary.
    pub pass_until: Timestamp,
    /// Whether some rule carries late increases.
    pub carries: bool,
    /// How long its series count as alive without samples, for any of the rules.
    pub staleness_ms: i64,
    /// How long its series are remembered: as a counter's base, while they count as alive, and
    /// as long as a window may have something of them.
    pub memory_ms: i64,
}

/// All plans of a worker.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    plans: Vec<Plan>,
    numbers: HashTable<u16>,
    hashing: RandomState,
}

impl Plans {
    /// The number of the plan for these rules; `None` if there are too many different ones.
    pub fn number(&mut self, tenant: TenantId, rules: &[u16], config: &Decisions) -> Option<u16> {
        let Self { plans, numbers, hashing } = self;
        let hash = hashing.hash_one((tenant, rules));
        let same = |&number: &u16| {
            let plan = &plans[usize::from(number)];
            plan.tenant == tenant && *plan.rules == *rules
        };
        if let Some(&number) = numbers.find(hash, same) {
            return Some(number);
        }
        let number = u16::try_from(plans.len()).ok()?;
        let of = |at: &u16| &config.rules[usize::from(*at)];
        let keeps = rules.iter().any(|at| of(at).rule.keep_input());
        let carries = rules.iter().any(|at| of(at).carries());
        let pass_until = rules.iter().map(|at| of(at).active_after).min().unwrap_or(Timestamp::MAX);
        let pass = rules.is_empty() || keeps;
        let longest = |of: &dyn Fn(&u16) -> i64| rules.iter().map(of).max().unwrap_or(0);
        let staleness_ms = longest(&|at| of(at).rule.staleness().0);
        let interval_ms = longest(&|at| of(at).rule.interval().0);
        let memory_ms = config.counter_memory.0.max(staleness_ms).max(interval_ms);
        plans.push(Plan {
            tenant,
            rules: rules.into(),
            pass,
            pass_until,
            carries,
            staleness_ms,
            memory_ms,
        });
        numbers.insert_unique(hash, number, |&number| {
            let plan = &plans[usize::from(number)];
            hashing.hash_one((plan.tenant, &*plan.rules))
        });
        Some(number)
    }

    /// A plan by its number.
    #[inline]
    pub fn get(&self, number: u16) -> &Plan {
        &self.plans[usize::from(number)]
    }
}
