//! Native histograms of a series: placed, folded and remembered as floats are, beside them.
//!
//! `total` and `increase` add up the increases of whole histograms, `count_series` counts the
//! series; other outputs leave them out, and gauge histograms are no counters.
//! They are rare, so their state stands in a side table.

use weir_model::histogram::ResetHint;
use weir_model::{NativeHistogram, Timestamp};

use crate::accumulator::{Primitive, merge_histograms};
use crate::cells::Cells;
use crate::decisions::{ActiveRule, Decisions};
use crate::fold::cell_of;
use crate::plan::Plan;
use crate::recent::Placed;
use crate::vshard::{HistogramState, Vshard};
use crate::window::{next_end, window_end};

/// How many histograms may wait for the frontier.
const WAITING_MAX: usize = 8;

/// Whether a histogram with this timestamp is remembered.
pub(crate) fn knows(shard: &Vshard, at: u32, timestamp: Timestamp) -> bool {
    shard.histograms.get(&at).is_some_and(|state| {
        let base = state.base.iter().any(|b| b.timestamp == timestamp);
        base || state.waiting.iter().any(|h| h.timestamp == timestamp)
    })
}

/// Puts a histogram in its place; `birth` if it counts in full should it be the series' first.
pub(crate) fn place(
    shard: &mut Vshard,
    at: u32,
    histogram: &NativeHistogram,
    birth: bool,
) -> Placed {
    shard.series[at as usize].rare = true;
    let state = shard.histograms.entry(at).or_default();
    let first = state.waiting.first().map(|h| h.timestamp);
    if birth && state.folded_through == 0 && first.is_none_or(|t| histogram.timestamp < t) {
        state.born = histogram.timestamp;
    }
    if state.base.as_ref().is_some_and(|b| b.timestamp == histogram.timestamp) {
        return Placed::Duplicate;
    }
    if histogram.timestamp <= state.folded_through {
        return Placed::TooOld;
    }
    match state.waiting.binary_search_by_key(&histogram.timestamp, |h| h.timestamp) {
        Ok(_) => Placed::Duplicate,
        Err(_) if state.waiting.len() >= WAITING_MAX => Placed::Full,
        Err(place) => {
            state.waiting.insert(place, histogram.clone());
            Placed::Waiting
        }
    }
}

/// Folds every waiting histogram that is not past `limit`.
pub(crate) fn fold_due(
    shard: &mut Vshard,
    at: u32,
    plan: &Plan,
    config: &Decisions,
    limit: Timestamp,
) {
    while shard
        .histograms
        .get(&at)
        .and_then(|s| s.waiting.first())
        .is_some_and(|h| h.timestamp <= limit)
    {
        fold_oldest(shard, at, plan, config);
    }
}

/// Folds the oldest waiting histogram.
pub(crate) fn fold_oldest(shard: &mut Vshard, at: u32, plan: &Plan, config: &Decisions) {
    let Some(state) = shard.histograms.get_mut(&at) else {
        return;
    };
    if state.waiting.is_empty() {
        return;
    }
    let next = state.waiting.remove(0);
    let timestamp = next.timestamp;
    let before = (!state.ended && state.folded_through != 0).then_some(state.folded_through);
    state.folded_through = timestamp;
    state.ended = next.is_stale();
    let increase = increase_of(state, &next);
    if !state.ended {
        state.base = Some(next);
    }
    let ended = state.ended;
    for index in 0..plan.rules.len() {
        let number = plan.rules[index];
        let active = &config.rules[usize::from(number)];
        let cell = cell_of(shard, at, plan, index);
        if let Some(before) = before {
            live_between(shard, number, active, cell, before, timestamp);
        }
        if ended || !active.layout.increases || timestamp <= active.active_after {
            continue;
        }
        let interval = active.rule.interval().0;
        let end = window_end(timestamp, interval).max(next_end(shard.frontier, interval));
        let cells = shard.cells_of(number);
        cells.row(end, &active.layout, cell)[0] += 1.0;
        let complex = cells.complex(end, cell);
        merge_histograms(&mut complex.increase, increase.in_full.clone());
        merge_histograms(&mut complex.increase_prometheus, increase.prometheus.clone());
    }
}

/// What a histogram adds, seen by the two kinds of counters.
#[derive(Default)]
struct Increase {
    in_full: Option<NativeHistogram>,
    prometheus: Option<NativeHistogram>,
}

fn increase_of(state: &HistogramState, next: &NativeHistogram) -> Increase {
    if next.is_stale() || next.reset_hint == ResetHint::Gauge {
        return Increase::default();
    }
    let Some(base) = &state.base else {
        let born = state.born == next.timestamp;
        let in_full = if born { next.clone() } else { nothing(next) };
        return Increase { in_full: Some(in_full), prometheus: Some(nothing(next)) };
    };
    let restarted = next.start > base.timestamp && next.start <= next.timestamp;
    let grown = if restarted || next.is_reset(base) {
        Some(next.clone())
    } else {
        let mut grown = next.clone();
        grown.sub(base).is_ok().then_some(grown)
    };
    Increase { in_full: grown.clone(), prometheus: grown }
}

/// A baseline counts nothing, and is a histogram all the same: an output that begins with a float and goes
/// on with histograms is none that PromQL has a rate of.
fn nothing(next: &NativeHistogram) -> NativeHistogram {
    NativeHistogram {
        timestamp: next.timestamp,
        schema: next.schema,
        zero_threshold: next.zero_threshold,
        custom_values: next.custom_values.clone(),
        integer: next.integer,
        ..NativeHistogram::default()
    }
}

/// Folded past window ends that are still open, the series was alive at those.
fn live_between(
    shard: &mut Vshard,
    number: u16,
    active: &ActiveRule,
    cell: u32,
    from: Timestamp,
    to: Timestamp,
) {
    let (interval, staleness) = (active.rule.interval().0, active.rule.staleness().0);
    let mut end = window_end(from, interval).max(next_end(shard.frontier, interval));
    while end < to && end - from < staleness {
        if end > active.active_after {
            mark_alive(shard.cells_of(number), active, cell, end);
        }
        end += interval;
    }
}

/// A series of histograms is alive at a window's end: it counts, and has no value to add.
pub(crate) fn mark_alive(cells: &mut Cells, active: &ActiveRule, cell: u32, end: Timestamp) {
    cells.mark_alive(end, cell);
    if let Some(live) = active.layout.offset(Primitive::LiveHistograms) {
        cells.row(end, &active.layout, cell)[live] += 1.0;
    }
}

/// Whether a series of histograms is alive at `end`.
pub(crate) fn is_alive(shard: &Vshard, at: u32, end: Timestamp, staleness: i64) -> bool {
    if !shard.series[at as usize].rare {
        return false;
    }
    let state = shard.histograms.get(&at);
    state.is_some_and(|s| {
        let silent = end - s.folded_through;
        !s.ended && s.folded_through != 0 && (0..staleness).contains(&silent)
    })
}
