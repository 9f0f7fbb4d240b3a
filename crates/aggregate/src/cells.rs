//! Where a virtual shard gathers what its series give to a rule: one cell for each output group,
//! one row of numbers for each cell and open window.
//!
//! Rows of one window stand together (window-major), and a window exists only once something has
//! been folded into it. Invariant: a cell is freed only when no series refers to it; its rows in
//! open windows are then untouched, for series outlive their windows by far.

use std::collections::VecDeque;

use ahash::AHashMap;
use weir_model::Timestamp;

use crate::accumulator::{Complex, Layout};
use crate::arena::reserve;

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
    /// What does not fit in rows, by cell.
    pub complex: AHashMap<u32, Box<Complex>>,
}

/// One rule's cells in one virtual shard.
#[derive(Clone, Debug, Default)]
pub struct Cells {
    cells: Vec<Cell>,
    free: Vec<u32>,
    by_group: AHashMap<u32, u32>,
    windows: VecDeque<Window>,
}

impl Cells {
    /// The cell of a group, referred to once more; `true` if it is new here.
    pub fn refer(&mut self, group: u32) -> (u32, bool) {
        if let Some(&cell) = self.by_group.get(&group) {
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
                reserve(&mut self.cells, 1);
                self.cells.push(fresh);
                self.cells.len() as u32 - 1
            }
        };
        self.by_group.insert(group, cell);
        (cell, true)
    }

    /// Refers to a cell once less; the group, if that was the last one.
    pub fn release(&mut self, cell: u32) -> Option<u32> {
        let entry = &mut self.cells[cell as usize];
        entry.series -= 1;
        if entry.series > 0 {
            return None;
        }
        let group = entry.group;
        self.by_group.remove(&group);
        self.free.push(cell);
        Some(group)
    }

    /// The group of a cell.
    #[inline]
    pub fn group(&self, cell: u32) -> u32 {
        self.cells[cell as usize].group
    }

    /// The cell of a group, if a series refers to it.
    pub fn cell(&self, group: u32) -> Option<u32> {
        self.by_group.get(&group).copied()
    }

    /// How many cells there are, freed ones included.
    pub fn count(&self) -> usize {
        self.cells.len()
    }

    /// Whether no cell is in use and no window open.
    pub fn is_idle(&self) -> bool {
        self.by_group.is_empty() && self.windows.is_empty()
    }

    /// The row of a cell in the window that ends at `end`, opened if need be.
    #[inline]
    pub fn row(&mut self, end: Timestamp, layout: &Layout, cell: u32) -> &mut [f64] {
        let at = self.window(end);
        let stride = layout.stride();
        let start = cell as usize * stride;
        let rows = &mut self.windows[at].rows;
        if rows.len() < start + stride {
            extend(
                rows,
                (self.cells.len() * stride).max(start + stride),
                layout,
            );
        }
        &mut rows[start..start + stride]
    }

    /// What a cell has in that window beside its row.
    pub fn complex(&mut self, end: Timestamp, cell: u32) -> &mut Complex {
        let at = self.window(end);
        self.windows[at].complex.entry(cell).or_default()
    }

    /// Takes the window that ends at `end`, if anything was folded into it.
    pub fn close(&mut self, end: Timestamp) -> Option<Window> {
        let at = self.windows.iter().position(|w| w.end == end)?;
        self.windows.remove(at)
    }

    /// The open windows, oldest first.
    pub fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }

    /// Puts back a window that a snapshot held.
    pub fn restore_window(&mut self, window: Window) {
        let at = self.windows.partition_point(|w| w.end < window.end);
        self.windows.insert(at, window);
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> usize {
        let rows: usize = self
            .windows
            .iter()
            .map(|w| w.rows.capacity() * size_of::<f64>())
            .sum();
        rows + self.cells.capacity() * size_of::<Cell>()
            + self.free.capacity() * size_of::<u32>()
            + self.by_group.capacity() * 2 * size_of::<u32>()
    }

    /// The place of the window that ends at `end`. The last one is asked first: most samples
    /// belong there.
    #[inline]
    fn window(&mut self, end: Timestamp) -> usize {
        let mut at = self.windows.len();
        while at > 0 && self.windows[at - 1].end > end {
            at -= 1;
        }
        if at > 0 && self.windows[at - 1].end == end {
            return at - 1;
        }
        let window = Window {
            end,
            rows: Vec::new(),
            complex: AHashMap::new(),
        };
        self.windows.insert(at, window);
        at
    }
}

fn extend(rows: &mut Vec<f64>, len: usize, layout: &Layout) {
    let from = rows.len();
    rows.reserve_exact(len - from);
    rows.resize(len, 0.0);
    for row in rows[from..].chunks_exact_mut(layout.stride()) {
        layout.reset(row);
    }
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
        assert_eq!(cells.release(a), None);
        assert_eq!(cells.release(a), Some(7));
        assert_eq!(cells.refer(9), (a, true), "a freed cell is used again");
    }
}
