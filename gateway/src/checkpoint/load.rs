//! The last complete checkpoint, read back.

use weir_aggregate::codec::{Reader, Unreadable};
use weir_journal::{Item, Journal, ReadError};
use weir_model::{Timestamp, VShard};

use super::{COMPLETE, HOME, SHARD, ShardState};

/// A complete checkpoint, or the state of a node that has none.
#[derive(Default)]
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

struct Complete {
    cycle: u64,
    /// Virtual shards that were written.
    shards: usize,
    /// Bytes of the output groups' state.
    home_bytes: usize,
    loaded: Loaded,
}

/// Loads the last complete cycle. An incomplete one behind it is passed over.
pub fn load(journal: &Journal) -> Result<Loaded, LoadError> {
    let mut last: Option<Complete> = None;
    each(journal, |kind, payload| {
        if kind == COMPLETE {
            last = Some(read_complete(payload)?);
        }
        Ok(())
    })?;
    let Some(Complete { cycle, shards, home_bytes, mut loaded }) = last else {
        return Ok(Loaded::default());
    };
    each(journal, |kind, payload| {
        let mut from = Reader::new(payload);
        if from.number()? != cycle {
            return Ok(());
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
    // Damage is skipped, said aloud, and what is whole survives.
    if loaded.shards.len() != shards {
        let lost = shards.saturating_sub(loaded.shards.len());
        tracing::error!(lost, of = shards, "virtual shards' states are lost from the checkpoint");
    }
    if loaded.home.len() != home_bytes {
        tracing::error!("the output groups' state is lost from the checkpoint: totals begin anew");
        loaded.home.clear();
    }
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
    let (shards, home_bytes) = (from.small()?, from.small()?);
    loaded.config = Some((from.small()?, from.blob()?.to_vec()));
    Ok(Complete { cycle, shards, home_bytes, loaded })
}

fn each(
    journal: &Journal,
    mut take: impl FnMut(u8, &[u8]) -> Result<(), Unreadable>,
) -> Result<(), LoadError> {
    let mut reader = journal.reader(journal.first());
    while let Some(item) = reader.next()? {
        if let Item::Record(record) = item {
            take(record.kind, &record.payload)?;
        }
    }
    Ok(())
}
