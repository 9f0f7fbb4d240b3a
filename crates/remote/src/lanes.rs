//! Ordered lanes: every series has one, and a lane has at most one request on its way.
//!
//! Invariant: units leave a lane in the order in which they came, and a lane that is taken gives
//! nothing more until it is released. So a series is never sent in two requests at once, and
//! never out of order, while different lanes travel in parallel.
//!
//! Lanes are many and requests few: a request takes the fronts of as many idle lanes as fit. So
//! a quiet destination gets one full request instead of many small ones, a busy one gets as many
//! at once as are allowed, and nothing has to be re-sharded in between. A request holds one
//! tenant, and either recovered or fresh frames: Prometheus rolls a whole 1.0 request back for
//! one old sample. A unit that goes alone (see [`Unit::goes_alone`]) waits for nobody.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::unit::{LANES, Unit};

/// Bytes of a request before compression (receivers commonly stop at 32 MiB).
const REQUEST_BYTES_MAX: usize = 8 << 20;

/// When a request is worth sending.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Samples of a full request.
    pub samples_max: usize,
    /// How long a unit waits for its request to fill.
    pub deadline_ms: u64,
    /// Units of frames before this position do not wait.
    pub due_below: u64,
}

/// What the units of one request have in common.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key {
    /// Whose samples they are.
    pub tenant: Arc<str>,
    /// See [`Unit::recovered`].
    pub recovered: bool,
    /// See [`Unit::goes_alone`].
    pub alone: bool,
}

impl Key {
    fn of(unit: &Unit) -> Self {
        let alone = unit.goes_alone();
        Self { tenant: unit.tenant.clone(), recovered: unit.recovered, alone }
    }

    fn fits(&self, unit: &Unit) -> bool {
        self.recovered == unit.recovered
            && self.alone == unit.goes_alone()
            && self.tenant == unit.tenant
    }
}

/// Units for one request, and the lanes that wait for its end.
#[derive(Debug)]
pub struct Batch {
    /// What they have in common.
    pub key: Key,
    /// The lanes taken.
    pub lanes: Vec<usize>,
    /// The units, those of a lane in its order.
    pub units: Vec<Unit>,
}

#[derive(Debug)]
struct Queued {
    unit: Unit,
    samples: usize,
    bytes: usize,
    held_bytes: usize,
    since_ms: u64,
}

#[derive(Debug, Default)]
struct Lane {
    queue: VecDeque<Queued>,
    is_taken: bool,
}

/// All lanes of a destination.
#[derive(Debug)]
pub struct Lanes {
    lanes: Vec<Lane>,
    samples: usize,
    held_bytes: usize,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { lanes: (0..LANES).map(|_| Lane::default()).collect(), samples: 0, held_bytes: 0 }
    }
}

/// What idle lanes hold of one key.
#[derive(Debug)]
struct Candidate {
    key: Key,
    samples: usize,
    bytes: usize,
    since_ms: u64,
    position: u64,
}

impl Candidate {
    fn is_full(&self, fill: Fill) -> bool {
        self.key.alone || self.samples >= fill.samples_max || self.bytes >= REQUEST_BYTES_MAX
    }
}

impl Lanes {
    /// Samples that wait.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// Bytes of memory that wait, about.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Appends a unit to a lane. Bounds are the caller's: see [`Lanes::samples`].
    pub fn push(&mut self, lane: usize, unit: Unit, now_ms: u64) {
        let (samples, bytes, held_bytes) = (unit.sample_count(), unit.size(), unit.held_bytes());
        self.samples += samples;
        self.held_bytes += held_bytes;
        let queued = Queued { unit, samples, bytes, held_bytes, since_ms: now_ms };
        self.lanes[lane % LANES].queue.push_back(queued);
    }

    /// Takes the oldest units that make a request: full, overdue, or wanted now (`flush`, or by their
    /// frame's position).
    pub fn take(&mut self, fill: Fill, now_ms: u64, flush: bool) -> Option<Batch> {
        let is_due = |c: &Candidate| {
            let is_overdue = now_ms.saturating_sub(c.since_ms) >= fill.deadline_ms;
            flush || c.is_full(fill) || is_overdue || c.position < fill.due_below
        };
        let candidates = self.candidates(fill).into_iter().filter(is_due);
        let key = candidates.min_by_key(|c| c.position)?.key;
        let mut fronts: Vec<(u64, usize)> = self
            .idle()
            .filter(|(_, front)| key.fits(&front.unit))
            .map(|(lane, front)| (front.unit.position, lane))
            .collect();
        fronts.sort_unstable();
        let mut batch = Batch { key, lanes: Vec::new(), units: Vec::new() };
        let (mut samples, mut bytes, mut held_bytes) = (0, 0, 0);
        for (_, at) in fronts {
            let lane = &mut self.lanes[at];
            while let Some(queued) = lane.queue.pop_front_if(|q| {
                let fits =
                    samples + q.samples <= fill.samples_max && bytes + q.bytes <= REQUEST_BYTES_MAX;
                batch.key.fits(&q.unit) && ((fits && !batch.key.alone) || batch.units.is_empty())
            }) {
                samples += queued.samples;
                bytes += queued.bytes;
                held_bytes += queued.held_bytes;
                batch.units.push(queued.unit);
                lane.is_taken = true;
            }
            if lane.is_taken {
                batch.lanes.push(at);
            }
            if batch.key.alone || samples >= fill.samples_max || bytes >= REQUEST_BYTES_MAX {
                break;
            }
        }
        self.samples -= samples;
        self.held_bytes -= held_bytes;
        Some(batch)
    }

    /// Gives lanes back when their request has ended.
    pub fn release(&mut self, lanes: &[usize]) {
        for &lane in lanes {
            self.lanes[lane].is_taken = false;
        }
    }

    /// When [`Lanes::take`] gives something for sure.
    pub fn next_deadline_ms(&self, fill: Fill) -> Option<u64> {
        let since = self.idle().map(|(_, front)| front.since_ms).min();
        since.map(|s| s + fill.deadline_ms)
    }

    /// Takes the units of the oldest frame out of all lanes. They stand at the fronts, for
    /// frames come in the order of positions.
    pub fn remove_oldest(&mut self, position: u64) -> Vec<Unit> {
        let mut removed = Vec::new();
        for lane in &mut self.lanes {
            while let Some(queued) = lane.queue.pop_front_if(|q| q.unit.position == position) {
                self.samples -= queued.samples;
                self.held_bytes -= queued.held_bytes;
                removed.push(queued.unit);
            }
        }
        removed
    }

    fn idle(&self) -> impl Iterator<Item = (usize, &Queued)> {
        let idle = self.lanes.iter().enumerate().filter(|(_, l)| !l.is_taken);
        idle.filter_map(|(at, lane)| Some((at, lane.queue.front()?)))
    }

    /// Adds up, by key, what stands at the fronts, as far as a request can take it.
    fn candidates(&self, fill: Fill) -> Vec<Candidate> {
        let mut candidates: Vec<Candidate> = Vec::new();
        for (at, front) in self.idle() {
            let index = candidates.iter().position(|c| c.key.fits(&front.unit));
            let index = index.unwrap_or_else(|| {
                candidates.push(Candidate {
                    key: Key::of(&front.unit),
                    samples: 0,
                    bytes: 0,
                    since_ms: u64::MAX,
                    position: u64::MAX,
                });
                candidates.len() - 1
            });
            let candidate = &mut candidates[index];
            candidate.since_ms = candidate.since_ms.min(front.since_ms);
            candidate.position = candidate.position.min(front.unit.position);
            for queued in &self.lanes[at].queue {
                if candidate.is_full(fill) || !candidate.key.fits(&queued.unit) {
                    break;
                }
                candidate.samples += queued.samples;
                candidate.bytes += queued.bytes;
            }
        }
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::unit::tests::{series, unit};

    const FILL: Fill = Fill { samples_max: 4, deadline_ms: 100, due_below: 0 };

    fn of_tenant(position: u64, tenant: &str, recovered: bool) -> Unit {
        Unit {
            tenant: tenant.into(),
            recovered,
            ..unit(position, vec![series("m", &[position as i64])])
        }
    }

    fn positions(batch: &Batch) -> Vec<u64> {
        batch.units.iter().map(|u| u.position).collect()
    }

    #[test]
    fn a_request_is_full_or_overdue() {
        let mut lanes = Lanes::default();
        for position in 0..3 {
            lanes.push(position as usize, of_tenant(position, "t", false), 10);
        }
        assert!(lanes.take(FILL, 109, false).is_none());
        assert_eq!(lanes.next_deadline_ms(FILL), Some(110));
        lanes.push(3, of_tenant(3, "t", false), 20);
        lanes.push(3, of_tenant(4, "t", false), 20);
        let batch = lanes.take(FILL, 20, false).unwrap();
        assert_eq!(positions(&batch), [0, 1, 2, 3]);
        assert!(lanes.take(FILL, 999, false).is_none(), "lane 3 is taken");
        lanes.release(&batch.lanes);
        let batch = lanes.take(FILL, 120, false).unwrap();
        assert_eq!((positions(&batch), lanes.samples()), (vec![4], 0));
    }

    #[test]
    fn frames_in_a_hurry_do_not_wait_for_a_full_request() {
        let mut lanes = Lanes::default();
        for position in 7..9 {
            lanes.push(position as usize, of_tenant(position, "t", false), 10);
        }
        assert!(lanes.take(Fill { due_below: 7, ..FILL }, 10, false).is_none());
        let batch = lanes.take(Fill { due_below: 8, ..FILL }, 10, false).unwrap();
        assert_eq!(positions(&batch), [7, 8], "who fits goes along");
    }

    #[test]
    fn tenants_and_recovered_frames_travel_alone() {
        let mut lanes = Lanes::default();
        for (position, tenant, recovered) in
            [(0, "a", true), (1, "b", true), (2, "a", true), (3, "a", false), (4, "a", true)]
        {
            lanes.push(position as usize, of_tenant(position, tenant, recovered), 0);
        }
        let mut seen = Vec::new();
        while let Some(batch) = lanes.take(FILL, 0, true) {
            seen.push(positions(&batch));
        }
        assert_eq!(seen, [vec![0, 2, 4], vec![1], vec![3]]);
    }

    #[test]
    fn another_tenants_unit_is_not_overtaken_in_its_lane() {
        let mut lanes = Lanes::default();
        for (position, tenant) in [(0, "a"), (1, "b"), (2, "a")] {
            lanes.push(9, of_tenant(position, tenant, false), 0);
        }
        for position in 0..3 {
            let batch = lanes.take(FILL, 0, true).unwrap();
            assert_eq!(positions(&batch), [position]);
            lanes.release(&batch.lanes);
        }
    }

    #[test]
    fn a_busy_tenant_does_not_wait_for_a_quiet_one() {
        let mut lanes = Lanes::default();
        lanes.push(0, of_tenant(0, "quiet", false), 0);
        for position in 1..5 {
            lanes.push(position as usize, of_tenant(position, "busy", false), 0);
        }
        let batch = lanes.take(FILL, 1, false).unwrap();
        assert_eq!(positions(&batch), [1, 2, 3, 4]);
        assert!(lanes.take(FILL, 1, false).is_none());
    }

    #[test]
    fn a_unit_too_large_for_a_request_goes_alone() {
        let mut lanes = Lanes::default();
        lanes.push(0, unit(0, vec![series("m", &[1, 2, 3, 4, 5, 6])]), 0);
        lanes.push(1, of_tenant(1, "t", false), 0);
        assert_eq!(positions(&lanes.take(FILL, 0, false).unwrap()), [0]);
    }

    #[test]
    fn the_oldest_frame_can_be_taken_out() {
        let mut lanes = Lanes::default();
        for (lane, position) in [(0, 0), (1, 0), (1, 1)] {
            lanes.push(lane, of_tenant(position, "t", false), 0);
        }
        assert_eq!(lanes.remove_oldest(0).len(), 2);
        assert_eq!((lanes.samples(), lanes.remove_oldest(2).len()), (1, 0));
    }
}
