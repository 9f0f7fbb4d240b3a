//! The frontier passes: what waits behind it is folded, windows close, the silent are forgotten.
//!
//! A window closes at the FRONTIER record's own place in the log, so a replay closes the same
//! window with the same content. All virtual shards of a worker that close a window at one record
//! give one merged partial for each group: [`Closing`].

use ahash::AHashMap;
use weir_model::{Timestamp, is_stale};

use crate::accumulator::{Complex, Layout, Primitive};
use crate::cells::Window;
use crate::decisions::Decisions;
use crate::fold::{cell_of, flush_dedup, flush_rate, fold_oldest};
use crate::histogram_fold;
use crate::plan::Plans;
use crate::vshard::Vshard;
use crate::window::next_end;

/// One rule's window, as closed by some virtual shards: a row for each group.
#[derive(Clone, Debug, Default)]
pub struct Closing {
    /// The rule's place in the rule set.
    pub rule: u16,
    /// The window's end.
    pub end: Timestamp,
    /// The worker's numbers of the groups.
    pub groups: Vec<u32>,
    /// Whether a series of the group is alive at the window's end.
    pub alive: Vec<bool>,
    /// A row for each group, as the rule's layout says.
    pub rows: Vec<f64>,
    /// What does not fit in rows, by place in `groups`.
    pub complex: AHashMap<u32, Box<Complex>>,
    places: AHashMap<u32, u32>,
}

impl Closing {
    /// An empty partial.
    pub fn new(rule: u16, end: Timestamp) -> Self {
        Self {
            rule,
            end,
            ..Self::default()
        }
    }

    /// Merges what one virtual shard has of a group.
    fn merge(
        &mut self,
        layout: &Layout,
        group: u32,
        alive: bool,
        row: Option<&[f64]>,
        complex: Option<Box<Complex>>,
    ) {
        let at = match self.places.get(&group) {
            Some(&at) => at,
            None => {
                let at = self.groups.len() as u32;
                self.groups.push(group);
                self.alive.push(false);
                self.rows.resize(self.rows.len() + layout.stride(), 0.0);
                layout.reset(self.row_mut(layout, at as usize));
                self.places.insert(group, at);
                at
            }
        };
        self.alive[at as usize] |= alive;
        if let Some(row) = row {
            layout.merge(self.row_mut(layout, at as usize), row);
        }
        if let Some(complex) = complex {
            self.complex.entry(at).or_default().merge(*complex);
        }
    }

    /// The row of the `at`th group.
    pub fn row(&self, layout: &Layout, at: usize) -> &[f64] {
        &self.rows[at * layout.stride()..(at + 1) * layout.stride()]
    }

    fn row_mut(&mut self, layout: &Layout, at: usize) -> &mut [f64] {
        &mut self.rows[at * layout.stride()..(at + 1) * layout.stride()]
    }
}

/// The partials of one FRONTIER record, by window end and rule.
pub type Closings = std::collections::BTreeMap<(Timestamp, u16), Closing>;

/// Moves a virtual shard's frontier to `to`, closing what ends on the way.
pub(crate) fn advance(
    shard: &mut Vshard,
    to: Timestamp,
    plans: &Plans,
    config: &Decisions,
    out: &mut Closings,
) {
    while shard.frontier < to {
        let end = next_close(shard, config).min(to);
        if end < to || closes(shard, config, end) {
            close_at(shard, end, plans, config, out);
        }
        shard.frontier = end;
    }
}

/// The first window end past the frontier of any rule that has cells here.
fn next_close(shard: &Vshard, config: &Decisions) -> Timestamp {
    let used = shard
        .cells
        .iter()
        .zip(&config.rules)
        .filter(|(c, _)| is_busy(c.as_deref()));
    let ends = used.map(|(_, r)| next_end(shard.frontier, r.rule.interval().0));
    ends.min().unwrap_or(Timestamp::MAX)
}

fn is_busy(cells: Option<&crate::cells::Cells>) -> bool {
    cells.is_some_and(|c| !c.is_idle())
}

fn closes(shard: &Vshard, config: &Decisions, end: Timestamp) -> bool {
    next_close(shard, config) == end
}

/// Closes every window of this virtual shard that ends at `end`.
fn close_at(
    shard: &mut Vshard,
    end: Timestamp,
    plans: &Plans,
    config: &Decisions,
    out: &mut Closings,
) {
    let closing = |number: u16| end % config.rules[usize::from(number)].rule.interval().0 == 0;
    let mut alive: AHashMap<u16, Vec<bool>> = AHashMap::new();
    for at in 0..shard.series.len() as u32 {
        let series = &shard.series[at as usize];
        if series.pairs == 0 {
            continue;
        }
        let plan = plans.get(series.plan);
        if plan.rules.is_empty() {
            continue;
        }
        while shard.series[at as usize].recent.due(end).is_some() {
            fold_oldest(shard, at, plan, config);
        }
        if shard.series[at as usize].rare {
            histogram_fold::fold_due(shard, at, plan, config, end);
        }
        for index in 0..plan.rules.len() {
            let number = plan.rules[index];
            if closing(number) {
                let cell = cell_of(shard, at, plan, index);
                if visit(shard, at, number, cell, config, end) {
                    let cells = shard.cells_of(number).count();
                    let flags = alive.entry(number).or_default();
                    flags.resize(cells.max(flags.len()), false);
                    flags[cell as usize] = true;
                }
            }
        }
    }
    for number in 0..shard.cells.len().min(config.rules.len()) as u16 {
        if is_busy(shard.cells[usize::from(number)].as_deref()) && closing(number) {
            let flags = alive.remove(&number).unwrap_or_default();
            collect(shard, number, end, &flags, config, out);
        }
    }
}

/// What a series gives to a window of a rule at its end, beyond its samples. Tells whether it is
/// alive there.
fn visit(
    shard: &mut Vshard,
    at: u32,
    number: u16,
    cell: u32,
    config: &Decisions,
    end: Timestamp,
) -> bool {
    let active = &config.rules[usize::from(number)];
    let series = &shard.series[at as usize];
    if series.rare
        && let Some(mut binding) = shard.bindings.get(&(at, number)).copied()
    {
        flush_dedup(shard, &mut binding, (number, cell), active);
        if binding.end == end && active.layout.offset(Primitive::Rate).is_some() {
            let last = shard.series[at as usize]
                .recent
                .at(end)
                .map(|s| s.timestamp);
            flush_rate(shard, &mut binding, (number, cell), active, last);
        }
        shard.bindings.insert((at, number), binding);
    }
    let staleness = active.rule.staleness().0;
    if histogram_fold::is_alive(shard, at, end, staleness) {
        if active.layout.live {
            let row = shard.cells_of(number).row(end, &active.layout, cell);
            row[active.layout.offset(Primitive::Live).unwrap_or(0)] += 1.0;
        }
        return true;
    }
    let recent = &shard.series[at as usize].recent;
    match recent.folded_through() {
        // Folded past this end early: `live_between` has given what there was to give.
        Some(through) if through > end => recent.at(through).is_some_and(|s| !is_stale(s.value)),
        Some(through) if end - through < staleness => {
            let Some(latest) = recent.at(end).filter(|s| !is_stale(s.value)) else {
                return false;
            };
            if active.layout.live && latest.timestamp > active.active_after {
                let row = shard.cells_of(number).row(end, &active.layout, cell);
                active.layout.fold_live(row, latest.value);
            }
            true
        }
        _ => false,
    }
}

/// Hands a closed window's rows to the worker's partial.
fn collect(
    shard: &mut Vshard,
    number: u16,
    end: Timestamp,
    alive: &[bool],
    config: &Decisions,
    out: &mut Closings,
) {
    let layout = &config.rules[usize::from(number)].layout;
    let cells = shard.cells_of(number);
    let window = cells.close(end);
    let empty = Window {
        end,
        rows: Vec::new(),
        complex: AHashMap::new(),
    };
    let Window {
        rows, mut complex, ..
    } = window.unwrap_or(empty);
    let touched = rows.chunks_exact(layout.stride());
    let mut touched = touched
        .map(|row| (row[0] != 0.0 || layout.get(row, Primitive::Live) != 0.0).then_some(row));
    let count = alive.len().max(rows.len() / layout.stride());
    if count == 0 {
        return;
    }
    let closing = out
        .entry((end, number))
        .or_insert_with(|| Closing::new(number, end));
    for cell in 0..count {
        let row = touched.next().flatten();
        let alive = alive.get(cell).copied().unwrap_or(false);
        if row.is_some() || alive {
            let complex = complex.remove(&(cell as u32));
            closing.merge(layout, cells.group(cell as u32), alive, row, complex);
        }
    }
}
