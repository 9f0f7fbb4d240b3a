//! The output groups' state, to and from bytes: totals, who speaks, who is past the limit, how far
//! other nodes have come and what waits for them.
//!
//! Taken between two frontiers, when this node's own part of every window is in or given away. What is
//! read is not trusted, and changes nothing unless all of it could be read.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_model::vmrange::VmRanges;
use weir_model::{Labels, NativeHistogram, TenantId};

use super::waiting::{
    read_heard, read_origins, read_waiting, write_heard, write_origins, write_waiting,
};
use crate::codec::{Reader, Unreadable, Writer};
use crate::group::GroupKey;
use crate::home::{Home, HomeGroup, HomeRule};
use crate::output::Totals;

/// Version of the layout.
const VERSION: u64 = 4;

type Names<'a> = &'a dyn Fn(TenantId) -> Arc<str>;

impl Home {
    /// The state of all groups. `names` gives the tenants' names, for numbers are the process's.
    pub fn snapshot(&self, names: &dyn Fn(TenantId) -> Arc<str>) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(VERSION);
        out.signed(self.closed_through());
        let used: Vec<_> = self.rules().filter(|(_, rule)| !rule.is_empty()).collect();
        out.number(used.len() as u64);
        for (active, rule) in used {
            out.wide(active.rule.identity());
            write_rule(rule, names, &mut out);
        }
        out.blob(&self.table);
        write_origins(&self.origins, &mut out);
        write_waiting(self, names, &mut out);
        write_heard(self, names, &mut out);
        out.bytes
    }

    /// Takes back what [`Home::snapshot`] gave; rules are known by what they mean, and the state
    /// of those that are not in force any more is left out. Nothing changes on an error.
    pub fn restore_bytes(
        &mut self,
        bytes: &[u8],
        tenant: &mut dyn FnMut(&str) -> TenantId,
    ) -> Result<(), Unreadable> {
        let from = &mut Reader::new(bytes);
        if from.number()? != VERSION {
            return Err(Unreadable);
        }
        let closed_through = from.timestamp()?;
        let mut read = Vec::new();
        for _ in 0..from.count()? {
            let identity = from.wide()?;
            let rule = self.rules().position(|(active, _)| active.rule.identity() == identity);
            read.push((rule, read_rule(from, tenant)?));
        }
        let table = from.blob()?.to_vec();
        let origins = read_origins(from)?;
        let waiting = read_waiting(self, origins.len(), tenant, from)?;
        let heard = read_heard(self, tenant, from)?;
        if !from.is_empty() {
            return Err(Unreadable);
        }
        self.restore_closed(closed_through);
        self.origins.restore(origins);
        self.table = table;
        for (rule, (groups, folded)) in read {
            let Some(rule) = rule else { continue };
            let rule = rule as u16;
            groups.into_iter().for_each(|g| self.restore(rule, g));
            let folded = folded.into_iter();
            folded.for_each(|key| self.restore_folded(rule, key));
        }
        waiting.into_iter().for_each(|part| self.restore_waiting(part));
        heard.into_iter().for_each(|part| self.heard.note(part));
        Ok(())
    }
}

fn write_rule(rule: &HomeRule, names: Names<'_>, out: &mut Writer) {
    let mut by_tenant: BTreeMap<TenantId, (Vec<&HomeGroup>, Vec<&GroupKey>)> = BTreeMap::new();
    for group in rule.groups() {
        by_tenant.entry(group.key.tenant).or_default().0.push(group);
    }
    for key in rule.folded() {
        by_tenant.entry(key.tenant).or_default().1.push(key);
    }
    out.number(by_tenant.len() as u64);
    for (tenant, (groups, folded)) in by_tenant {
        out.blob(names(tenant).as_bytes());
        out.number(groups.len() as u64);
        groups.into_iter().for_each(|g| write_group(g, out));
        out.number(folded.len() as u64);
        for key in folded {
            out.blob(key.labels.canonical());
        }
    }
}

pub(crate) fn write_group(group: &HomeGroup, out: &mut Writer) {
    out.blob(group.key.labels.canonical());
    out.signed(group.started);
    out.number(u64::from(group.was_admitted()));
    out.signed(group.spoken_through());
    out.number(group.origins().len() as u64);
    group.origins().iter().for_each(|&origin| out.number(u64::from(origin)));
    out.number(group.speaking.len() as u64);
    for labels in &group.speaking {
        out.blob(labels.canonical());
    }
    let Totals { total, total_prometheus, sum, ranges, histogram, histogram_prometheus } =
        &group.totals;
    for value in [total, total_prometheus, sum] {
        out.float(*value);
    }
    out.number(u64::from(ranges.is_some()));
    ranges.iter().for_each(|r| r.encode(&mut out.bytes));
    for histogram in [histogram, histogram_prometheus] {
        out.number(u64::from(histogram.is_some()));
        histogram.iter().for_each(|h| h.encode(&mut out.bytes));
    }
}

fn read_rule(
    from: &mut Reader<'_>,
    tenant: &mut dyn FnMut(&str) -> TenantId,
) -> Result<(Vec<HomeGroup>, Vec<GroupKey>), Unreadable> {
    let (mut groups, mut folded) = (Vec::new(), Vec::new());
    for _ in 0..from.count()? {
        let tenant = tenant(from.text()?);
        for _ in 0..from.count()? {
            groups.push(read_group(tenant, from)?);
        }
        for _ in 0..from.count()? {
            let labels = read_labels(from)?;
            folded.push(GroupKey { tenant, labels });
        }
    }
    Ok((groups, folded))
}

pub(crate) fn read_group(tenant: TenantId, from: &mut Reader<'_>) -> Result<HomeGroup, Unreadable> {
    let labels = read_labels(from)?;
    let started = from.timestamp()?;
    let was_admitted = from.number()? != 0;
    let spoken_through = from.timestamp()?;
    let origins = (0..from.count()?).map(|_| from.small()).collect::<Result<Vec<u32>, _>>()?;
    let speaking = (0..from.count()?).map(|_| read_labels(from));
    let speaking = speaking.collect::<Result<_, _>>()?;
    let mut totals = Totals {
        total: from.float()?,
        total_prometheus: from.float()?,
        sum: from.float()?,
        ..Totals::default()
    };
    if from.number()? != 0 {
        totals.ranges = Some(Box::new(from.value(VmRanges::decode)?));
    }
    for histogram in [&mut totals.histogram, &mut totals.histogram_prometheus] {
        if from.number()? != 0 {
            *histogram = Some(Box::new(from.value(NativeHistogram::decode)?));
        }
    }
    let key = GroupKey { tenant, labels };
    Ok(HomeGroup::restored(key, totals, started, speaking).had_by(
        origins,
        was_admitted,
        spoken_through,
    ))
}

pub(super) fn read_labels(from: &mut Reader<'_>) -> Result<Labels, Unreadable> {
    Labels::from_canonical(from.blob()?).map_err(|_| Unreadable)
}
