//! Records of a tier: who belongs to it, what other nodes have of windows, who is not waited for.

use std::collections::BTreeSet;

use bytes::Bytes;
use weir_aggregate::codec::{Reader, Writer};
use weir_aggregate::home::Epochs;
use weir_model::{Timestamp, VSHARDS, VShard};
use weir_ring::{OwnedSet, Table};

use super::RecordError;

/// Version of the layouts.
const LAYOUT: u64 = 1;

/// Version of a PLACEMENT's.
const PLACEMENT_LAYOUT: u64 = 2;

/// A PLACEMENT record: what of the placement table decides on this node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlacementRecord {
    /// The other members, in the order of their names.
    pub others: Vec<String>,
    /// For each virtual shard 0 if it is this node's, else the owner's place in `others`, from 1.
    pub owners: Vec<u16>,
    /// How often each virtual shard has changed hands.
    pub epochs: Vec<u32>,
}

impl PlacementRecord {
    /// A node that stands alone.
    pub fn alone() -> Self {
        let all = usize::from(VSHARDS);
        Self { others: Vec::new(), owners: vec![0; all], epochs: vec![0; all] }
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
        let epochs = (0..VSHARDS).map(|vshard| table.slot(VShard(vshard)).epoch).collect();
        Self { others, owners, epochs }
    }

    /// What holds once `next` is known too. Of each virtual shard the higher epoch counts, for the log
    /// is ahead of the table while a move is on its way; of those that `decided` names `next` counts,
    /// whatever was known. Who is a member is what `next` says, and whoever owns something.
    #[must_use]
    pub fn followed_by(&self, next: &Self, decided: &OwnedSet) -> Self {
        let mut merged = next.clone();
        let stays = |at: &usize| {
            !decided.contains(VShard(*at as u16)) && self.epochs[*at] > next.epochs[*at]
        };
        let kept: Vec<usize> = (0..usize::from(VSHARDS)).filter(stays).collect();
        let owners = kept.iter().filter_map(|&at| self.owner(at));
        let unknown: BTreeSet<&str> =
            owners.filter(|owner| !next.others.iter().any(|other| other == owner)).collect();
        if !unknown.is_empty() {
            let all: BTreeSet<&str> =
                next.others.iter().map(String::as_str).chain(unknown.iter().copied()).collect();
            merged.others = all.into_iter().map(str::to_owned).collect();
            for at in 0..merged.owners.len() {
                merged.owners[at] = merged.place(next.owner(at));
            }
        }
        for at in kept {
            merged.owners[at] = merged.place(self.owner(at));
            merged.epochs[at] = self.epochs[at];
        }
        merged
    }

    /// The owner of a virtual shard; `None` for this node.
    pub fn owner(&self, vshard: usize) -> Option<&str> {
        let place = usize::from(*self.owners.get(vshard)?);
        place.checked_sub(1).and_then(|at| self.others.get(at)).map(String::as_str)
    }

    fn place(&self, owner: Option<&str>) -> u16 {
        let at = owner.and_then(|name| self.others.iter().position(|other| other == name));
        at.map_or(0, |at| at as u16 + 1)
    }

    /// What it knows of moves.
    pub fn knows(&self) -> Epochs {
        Epochs::from(&self.epochs[..])
    }

    /// Virtual shards that are this node's.
    pub fn owned(&self) -> OwnedSet {
        let mine = self.owners.iter().zip(0..).filter(|(owner, _)| **owner == 0);
        mine.map(|(_, vshard)| VShard(vshard)).collect()
    }

    /// Its payload.
    pub fn payload(&self) -> Bytes {
        let mut out = Writer::default();
        out.number(PLACEMENT_LAYOUT);
        out.number(self.others.len() as u64);
        self.others.iter().for_each(|name| out.blob(name.as_bytes()));
        self.owners.iter().for_each(|&owner| out.number(u64::from(owner)));
        self.epochs.iter().for_each(|&epoch| out.number(u64::from(epoch)));
        Bytes::from(out.bytes)
    }

    /// Reads a payload.
    pub fn read(payload: &[u8]) -> Result<Self, RecordError> {
        let mut from = Reader::new(payload);
        if from.number()? != PLACEMENT_LAYOUT {
            return Err(RecordError);
        }
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
        let epochs = (0..VSHARDS).map(|_| from.small()).collect::<Result<Vec<u32>, _>>()?;
        Ok(Self { others, owners, epochs })
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
    /// Parts of groups, as `weir_aggregate::exchange` writes them, compressed with zstd; and whose they
    /// are where the sender passes on another's, else empty.
    Parts(&'a str, &'a [u8]),
    /// All windows that end by then have been told.
    Mark(Timestamp),
    /// What the sender knows of moves from here on; by that it chooses whom it tells.
    Knows(Epochs),
}

const PARTS: u64 = 1;
const MARK: u64 = 2;
const KNOWS: u64 = 3;

impl Item<'_> {
    /// Appends it to a stream's piece.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.place);
        match &self.content {
            Content::Parts(of, bytes) => {
                out.number(PARTS);
                out.blob(of.as_bytes());
                out.blob(bytes);
            }
            Content::Mark(to) => {
                out.number(MARK);
                out.signed(*to);
            }
            Content::Knows(epochs) => {
                out.number(KNOWS);
                epochs.write(out);
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
                PARTS => Content::Parts(from.text()?, from.blob()?),
                MARK => Content::Mark(from.timestamp()?),
                KNOWS => Content::Knows(Epochs::read(&mut from)?),
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

    fn member(name: &str) -> Member {
        Member { name: name.into(), address: "h:1".into(), push: String::new(), capacity: 1 }
    }

    #[test]
    fn records_come_back() {
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
    fn moves_that_two_givers_have_begun_do_not_undo_each_other() {
        let table = Table::fill(["a", "b", "c"].map(member).to_vec()).unwrap();
        let first = |name: &str| table.owned_by(name).iter().next().unwrap();
        let (of_a, of_b) = (first("a"), first("b"));
        let to_c = |vshard: VShard| table.moved(vshard, "c").unwrap();
        let set = |vshard: VShard| [vshard].into_iter().collect::<OwnedSet>();
        let adopted = |places: PlacementRecord, vshard: VShard| {
            // The table knows of neither move yet.
            places.followed_by(&PlacementRecord::of(&to_c(vshard), "c"), &set(vshard))
        };
        let at_c = adopted(PlacementRecord::of(&table, "c"), of_a);
        let both = adopted(at_c, of_b);
        assert!(both.owned().contains(of_a) && both.owned().contains(of_b));
        // One of them is in the table, in which the other is as it was.
        let settled = PlacementRecord::of(&to_c(of_b), "c");
        let both = both.followed_by(&settled, &OwnedSet::NONE);
        assert!(both.owned().contains(of_a) && both.owned().contains(of_b));
        // The giver's side: what it gives stays given while another's move is settled.
        let given = PlacementRecord::of(&table, "a")
            .followed_by(&PlacementRecord::of(&to_c(of_a), "a"), &set(of_a));
        let given = given.followed_by(&PlacementRecord::of(&to_c(of_b), "a"), &OwnedSet::NONE);
        assert_eq!(given.owner(usize::from(of_a.0)), Some("c"));
        assert_eq!(given.owner(usize::from(of_b.0)), Some("c"));
        // Unless it was refused.
        let back = given.followed_by(&PlacementRecord::of(&table, "a"), &set(of_a));
        assert!(back.owned().contains(of_a) && !back.owned().contains(of_b));
        // Who owns something is a member, though the table has yet to hear of it.
        let pair = Table::fill(["a", "b"].map(member).to_vec()).unwrap();
        let pair = back.followed_by(&PlacementRecord::of(&pair, "a"), &OwnedSet::NONE);
        assert_eq!(pair.others, ["b", "c"]);
        assert_eq!(pair.owner(usize::from(of_b.0)), Some("c"));
    }

    #[test]
    fn a_piece_of_a_stream_comes_back_and_goes_one_way() {
        let parts = Item { place: 4, content: Content::Parts("gw-2", b"parts") };
        let mark = Item { place: 9, content: Content::Mark(10_000) };
        let knows = Content::Knows(Epochs::from(&[1, 1, 2][..]));
        let knows = Item { place: 7, content: knows };
        let piece = |items: &[&Item<'_>]| {
            let mut out = Writer::default();
            items.iter().for_each(|item| item.write(&mut out));
            out.bytes
        };
        let bytes = piece(&[&parts, &knows, &mark]);
        assert_eq!(Item::read_all(&bytes), Ok(vec![parts.clone(), knows, mark.clone()]));
        assert_eq!(Item::read_all(&piece(&[&mark, &parts])), Err(RecordError));
        assert!((1..bytes.len()).any(|len| Item::read_all(&bytes[..len]).is_err()));
        assert_eq!(Item::read_all(&[1, 7]), Err(RecordError));
    }
}
