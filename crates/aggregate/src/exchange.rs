//! What nodes tell each other of windows, to and from bytes: parts of groups, and groups left.
//!
//! Self-contained as a snapshot is: tenants by name, rules by what they mean, groups by their labels,
//! so that sender and receiver need not number anything alike. What is read is not trusted.
//! `docs/WIRE.md` has the layout.

use std::sync::Arc;

use weir_model::{Labels, TenantId};

use crate::codec::{Reader, Unreadable, Writer};
use crate::decisions::Decisions;
use crate::group::GroupKey;
use crate::home::PendingRow;
use crate::home::afar::{Export, Part};
use crate::snapshot::{read_row, write_row};

/// Version of the layout.
const VERSION: u64 = 1;

/// An export as it was read.
#[derive(Debug, Default)]
pub struct Imported {
    /// What can be used.
    pub export: Export,
    /// Parts and leavings of rules that are not in force here.
    pub unknown: u64,
}

/// Writes an export. `names` gives the tenants' names.
pub fn encode(
    export: &Export,
    config: &Decisions,
    names: &dyn Fn(TenantId) -> Arc<str>,
) -> Vec<u8> {
    let mut out = Writer::default();
    out.number(VERSION);
    out.number(export.parts.len() as u64);
    let write_key = |rule: u16, key: &GroupKey, out: &mut Writer| {
        out.wide(config.rules[usize::from(rule)].rule.identity());
        out.blob(names(key.tenant).as_bytes());
        out.blob(key.labels.canonical());
    };
    for Part { rule, end, key, alive, row, complex } in &export.parts {
        write_key(*rule, key, &mut out);
        out.signed(*end);
        let (row, complex) = (row.clone(), complex.clone());
        write_row(&PendingRow { alive: *alive, row, complex }, &mut out);
    }
    out.number(export.left.len() as u64);
    for (rule, key) in &export.left {
        write_key(*rule, key, &mut out);
    }
    out.bytes
}

/// Reads an export.
pub fn decode(
    bytes: &[u8],
    config: &Decisions,
    tenant: &mut dyn FnMut(&str) -> TenantId,
) -> Result<Imported, Unreadable> {
    let from = &mut Reader::new(bytes);
    if from.number()? != VERSION {
        return Err(Unreadable);
    }
    let mut read_key = |from: &mut Reader<'_>| {
        let identity = from.wide()?;
        let tenant = tenant(from.text()?);
        let labels = Labels::from_canonical(from.blob()?).map_err(|_| Unreadable)?;
        let rule = config.rules.iter().position(|active| active.rule.identity() == identity);
        Ok((rule, GroupKey { tenant, labels }))
    };
    let mut read = Imported::default();
    for _ in 0..from.count()? {
        let (rule, key) = read_key(from)?;
        let end = from.timestamp()?;
        let PendingRow { alive, row, complex } = read_row(from)?;
        let fits = |at: &usize| config.rules[*at].layout.stride() == row.len();
        match rule.filter(fits) {
            Some(at) => {
                let rule = at as u16;
                read.export.parts.push(Part { rule, end, key, alive, row, complex });
            }
            None => read.unknown += 1,
        }
    }
    for _ in 0..from.count()? {
        match read_key(from)? {
            (Some(rule), key) => read.export.left.push((rule as u16, key)),
            (None, _) => read.unknown += 1,
        }
    }
    if from.is_empty() { Ok(read) } else { Err(Unreadable) }
}
