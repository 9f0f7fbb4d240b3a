//! What leaves, as frames of the send queue, held back until the log is durable past its source.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use weir_aggregate::home::Emission;
use weir_journal::{Importance, Journal, Reservation, ReserveError};
use weir_model::Timestamp;
use weir_remote::frame::{FrameHeader, FrameKind};
use weir_wire::encode::v2::Writer;

use crate::metadata::Families;

/// Encoded bytes of a frame at most; a larger EMIT is written as several.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// Kind of queue records; the frame's header tells EMIT from PASS.
const FRAME: u8 = 1;

/// Writes frames to the queue in the order of positions.
pub struct FrameWriter {
    queue: Arc<Journal>,
    families: Arc<Families>,
    writer: Writer,
    waiting: VecDeque<(u64, Importance, Bytes)>,
    stopping: Arc<AtomicBool>,
    /// The queue has no room and the emitter waits for it.
    full: Arc<AtomicBool>,
    /// A frame was not written, so none that follows may be: the queue has no holes.
    ended: bool,
}

impl FrameWriter {
    /// Writes to this queue. Once `stopping` is set it does not wait for room any more.
    pub fn new(queue: Arc<Journal>, families: Arc<Families>, stopping: Arc<AtomicBool>) -> Self {
        Self {
            queue,
            families,
            writer: Writer::default(),
            waiting: VecDeque::new(),
            stopping,
            full: Arc::default(),
            ended: false,
        }
    }

    /// The passed samples of one position, a body from each worker that had any.
    pub fn pass(&mut self, position: u64, tenant: &str, bodies: &[Vec<u8>], recovered: bool) {
        for (number, body) in bodies.iter().enumerate() {
            let last_of_position = number + 1 == bodies.len();
            let flags = Flags { recovered, atomic: false, last_of_position };
            let frame = frame(FrameKind::Pass, position, tenant, flags, body);
            self.waiting.push_back((position, Importance::Ordinary, frame));
        }
    }

    /// What a window's outputs say, by tenant.
    pub fn emit(
        &mut self,
        position: u64,
        end: Timestamp,
        emissions: Vec<(Arc<str>, Emission)>,
        recovered: bool,
    ) {
        let mut by_tenant: BTreeMap<Arc<str>, Vec<Emission>> = BTreeMap::new();
        for (tenant, emission) in emissions {
            by_tenant.entry(tenant).or_default().push(emission);
        }
        for (tenant, emissions) in by_tenant {
            for emission in &emissions {
                let histogram = emission.histogram.as_deref().map_or(&[][..], std::slice::from_ref);
                let family = self.families.of(emission.tenant, emission.labels.metric_name());
                let labels = emission.labels.iter();
                self.writer.series(labels, &emission.samples, histogram, &[], family.as_deref());
                if self.writer.encoded_len() > FRAME_BYTES_MAX {
                    self.end_frame(position, end, &tenant, recovered);
                }
            }
            if self.writer.sample_count() > 0 {
                self.end_frame(position, end, &tenant, recovered);
            }
        }
    }

    /// Writes the frames whose positions are durable.
    pub fn flush(&mut self, durable: u64) {
        while self.waiting.front().is_some_and(|(position, ..)| *position <= durable) {
            let Some((_, importance, frame)) = self.waiting.pop_front() else {
                break;
            };
            self.append(importance, frame);
        }
    }

    /// Writes what is left once the log has synced it. Whether everything so far is in the queue.
    pub fn finish(&mut self, log: &Journal) -> bool {
        if let Some((position, ..)) = self.waiting.back() {
            if log.wait_durable(*position).is_err() {
                return false;
            }
            self.flush(log.durable());
        }
        self.waiting.is_empty() && !self.ended
    }

    /// The queue position of the next frame to be appended.
    pub fn next_position(&self) -> u64 {
        self.queue.next_position()
    }

    /// Whether every frame of this position and those before it is in the queue.
    pub fn has_written(&self, position: u64) -> bool {
        !self.ended && self.waiting.front().is_none_or(|&(waiting, ..)| waiting > position)
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Frames that wait for the log.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    fn end_frame(&mut self, position: u64, window_end: Timestamp, tenant: &str, recovered: bool) {
        let mut body = Vec::with_capacity(self.writer.encoded_len());
        self.writer.finish(&mut body);
        self.writer.reset();
        let kind = FrameKind::Emit { window_end };
        let flags = Flags { recovered, atomic: true, last_of_position: false };
        let frame = frame(kind, position, tenant, flags, &body);
        self.waiting.push_back((position, Importance::Essential, frame));
    }

    /// Set while the emitter waits for room in the queue; senders are told 503 then.
    pub fn full(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.full)
    }

    /// Writes a frame, unless one before it could not be. The log still has what it came from.
    fn append(&mut self, importance: Importance, frame: Bytes) {
        if self.ended {
            return;
        }
        match self.room(frame.len() as u64, importance) {
            Some(room) => {
                crate::crash::point("emit");
                if let Err(why) = self.queue.append(room, FRAME, vec![frame]) {
                    tracing::error!(%why, "the send queue takes nothing more");
                    self.ended = true;
                }
            }
            None => self.ended = true,
        }
        self.full.store(false, Ordering::Release);
    }

    /// Waits for room: what is decided must leave, and whoever is behind this waits too.
    fn room(&self, bytes: u64, importance: Importance) -> Option<Reservation> {
        let mut waited = 0;
        loop {
            match self.queue.reserve(bytes, importance) {
                Ok(room) => return Some(room),
                Err(why @ (ReserveError::TooLarge { .. } | ReserveError::Poisoned(_))) => {
                    tracing::error!(%why, "the send queue takes nothing more");
                    return None;
                }
                Err(_) if self.stopping.load(Ordering::Acquire) => return None,
                Err(_) => std::thread::sleep(ROOM_POLL),
            }
            waited += 1;
            self.full.store(waited > FULL_AFTER_POLLS, Ordering::Release);
        }
    }
}

/// How often it is looked for room.
const ROOM_POLL: Duration = Duration::from_millis(5);

/// A queue that has had no room for so many looks is full; before that the disk is just busy.
const FULL_AFTER_POLLS: u32 = 40;

struct Flags {
    recovered: bool,
    atomic: bool,
    last_of_position: bool,
}

fn frame(kind: FrameKind, position: u64, tenant: &str, flags: Flags, body: &[u8]) -> Bytes {
    let written = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let header = FrameHeader {
        kind,
        source_position: position,
        written_ms: i64::try_from(written).unwrap_or(i64::MAX),
        tenant,
        last_of_position: flags.last_of_position,
        recovered: flags.recovered,
        atomic: flags.atomic,
        encoding: None,
        lane: None,
        summary: None,
    };
    let mut out = Vec::with_capacity(body.len() + 64);
    header.write(&mut out);
    out.extend_from_slice(body);
    Bytes::from(out)
}
