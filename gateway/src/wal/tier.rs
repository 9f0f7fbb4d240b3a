//! Records of a tier: who belongs to it, what other nodes have of windows, who is not waited for.

use bytes::Bytes;
use weir_aggregate::codec::{Reader, Writer};
use weir_model::{Timestamp, VSHARDS, VShard};
use weir_ring::{OwnedSet, Table};

use super::RecordError;

/// Version of the layouts.
const LAYOUT: u64 = 1;

/// A PLACEMENT record: what of the placement table decides on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacementRecord {
    /// The table's version.
    pub version: u64,
    /// The other members, in the order of their names.
    pub others: Vec<String>,
    /// For each virtual shard 0 if it is this node's, else the owner's place in `others`, from 1.
    pub owners: Vec<u16>,
}

impl PlacementRecord {
    /// A node that stands alone.
    pub fn alone() -> Self {
        Self { version: 0, others: Vec::new(), owners: vec![0; usize::from(VSHARDS)] }
    }

    /// What a table says to one of its members.
    pub fn of(table: &Table, name: &str) -> Self {
        let others = table.members().iter().map(|member| member.name.clone());
        let others: Vec<String> = others.filter(|other| other != name).collect();
        let place = |vshard: u16| {
            let owner = &table.owner(VShard(vshard)).name;
            let at = others.binary_search(owner);
            at.map_or(0, |at| at as u16 + 1)
        };
        let owners = (0..VSHARDS).map(place).collect();
        Self { version: table.version(), others, owners }
    }

    /// Virtual shards that are this node's.
    pub fn owned(&self) -> OwnedSet {
        let mine = self.owners.iter().zip(0..).filter(|(owner, _)| **owner == 0);
        mine.map(|(_, vshard)| VShard(vshard)).collect()
    }

    /// Its payload.
    pub fn payload(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.number(self.version);
        out.number(self.others.len() as u64);
        self.others.iter().for_each(|name| out.blob(name.as_bytes()));
        self.owners.iter().for_each(|&owner| out.number(u64::from(owner)));
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let version = from.number()?;
        let mut others = Vec::new();
        for _ in 0..from.count()? {
            others.push(from.text()?.to_owned());
        }
        let mut owners = Vec::new();
        for _ in 0..VSHARDS {
            let owner: u16 = from.small()?;
            if usize::from(owner) > others.len() {
                return Err(RecordError);
            }
            owners.push(owner);
        }
        Ok(Self { version, others, owners })
    }
}

/// A PARTIALS record: a piece of another node's stream, as it came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartialsRecord {
    /// Whose stream it is.
    pub origin: String,
    /// The epoch of the stream: of the origin's data directory.
    pub epoch: u64,
    /// Its items, see [`Item`].
    pub body: Bytes,
}

impl PartialsRecord {
    /// The bytes that stand before the body.
    pub fn head(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.blob(self.origin.as_bytes());
        out.number(self.epoch);
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &Bytes) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        let (origin, epoch) = (from.text()?.to_owned(), from.number()?);
        let body = payload.slice(payload.len() - from.left()..);
        Ok(Self { origin, epoch, body })
    }
}

/// One item of a stream between nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Item<'a> {
    /// Its place in the stream, ascending.
    pub place: u64,
    /// What it says.
    pub content: Content<'a>,
}

/// What an item says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Content<'a> {
    /// Parts of groups, as `weir_aggregate::exchange` writes them, compressed with zstd.
    Parts(&'a [u8]),
    /// All windows that end by then have been told.
    Mark(Timestamp),
}

const PARTS: u64 = 1;
const MARK: u64 = 2;

impl Item<'_> {
    /// Appends it to a stream's piece.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.place);
        match self.content {
            Content::Parts(bytes) => {
                out.number(PARTS);
                out.blob(bytes);
            }
            Content::Mark(to) => {
                out.number(MARK);
                out.signed(to);
            }
        }
    }

    /// Reads a piece; the places must ascend.
    pub fn read_all(body: &[u8]) -> Result<Vec<Item<'_>>, RecordError> {
        let mut from = Reader::new(body);
        let (mut items, mut last) = (Vec::new(), 0);
        while !from.is_empty() {
            let place = from.number()?;
            if place <= last {
                return Err(RecordError);
            }
            last = place;
            let content = match from.number()? {
                PARTS => Content::Parts(from.blob()?),
                MARK => Content::Mark(from.timestamp()?),
                _ => return Err(RecordError),
            };
            items.push(Item { place, content });
        }
        Ok(items)
    }
}

/// A WAIVE record: windows up to a time do not wait for a member.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WaiveRecord {
    /// Who is not waited for.
    pub origin: String,
    /// Up to which end of a window.
    pub through: Timestamp,
}

impl WaiveRecord {
    /// Its payload.
    pub fn payload(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(LAYOUT);
        out.blob(self.origin.as_bytes());
        out.signed(self.through);
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != LAYOUT {
            return Err(RecordError);
        }
        Ok(Self { origin: from.text()?.to_owned(), through: from.timestamp()? })
    }
}

#[cfg(test)]
mod tests {
    use weir_ring::Member;

    use super::*;

    #[test]
    fn records_come_back() {
        let member = |name: &str| Member { name: name.into(), address: "h:1".into(), capacity: 1 };
        let table = Table::fill(["a", "b", "c"].map(member).to_vec()).unwrap();
        let placement = PlacementRecord::of(&table, "b");
        assert_eq!(placement.others, ["a", "c"]);
        assert_eq!(placement.owned(), table.owned_by("b"));
        assert_eq!(PlacementRecord::read(&placement.payload()), Ok(placement));
        let waive = WaiveRecord { origin: "gw-1".into(), through: -5 };
        assert_eq!(WaiveRecord::read(&waive.payload()), Ok(waive));
        let body = Bytes::from_static(b"items");
        let partials = PartialsRecord { origin: "gw-1".into(), epoch: 9, body };
        let payload = Bytes::from([&partials.head()[..], b"items"].concat());
        assert_eq!(PartialsRecord::read(&payload), Ok(partials));
    }

    #[test]
    fn a_piece_of_a_stream_comes_back_and_goes_one_way() {
        let parts = Item { place: 4, content: Content::Parts(b"parts") };
        let mark = Item { place: 9, content: Content::Mark(10_000) };
        let piece = |items: &[&Item<'_>]| {
            let mut out = Writer::default();
            items.iter().for_each(|item| item.write(&mut out));
            out.bytes
        };
        let bytes = piece(&[&parts, &mark]);
        assert_eq!(Item::read_all(&bytes), Ok(vec![parts.clone(), mark.clone()]));
        assert_eq!(Item::read_all(&piece(&[&mark, &parts])), Err(RecordError));
        assert!((1..bytes.len()).any(|len| Item::read_all(&bytes[..len]).is_err()));
        assert_eq!(Item::read_all(&[1, 7]), Err(RecordError));
    }
}
