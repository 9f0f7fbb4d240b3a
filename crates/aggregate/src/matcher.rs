//! Which rules take a series: asked once, when the series is born.
//!
//! Rules that name their metric exactly (`up`, `{__name__=~"a|b"}`) are found by one look-up of
//! the name, so that rules for other metrics cost nothing; the rest are tried one by one, with
//! equalities before regular expressions and each of these behind its literal prefix.
//!
//! Invariant: the answer is that of trying every selector of every rule. A missing label reads
//! as the empty string.

mod parse;
mod selector;

use ahash::AHashMap;
use weir_model::Label;
use weir_model::labels::{METRIC_NAME, value_of};

pub use parse::{SelectorError, SelectorErrorKind};
pub use selector::{Condition, Operator, Selector};

use crate::rule::Rule;

/// All rules' selectors, indexed.
#[derive(Clone, Debug, Default)]
pub struct Matcher {
    alternatives: Vec<Alternative>,
    /// Alternatives that can only match this metric name.
    by_name: AHashMap<Box<str>, Vec<u32>>,
    /// Alternatives that may match any name.
    any_name: Vec<u32>,
}

/// One way in which a series may belong to a rule.
#[derive(Clone, Debug)]
struct Alternative {
    rule: u16,
    /// The tenants for whom the rule is; all if absent.
    tenants: Option<Box<[String]>>,
    /// All must hold; the cheap ones come first.
    conditions: Box<[Condition]>,
}

impl Matcher {
    /// Indexes rules by their place in the slice; those past 65,535 are not reachable, and the
    /// rule file refuses so many.
    pub fn new(rules: &[Rule]) -> Self {
        let mut matcher = Self::default();
        for (rule, at) in rules.iter().zip(0u16..=u16::MAX) {
            let tenants = rule.tenants().map(Box::from);
            if rule.selectors().is_empty() {
                matcher.add(at, tenants, &[]);
                continue;
            }
            for conditions in rule.selectors().iter().flat_map(|s| s.alternatives()) {
                matcher.add(at, tenants.clone(), conditions);
            }
        }
        matcher
    }

    /// Leaves in `out` the numbers of the rules that take this series, in their order.
    pub fn matching(&self, tenant: &str, labels: &[Label<'_>], out: &mut Vec<u16>) {
        out.clear();
        let named = self.by_name.get(value_of(labels, METRIC_NAME));
        let candidates = named.into_iter().flatten().chain(&self.any_name);
        for alternative in candidates.filter_map(|&at| self.alternatives.get(at as usize)) {
            if alternative.takes(tenant, labels) {
                out.push(alternative.rule);
            }
        }
        out.sort_unstable();
        out.dedup();
    }

    fn add(&mut self, rule: u16, tenants: Option<Box<[String]>>, conditions: &[Condition]) {
        let at = self.alternatives.len() as u32;
        let mut conditions = conditions.to_vec();
        conditions.sort_by_key(Condition::has_regex);
        // Of several conditions on the name, one suffices for the index; all are still checked.
        match conditions.iter().find_map(Condition::only_names) {
            Some(names) => {
                for name in names {
                    self.by_name.entry(name.into()).or_default().push(at);
                }
            }
            None => self.any_name.push(at),
        }
        let conditions = conditions.into();
        self.alternatives.push(Alternative { rule, tenants, conditions });
    }
}

impl Alternative {
    fn takes(&self, tenant: &str, labels: &[Label<'_>]) -> bool {
        let ours = |tenants: &[String]| tenants.iter().any(|t| t == tenant);
        self.tenants.as_deref().is_none_or(ours) && self.conditions.iter().all(|c| c.holds(labels))
    }
}

#[cfg(test)]
mod tests;
