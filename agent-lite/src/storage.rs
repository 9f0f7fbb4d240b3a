//! The buffer's journal: how it is opened and bounded.
//!
//! Invariant: a buffer that is full gives up its oldest frames, those first that were acknowledged
//! (`custodian.rs`), then those that were not (that is the senders' part); all is counted. Only if that
//! does not make room fast enough are new samples refused, and counted. Not here: what frames hold, and
//! when the buffer is cut.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Journal};
use weir_remote::config::{Destination, OnFull};

/// The journal, and what follows its durable position; `u64::MAX` once it can no longer be written.
#[derive(Debug)]
pub struct Storage {
    /// Frames.
    pub journal: Arc<Journal>,
    /// Told of each group commit.
    pub durable: watch::Receiver<u64>,
}

impl Storage {
    /// Opens the buffer in `dir`, or begins one there, of at most `max_bytes`.
    pub fn open(dir: &Path, max_bytes: u64) -> Result<Self, String> {
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", dir.display());
        std::fs::create_dir_all(dir).map_err(|why| failed(&why))?;
        let (told, durable) = watch::channel(0);
        let config = Config {
            segment_bytes: segment_bytes(max_bytes),
            quota_bytes: Some(max_bytes),
            spare_segments: 1,
            recycled_segments: 1,
            queue_bytes: QUEUE_BYTES,
            on_durable: Some(Arc::new(move |result| {
                told.send_replace(result.unwrap_or(u64::MAX));
            })),
            ..Config::new(dir.join("buffer"))
        };
        let (journal, recovery) =
            Journal::open(Arc::new(DiskFs), config).map_err(|why| failed(&why))?;
        if recovery.lost() > 0 {
            tracing::error!(frames = recovery.lost(), "the buffer is damaged: frames are lost");
        }
        Ok(Self { journal: Arc::new(journal), durable })
    }
}

/// The number of the buffer in this folder, made when it is first asked for: it goes on over
/// restarts, and no other buffer has it.
pub fn number(dir: &Path) -> Result<u64, String> {
    let file = dir.join("number");
    let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    if file.exists() {
        let text = std::fs::read_to_string(&file).map_err(|why| failed(&why))?;
        if let Ok(number) = text.trim().parse() {
            return Ok(number);
        }
    }
    let number = crate::discovery::random();
    std::fs::write(&file, format!("{number}\n")).map_err(|why| failed(&why))?;
    Ok(number)
}

/// Bounds a destination by the buffer: it may lag by less than the buffer holds, so that what it
/// gives up makes room before the disk's bound is met.
pub fn bound(destination: &mut Destination, max_bytes: u64, max_age: weir_model::Millis) {
    let queue = &mut destination.queue;
    queue.max_bytes = queue.max_bytes.min(most(max_bytes));
    queue.on_full = OnFull::DropOldest;
    queue.max_age.get_or_insert(max_age);
}

/// What a buffer of at most `max_bytes` may hold on to.
pub fn most(max_bytes: u64) -> u64 {
    max_bytes.saturating_sub(SEGMENTS_FREE * segment_bytes(max_bytes))
}

/// A sixteenth of the buffer, so that cutting by segments is not coarse.
fn segment_bytes(max_bytes: u64) -> u64 {
    (max_bytes / 16).clamp(1 << 20, 16 << 20)
}

/// The segment that is written, its spare, a recycled one, and one that is done with in part.
const SEGMENTS_FREE: u64 = 4;
/// Appended and not yet on disk.
const QUEUE_BYTES: u64 = 16 << 20;
