//! The series that was met last in a batch: what the next one has in common with it is known.
//!
//! Senders write a target's series one after the other, and most of a series' labels are those of
//! the one before. Labels that are the same are valid, in their order, interned and told apart
//! into grouped and not, so for a new series only what changed is looked at. Invariant: while
//! there is a block, `labels` are its labels as they are read there, fit for a series as they
//! stand, and their pairs are [`Shard::last_pairs`], each referred to by a series that lives at
//! least as long as the batch is in hand.
//!
//! [`Shard::last_pairs`]: crate::shard::Shard

use weir_model::{Block, Label, LabelSource};

use crate::decisions::Decisions;
use crate::rule::Rule;

/// The series met last, and what is known of all that have their labels' names.
#[derive(Default)]
pub(crate) struct LastMet<'a> {
    /// Where its labels stand; none if the next series must be read on its own.
    pub(crate) block: Option<Block>,
    /// Its labels.
    pub(crate) labels: Vec<Label<'a>>,
    /// Its target (or that it has none), unless the one in hand may have another one.
    pub(crate) target: Option<Option<u64>>,
    /// Places of the labels in which the one in hand differs from it, and their values.
    pub(crate) changed: Vec<(usize, &'a str)>,
    /// How rules group by labels of these names.
    pub(crate) forms: Forms,
}

impl<'a> LastMet<'a> {
    /// Turns to the next block. `true` if `labels` are its labels now, and fit for a series; else
    /// it must be read on its own.
    pub(crate) fn follow(
        &mut self,
        source: &'a dyn LabelSource,
        block: Block,
        config: &Decisions,
    ) -> bool {
        let Self { block: last, labels, target, changed, .. } = self;
        let Some(before) = last.take() else {
            return false;
        };
        changed.clear();
        if source.changed_values(before, block, changed).is_none() {
            return false;
        }
        for &(place, value) in &*changed {
            let Some(label) = labels.get_mut(place) else {
                return false;
            };
            if value.is_empty() || value.len() > config.limits.value_bytes {
                return false;
            }
            label.value = value;
            if config.shard_key.labels.iter().any(|name| name == label.name) {
                *target = None;
            }
        }
        true
    }
}

/// What rules take of label sets with one and the same names, in the order of rules.
#[derive(Debug, Default)]
pub(crate) struct Forms(Vec<(u16, Form)>);

/// What one rule takes of them.
#[derive(Debug)]
pub(crate) struct Form {
    /// It is left with a label at all.
    pub(crate) takes: bool,
    /// By place: whether the label is part of the group.
    pub(crate) groups_by: Vec<bool>,
}

impl Forms {
    /// Labels have other names from now on.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What a rule takes of labels with these names.
    pub(crate) fn of(&mut self, number: u16, rule: &Rule, labels: &[Label<'_>]) -> &Form {
        let at = self.0.binary_search_by_key(&number, |&(number, _)| number);
        let at = at.unwrap_or_else(|at| {
            self.0.insert(at, (number, Form::new(rule, labels)));
            at
        });
        &self.0[at].1
    }
}

impl Form {
    fn new(rule: &Rule, labels: &[Label<'_>]) -> Self {
        let is_dropped = |name: &str| rule.drop_input_labels().iter().any(|n| n == name);
        let groups_by = |l: &Label<'_>| !is_dropped(l.name) && rule.groups_by(l.name);
        Self {
            takes: labels.iter().any(|l| !is_dropped(l.name)),
            groups_by: labels.iter().map(groups_by).collect(),
        }
    }
}
