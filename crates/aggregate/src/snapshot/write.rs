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
use crate::vshard::{NO_TARGET, Series, Vshard};

impl Shard {
    /// The state of a virtual shard, `None` if it has none.
    pub fn snapshot(&self, vshard: VShard) -> Option<Vec<u8>> {
        let shard = self.vshards[usize::from(vshard.0)].as_deref()?;
        let mut out = Writer::default();
        out.number(VERSION);
        out.signed(shard.frontier);
        self.write_replicas(&mut out);
        out.number(shard.targets.len() as u64);
        for target in &shard.targets {
            write_target(target, &mut out);
        }
        let (pairs, tenants) = self.write_dictionaries(shard, &mut out);
        out.number(shard.series_count() as u64);
        for at in shard.live_series() {
            let series = &shard.series[at as usize];
            let tenant = self.plans.get(series.plan).tenant;
            out.number(tenants.get(&tenant).copied().unwrap_or(0));
            out.number(u64::from(series.pairs));
            for pair in shard.pairs(series) {
                out.number(pairs.get(pair).copied().unwrap_or(0));
            }
            self.write_series(shard, at, series, &mut out);
        }
        write_cells(self, shard, &tenants, &mut out);
        Some(out.bytes)
    }

    fn write_replicas(&self, out: &mut Writer) {
        out.number(self.replicas.len() as u64);
        for name in &self.replicas {
            out.blob(name.as_bytes());
        }
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
            for &pair in shard.pairs(series) {
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

    fn write_series(&self, shard: &Vshard, at: u32, series: &Series, out: &mut Writer) {
        let target = if series.target == NO_TARGET {
            0
        } else {
            u64::from(series.target) + 1
        };
        out.number(target);
        out.number(u64::from(series.recent.replica));
        write_recent(&series.recent, out);
        out.number(u64::from(series.rare));
        if !series.rare {
            return;
        }
        out.signed(shard.starts.get(&at).copied().unwrap_or(0));
        match shard.histograms.get(&at) {
            None => out.number(0),
            Some(state) => {
                out.number(1);
                out.signed(state.folded_through);
                out.number(u64::from(state.ended));
                out.number(u64::from(state.base.is_some()));
                if let Some(base) = &state.base {
                    base.encode(&mut out.bytes);
                }
                out.number(state.waiting.len() as u64);
                state.waiting.iter().for_each(|h| h.encode(&mut out.bytes));
            }
        }
        let plan = self.plans.get(series.plan);
        let bound = plan
            .rules
            .iter()
            .filter_map(|&r| Some((r, shard.bindings.get(&(at, r))?)));
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

fn write_target(target: &Target, out: &mut Writer) {
    out.number(target.key);
    out.signed(target.newest);
    out.signed(target.previous);
    out.signed(target.earlier);
    out.number(u64::from(target.config_version));
    out.number(u64::from(target.replicas.incumbent));
    out.signed(target.replicas.accepted);
    out.signed(target.replicas.other);
    target
        .replicas
        .distances
        .iter()
        .for_each(|&d| out.number(u64::from(d)));
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
