//! The open windows of a virtual shard: rows by rule identity and group.

use ahash::AHashMap;
use weir_model::labels::write_canonical;
use weir_model::mutation::{self, Mutation};
use weir_model::{Labels, TenantId, VShard};

use crate::cells::Window;
use crate::codec::{Reader, Unreadable, Writer};
use crate::shard::Shard;
use crate::snapshot::complex::{read_complex, write_complex};
use crate::vshard::Vshard;

/// Writes each rule's open windows.
pub(super) fn write_cells(
    worker: &Shard,
    shard: &Vshard,
    tenants: &AHashMap<TenantId, u64>,
    out: &mut Writer,
) {
    let with_windows: Vec<_> = (shard.cells.iter().enumerate())
        .filter_map(|(rule, cells)| Some((rule, cells.as_deref()?)))
        .filter(|(_, cells)| cells.windows().next().is_some())
        .filter(|_| !mutation::is(Mutation::OpenWindowsLost))
        .collect();
    out.number(with_windows.len() as u64);
    for (rule, cells) in with_windows {
        let active = &worker.config.rules[rule];
        let stride = active.layout.stride();
        out.wide(active.rule.identity());
        out.number(stride as u64);
        out.number(cells.windows().count() as u64);
        for window in cells.windows() {
            out.signed(window.end);
            let has = |cell: &u32| {
                let row = window.row(*cell, stride);
                window.is_alive(*cell) || row.is_some_and(|r| active.layout.is_touched(r))
            };
            let touched: Vec<u32> = (0..cells.count() as u32).filter(has).collect();
            out.number(touched.len() as u64);
            let mut untouched = vec![0.0; stride];
            active.layout.reset(&mut untouched);
            for cell in touched {
                write_key(worker, rule, cells.group(cell), tenants, out);
                out.number(u64::from(window.is_alive(cell)));
                let row = window.row(cell, stride).unwrap_or(&untouched);
                row.iter().for_each(|&v| out.float(v));
                write_complex(window.complex.get(&cell).map(|c| &**c), out);
            }
        }
    }
}

fn write_key(
    worker: &Shard,
    rule: usize,
    group: u32,
    tenants: &AHashMap<TenantId, u64>,
    out: &mut Writer,
) {
    let mut canonical = Vec::with_capacity(256);
    let tenant = worker.groups[rule].labels(group, &worker.pairs).map(|(tenant, labels)| {
        write_canonical(labels, &mut canonical);
        tenant
    });
    out.number(tenant.and_then(|t| tenants.get(&t)).copied().unwrap_or(0));
    out.blob(&canonical);
}

/// Reads windows back into the cells that the restored series have referred to.
pub(super) fn read_cells(
    worker: &mut Shard,
    vshard: VShard,
    tenants: &[TenantId],
    from: &mut Reader<'_>,
) -> Result<(), Unreadable> {
    for _ in 0..from.count()? {
        let identity = from.wide()?;
        let stride = from.count()?;
        let rules = &worker.config.rules;
        let rule = rules.iter().position(|r| r.rule.identity() == identity);
        let rule = rule.filter(|&at| rules[at].layout.stride() == stride);
        for _ in 0..from.count()? {
            let end = from.timestamp()?;
            if end <= worker.frontiers[usize::from(vshard.0)] {
                return Err(Unreadable);
            }
            let window = read_window(worker, vshard, rule, (end, stride), tenants, from)?;
            if let Some(rule) = rule {
                worker.vshard_mut(vshard).cells_of(rule as u16).restore_window(window);
            }
        }
    }
    Ok(())
}

fn read_window(
    worker: &mut Shard,
    vshard: VShard,
    rule: Option<usize>,
    (end, stride): (i64, usize),
    tenants: &[TenantId],
    from: &mut Reader<'_>,
) -> Result<Window, Unreadable> {
    let mut window = Window::new(end);
    for _ in 0..from.count()? {
        let tenant = *tenants.get(from.small::<usize>()?).ok_or(Unreadable)?;
        let labels = Labels::from_canonical(from.blob()?).map_err(|_| Unreadable)?;
        let alive = from.number()? != 0;
        let row: Vec<f64> = (0..stride).map(|_| from.float()).collect::<Result<_, _>>()?;
        let complex = read_complex(from)?;
        let Some(rule) = rule else { continue };
        let pairs = labels.iter().map(|l| Some(worker.pairs.find(l.name, l.value)?.0));
        let group = pairs.collect::<Option<Vec<u32>>>();
        let group = group.and_then(|pairs| worker.groups[rule].number(tenant, &pairs));
        let Some(group) = group else {
            continue;
        };
        let layout = worker.config.rules[rule].layout.clone();
        let Some(cell) = worker.vshard_mut(vshard).cells_of(rule as u16).cell(group) else {
            continue;
        };
        let start = cell as usize * stride;
        while window.rows.len() < start + stride {
            let from = window.rows.len();
            window.rows.resize(from + stride, 0.0);
            layout.reset(&mut window.rows[from..]);
        }
        window.rows[start..start + stride].copy_from_slice(&row);
        if alive {
            window.mark_alive(cell);
        }
        if let Some(complex) = complex {
            window.complex.insert(cell, Box::new(complex));
        }
    }
    Ok(window)
}
