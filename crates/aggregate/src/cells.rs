//! Where a virtual shard gathers what its series give to a rule: one cell for each output group,
//! one row of numbers for each cell and open window.
//!
//! Rows of one window stand together (window-major), and a window exists only once something has
//! been folded into it. Invariant: a cell is freed only when no series refers to it and no open
//! window has anything of it; until then it is idle, and its group with it.

use ahash::AHashMap;
use weir_model::Timestamp;

use crate::accumulator::{Complex, Layout};
use crate::arena::size_class;
use crate::index::Index;
use crate::segments::Segments;
use crate::window::{next_end, window_end};

/// An output group as one virtual shard feeds it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell {
    /// The worker's number of the group.
    pub group: u32,
    /// Series that refer to it.
    pub series: u32,
}

/// What an open window has gathered so far.
#[derive(Clone, Debug)]
pub struct Window {
    /// Its end.
    pub end: Timestamp,
    /// Rows by cell; cells beyond it are untouched.
    pub rows: Vec<f64>,
    /// Cells that have a series which is alive at the window's end, as far as is known yet.
    pub alive: Vec<bool>,
    /// What does not fit in rows, by cell.
    pub complex: AHashMap<u32, Box<Complex>>,
}

impl Window {
    /// A window into which nothing has been folded.
    pub fn new(end: Timestamp) -> Self {
        Self { end, rows: Vec::new(), alive: Vec::new(), complex: AHashMap::new() }
    }

    /// A cell's row, if it or something behind it has been touched.
    pub fn row(&self, cell: u32, stride: usize) -> Option<&[f64]> {
        let start = cell as usize * stride;
        self.rows.get(start..start + stride)
    }

    /// Whether a cell has a series that is alive at the window's end.
    pub fn is_alive(&self, cell: u32) -> bool {
        self.alive.get(cell as usize).copied().unwrap_or(false)
    }

    /// Notes that a cell has a series that is alive at the window's end.
    #[inline]
    pub fn mark_alive(&mut self, cell: u32) {
        let cell = cell as usize;
        if self.alive.len() <= cell {
            self.alive.resize(cell + 1, false);
        }
        self.alive[cell] = true;
    }

    /// One more than the last cell that it may have something of.
    pub fn count(&self, stride: usize) -> usize {
        self.alive.len().max(self.rows.len() / stride)
    }

    fn has(&self, cell: u32, layout: &Layout) -> bool {
        let row = self.row(cell, layout.stride());
        self.is_alive(cell) || row.is_some_and(|row| layout.is_touched(row))
    }
}

/// One rule's cells in one virtual shard.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    cells: Segments<Cell>,
    free: Vec<u32>,
    /// Cells without series that open windows still have something of.
    idle: Vec<u32>,
    by_group: Index,
    /// The open ones, oldest first; they are few.
    windows: Vec<Window>,
    /// The end of the oldest open window, as of the last time that somebody asked.
    first_open: Timestamp,
}

impl Cells {
    /// The cell of a group, referred to once more; `true` if it is new here.
    pub fn refer(&mut self, group: u32) -> (u32, bool) {
        if let Some(cell) = self.cell(group) {
            self.cells[cell as usize].series += 1;
            return (cell, false);
        }
        let fresh = Cell { group, series: 1 };
        let cell = match self.free.pop() {
            Some(cell) => {
                self.cells[cell as usize] = fresh;
                cell
            }
            None => {
                self.cells.push(fresh);
                self.cells.len() as u32 - 1
            }
        };
        let Self { by_group, cells, .. } = self;
        by_group.insert(hash(group), cell, |cell| hash(cells[cell as usize].group));
        (cell, true)
    }

    /// Refers to a cell once less; the group, if its cell is free now.
    pub fn release(&mut self, cell: u32, layout: &Layout) -> Option<u32> {
        let entry = &mut self.cells[cell as usize];
        entry.series -= 1;
        if entry.series > 0 {
            return None;
        }
        if self.windows.iter().any(|w| w.has(cell, layout)) {
            self.idle.push(cell);
            return None;
        }
        Some(self.free_cell(cell))
    }

    /// Frees idle cells that no open window has anything of any more, and gives their groups.
    pub fn free_idle(&mut self, layout: &Layout, freed: &mut Vec<u32>) {
        let mut idle = std::mem::take(&mut self.idle);
        idle.sort_unstable();
        idle.dedup();
        for cell in idle {
            let Cell { group, series } = self.cells[cell as usize];
            // It may have been referred to again, and even been freed since.
            if series > 0 || self.cell(group) != Some(cell) {
                continue;
            }
            if self.windows.iter().any(|w| w.has(cell, layout)) {
                self.idle.push(cell);
            } else {
                freed.push(self.free_cell(cell));
            }
        }
    }

    fn free_cell(&mut self, cell: u32) -> u32 {
        let group = self.cells[cell as usize].group;
        self.by_group.remove(hash(group), cell);
        self.free.push(cell);
        group
    }

    /// The group of a cell.
    #[inline]
    pub fn group(&self, cell: u32) -> u32 {
        self.cells[cell as usize].group
    }

    /// The cell of a group, if a series refers to it.
    pub fn cell(&self, group: u32) -> Option<u32> {
        self.by_group.find(hash(group), |cell| self.cells[cell as usize].group == group)
    }

    /// How many cells there are, freed ones included.
    pub fn count(&self) -> usize {
        self.cells.len()
    }

    /// Whether no cell is in use and no window open.
    pub fn is_idle(&self) -> bool {
        self.by_group.is_empty() && self.windows.is_empty()
    }

    /// The end of the oldest open window.
    #[inline]
    pub fn first_open(&mut self, frontier: Timestamp, interval_ms: i64) -> Timestamp {
        // A division for each sample is worth avoiding.
        if frontier >= self.first_open || frontier < self.first_open - interval_ms {
            self.first_open = next_end(frontier, interval_ms);
        }
        self.first_open
    }

    /// The end of the open window that takes a sample: its own, or the oldest if that has closed.
    #[inline]
    pub fn end_for(&self, at: Timestamp, first_open: Timestamp, interval_ms: i64) -> Timestamp {
        if at <= first_open {
            return first_open;
        }
        let takes = |w: &&Window| at <= w.end && w.end - interval_ms < at;
        let known = self.windows.iter().rev().find(takes);
        known.map_or_else(|| window_end(at, interval_ms), |w| w.end)
    }

    /// The row of a cell in the window that ends at `end`, opened if need be.
    #[inline]
    pub fn row(&mut self, end: Timestamp, layout: &Layout, cell: u32) -> &mut [f64] {
        let at = self.window(end);
        let stride = layout.stride();
        let start = cell as usize * stride;
        let rows = &mut self.windows[at].rows;
        if rows.len() < start + stride {
            let len = (self.cells.len() * stride).max(start + stride);
            rows.reserve_exact(len - rows.len());
            layout.extend(rows, len);
        }
        &mut rows[start..start + stride]
    }

    /// Notes that a cell has a series that is alive at the end of the window.
    #[inline]
    pub fn mark_alive(&mut self, end: Timestamp, cell: u32) {
        let at = self.window(end);
        let alive = &mut self.windows[at].alive;
        if alive.len() <= cell as usize {
            // Most cells are alive: room for all of them at once.
            let len = self.cells.len().max(cell as usize + 1);
            alive.reserve_exact(len - alive.len());
            alive.resize(len, false);
        }
        alive[cell as usize] = true;
    }

    /// What a cell has in that window beside its row.
    pub fn complex(&mut self, end: Timestamp, cell: u32) -> &mut Complex {
        let at = self.window(end);
        self.windows[at].complex.entry(cell).or_default()
    }

    /// Takes the window that ends at `end`, if anything was folded into it.
    pub fn close(&mut self, end: Timestamp) -> Option<Window> {
        let at = self.windows.iter().position(|w| w.end == end)?;
        Some(self.windows.remove(at))
    }

    /// Forgets what open windows have: they go on elsewhere.
    pub fn forget_windows(&mut self) {
        self.windows.clear();
    }

    /// The open windows, oldest first.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }

    /// Puts back a window that a snapshot held.
    pub fn restore_window(&mut self, window: Window) {
        let at = self.windows.partition_point(|w| w.end < window.end);
        if self.windows.get(at).is_none_or(|w| w.end != window.end) {
            self.windows.insert(at, window);
        }
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let window = |w: &Window| {
            size_class(w.rows.capacity() * size_of::<f64>()) + size_class(w.alive.capacity())
        };
        self.windows.iter().map(window).sum::<usize>()
            + self.cells.memory_bytes()
            + (self.free.capacity() + self.idle.capacity()) * size_of::<u32>()
            + self.by_group.memory_bytes()
    }

    /// The place of the window that ends at `end`. The oldest is asked first: samples wait as long
    /// as there is room, so most are folded there.
    #[inline]
    fn window(&mut self, end: Timestamp) -> usize {
        if self.windows.first().is_some_and(|w| w.end == end) {
            return 0;
        }
        self.newer_window(end)
    }

    fn newer_window(&mut self, end: Timestamp) -> usize {
        let mut at = self.windows.len();
        while at > 0 && self.windows[at - 1].end > end {
            at -= 1;
        }
        if at > 0 && self.windows[at - 1].end == end {
            return at - 1;
        }
        self.windows.insert(at, Window::new(end));
        at
    }
}

/// Numbers of groups are small and nobody's choice, so spreading them suffices.
fn hash(group: u32) -> u64 {
    let spread = u64::from(group).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    spread ^ (spread >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::OutputKind;

    #[test]
    fn windows_open_on_demand_in_order_and_close_once() {
        let layout = Layout::new(&[OutputKind::Total]);
        let mut cells = Cells::default();
        let (a, b) = (cells.refer(7).0, cells.refer(8).0);
        assert_eq!(cells.refer(7), (a, false));
        cells.row(20, &layout, b)[1] += 2.0;
        cells.row(10, &layout, a)[1] += 1.0;
        let ends: Vec<_> = cells.windows().map(|w| w.end).collect();
        assert_eq!(ends, [10, 20]);
        assert_eq!(cells.close(10).unwrap().rows[..2], [0.0, 1.0]);
        assert!(cells.close(10).is_none());
        assert_eq!(cells.release(a, &layout), None);
        assert_eq!(cells.release(a, &layout), Some(7));
        assert_eq!(cells.refer(9), (a, true), "a freed cell is used again");
    }

    #[test]
    fn a_cell_stays_while_a_window_has_something_of_it() {
        let layout = Layout::new(&[OutputKind::Total]);
        let mut cells = Cells::default();
        let (a, b) = (cells.refer(7).0, cells.refer(8).0);
        cells.row(20, &layout, b)[0] += 1.0;
        assert_eq!(cells.release(a, &layout), Some(7), "another cell's row is no hindrance");
        assert_eq!(cells.release(b, &layout), None);
        assert_eq!(cells.refer(8), (b, false), "it may come back meanwhile");
        assert_eq!(cells.release(b, &layout), None);
        let mut freed = Vec::new();
        cells.free_idle(&layout, &mut freed);
        assert_eq!(freed, []);
        cells.close(20);
        cells.free_idle(&layout, &mut freed);
        assert_eq!(freed, [8]);
    }
}
