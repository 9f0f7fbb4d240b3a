//! The frontier passes: what waits behind it is folded, windows close, the silent are forgotten.
//!
//! A window closes at the FRONTIER record's own place in the log, so a replay closes the same
//! window with the same content. All virtual shards of a worker that close a window at one record
//! give one merged partial for each group: [`Closing`].

use ahash::AHashMap;
use weir_model::mutation::{self, Mutation};
use weir_model::{Timestamp, is_stale};

use crate::accumulator::{Complex, Layout};
use crate::cells::Cells;
use crate::decisions::{ActiveRule, Decisions};
use crate::fold::{cell_of, flush_dedup, flush_rate, fold_oldest};
use crate::histogram_fold;
use crate::plan::{Plan, Plans};
use crate::recent::Slot;
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
    /// The place of each group in `groups`, from 1; 0 for none.
    places: Vec<u32>,
}

impl Closing {
    /// An empty partial.
    pub fn new(rule: u16, end: Timestamp) -> Self {
        Self { rule, end, ..Self::default() }
    }

    /// The place of a group, which gets an untouched row if it is new.
    #[inline]
    fn place(&mut self, layout: &Layout, group: u32) -> usize {
        let number = group as usize;
        if self.places.len() <= number {
            self.places.resize(number + 1, 0);
        }
        if self.places[number] == 0 {
            self.groups.push(group);
            self.alive.push(false);
            layout.extend(&mut self.rows, self.groups.len() * layout.stride());
            self.places[number] = self.groups.len() as u32;
        }
        self.places[number] as usize - 1
    }

    /// The row of the `at`th group.
    pub fn row(&self, layout: &Layout, at: usize) -> &[f64] {
        &self.rows[at * layout.stride()..(at + 1) * layout.stride()]
    }

    #[inline]
    fn row_mut(&mut self, layout: &Layout, at: usize) -> &mut [f64] {
        &mut self.rows[at * layout.stride()..][..layout.stride()]
    }
}

/// The partials of one FRONTIER record, by window end and rule.
pub type Closings = std::collections::BTreeMap<(Timestamp, u16), Closing>;

/// What the passing frontier gives.
pub(crate) struct Swept<'a> {
    /// Partials.
    pub(crate) closings: &'a mut Closings,
    /// Groups, by rule, whose cells were waiting for their windows and are free now.
    pub(crate) freed: Vec<(u16, u32)>,
}

/// Moves a virtual shard's frontier to `to`, closing what ends on the way.
pub(crate) fn advance(
    shard: &mut Vshard,
    to: Timestamp,
    plans: &Plans,
    config: &Decisions,
    out: &mut Swept<'_>,
) {
    while shard.frontier < to {
        let end = next_close(shard, config);
        if end > to {
            shard.frontier = to;
            return;
        }
        if next_end(end, LONG_JUMP_MS) <= to {
            let quiet_until = next_event(shard, plans).min(to);
            if quiet_until > shard.frontier {
                shard.frontier = quiet_until;
                continue;
            }
        }
        close_at(shard, end, plans, config, out);
        shard.frontier = end;
    }
}

/// From here on it pays to look whether anything is going to happen.
const LONG_JUMP_MS: i64 = 60_000;

/// The first window end past the frontier of any rule that has cells here.
fn next_close(shard: &Vshard, config: &Decisions) -> Timestamp {
    let used = shard.cells.iter().zip(&config.rules).filter(|(c, _)| is_busy(c.as_deref()));
    let ends = used.map(|(_, r)| next_end(shard.frontier, r.rule.interval().0));
    ends.min().unwrap_or(Timestamp::MAX)
}

fn is_busy(cells: Option<&Cells>) -> bool {
    cells.is_some_and(|c| !c.is_idle())
}

/// Up to where the frontier may move without anything to fold, to close or to say.
fn next_event(shard: &Vshard, plans: &Plans) -> Timestamp {
    let windows = shard.cells.iter().flatten().flat_map(|c| c.windows());
    let mut event = windows.map(|w| w.end - 1).min().unwrap_or(Timestamp::MAX);
    for series in shard.series.iter().filter(|s| s.pairs != 0) {
        if let Some(slot) = series.recent.due(Timestamp::MAX) {
            event = event.min(slot.timestamp - 1);
        }
        if let Some(newest) = series.recent.newest_folded() {
            let staleness = plans.get(series.plan).staleness_ms;
            let alive = !is_stale(newest.value) && shard.frontier - newest.timestamp < staleness;
            if alive {
                event = event.min((newest.timestamp - 1).max(shard.frontier));
            }
        }
    }
    for (&at, state) in &shard.histograms {
        if let Some(first) = state.waiting.first() {
            event = event.min(first.timestamp - 1);
        }
        let plan = plans.get(shard.series[at as usize].plan);
        if histogram_fold::is_alive(shard, at, shard.frontier, plan.staleness_ms) {
            event = event.min(shard.frontier);
        }
    }
    event
}

/// Closes every window of this virtual shard that ends at `end`.
fn close_at(
    shard: &mut Vshard,
    end: Timestamp,
    plans: &Plans,
    config: &Decisions,
    out: &mut Swept<'_>,
) {
    let closes =
        |active: &ActiveRule| end % active.rule.interval().0 == 0 && end > active.active_after;
    let closing: Vec<bool> = config.rules.iter().map(closes).collect();
    for at in 0..shard.series.len() as u32 {
        let series = &shard.series[at as usize];
        if series.pairs == 0 {
            continue;
        }
        let plan = plans.get(series.plan);
        if plan.rules.is_empty() {
            continue;
        }
        let (mut rare, mut newest) = (series.rare, series.recent.newest_folded());
        if rare || series.recent.is_due(end) {
            fold_due(shard, at, plan, config, end);
            let series = &shard.series[at as usize];
            (rare, newest) = (series.rare, series.recent.newest_folded());
        }
        for (index, &number) in plan.rules.iter().enumerate() {
            if closing[usize::from(number)] {
                let cell = cell_of(shard, at, plan, index);
                let (key, active) = ((at, number, cell), &config.rules[usize::from(number)]);
                let histograms = rare && visit_rare(shard, key, active, end);
                if !histograms && let Some(newest) = newest {
                    visit(shard.cells_of(number), cell, active, newest, end);
                }
            }
        }
    }
    for number in 0..shard.cells.len().min(config.rules.len()) as u16 {
        let at = usize::from(number);
        if is_busy(shard.cells[at].as_deref()) && closing[at] {
            collect(shard, number, end, config, out);
        }
    }
}

/// Folds what waits up to a window's end.
#[inline(never)]
fn fold_due(shard: &mut Vshard, at: u32, plan: &Plan, config: &Decisions, end: Timestamp) {
    let end = end - Timestamp::from(mutation::is(Mutation::FrontierOffByOne));
    while shard.series[at as usize].recent.is_due(end) {
        fold_oldest(shard, at, plan, config);
    }
    if shard.series[at as usize].rare {
        histogram_fold::fold_due(shard, at, plan, config, end);
    }
}

/// What a series whose newest folded sample this is gives to a window of a rule at its end, beyond
/// its samples.
#[inline]
fn visit(cells: &mut Cells, cell: u32, active: &ActiveRule, newest: Slot, end: Timestamp) {
    // One that is folded past this end already was seen to by `live_between`.
    let seen_to = newest.timestamp > end;
    let silent = (end - newest.timestamp) >> u32::from(mutation::is(Mutation::StalenessDoubled));
    if !seen_to && silent < active.rule.staleness().0 && !is_stale(newest.value) {
        cells.mark_alive(end, cell);
        if active.layout.live {
            let row = cells.row(end, &active.layout, cell);
            active.layout.fold_live(row, newest.value);
        }
    }
}

/// Ends what a window's rates and dedup slots have of a series. Whether the series is one of
/// histograms and alive, which is then noted.
#[inline(never)]
fn visit_rare(
    shard: &mut Vshard,
    (at, number, cell): (u32, u16, u32),
    active: &ActiveRule,
    end: Timestamp,
) -> bool {
    if let Some(mut binding) = shard.bindings.get(&(at, number)).copied() {
        if binding.dedup_at <= end {
            flush_dedup(shard, &mut binding, (number, cell), active);
        }
        if binding.end == end {
            flush_rate(shard, &mut binding, (number, cell), active);
        }
        shard.bindings.insert((at, number), binding);
    }
    let alive = histogram_fold::is_alive(shard, at, end, active.rule.staleness().0);
    if alive {
        histogram_fold::mark_alive(shard.cells_of(number), active, cell, end);
    }
    alive
}

/// Hands a closed window's rows to the worker's partial.
fn collect(
    shard: &mut Vshard,
    number: u16,
    end: Timestamp,
    config: &Decisions,
    out: &mut Swept<'_>,
) {
    let layout = &config.rules[usize::from(number)].layout;
    let cells = shard.cells_of(number);
    let Some(mut window) = cells.close(end) else {
        return;
    };
    let closing = out.closings.entry((end, number)).or_insert_with(|| Closing::new(number, end));
    let (mut rows, mut marks) = (window.rows.chunks_exact(layout.stride()), window.alive.iter());
    for cell in 0..window.count(layout.stride()) as u32 {
        let alive = marks.next().is_some_and(|alive| *alive);
        let row = rows.next().filter(|row| layout.is_touched(row));
        if row.is_none() && !alive {
            continue;
        }
        let at = closing.place(layout, cells.group(cell));
        closing.alive[at] |= alive;
        if let Some(row) = row {
            layout.merge(closing.row_mut(layout, at), row);
        }
        if !window.complex.is_empty()
            && let Some(complex) = window.complex.remove(&cell)
        {
            closing.complex.entry(at as u32).or_default().merge(*complex);
        }
    }
    if closing.groups.is_empty() {
        out.closings.remove(&(end, number));
    }
    let mut freed = Vec::new();
    cells.free_idle(layout, &mut freed);
    out.freed.extend(freed.into_iter().map(|group| (number, group)));
}
