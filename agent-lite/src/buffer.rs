//! The agent's buffer on disk: bodies of remote write as frames of a journal, from which the
//! senders of all destinations read.
//!
//! Invariant: the bodies of one scrape are appended in order, all or none: room for all of them is
//! reserved first. What is not a body yet is kept in drafts. Not here: how large the buffer is, what is
//! given up when it is full, and sending.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use tokio::sync::watch;
use weir_journal::{Importance, Journal};
use weir_model::Timestamp;
use weir_remote::{FrameHeader, FrameKind};
use weir_wire::{Compressor, Encoding};

use crate::draft::{Drafts, Found, Part};
use crate::scrape::{Body, LANE, Sink, SinkError};

/// The kind of a frame's record.
const FRAME: u8 = 1;

/// Appends to a journal.
#[derive(Clone, Debug)]
pub struct Buffer {
    journal: Arc<Journal>,
    durable: watch::Receiver<u64>,
    drafts: Arc<Mutex<Drafts>>,
    /// Samples that a process before this one had not made a frame of.
    recovered: u64,
}

impl Buffer {
    /// On this journal, whose durable position `durable` follows; `u64::MAX` there is its failure.
    /// Appends what the process before had gathered in drafts in this folder.
    pub async fn open(
        journal: Arc<Journal>,
        durable: watch::Receiver<u64>,
        storage: &Path,
    ) -> Result<Self, String> {
        let (drafts, found) = Drafts::open(storage, journal.next_position());
        let drafts = Arc::new(Mutex::new(drafts));
        let mut buffer = Self { journal, durable, drafts, recovered: 0 };
        if found.is_empty() {
            return Ok(buffer);
        }
        for one in found {
            let samples = one.summary.samples;
            match buffer.recover(one) {
                Ok(()) => buffer.recovered += samples,
                Err(why) => tracing::error!(samples, %why, "scrapes before a kill are lost"),
            }
        }
        tracing::info!(samples = buffer.recovered, "scrapes before a kill are in the buffer now");
        buffer.wait_durable().await?;
        buffer.drafts().forget();
        Ok(buffer)
    }

    /// Samples that were found in drafts, and how often something could not be kept there.
    pub fn drafted(&self) -> (u64, u64) {
        (self.recovered, self.drafts().failures())
    }

    fn recover(&self, found: Found) -> Result<(), SinkError> {
        let Found { owner, plain, summary, written } = found;
        let mut bytes = Vec::new();
        let packed = Compressor::of_scrapes().compress(Encoding::Zstd, &plain, &mut bytes);
        packed.map_err(|why| SinkError(why.to_string()))?;
        let written = written.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let written = Timestamp::try_from(written).unwrap_or(Timestamp::MAX);
        self.take(LANE, written, vec![Body { bytes, summary, owner, draft: 0 }])
    }

    fn drafts(&self) -> MutexGuard<'_, Drafts> {
        self.drafts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all that was taken so far is on disk.
    pub async fn wait_durable(&self) -> Result<(), String> {
        let last = self.journal.next_position() - 1;
        if self.journal.durable() >= last {
            return Ok(());
        }
        match self.durable.clone().wait_for(|&durable| durable >= last).await {
            Ok(reached) if *reached != u64::MAX => Ok(()),
            _ => Err("the buffer cannot be written".to_owned()),
        }
    }
}

impl Sink for Buffer {
    fn take(&self, lane: u64, now: Timestamp, bodies: Vec<Body>) -> Result<(), SinkError> {
        let drafts: Vec<u64> = bodies.iter().map(|body| body.draft).collect();
        let taken = self.append(lane, now, bodies);
        let last = taken.as_ref().ok().copied();
        drafts.into_iter().filter(|&draft| draft != 0).for_each(|draft| {
            self.drafts().end(draft, last);
        });
        taken.map(drop)
    }

    fn keep(&self, part: &Part<'_>) {
        self.drafts().keep(part, self.journal.durable());
    }
}

impl Buffer {
    /// Returns the last one's position.
    fn append(&self, lane: u64, now: Timestamp, bodies: Vec<Body>) -> Result<u64, SinkError> {
        let count = bodies.len();
        let mut frames = Vec::with_capacity(count);
        for (place, body) in bodies.into_iter().enumerate() {
            let mut head = Vec::with_capacity(48);
            FrameHeader {
                kind: body.owner.map_or(FrameKind::Pass, |owner| FrameKind::Placed { owner }),
                source_position: 0,
                written_ms: now,
                tenant: "",
                last_of_position: place + 1 == count,
                recovered: false,
                atomic: false,
                encoding: Some(Encoding::Zstd),
                lane: Some(lane),
                summary: Some(body.summary),
            }
            .write(&mut head);
            let bytes = (head.len() + body.bytes.len()) as u64;
            let room = self.journal.reserve(bytes, Importance::Ordinary);
            let room = room.map_err(|e| SinkError(e.to_string()))?;
            frames.push((room, vec![Bytes::from(head), Bytes::from(body.bytes)]));
        }
        let mut last = 0;
        for (room, pieces) in frames {
            let appended = self.journal.append(room, FRAME, pieces);
            last = appended.map_err(|e| SinkError(e.to_string()))?;
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use weir_journal::fs::DiskFs;
    use weir_journal::{Config, Item};
    use weir_remote::{Summary, frame};

    use super::*;

    fn body(byte: u8, len: usize) -> Body {
        let summary = Summary { samples: 1, ..Summary::default() };
        Body { bytes: vec![byte; len], summary, owner: None, draft: 0 }
    }

    #[tokio::test]
    async fn bodies_of_a_scrape_become_frames_in_order_all_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let segment_bytes = 64 << 10;
        let config = Config {
            segment_bytes,
            quota_bytes: Some(2 * segment_bytes),
            spare_segments: 0,
            recycled_segments: 0,
            ..Config::new(folder.path())
        };
        let (journal, _) = Journal::open(Arc::new(DiskFs), config).unwrap();
        let buffer = Buffer::open(Arc::new(journal), watch::channel(0).1, folder.path());
        let buffer = buffer.await.unwrap();
        buffer.take(9, 77, vec![body(1, 100), body(2, 50)]).unwrap();
        // The second of these does not fit, so neither is appended.
        let too_much = vec![body(3, 30 << 10), body(4, 200 << 10)];
        assert!(buffer.take(9, 78, too_much).is_err());
        buffer.take(8, 79, vec![body(5, 10)]).unwrap();
        let journal = &buffer.journal;
        journal.wait_durable(journal.next_position() - 1).unwrap();
        let mut reader = journal.reader(1);
        let mut seen = Vec::new();
        while let Some(Item::Record(record)) = reader.next().unwrap() {
            let (header, body) = frame::read(&record.payload).unwrap();
            assert_eq!(header.encoding, Some(Encoding::Zstd));
            seen.push((header.lane, header.written_ms, header.last_of_position, body.to_vec()));
        }
        assert_eq!(
            seen,
            [
                (Some(9), 77, false, vec![1; 100]),
                (Some(9), 77, true, vec![2; 50]),
                (Some(8), 79, true, vec![5; 10]),
            ]
        );
    }
}
