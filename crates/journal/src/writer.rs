//! The one thread that writes: takes what has gathered, writes it, syncs it, says so.
//!
//! Invariant: a group lies in one segment, and is written only after the one before is durable; so a
//! whole record proves that every earlier group had been synced. A failed write or sync is never tried
//! again. Deliberately not here: room (granted before) and spare files (made by a helper).

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::error::{At, IoError};
use crate::frame::{
    self, FRAME_BYTES, FrameHeader, FrameType, GROUP_RECORDS_MAX, HEADER_BYTES, frame_bytes,
};
use crate::fs::write_all_at;
use crate::image::GroupImage;
use crate::journal::{CLOSED, Shared, wait};
use crate::room::lock;
use crate::segment::{Segment, activate, create_spare};
use crate::stats::{add, set};

/// Most bytes of a group, unless a single record has more: the first records of a backlog shall not wait
/// until the last are written. Large enough that the sync's own cost stays small beside the writing.
const GROUP_BYTES_MAX: u64 = 8 << 20;

/// A record on its way.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: u8,
    pub(crate) pieces: Vec<Bytes>,
    /// Total length of the pieces.
    pub(crate) len: u32,
    /// Room to give back, in bytes of frames.
    pub(crate) reserved: u64,
}

/// The writer's own state.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Arc<Segment>,
    /// Where the next frame goes.
    offset: u64,
    /// The next record's position.
    next: u64,
    /// Taken from the queue, in order.
    backlog: VecDeque<Entry>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, active: Arc<Segment>, next: u64) -> Self {
        let offset = active.end();
        Self { shared, active, offset, next, backlog: VecDeque::new() }
    }

    /// Runs until the journal is closed or a write fails.
    pub(crate) fn run(mut self) {
        // A panic here would leave waiters hanging for ever.
        let stop = StopOnDrop(Arc::clone(&self.shared));
        let end = loop {
            if self.backlog.is_empty() && !self.gather() {
                break self.close();
            }
            if let Err(error) = self.commit() {
                break Err(error);
            }
        };
        let reason = match end {
            Ok(()) => CLOSED.to_owned(),
            Err(error) => error.to_string(),
        };
        stop.0.stop(&reason);
    }

    /// Waits for records and takes them all; false when there will be none.
    fn gather(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        let mut queue = lock(&shared.queue);
        while queue.entries.is_empty() {
            if queue.closing {
                return false;
            }
            queue = wait(&shared.work, queue);
        }
        let delay = shared.config.commit_delay;
        if !delay.is_zero() {
            let until = Instant::now() + delay;
            while !queue.closing {
                let left = until.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                let woken = shared.work.wait_timeout(queue, left);
                queue = woken.unwrap_or_else(std::sync::PoisonError::into_inner).0;
            }
        }
        std::mem::swap(&mut queue.entries, &mut self.backlog);
        true
    }

    /// Writes and syncs one group: as much of the backlog as the active segment holds.
    fn commit(&mut self) -> Result<(), IoError> {
        let started = Instant::now();
        let first_size = self.backlog.front().map_or(0, |entry| frame_bytes(entry.len as usize));
        if first_size as u64 > self.left() {
            self.roll()?;
        }
        let group = self.take_group();
        let bytes = self.write(&group)?;
        self.active.file.sync_data().at("sync", &self.active.path)?;
        self.offset += bytes;
        self.next += group.len() as u64;
        self.active.set_end(self.offset);
        let reserved: u64 = group.iter().map(|entry| entry.reserved).sum();
        {
            let mut room = lock(&self.shared.room);
            room.in_flight -= reserved;
            room.unplaced -= reserved;
            room.active_left = self.left();
            set(&self.shared.stats.queue_bytes, room.in_flight);
        }
        let stats = &self.shared.stats;
        add(&stats.commits, 1);
        add(&stats.records, group.len() as u64);
        add(&stats.bytes, bytes);
        set(&stats.last_group_records, group.len() as u64);
        set(&stats.last_commit_ns, started.elapsed().as_nanos() as u64);
        self.shared.publish_durable(self.next - 1);
        Ok(())
    }

    /// Bytes left for frames in the active segment, room for a closing frame kept aside.
    fn left(&self) -> u64 {
        self.active.len.saturating_sub(self.offset + FRAME_BYTES as u64)
    }

    fn take_group(&mut self) -> Vec<Entry> {
        let mut left = self.left();
        let mut group_left = GROUP_BYTES_MAX;
        let mut count = 0;
        for entry in self.backlog.iter().take(GROUP_RECORDS_MAX) {
            let size = frame_bytes(entry.len as usize) as u64;
            if size > left || (count > 0 && size > group_left) {
                break;
            }
            left -= size;
            group_left = group_left.saturating_sub(size);
            count += 1;
        }
        self.backlog.drain(..count).collect()
    }

    /// Writes the frames of a group with as few calls as possible; returns their bytes.
    fn write(&self, group: &[Entry]) -> Result<u64, IoError> {
        let salt = self.active.id.salt;
        let mut image = GroupImage::default();
        for (back, entry) in group.iter().enumerate() {
            let header = FrameHeader {
                len: entry.len,
                position: self.next + back as u64,
                back: back as u16,
                kind: entry.kind,
                frame_type: FrameType::Data,
            };
            let head = header.encode(salt, entry.pieces.iter().map(|piece| &piece[..]));
            image.copy(&head);
            entry.pieces.iter().for_each(|piece| image.refer(piece));
            let padding = header.frame_bytes() - FRAME_BYTES - entry.len as usize;
            image.copy([0; frame::ALIGN].get(..padding).unwrap_or_default());
        }
        let bytes = image.bytes();
        write_all_at(&*self.active.file, &mut image.slices(), self.offset)
            .at("write", &self.active.path)?;
        Ok(bytes)
    }

    /// Goes on in a new segment.
    fn roll(&mut self) -> Result<(), IoError> {
        let shared = &self.shared;
        let config = &shared.config;
        let spare = lock(&shared.room).take_next();
        let spare = match spare {
            Some(spare) => spare,
            // Room is granted only where there are spares; this is for what lies outside a grant.
            None => create_spare(&*shared.fs, config, shared.next_spare_number(), false)?,
        };
        add(&shared.stats.segments_started, 1);
        add(&shared.stats.segments_recycled, u64::from(spare.recycled));
        let segment = activate(&*shared.fs, &config.dir, spare, self.next, config.segment_bytes)?;
        self.active = Arc::new(segment);
        self.offset = HEADER_BYTES as u64;
        lock(&shared.catalog).push(Arc::clone(&self.active));
        let mut room = lock(&shared.room);
        room.begin(self.left());
        shared.spare_wanted.notify_one();
        Ok(())
    }

    /// Marks an orderly end.
    fn close(&mut self) -> Result<(), IoError> {
        let frame = frame::close_frame(self.next, self.active.id.salt);
        let write = || -> io::Result<()> {
            write_all_at(&*self.active.file, &mut [IoSlice::new(&frame)], self.offset)?;
            self.active.file.sync_data()
        };
        write().at("write the closing mark to", &self.active.path)
    }
}

/// Stops the journal whatever ends the thread.
struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop("its writer thread died");
    }
}
