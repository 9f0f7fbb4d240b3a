//! What one scrape says, before it is written: a row for each sample.
//!
//! Rows wait until the page is known to be good, so a page that fails leaves no trace, and until
//! all its symbols are known, so a request can begin with them. One [`Rows`] is used again for all
//! scrapes.

use weir_model::{Exemplar, MetricType, NativeHistogram, Timestamp};

/// A sample of a series, at the scrape's time unless `extra` says otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) id: u32,
    /// Place in [`Rows::extras`] + 1, or 0.
    pub(super) extra: u32,
    pub(super) value: f64,
}

/// What few samples have.
#[derive(Debug)]
pub(super) struct Extra {
    pub(super) timestamp: Timestamp,
    /// 0 if unknown.
    pub(super) start: Timestamp,
    pub(super) exemplars: Vec<Exemplar>,
    /// In place of the value.
    pub(super) histogram: Option<Box<NativeHistogram>>,
}

/// Metadata of a family as the page gives it.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: MetricType,
    pub(super) help: String,
    pub(super) unit: String,
}

/// All of one scrape.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    pub(super) extras: Vec<Extra>,
    /// Where metadata is sent: for each row the place of its family + 1, or 0. Else empty.
    pub(super) families_of: Vec<u32>,
    pub(super) families: Vec<Family>,
}

/// Rows for which memory is kept.
const KEPT_ROWS: usize = 16 << 10;

impl Rows {
    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.rows.shrink_to(KEPT_ROWS);
        self.extras.clear();
        self.extras.shrink_to(KEPT_ROWS / 16);
        self.families_of.clear();
        self.families_of.shrink_to(KEPT_ROWS / 4);
        self.families = Vec::new();
    }

    /// Adds a sample at the scrape's time.
    #[inline]
    pub(super) fn push(&mut self, id: u32, value: f64) {
        self.rows.push(Row { id, extra: 0, value });
    }

    /// Adds a sample that has more to it.
    pub(super) fn push_with(&mut self, id: u32, value: f64, extra: Extra) {
        self.extras.push(extra);
        self.rows.push(Row { id, extra: self.extras.len() as u32, value });
    }

    /// What a row has beyond its value.
    #[inline]
    pub(super) fn extra(&self, row: Row) -> Option<&Extra> {
        self.extras.get(row.extra.checked_sub(1)? as usize)
    }
}
