//! Folding: what one sample, in its place among its series' samples, gives to the rules.
//!
//! Samples of a series come here in the order of their timestamps, each once. So an increase is
//! that of timestamp order whatever the order of arrival, and nothing is ever taken back.

use weir_model::mutation::{self, Mutation};
use weir_model::{Timestamp, is_stale};

use crate::accumulator::{Layout, Primitive};
use crate::cells::Cells;
use crate::decisions::{ActiveRule, Decisions};
use crate::plan::Plan;
use crate::recent::{BIRTH, LAGS, LATE, OBSERVED, Placed, Slot};
use crate::rule::Births;
use crate::vshard::{Binding, Series, Vshard};
use crate::window::window_end;

/// The increase that a sample brings, seen by the two kinds of counters.
#[derive(Clone, Copy, Debug, Default)]
struct Increase {
    /// Over the sample before; 0 where there is none.
    prometheus: f64,
    /// The whole value, if the sample is its series' first.
    first: Option<f64>,
    /// Timestamp of the number before.
    since: Option<Timestamp>,
    /// The sample is an HA replica's that lags: the higher value before it stays the base.
    lags: bool,
}

/// Folds the oldest waiting sample of a series into the windows of its plan's rules.
pub(crate) fn fold_oldest(shard: &mut Vshard, at: u32, plan: &Plan, config: &Decisions) {
    if let Some(slot) = shard.series[at as usize].recent.due(Timestamp::MAX) {
        let lags = fold(shard, at, slot, plan, config);
        shard.series[at as usize].recent.fold_oldest(lags);
    }
}

/// Folds a sample that is older than all that wait, when there is no room for it to wait too.
pub(crate) fn fold_past(
    shard: &mut Vshard,
    at: u32,
    slot: Slot,
    plan: &Plan,
    config: &Decisions,
) -> Placed {
    if shard.series[at as usize].recent.folded() == 0 || slot.value.is_nan() {
        return Placed::TooOld;
    }
    let lags = fold(shard, at, slot, plan, config);
    shard.series[at as usize].recent.fold_past(slot, lags);
    Placed::Waiting
}

/// Folds the sample that comes after all that are folded. Whether it lags, and so is no base.
fn fold(shard: &mut Vshard, at: u32, slot: Slot, plan: &Plan, config: &Decisions) -> bool {
    let series = &shard.series[at as usize];
    let before = series.recent.folded().checked_sub(1);
    let before = before.map(|i| series.recent.slot(i));
    let starts = series.rare.then(|| shard.starts.get(&at)).flatten();
    let start = starts.map_or(0, |starts| starts.of(slot.timestamp));
    let increase = increase_of(series, slot, start);
    for index in 0..plan.rules.len() {
        let rule = &config.rules[usize::from(plan.rules[index])];
        if slot.timestamp > rule.active_after {
            let cell = cell_of(shard, at, plan, index);
            let key = (at, plan.rules[index], cell);
            fold_into(shard, key, rule, (slot, before), increase);
        }
    }
    increase.lags
}

/// The cell of a series for the `index`th rule of its plan.
#[inline]
pub(crate) fn cell_of(shard: &Vshard, at: u32, plan: &Plan, index: usize) -> u32 {
    let cells = shard.series[at as usize].cells;
    match plan.rules.len() {
        1 => cells,
        len => shard.cell_lists.get(cells, len)[index],
    }
}

fn increase_of(series: &Series, slot: Slot, start: Timestamp) -> Increase {
    let nothing = Increase::default();
    if slot.value.is_nan() {
        return nothing;
    }
    let lost = |b: &Slot| {
        mutation::is(Mutation::BaseLostAtMarker)
            && series.recent.newest_folded().is_some_and(|s| s.timestamp != b.timestamp)
    };
    let Some(base) = series.recent.base().filter(|base| !lost(base)) else {
        return Increase { first: Some(slot.value), ..nothing };
    };
    let nothing = Increase { since: Some(base.timestamp), ..nothing };
    let restarted =
        start > base.timestamp && start <= slot.timestamp && !mutation::is(Mutation::StartIgnored);
    if slot.value >= base.value && !restarted {
        return Increase { prometheus: slot.value - base.value, ..nothing };
    }
    if slot.marks & LAGS != 0 && !mutation::is(Mutation::FalseResetAtSwitch) {
        // No reset: the higher value stays the base.
        return Increase { lags: true, ..nothing };
    }
    if mutation::is(Mutation::ResetIgnored) {
        return nothing;
    }
    Increase { prometheus: slot.value, ..nothing }
}

fn fold_into(
    shard: &mut Vshard,
    (at, number, cell): (u32, u16, u32),
    active: &ActiveRule,
    (slot, before): (Slot, Option<Slot>),
    increase: Increase,
) {
    let (rule, layout) = (&active.rule, &active.layout);
    let (interval, frontier) = (rule.interval().0, shard.frontier);
    let cells = shard.cells_of(number);
    let first_open = cells.first_open(frontier, interval);
    if slot.timestamp > first_open
        && let Some(before) = before.filter(|b| !is_stale(b.value))
    {
        live_between(cells, active, cell, before, slot.timestamp, first_open);
    }
    let late = slot.marks & LATE != 0;
    let lost = mutation::is(Mutation::LateLost);
    if slot.value.is_nan() || (late && (lost || !active.carries())) {
        return;
    }
    let end = cells.end_for(slot.timestamp, first_open, interval);
    let born = slot.marks & BIRTH != 0
        || (slot.marks & OBSERVED != 0 && rule.births() == Births::Observed);
    let born =
        mutation::is(Mutation::BirthCountedInFull) || (born && !mutation::is(Mutation::BirthLost));
    let births = if born { increase.first.unwrap_or(0.0) } else { 0.0 };
    let row = cells.row(end, layout, cell);
    row[0] += 1.0;
    if late && mutation::is(Mutation::LateCarriedTwice) {
        layout.fold_increase(row, increase.prometheus, increase.prometheus);
    }
    layout.fold_increase(row, increase.prometheus + births, increase.prometheus);
    if rule.dedup_interval().is_some() || layout.offset(Primitive::Rate).is_some() {
        shard.series[at as usize].rare = true;
        fold_binding(shard, (at, number, cell), active, end, slot, increase);
    } else if layout.samples && !late {
        fold_value(cells, layout, cell, end, (slot.timestamp, slot.value));
    }
}

/// Adds a sample to whatever looks at samples one by one.
fn fold_value(
    cells: &mut Cells,
    layout: &Layout,
    cell: u32,
    end: Timestamp,
    (timestamp, value): (Timestamp, f64),
) {
    layout.fold_sample(cells.row(end, layout, cell), timestamp, value);
    if layout.complex() {
        cells.complex(end, cell).fold(layout, value);
    }
}

/// A series that is folded past window ends which are still open was alive at those ends with
/// its value before; the sweep that closes them will not see it any more.
fn live_between(
    cells: &mut Cells,
    active: &ActiveRule,
    cell: u32,
    before: Slot,
    to: Timestamp,
    first_open: Timestamp,
) {
    let (interval, staleness) = (active.rule.interval().0, active.rule.staleness().0);
    let mut end = window_end(before.timestamp, interval).max(first_open);
    while end < to && end - before.timestamp < staleness {
        if end > active.active_after {
            cells.mark_alive(end, cell);
            if active.layout.live {
                let row = cells.row(end, &active.layout, cell);
                active.layout.fold_live(row, before.value);
            }
        }
        end += interval;
    }
}

/// Rates, and samples of rules with a dedup interval, which wait for their slot to end.
fn fold_binding(
    shard: &mut Vshard,
    (at, number, cell): (u32, u16, u32),
    active: &ActiveRule,
    end: Timestamp,
    slot: Slot,
    increase: Increase,
) {
    let mut binding = shard.bindings.get(&(at, number)).copied().unwrap_or_default();
    if binding.end != end {
        flush_rate(shard, &mut binding, (number, cell), active);
        binding.end = end;
    }
    if binding.from == 0 {
        binding.from = increase.since.unwrap_or(slot.timestamp);
    }
    binding.increase += increase.prometheus;
    binding.last = slot.timestamp;
    if slot.marks & LATE == 0 {
        match active.rule.dedup_interval() {
            Some(dedup) => {
                let same = binding.dedup_at != 0
                    && !mutation::is(Mutation::DedupIgnored)
                    && window_end(binding.dedup_at, dedup.0) == window_end(slot.timestamp, dedup.0);
                if !same {
                    flush_dedup(shard, &mut binding, (number, cell), active);
                }
                binding.dedup_at = slot.timestamp;
                binding.dedup_value = slot.value;
            }
            None => {
                let sample = (slot.timestamp, slot.value);
                fold_value(shard.cells_of(number), &active.layout, cell, end, sample);
            }
        }
    }
    shard.bindings.insert((at, number), binding);
}

/// Gives a window the rate that its last sample completes.
pub(crate) fn flush_rate(
    shard: &mut Vshard,
    binding: &mut Binding,
    (number, cell): (u16, u32),
    active: &ActiveRule,
) {
    if binding.end > shard.frontier && binding.from != 0 && binding.last > binding.from {
        let over = if mutation::is(Mutation::RateOverWindow) {
            active.rule.interval().0
        } else {
            binding.last - binding.from
        };
        let rate = binding.increase * 1000.0 / over as f64;
        let row = shard.cells_of(number).row(binding.end, &active.layout, cell);
        active.layout.fold_rate(row, rate);
    }
    binding.increase = 0.0;
    binding.from = binding.last;
    binding.end = 0;
}

/// Gives a window the sample that stands for a dedup slot.
pub(crate) fn flush_dedup(
    shard: &mut Vshard,
    binding: &mut Binding,
    (number, cell): (u16, u32),
    active: &ActiveRule,
) {
    if binding.dedup_at == 0 {
        return;
    }
    let end = window_end(binding.dedup_at, active.rule.interval().0);
    if end > shard.frontier {
        let sample = (binding.dedup_at, binding.dedup_value);
        fold_value(shard.cells_of(number), &active.layout, cell, end, sample);
    }
    binding.dedup_at = 0;
}
