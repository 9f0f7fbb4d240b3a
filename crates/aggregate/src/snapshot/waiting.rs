//! How far other nodes have come, and what waits for windows that they have not passed.

use std::sync::Arc;

use weir_model::{TenantId, Timestamp};

use super::complex::{read_complex, write_complex};
use super::home::read_labels;
use crate::codec::{Reader, Unreadable, Writer};
use crate::group::GroupKey;
use crate::home::{Epochs, HeardPart, Home, Origin, Origins, PendingRow};

/// A part that waits, with the group and the origin that it is of; no origin for this node's own.
pub(crate) struct WaitingPart {
    pub(crate) rule: u16,
    pub(crate) end: Timestamp,
    pub(crate) key: GroupKey,
    pub(crate) origin: Option<u32>,
    pub(crate) row: PendingRow,
}

pub(super) fn write_origins(origins: &Origins, out: &mut Writer) {
    out.number(origins.iter().count() as u64);
    for Origin { name, epoch, place, mark, waived, told, knows, owes, is_member } in origins.iter()
    {
        out.blob(name.as_bytes());
        out.number(*epoch);
        out.number(*place);
        out.signed(*mark);
        out.signed(*waived);
        out.signed(*told);
        knows.write(out);
        owes.write(out);
        out.number(u64::from(*is_member));
    }
}

pub(super) fn read_origins(from: &mut Reader<'_>) -> Result<Vec<Origin>, Unreadable> {
    let mut origins = Vec::new();
    for _ in 0..from.count()? {
        origins.push(Origin {
            name: from.text()?.to_owned(),
            epoch: from.number()?,
            place: from.number()?,
            mark: from.timestamp()?,
            waived: from.timestamp()?,
            told: from.timestamp()?,
            knows: Epochs::read(from)?,
            owes: Epochs::read(from)?,
            is_member: from.number()? != 0,
        });
    }
    Ok(origins)
}

pub(super) fn write_waiting(home: &Home, names: &dyn Fn(TenantId) -> Arc<str>, out: &mut Writer) {
    let parts: Vec<_> = home.waiting().collect();
    out.number(parts.len() as u64);
    for (active, end, key, origin, part) in parts {
        out.wide(active.rule.identity());
        out.signed(end);
        out.blob(names(key.tenant).as_bytes());
        out.blob(key.labels.canonical());
        out.number(origin.map_or(0, |origin| u64::from(origin) + 1));
        write_row(part, out);
    }
}

/// Parts of rules that are not in force any more are left out.
pub(super) fn read_waiting(
    home: &Home,
    origins: usize,
    tenant: &mut dyn FnMut(&str) -> TenantId,
    from: &mut Reader<'_>,
) -> Result<Vec<WaitingPart>, Unreadable> {
    let mut parts = Vec::new();
    for _ in 0..from.count()? {
        let identity = from.wide()?;
        let end = from.timestamp()?;
        let tenant = tenant(from.text()?);
        let key = GroupKey { tenant, labels: read_labels(from)? };
        let origin = from.small::<u32>()?.checked_sub(1);
        if origin.is_some_and(|origin| origin as usize >= origins) {
            return Err(Unreadable);
        }
        let row = read_row(from)?;
        let mut rules = home.rules().enumerate();
        let rule = rules.find(|(_, (active, _))| active.rule.identity() == identity);
        match rule {
            Some((at, (active, _))) if active.layout.stride() == row.row.len() => {
                parts.push(WaitingPart { rule: at as u16, end, key, origin, row });
            }
            Some(_) => return Err(Unreadable),
            None => {}
        }
    }
    Ok(parts)
}

/// Parts that are in windows which closed before those whose they are were past them.
pub(super) fn write_heard(home: &Home, names: &dyn Fn(TenantId) -> Arc<str>, out: &mut Writer) {
    let all = home.heard.all();
    out.number(all.len() as u64);
    for (origin, end, rule, key) in all {
        out.number(u64::from(*origin));
        out.signed(*end);
        out.wide(home.config().rules[usize::from(*rule)].rule.identity());
        out.blob(names(key.tenant).as_bytes());
        out.blob(key.labels.canonical());
    }
}

/// Those of rules that are not in force any more are left out.
pub(super) fn read_heard(
    home: &Home,
    tenant: &mut dyn FnMut(&str) -> TenantId,
    from: &mut Reader<'_>,
) -> Result<Vec<HeardPart>, Unreadable> {
    let mut heard = Vec::new();
    for _ in 0..from.count()? {
        let (origin, end, identity) = (from.small()?, from.timestamp()?, from.wide()?);
        let tenant = tenant(from.text()?);
        let key = GroupKey { tenant, labels: read_labels(from)? };
        let rule = home.rules().position(|(active, _)| active.rule.identity() == identity);
        heard.extend(rule.map(|rule| (origin, end, rule as u16, key)));
    }
    Ok(heard)
}

/// A row with what does not fit in it.
pub(crate) fn write_row(part: &PendingRow, out: &mut Writer) {
    out.number(u64::from(part.alive));
    out.number(part.row.len() as u64);
    part.row.iter().for_each(|&value| out.float(value));
    write_complex(Some(&part.complex).filter(|complex| !complex.is_empty()), out);
}

/// Reads what [`write_row`] wrote.
pub(crate) fn read_row(from: &mut Reader<'_>) -> Result<PendingRow, Unreadable> {
    let alive = from.number()? != 0;
    let row = (0..from.count()?).map(|_| from.float()).collect::<Result<Vec<f64>, _>>()?;
    let complex = read_complex(from)?.unwrap_or_default();
    Ok(PendingRow { alive, row, complex })
}
