//! Another configuration comes into force: rules that mean the same keep what they have gathered.
//!
//! Every series is matched anew and every alias forgotten, for what blocks mean may have changed.
//! Invariant: a rule is the same if its identity is; its cells, open windows and groups then move
//! to its new number untouched, and what belonged to rules that are gone is dropped. Where global
//! relabelling or HA labels changed, blocks may lead to other series from now on; the old ones
//! age out like any that fall silent.

use std::sync::Arc;

use ahash::AHashMap;
use weir_model::symbols::PairId;
use weir_model::{Label, LabelsBuilder, Timestamp, VSHARDS, VShard};

use crate::arena::Arena;
use crate::decisions::Decisions;
use crate::met::Forms;
use crate::plan::Plans;
use crate::shard::Shard;
use crate::vshard::{Series, Vshard};

/// Old rule number → new rule number, where the rule still means the same.
type Renumbered = Vec<Option<u16>>;

impl Shard {
    /// Goes over to another configuration. News and closings must have been taken; the news that
    /// follow name every group in use under the new rule numbers.
    pub fn handle_config(&mut self, config: Arc<Decisions>) {
        let old = std::mem::replace(&mut self.config, Arc::clone(&config));
        let renumbered = renumber(&old, &config);
        self.groups = moved(std::mem::take(&mut self.groups), &renumbered, &config);
        self.late = moved(std::mem::take(&mut self.late), &renumbered, &config);
        let old_plans = std::mem::take(&mut self.plans);
        self.news.clear();
        for vshard in (0..VSHARDS).map(VShard) {
            if let Some(mut shard) = self.vshards[usize::from(vshard.0)].take() {
                self.move_vshard(&mut shard, &old_plans, &renumbered);
                self.vshards[usize::from(vshard.0)] = Some(shard);
            }
        }
        // Only now: what was born and given up on the way is nobody's business.
        self.news.clear();
        for (groups, rule) in self.groups.iter().zip(0..) {
            self.news.extend(groups.news(rule, &self.pairs));
        }
    }

    fn move_vshard(&mut self, shard: &mut Vshard, old_plans: &Plans, renumbered: &Renumbered) {
        shard.aliases.clear();
        let version = self.config.version;
        (shard.targets.iter_mut()).for_each(|target| target.reconfigured(version));
        let cells = std::mem::take(&mut shard.cells);
        for (old, cells) in cells.into_iter().enumerate() {
            if let (Some(cells), Some(Some(new))) = (cells, renumbered.get(old)) {
                *shard.cells_of(*new) = *cells;
            }
        }
        let bindings = std::mem::take(&mut shard.bindings);
        let renumbered_key = |((at, rule), binding)| {
            let rule: u16 = (*renumbered.get(usize::from(rule))?)?;
            Some(((at, rule), binding))
        };
        shard.bindings = bindings.into_iter().filter_map(renumbered_key).collect();
        let lists = std::mem::take(&mut shard.cell_lists);
        let series: Vec<u32> = shard.live_series().collect();
        for at in series {
            let held = held_cells(shard, at, old_plans, &lists, renumbered);
            self.rebind(shard, at, old_plans, held);
        }
    }

    /// Matches a series anew. `held` are its cells of rules that still stand.
    fn rebind(&mut self, shard: &mut Vshard, at: u32, old: &Plans, mut held: AHashMap<u16, u32>) {
        let tenant = old.get(shard.series[at as usize].plan).tenant;
        let pairs: Vec<u32> = shard.pairs(&shard.series[at as usize]).collect();
        let labels = pairs.iter().map(|&id| self.pairs.get(PairId(id)));
        let builder = LabelsBuilder::from_labels(labels);
        let name = self.tenants.get(&tenant).cloned().unwrap_or_default();
        let labels: Vec<Label<'_>> = builder.iter().collect();
        let bound = self.matching(&name, &labels, &pairs, &mut Forms::default());
        let plan = self.plans.number(tenant, &bound.rules, &self.config);
        let mut cells = Vec::with_capacity(bound.rules.len());
        for (rule, pairs) in bound.groups().filter(|_| plan.is_some()) {
            cells.push(match held.remove(&rule) {
                Some(cell) => cell,
                None => self.refer(shard, tenant, rule, pairs),
            });
        }
        for (rule, cell) in held {
            shard.bindings.remove(&(at, rule));
            self.release_cell(shard, rule, cell);
        }
        let is_unmatched = bound.rules.is_empty();
        self.settle(bound);
        let Some(plan) = plan else {
            return self.drop_series(shard, at, tenant);
        };
        let list = shard.cell_list(&cells);
        let Series { plan: its_plan, cells: its_cells, recent, .. } =
            &mut shard.series[at as usize];
        (*its_plan, *its_cells) = (plan, list);
        if is_unmatched {
            // Nobody will fold what waits: its samples are the base of whoever comes next.
            while recent.is_due(Timestamp::MAX) {
                recent.fold_oldest(false);
            }
        }
    }
}

fn renumber(old: &Decisions, new: &Decisions) -> Renumbered {
    let mut taken = vec![false; new.rules.len()];
    let find = |identity: u128, taken: &mut Vec<bool>| {
        let mut each = new.rules.iter().enumerate();
        let (at, _) = each.find(|(at, r)| r.rule.identity() == identity && !taken[*at])?;
        taken[at] = true;
        u16::try_from(at).ok()
    };
    let old = old.rules.iter();
    old.map(|r| find(r.rule.identity(), &mut taken)).collect()
}

/// What rules have, under their new numbers.
fn moved<T: Default>(old: Vec<T>, renumbered: &Renumbered, config: &Decisions) -> Vec<T> {
    let mut new: Vec<T> = config.rules.iter().map(|_| T::default()).collect();
    for (state, number) in old.into_iter().zip(renumbered) {
        if let Some(number) = number {
            new[usize::from(*number)] = state;
        }
    }
    new
}

/// A series' cells of rules that still stand, by the rules' new numbers.
fn held_cells(
    shard: &Vshard,
    at: u32,
    plans: &Plans,
    lists: &Arena,
    renumbered: &Renumbered,
) -> AHashMap<u16, u32> {
    let series = &shard.series[at as usize];
    let rules = &plans.get(series.plan).rules;
    let one = [series.cells];
    let cells = match rules.len() {
        0 => &[][..],
        1 => &one[..],
        len => lists.get(series.cells, len),
    };
    let each = rules.iter().zip(cells);
    each.filter_map(|(&rule, &cell)| Some(((*renumbered.get(usize::from(rule))?)?, cell))).collect()
}
