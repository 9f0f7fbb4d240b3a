//! What the queue held when the process stopped, so that a replay does not say it twice.
//!
//! Frames stand in the order of their positions. Whatever is below the last frame's position is
//! complete; at that position itself only what stands there has been said. Values that were said
//! are adopted: totals go on from the very bits that the backend may already have.

use ahash::AHashMap;
use weir_journal::{Item, Journal, ReadError};
use weir_model::{Labels, NativeHistogram};
use weir_remote::frame::{self, FrameKind};
use weir_wire::negotiate::Version;
use weir_wire::records::decode_series;

/// What an output series said at a position.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its newest float.
    pub value: Option<f64>,
    /// Its histogram.
    pub histogram: Option<NativeHistogram>,
}

/// What the queue holds from before.
#[derive(Debug, Default)]
pub struct Resume {
    /// The last frame's position; 0 if there is none.
    last: u64,
    /// Whether all frames of the last position are there.
    complete: bool,
    said: AHashMap<(u64, String), AHashMap<Labels, Said>>,
}

impl Resume {
    /// Reads the queue's frames whose source is past `home_position`. They stand from `mark` on;
    /// the frame before tells how far the queue had come by then.
    pub fn read(queue: &Journal, home_position: u64, mark: u64) -> Result<Self, ReadError> {
        let mut resume = Self::default();
        let mut reader = queue.reader(queue.first().max(mark.saturating_sub(1)));
        while let Some(item) = reader.next()? {
            let Item::Record(record) = item else { continue };
            let Ok((header, body)) = frame::read(&record.payload) else {
                continue;
            };
            resume.last = header.source_position;
            resume.complete = header.last_of_position;
            if header.source_position > home_position
                && matches!(header.kind, FrameKind::Emit { .. })
            {
                resume.note(header.source_position, header.tenant, body);
            }
        }
        Ok(resume)
    }

    /// Whether the passed samples of this position are in the queue. Where only some workers' are,
    /// all are written again: the same bits, which a backend takes for the repeat that it is.
    pub fn covers(&self, position: u64) -> bool {
        position < self.last || (position == self.last && self.complete)
    }

    /// What a series said at this position, if it is in the queue.
    pub fn said(&self, position: u64, tenant: &str, labels: &Labels) -> Option<Said> {
        if position > self.last {
            return None;
        }
        let key = (position, tenant.to_owned());
        self.said.get(&key).and_then(|series| series.get(labels)).cloned()
    }

    /// The last position that the queue knows of.
    pub fn last(&self) -> u64 {
        self.last
    }

    fn note(&mut self, position: u64, tenant: &str, body: &[u8]) {
        let series = self.said.entry((position, tenant.to_owned())).or_default();
        let taken = decode_series(Version::V2, body, &mut |view| {
            let said = Said {
                value: view.samples.last().map(|s| s.value),
                histogram: view.histograms.last().cloned(),
            };
            if let Ok(labels) = Labels::from_pairs(view.labels.iter().copied()) {
                series.insert(labels, said);
            }
        });
        if let Err(why) = taken {
            tracing::error!(position, %why, "a frame of the send queue cannot be read");
        }
    }
}
