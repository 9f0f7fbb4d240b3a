//! State → bytes. Series keep their order, so a replay folds them in the same one.

use ahash::AHashMap;
use weir_model::symbols::PairId;
use weir_model::{TenantId, VShard};

use super::VERSION;
use super::windows::write_cells;
use crate::codec::Writer;
use crate::recent::Recent;
use crate::shard::Shard;
use crate::target::Target;
use crate::vshard::{NO_TARGET, Vshard};

impl Shard {
    /// The state of a virtual shard, `None` if it has none. One without series still has a
    /// frontier, once that has moved: what is behind it stays late.
    pub fn snapshot(&self, vshard: VShard) -> Option<Vec<u8>> {
        let frontier = self.frontiers[usize::from(vshard.0)];
        let empty = (frontier != crate::shard::FRONTIER_BEGIN).then(|| Vshard::new(frontier));
        let shard = self.vshards[usize::from(vshard.0)].as_deref().or(empty.as_ref())?;
        let mut out = Writer::default();
        out.number(VERSION);
        out.signed(shard.frontier);
        let replicas = self.write_replicas(shard, &mut out);
        out.number(shard.targets.len() as u64);
        for target in &shard.targets {
            write_target(target, &replicas, &mut out);
        }
        let (pairs, tenants) = self.write_dictionaries(shard, &mut out);
        out.number(shard.series_count() as u64);
        for at in shard.live_series() {
            let series = &shard.series[at as usize];
            let tenant = self.plans.get(series.plan).tenant;
            out.number(tenants.get(&tenant).copied().unwrap_or(0));
            out.number(u64::from(series.pairs));
            for pair in shard.pairs(series) {
                out.number(pairs.get(&pair).copied().unwrap_or(0));
            }
            let replica = replicas.get(&series.recent.replica);
            let replica = replica.copied().unwrap_or(0);
            self.write_series(shard, (at, replica), &mut out);
        }
        write_cells(self, shard, &tenants, &mut out);
        Some(out.bytes)
    }

    /// Writes the replicas in use and returns their places in the list, from 1; 0 is none.
    fn write_replicas(&self, shard: &Vshard, out: &mut Writer) -> AHashMap<u16, u64> {
        let of_targets = shard.targets.iter().map(|t| t.replicas.incumbent);
        let of_series = shard.series.iter().map(|s| s.recent.replica);
        let (mut places, mut list) = (AHashMap::from([(0, 0)]), Vec::new());
        for number in of_targets.chain(of_series) {
            places.entry(number).or_insert_with(|| {
                list.push(number);
                list.len() as u64
            });
        }
        out.number(list.len() as u64);
        for number in list {
            let name = self.replicas.get(usize::from(number) - 1);
            out.blob(name.map_or("", |name| name).as_bytes());
        }
        places
    }

    /// Writes the label pairs and tenants in use and returns their numbers.
    fn write_dictionaries(
        &self,
        shard: &Vshard,
        out: &mut Writer,
    ) -> (AHashMap<u32, u64>, AHashMap<TenantId, u64>) {
        let (mut pairs, mut tenants) = (AHashMap::new(), AHashMap::new());
        let (mut pair_list, mut tenant_list) = (Vec::new(), Vec::new());
        for at in shard.live_series() {
            let series = &shard.series[at as usize];
            for pair in shard.pairs(series) {
                pairs.entry(pair).or_insert_with(|| {
                    pair_list.push(pair);
                    pair_list.len() as u64 - 1
                });
            }
            let tenant = self.plans.get(series.plan).tenant;
            tenants.entry(tenant).or_insert_with(|| {
                tenant_list.push(tenant);
                tenant_list.len() as u64 - 1
            });
        }
        out.number(pair_list.len() as u64);
        for pair in pair_list {
            let label = self.pairs.get(PairId(pair));
            out.blob(label.name.as_bytes());
            out.blob(label.value.as_bytes());
        }
        out.number(tenant_list.len() as u64);
        for tenant in tenant_list {
            out.blob(self.tenants.get(&tenant).map_or("", |t| t).as_bytes());
        }
        (pairs, tenants)
    }

    fn write_series(&self, shard: &Vshard, (at, replica): (u32, u64), out: &mut Writer) {
        let series = &shard.series[at as usize];
        let target = if series.target == NO_TARGET { 0 } else { u64::from(series.target) + 1 };
        out.number(target);
        out.number(replica);
        write_recent(&series.recent, out);
        out.number(u64::from(series.rare));
        if !series.rare {
            return;
        }
        let starts = shard.starts.get(&at).copied().unwrap_or_default();
        out.number(starts.0.iter().filter(|&&known| known != (0, 0)).count() as u64);
        for (timestamp, start) in starts.0.into_iter().filter(|&known| known != (0, 0)) {
            out.signed(timestamp);
            out.signed(start);
        }
        match shard.histograms.get(&at) {
            None => out.number(0),
            Some(state) => {
                out.number(1);
                out.signed(state.folded_through);
                out.number(u64::from(state.ended));
                out.signed(state.born);
                out.number(u64::from(state.base.is_some()));
                if let Some(base) = &state.base {
                    base.encode(&mut out.bytes);
                }
                out.number(state.waiting.len() as u64);
                state.waiting.iter().for_each(|h| h.encode(&mut out.bytes));
            }
        }
        let plan = self.plans.get(series.plan);
        let bound = plan.rules.iter().filter_map(|&r| Some((r, shard.bindings.get(&(at, r))?)));
        let bound: Vec<_> = bound.collect();
        out.number(bound.len() as u64);
        for (rule, binding) in bound {
            out.wide(self.config.rules[usize::from(rule)].rule.identity());
            out.signed(binding.end);
            out.float(binding.increase);
            out.signed(binding.from);
            out.signed(binding.last);
            out.float(binding.dedup_value);
            out.signed(binding.dedup_at);
        }
    }
}

fn write_target(target: &Target, replicas: &AHashMap<u16, u64>, out: &mut Writer) {
    let incumbent = replicas.get(&target.replicas.incumbent);
    out.number(target.key);
    out.signed(target.newest);
    out.signed(target.previous);
    out.signed(target.earlier);
    out.number(u64::from(target.config_version));
    out.number(incumbent.copied().unwrap_or(0));
    out.signed(target.replicas.accepted);
    out.signed(target.replicas.other);
    out.signed(target.replicas.since);
    target.replicas.distances.iter().for_each(|&d| out.number(u64::from(d)));
}

fn write_recent(recent: &Recent, out: &mut Writer) {
    out.number(recent.len() as u64);
    out.number(recent.folded() as u64);
    let mut before = 0;
    for at in 0..recent.len() {
        let slot = recent.slot(at);
        out.signed(slot.timestamp - before);
        out.float(slot.value);
        out.number(u64::from(slot.marks));
        before = slot.timestamp;
    }
}
