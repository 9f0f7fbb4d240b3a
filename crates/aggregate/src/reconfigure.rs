//! Another configuration: which state goes on, and what every series matches now.
//!
//! Rules that mean the same (by identity) keep cells, windows and bindings under their new number;
//! series are matched again. Invariant: afterwards the home is told of every group in use, for its
//! numbers are new.

use std::sync::Arc;

use ahash::AHashMap;
use weir_model::{LabelsBuilder, VSHARDS, VShard};

use crate::decisions::Decisions;
use crate::group::{GroupNews, Groups};
use crate::plan::Plans;
use crate::shard::{LateCounts, Shard};

impl Shard {
    /// Goes over to another configuration, at this place in the log.
    pub fn handle_config(&mut self, config: Arc<Decisions>) {
        let old = std::mem::replace(&mut self.config, config);
        let numbers = renumber(&old, &self.config);
        let rules = self.config.rules.len();
        let mut groups = vec![Groups::default(); rules];
        let mut late = vec![LateCounts::default(); rules];
        for (from, to) in numbers
            .iter()
            .enumerate()
            .filter_map(|(from, to)| Some((from, (*to)?)))
        {
            groups[usize::from(to)] = std::mem::take(&mut self.groups[from]);
            late[usize::from(to)] = self.late[from];
        }
        (self.groups, self.late) = (groups, late);
        let plans = std::mem::take(&mut self.plans);
        for vshard in (0..VSHARDS).map(VShard) {
            if self.vshards[usize::from(vshard.0)].is_some() {
                self.rebind(vshard, &plans, &numbers);
            }
        }
        self.take_news();
        let all: Vec<GroupNews> = (0..rules as u16)
            .flat_map(|rule| {
                self.groups[usize::from(rule)]
                    .news(rule)
                    .collect::<Vec<_>>()
            })
            .collect();
        all.into_iter().for_each(|news| self.tell(news));
    }

    /// Matches every series of a virtual shard again.
    fn rebind(&mut self, vshard: VShard, plans: &Plans, numbers: &[Option<u16>]) {
        let version = self.config.version;
        let rules = self.config.rules.len();
        let shard = self.vshard_mut(vshard);
        shard.aliases.clear();
        shard
            .targets
            .iter_mut()
            .for_each(|target| target.reconfigured(version));
        let mut cells: Vec<_> = (0..rules).map(|_| None).collect();
        for (from, old) in std::mem::take(&mut shard.cells).into_iter().enumerate() {
            if let Some(Some(to)) = numbers.get(from) {
                cells[usize::from(*to)] = old;
            }
        }
        shard.cells = cells;
        let bindings = std::mem::take(&mut shard.bindings);
        let kept = |((at, rule), binding)| {
            let to: Option<u16> = numbers.get(usize::from(rule)).copied().flatten();
            to.map(|to| ((at, to), binding))
        };
        shard.bindings = bindings.into_iter().filter_map(kept).collect();
        let lists = std::mem::take(&mut shard.cell_lists);
        for at in shard.live_series().collect::<Vec<_>>() {
            let series = self.vshard_mut(vshard).series[at as usize];
            let plan = plans.get(series.plan);
            let old: Vec<u32> = match plan.rules.len() {
                0 => Vec::new(),
                1 => vec![series.cells],
                len => lists.get(series.cells, len).to_vec(),
            };
            let renumbered = plan.rules.iter().zip(old);
            let held: AHashMap<u16, u32> = renumbered
                .filter_map(|(&rule, cell)| Some((numbers[usize::from(rule)]?, cell)))
                .collect();
            self.rebind_series(vshard, at, plan.tenant, held);
        }
    }

    /// Matches one series again. `held` are the cells that it refers to already.
    fn rebind_series(
        &mut self,
        vshard: VShard,
        at: u32,
        tenant: weir_model::TenantId,
        held: AHashMap<u16, u32>,
    ) {
        let labels = self.labels(vshard, at);
        let builder = LabelsBuilder::from_labels(labels);
        let name = self
            .tenants
            .get(&tenant)
            .cloned()
            .unwrap_or_else(|| "".into());
        // More plans than can be numbered: the series passes on raw.
        let bound = self.bind(&name, tenant, vshard, &builder);
        let (plan, mut cells) = match bound {
            Some(bound) => bound,
            None => match self.plans.number(tenant, &[], &Arc::clone(&self.config)) {
                Some(plan) => (plan, Vec::new()),
                None => return,
            },
        };
        let rules = self.plans.get(plan).rules.clone();
        let config = Arc::clone(&self.config);
        let mut freed = Vec::new();
        for (rule, cell) in held {
            // Binding has referred to the cell again where the rule still matches, so one of the
            // two references goes; where it does not, the only one does.
            let layout = &config.rules[usize::from(rule)].layout;
            let group = self.vshard_mut(vshard).cells_of(rule).release(cell, layout);
            freed.extend(group.map(|group| (rule, group)));
        }
        for (rule, group) in freed {
            self.release_group(rule, group);
        }
        let shard = self.vshard_mut(vshard);
        let cells = match rules.len() {
            0 => 0,
            1 => cells.remove(0),
            _ => shard.cell_lists.alloc(&cells),
        };
        let series = &mut shard.series[at as usize];
        (series.plan, series.cells) = (plan, cells);
    }
}

/// Old number → new number, for rules that mean the same.
fn renumber(old: &Decisions, new: &Decisions) -> Vec<Option<u16>> {
    let identities = new.rules.iter().map(|active| active.rule.identity());
    let places: AHashMap<u128, u16> = identities.zip(0..).collect();
    old.rules
        .iter()
        .map(|active| places.get(&active.rule.identity()).copied())
        .collect()
}
