//! What the queue held when the process stopped, so that a replay does not say it twice.
//!
//! Frames stand in the order of their positions. Passed samples below the last frame's position are
//! complete. What an output series has said at a window's end it never says again, whatever the
//! position: one frontier may close several windows, and where a frontier is lost to the disk the
//! next one closes its windows too. Values that were said are adopted: totals go on from the very
//! bits that the backend may already have.

use ahash::AHashMap;
use weir_journal::{Item, Journal, ReadError};
use weir_model::mutation::{self, Mutation};
use weir_model::{Labels, NativeHistogram, Timestamp};
use weir_remote::frame::{self, FrameKind};
use weir_wire::negotiate::Version;
use weir_wire::records::decode_series;

/// What an output series said at a window's end.
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
    /// By window's end and tenant.
    said: AHashMap<(Timestamp, String), AHashMap<Labels, Said>>,
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
                && let FrameKind::Emit { window_end } = header.kind
            {
                resume.note(window_end, header.tenant, body);
            }
        }
        Ok(resume)
    }

    /// Whether the passed samples of this position are in the queue. Where only some workers' are,
    /// all are written again: the same bits, which a backend takes for the repeat that it is.
    pub fn covers(&self, position: u64) -> bool {
        if mutation::is(Mutation::PassedTwice) {
            return false;
        }
        position < self.last || (position == self.last && self.complete)
    }

    /// What a series said at this window's end, if it is in the queue.
    pub fn said(&self, end: Timestamp, tenant: &str, labels: &Labels) -> Option<Said> {
        if self.said.is_empty() {
            return None;
        }
        let key = (end, tenant.to_owned());
        self.said.get(&key).and_then(|series| series.get(labels)).cloned()
    }

    /// The last position that the queue knows of.
    pub fn last(&self) -> u64 {
        self.last
    }

    fn note(&mut self, end: Timestamp, tenant: &str, body: &[u8]) {
        let series = self.said.entry((end, tenant.to_owned())).or_default();
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
            tracing::error!(end, %why, "a frame of the send queue cannot be read");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_journal::fs::DiskFs;
    use weir_journal::{Config, Importance};
    use weir_model::{Label, Sample};
    use weir_remote::frame::FrameHeader;
    use weir_wire::encode::v2::Writer;

    use super::*;

    const SERIES: [Label<'_>; 1] = [Label::new("__name__", "requests:10s_total")];

    fn say(queue: &Journal, source_position: u64, window_end: Timestamp, value: f64) {
        let mut payload = Vec::new();
        let kind = FrameKind::Emit { window_end };
        let header = FrameHeader {
            kind,
            source_position,
            written_ms: 0,
            tenant: "anonymous",
            last_of_position: false,
            recovered: false,
            atomic: true,
            encoding: None,
            lane: None,
            summary: None,
        };
        header.write(&mut payload);
        let mut writer = Writer::default();
        let sample = Sample { timestamp: window_end, value, start: 0 };
        writer.series(SERIES.into_iter(), &[sample], &[], &[], None);
        let mut body = Vec::new();
        writer.finish(&mut body);
        payload.extend(body);
        let room = queue.reserve(payload.len() as u64, Importance::Ordinary).unwrap();
        let position = queue.append(room, 1, vec![payload.into()]).unwrap();
        queue.wait_durable(position).unwrap();
    }

    /// One frontier closed two windows, and the process died between their frames: the second
    /// window of the series was taken for said, so it never left and its total was the first one's.
    #[test]
    fn what_was_said_of_one_window_says_nothing_of_the_next_one_at_the_same_position() {
        let dir = tempfile::tempdir().unwrap();
        let (queue, _) = Journal::open(Arc::new(DiskFs), Config::new(dir.path())).unwrap();
        say(&queue, 7, 10_000, 1.0);
        let resume = Resume::read(&queue, 0, 0).unwrap();
        let labels = Labels::from_pairs(SERIES).unwrap();
        let said = |end| resume.said(end, "anonymous", &labels).and_then(|said| said.value);
        assert_eq!((said(10_000), said(20_000)), (Some(1.0), None));
        assert_eq!(resume.last(), 7);
    }
}
