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
    /// When senders were last able to send before it, less a pause that was not over, milliseconds since the epoch.
    pub heard_until: Option<Timestamp>,
    /// Frames of later positions stand in the queue from here on.
    pub queue_mark: u64,
    /// The output groups' state.
    pub home: Vec<u8>,
    /// Configuration in force: version and text.
    pub config: Option<(u32, Vec<u8>)>,
    /// What must be kept for it; `None` for a node that has none.
    pub kept: Option<Kept>,
    /// A number that no cycle has had, as far as records are left.
    pub next_cycle: u64,
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
    let (mut complete, mut next_cycle) = (Vec::new(), 0);
    each(journal, |_, kind, payload| {
        next_cycle = next_cycle.max(Reader::new(payload).number()?.saturating_add(1));
        if kind == COMPLETE {
            complete.push(read_complete(payload)?);
        }
        Ok(())
    })?;
    let needed = complete.iter().map(|complete: &Complete| complete.loaded.queue_mark).min();
    for candidate in &mut complete {
        candidate.loaded.queue_needed_from = needed.unwrap_or_default();
        candidate.loaded.next_cycle = next_cycle;
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
        return Ok(Loaded { next_cycle, ..Loaded::default() });
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
    // Older versions end here.
    loaded.heard_until = if from.is_empty() { None } else { Some(from.signed()?) };
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_aggregate::codec::Writer;
    use weir_journal::fs::DiskFs;
    use weir_journal::{Config, Importance};

    use super::*;

    /// Cycles that were given up on a full disk had moved the number past the position. A later
    /// process gave it out again, and a start found a virtual shard twice in one cycle, and failed.
    #[test]
    fn the_number_of_a_cycle_that_was_given_up_is_not_given_out_again() {
        let dir = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(Arc::new(DiskFs), Config::new(dir.path())).unwrap();
        let mut part = Writer::default();
        for number in [120, 7, 1, 300] {
            part.number(number);
        }
        let room = journal.reserve(part.bytes.len() as u64, Importance::Ordinary).unwrap();
        let position = journal.append(room, SHARD, vec![part.bytes.into()]).unwrap();
        journal.wait_durable(position).unwrap();
        let loaded = load(&journal).unwrap();
        assert!(loaded.kept.is_none() && loaded.shards.is_empty());
        assert_eq!((journal.next_position(), loaded.next_cycle), (2, 121));
    }
}
