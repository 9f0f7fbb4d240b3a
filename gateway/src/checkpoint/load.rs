//! The last complete checkpoint, read back.

use weir_aggregate::codec::{Reader, Unreadable};
use weir_journal::{Item, Journal, ReadError};
use weir_model::{Timestamp, VShard};

use super::{COMPLETE, HOME, Kept, SHARD, ShardState};

/// A complete checkpoint, or the state of a node that has none.
#[derive(Clone, Default)]
pub struct Loaded {
    /// The last position whose record need not be read.
    pub replay_from: u64,
    /// Virtual shards that had any state.
    pub shards: Vec<ShardState>,
    /// Position of the output groups' state.
    pub home_position: u64,
    /// Frontier of the output groups' state.
    pub home_frontier: Option<Timestamp>,
    /// Frames of later positions stand in the queue from here on.
    pub queue_mark: u64,
    /// The output groups' state.
    pub home: Vec<u8>,
    /// Configuration in force: version and text.
    pub config: Option<(u32, Vec<u8>)>,
    /// What must be kept for it; `None` for a node that has none.
    pub kept: Option<Kept>,
    /// The first position of the queue that any complete cycle needs.
    pub queue_needed_from: u64,
}

/// Why checkpoints cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A record is not what this program writes.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

#[derive(Clone)]
struct Complete {
    cycle: u64,
    /// Virtual shards that were written.
    shards: usize,
    /// Bytes of the output groups' state.
    home_bytes: usize,
    loaded: Loaded,
}

/// Loads the last complete cycle that is whole. An incomplete one behind it is passed over; of one
/// that is damaged, with no whole one before it, what is left is better than nothing.
pub fn load(journal: &Journal) -> Result<Loaded, LoadError> {
    let mut complete: Vec<Complete> = Vec::new();
    each(journal, |_, kind, payload| {
        if kind == COMPLETE {
            complete.push(read_complete(payload)?);
        }
        Ok(())
    })?;
    let needed = complete.iter().map(|complete| complete.loaded.queue_mark).min();
    for candidate in &mut complete {
        candidate.loaded.queue_needed_from = needed.unwrap_or_default();
    }
    let mut newest = None;
    for candidate in complete.iter().rev() {
        let loaded = read_states(journal, candidate)?;
        let shards_lost = candidate.shards.saturating_sub(loaded.shards.len());
        let home_lost = loaded.home.len() != candidate.home_bytes;
        if shards_lost == 0 && !home_lost {
            return Ok(loaded);
        }
        let cycle = candidate.cycle;
        tracing::error!(cycle, shards_lost, home_lost, "a checkpoint is damaged");
        newest.get_or_insert((loaded, home_lost));
    }
    let Some((mut loaded, home_lost)) = newest else {
        return Ok(Loaded::default());
    };
    tracing::error!("no checkpoint is whole: what is lost of the newest begins anew");
    if home_lost {
        loaded.home.clear();
    }
    Ok(loaded)
}

impl Loaded {
    /// The last position that any state has seen.
    pub fn last_position(&self) -> u64 {
        let shards = self.shards.iter().map(|state| state.position);
        shards.max().unwrap_or_default().max(self.home_position)
    }
}

fn read_states(journal: &Journal, complete: &Complete) -> Result<Loaded, LoadError> {
    let mut loaded = complete.loaded.clone();
    each(journal, |position, kind, payload| {
        let mut from = Reader::new(payload);
        if from.number()? != complete.cycle {
            return Ok(());
        }
        if let Some(kept) = &mut loaded.kept {
            kept.first = kept.first.min(position);
        }
        match kind {
            SHARD => {
                let vshard = VShard(from.small()?);
                let _epoch = from.number()?;
                let position = from.number()?;
                let bytes = payload[payload.len() - from.left()..].to_vec();
                loaded.shards.push(ShardState { vshard, position, bytes });
            }
            HOME => {
                let (_number, _parts) = (from.number()?, from.number()?);
                loaded.home.extend_from_slice(&payload[payload.len() - from.left()..]);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(loaded)
}

fn read_complete(payload: &[u8]) -> Result<Complete, Unreadable> {
    let mut from = Reader::new(payload);
    let cycle = from.number()?;
    let mut loaded = Loaded {
        replay_from: from.number()?,
        home_position: from.number()?,
        home_frontier: Some(from.signed()?),
        queue_mark: from.number()?,
        ..Loaded::default()
    };
    let (replay_from, queue_mark) = (loaded.replay_from, loaded.queue_mark);
    loaded.kept = Some(Kept { first: u64::MAX, replay_from, queue_mark });
    let (shards, home_bytes) = (from.small()?, from.small()?);
    loaded.config = Some((from.small()?, from.blob()?.to_vec()));
    Ok(Complete { cycle, shards, home_bytes, loaded })
}

fn each(
    journal: &Journal,
    mut take: impl FnMut(u64, u8, &[u8]) -> Result<(), Unreadable>,
) -> Result<(), LoadError> {
    let mut reader = journal.reader(journal.first());
    while let Some(item) = reader.next()? {
        if let Item::Record(record) = item {
            take(record.position, record.kind, &record.payload)?;
        }
    }
    Ok(())
}
