//! Native histograms of a series: placed, folded and remembered as floats are, beside them.
//!
//! `total` and `increase` add up the increases of whole histograms; other outputs leave them out.
//! They are rare, so their state stands in a side table.

use weir_model::{NativeHistogram, Timestamp};

use crate::accumulator::merge_histograms;
use crate::decisions::Decisions;
use crate::fold::cell_of;
use crate::plan::Plan;
use crate::recent::Placed;
use crate::vshard::Vshard;
use crate::window::{next_end, window_end};

/// How many histograms may wait for the frontier.
const WAITING_MAX: usize = 8;

/// Puts a histogram in its place.
pub(crate) fn place(shard: &mut Vshard, at: u32, histogram: &NativeHistogram) -> Placed {
    shard.series[at as usize].rare = true;
    let state = shard.histograms.entry(at).or_default();
    if state
        .base
        .as_ref()
        .is_some_and(|b| b.timestamp == histogram.timestamp)
    {
        return Placed::Duplicate;
    }
    if histogram.timestamp <= state.folded_through {
        return Placed::TooOld;
    }
    match state
        .waiting
        .binary_search_by_key(&histogram.timestamp, |h| h.timestamp)
    {
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
    state.folded_through = timestamp;
    state.ended = next.is_stale();
    if state.ended {
        return;
    }
    let increase = match &state.base {
        None => None,
        Some(base) if next.is_reset(base) => Some(next.clone()),
        Some(base) => {
            let mut grown = next.clone();
            grown.sub(base).is_ok().then_some(grown)
        }
    };
    state.base = Some(next);
    for index in 0..plan.rules.len() {
        let number = plan.rules[index];
        let active = &config.rules[usize::from(number)];
        if !active.layout.increases || timestamp <= active.active_after {
            continue;
        }
        let interval = active.rule.interval().0;
        let end = window_end(timestamp, interval).max(next_end(shard.frontier, interval));
        let cell = cell_of(shard, at, plan, index);
        let cells = shard.cells_of(number);
        cells.row(end, &active.layout, cell)[0] += 1.0;
        let complex = cells.complex(end, cell);
        merge_histograms(&mut complex.increase, increase.clone());
        merge_histograms(&mut complex.increase_prometheus, increase.clone());
    }
}

/// Whether a series of histograms is alive at `end`.
pub(crate) fn is_alive(shard: &Vshard, at: u32, end: Timestamp, staleness: i64) -> bool {
    if !shard.series[at as usize].rare {
        return false;
    }
    let state = shard.histograms.get(&at);
    state.is_some_and(|s| !s.ended && s.folded_through != 0 && end - s.folded_through < staleness)
}
