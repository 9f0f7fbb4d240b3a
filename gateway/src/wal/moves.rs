//! Records of virtual shards that change hands: given away, taken over, settled.

use bytes::Bytes;
use weir_aggregate::codec::{Reader, Writer};
use weir_model::{VSHARDS, VShard};
use weir_ring::OwnedSet;

use super::RecordError;
use super::tier::PlacementRecord;

/// Version of the layouts.
const LAYOUT: u64 = 1;

/// A RELEASE record: from here on these virtual shards take nothing here; what they have is on its way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReleaseRecord {
    /// Who is to own them.
    pub to: String,
    /// Which.
    pub vshards: OwnedSet,
    /// Where groups live once they have moved.
    pub after: PlacementRecord,
}

impl ReleaseRecord {
    /// Its payload.
    pub fn payload(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.blob(self.to.as_bytes());
        out.blob(&self.vshards.to_bytes());
        out.blob(&self.after.payload());
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let to = from.text()?.to_owned();
        let vshards = OwnedSet::from_bytes(from.blob()?).ok_or(RecordError)?;
        Ok(Self { to, vshards, after: PlacementRecord::read(from.blob()?)? })
    }
}

/// An ADOPT record: these virtual shards are this node's from here on, with this state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdoptRecord {
    /// Whose they were; this node's own name where a move was undone.
    pub from: String,
    /// Names the move: the giver's epoch, and its RELEASE's position.
    pub id: (u64, u64),
    /// Which.
    pub vshards: OwnedSet,
    /// Where groups live from here on.
    pub after: PlacementRecord,
    /// As [`State::write`] gave it.
    pub state: Bytes,
}

impl AdoptRecord {
    /// The bytes that stand before the state.
    pub fn head(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.blob(self.from.as_bytes());
        out.number(self.id.0);
        out.number(self.id.1);
        out.blob(&self.vshards.to_bytes());
        out.blob(&self.after.payload());
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &Bytes) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let giver = from.text()?.to_owned();
        let id = (from.number()?, from.number()?);
        let vshards = OwnedSet::from_bytes(from.blob()?).ok_or(RecordError)?;
        let after = PlacementRecord::read(from.blob()?)?;
        let state = payload.slice(payload.len() - from.left()..);
        Ok(Self { from: giver, id, vshards, after, state })
    }
}

/// What moves with virtual shards.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct State {
    /// Output groups.
    pub groups: Vec<u8>,
    /// Virtual shards that had any series.
    pub vshards: Vec<(VShard, Bytes)>,
}

impl State {
    /// As bytes.
    pub fn write(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.blob(&self.groups);
        out.number(self.vshards.len() as u64);
        for (vshard, bytes) in &self.vshards {
            out.number(u64::from(vshard.0));
            out.blob(bytes);
        }
        Bytes::from(out.bytes)
    }

    /// Reads what [`State::write`] gave.
    pub fn read(bytes: &Bytes) -> Result<Self, RecordError> {
        let mut from = Reader::new(bytes);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let groups = from.blob()?.to_vec();
        let mut vshards = Vec::new();
        for _ in 0..from.count()? {
            let vshard: u16 = from.small()?;
            if vshard >= VSHARDS {
                return Err(RecordError);
            }
            vshards.push((VShard(vshard), bytes.slice_ref(from.blob()?)));
        }
        if from.is_empty() { Ok(Self { groups, vshards }) } else { Err(RecordError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let vshards: OwnedSet = [VShard(3), VShard(4000)].into_iter().collect();
        let after = PlacementRecord::alone();
        let release = ReleaseRecord { to: "b".into(), vshards: vshards.clone(), after };
        assert_eq!(ReleaseRecord::read(&release.payload()), Ok(release.clone()));
        let state =
            State { groups: vec![1, 2], vshards: vec![(VShard(3), Bytes::from_static(b"state"))] };
        assert_eq!(State::read(&state.write()), Ok(state.clone()));
        assert_eq!(State::read(&Bytes::from_static(b"\x01\x00\x01\xff\x7f\x00")), Err(RecordError));
        let after = PlacementRecord::alone();
        let state = state.write();
        let adopt = AdoptRecord { from: "a".into(), id: (7, 9), vshards, after, state };
        let payload = Bytes::from([&adopt.head()[..], &adopt.state].concat());
        assert_eq!(AdoptRecord::read(&payload), Ok(adopt));
    }
}
