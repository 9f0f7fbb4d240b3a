//! What ties a series to its rules: which of them take it, and its output group under each.
//!
//! Rules are matched once, when a series is born or the configuration changes. A group is a part
//! of its series' label pairs, so finding it compares numbers, not texts; only a rule that relabels
//! its input needs the labels themselves. Invariant: each series refers to its cells, a cell to its
//! group and a group to its pairs; the last reference that goes takes what it referred to with it.

use weir_model::symbols::PairId;
use weir_model::{Label, LabelsBuilder, TenantId};

use crate::group::GroupNews;
use crate::met::Forms;
use crate::rule::Rule;
use crate::shard::Shard;
use crate::vshard::Vshard;

/// The rules that take a series, and the label pairs of its group under each.
#[derive(Debug, Default)]
pub(crate) struct Bound {
    /// Rules in their order.
    pub(crate) rules: Vec<u16>,
    /// The groups' pairs, one run after the other.
    pairs: Vec<u32>,
    /// Where each run ends.
    ends: Vec<usize>,
    /// References to pairs that only rules' relabelling has made.
    held: Vec<u32>,
}

impl Bound {
    /// Each rule with its group's pairs.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (u16, &[u32])> {
        let begins = [0].into_iter().chain(self.ends.iter().copied());
        let runs = begins.zip(&self.ends).map(|(begin, &end)| &self.pairs[begin..end]);
        self.rules.iter().copied().zip(runs)
    }

    fn clear(&mut self) {
        let Self { rules, pairs, ends, held } = self;
        rules.clear();
        pairs.clear();
        ends.clear();
        held.clear();
    }
}

impl Shard {
    /// The rules that take a series; `forms` are those of its labels' names. Give the answer back
    /// to [`Shard::settle`].
    pub(crate) fn matching(
        &mut self,
        tenant: &str,
        labels: &[Label<'_>],
        series: &[u32],
        forms: &mut Forms,
    ) -> Bound {
        let mut bound = std::mem::take(&mut self.bound);
        bound.clear();
        let Bound { rules, pairs, ends, held } = &mut bound;
        self.config.matcher.matching(tenant, labels, rules);
        rules.retain(|&number| {
            let rule = &self.config.rules[usize::from(number)].rule;
            let takes = if rule.input_relabel().is_some() {
                let from = held.len();
                let takes = relabelled_group(rule, labels, |l| {
                    held.push(self.pairs.intern(l.name, l.value).0);
                });
                pairs.extend_from_slice(&held[from..]);
                takes
            } else {
                let form = forms.of(number, rule, labels);
                let grouped = series.iter().zip(&form.groups_by).filter(|(_, groups)| **groups);
                pairs.extend(grouped.map(|(&pair, _)| pair));
                form.takes
            };
            if takes {
                ends.push(pairs.len());
            }
            takes
        });
        bound
    }

    /// Done with what [`Shard::matching`] gave: groups that were made of it have their own
    /// references now.
    pub(crate) fn settle(&mut self, bound: Bound) {
        self.release_pairs(&bound.held);
        self.bound = bound;
    }

    /// The cell of a group, referred to once more.
    pub(crate) fn refer(
        &mut self,
        shard: &mut Vshard,
        tenant: TenantId,
        rule: u16,
        pairs: &[u32],
    ) -> u32 {
        let groups = &mut self.groups[usize::from(rule)];
        let (group, new) = groups.refer(tenant, pairs, &mut self.pairs);
        if new && let Some(key) = groups.key(group, &self.pairs) {
            self.news.push(GroupNews::Added { rule, group, key });
        }
        let (cell, opened) = shard.cells_of(rule).refer(group);
        if !opened {
            // This virtual shard's cell refers to the group already.
            self.groups[usize::from(rule)].release(group, &mut self.pairs);
        }
        cell
    }

    /// Refers to a cell once less, and with the last reference to its group.
    pub(crate) fn release_cell(&mut self, shard: &mut Vshard, rule: u16, cell: u32) {
        let layout = &self.config.rules[usize::from(rule)].layout;
        if let Some(group) = shard.cells_of(rule).release(cell, layout) {
            self.release_group(rule, group);
        }
    }

    /// A cell that referred to a group is free.
    pub(crate) fn release_group(&mut self, rule: u16, group: u32) {
        if self.groups[usize::from(rule)].release(group, &mut self.pairs) {
            self.news.push(GroupNews::Gone { rule, group });
        }
    }

    pub(crate) fn release_pairs(&mut self, pairs: &[u32]) {
        pairs.iter().for_each(|&id| self.pairs.release(PairId(id)));
    }
}

/// Gives the labels that a rule groups by where it relabels its input; `false` if that drops the
/// series.
fn relabelled_group(rule: &Rule, labels: &[Label<'_>], each: impl FnMut(Label<'_>)) -> bool {
    let builder = LabelsBuilder::from_labels(labels.iter().copied());
    let Some(input) = rule.input_labels(&builder) else {
        return false;
    };
    rule.group_labels(&input).iter().for_each(each);
    true
}
