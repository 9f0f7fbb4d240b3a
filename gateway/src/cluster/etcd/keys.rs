//! What stands below a tier's prefix in etcd: `table/00` to `table/63`, 64 virtual shards each,
//! `members/NAME`, and `followers/NAME`.
//!
//! Invariant: owners stand by name, for members come and go. A table is read only where all of it is
//! there. Who owns something is a member, whether it has a session or not.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::{VSHARDS, VShard};
use weir_ring::{Member, Slot, Table};

use super::answers::Pair;
use crate::cluster::follow::record::Record;

/// Keys of a table.
pub(super) const CHUNKS: usize = 64;

/// Virtual shards of a key.
pub(super) const IN_CHUNK: usize = VSHARDS as usize / CHUNKS;

/// What a member says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) address: String,
    #[serde(default)]
    pub(super) push: String,
    pub(super) capacity: u16,
    /// The member that has taken this one over, and runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) host: Option<String>,
}

/// Everything below the prefix.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    /// Of the moment at which it was read.
    pub(super) revision: u64,
    /// The revision of each key of the table; 0: it does not exist.
    pub(super) revisions: Vec<u64>,
    /// Owner and epoch of each virtual shard; `None` before there is a table.
    pub(super) slots: Option<Vec<(String, u32)>>,
    /// Those that have a session.
    pub(super) sessions: BTreeMap<String, Session>,
    /// Where each member's twin is, with the revision of its key.
    pub(super) records: BTreeMap<String, (Record, u64)>,
}

/// Runs of virtual shards: how many, whose, in which epoch.
#[derive(Serialize, Deserialize)]
struct Chunk {
    slots: Vec<(usize, String, u32)>,
}

/// The key of a part of the table.
pub(super) fn chunk_key(prefix: &str, chunk: usize) -> String {
    format!("{prefix}table/{chunk:02}")
}

/// The key of a member.
pub(super) fn member_key(prefix: &str, name: &str) -> String {
    format!("{prefix}members/{name}")
}

/// The key of a member's record.
pub(super) fn record_key(prefix: &str, name: &str) -> String {
    format!("{prefix}followers/{name}")
}

/// A part of the table as its key has it.
pub(super) fn write_chunk(slots: &[(String, u32)]) -> Vec<u8> {
    let runs = slots.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0].0.clone(), run[0].1));
    // Names and numbers always have a JSON; an empty text would be refused by its reader.
    serde_json::to_vec(&Chunk { slots: runs.collect() }).unwrap_or_default()
}

fn read_chunk(value: &[u8]) -> Option<Vec<(String, u32)>> {
    let chunk: Chunk = serde_json::from_slice(value).ok()?;
    let fits = chunk.slots.iter().try_fold(0usize, |sum, run| sum.checked_add(run.0));
    (fits == Some(IN_CHUNK)).then(|| {
        let spread = |(count, name, epoch)| std::iter::repeat_n((name, epoch), count);
        chunk.slots.into_iter().flat_map(spread).collect()
    })
}

impl Contents {
    /// Reads all pairs; the error names a key that cannot be what it should.
    pub(super) fn read(prefix: &str, revision: u64, pairs: &[Pair]) -> Result<Self, String> {
        let revisions = vec![0; CHUNKS];
        let mut contents = Self { revision, revisions, ..Self::default() };
        let mut chunks: Vec<Option<Vec<(String, u32)>>> = vec![None; CHUNKS];
        for pair in pairs {
            let wrong = || format!("the value of {} cannot be read", pair.key);
            let below = pair.key.strip_prefix(prefix).unwrap_or_default();
            if let Some(name) = below.strip_prefix("members/") {
                let session = serde_json::from_slice(&pair.value).map_err(|_| wrong())?;
                contents.sessions.insert(name.to_owned(), session);
            } else if let Some(name) = below.strip_prefix("followers/") {
                let record = serde_json::from_slice(&pair.value).map_err(|_| wrong())?;
                contents.records.insert(name.to_owned(), (record, pair.revision));
            } else if let Some(number) = below.strip_prefix("table/") {
                let at: usize = number.parse().map_err(|_| wrong())?;
                let (revision, chunk) =
                    contents.revisions.get_mut(at).zip(chunks.get_mut(at)).ok_or_else(wrong)?;
                *revision = pair.revision;
                *chunk = Some(read_chunk(&pair.value).ok_or_else(wrong)?);
            }
        }
        let there = chunks.iter().flatten().count();
        if there != 0 && there != CHUNKS {
            return Err(format!("{there} of {CHUNKS} keys of the table are there"));
        }
        contents.slots = (there > 0).then(|| chunks.into_iter().flatten().flatten().collect());
        Ok(contents)
    }

    /// Takes these for members that have a session, too.
    pub(super) fn keep_sessions(&mut self, known: &[Member]) {
        for member in known {
            let session = || Session {
                address: member.address.clone(),
                push: member.push.clone(),
                capacity: member.capacity,
                host: None,
            };
            self.sessions.entry(member.name.clone()).or_insert_with(session);
        }
    }

    /// Those that have a session, as members.
    pub(super) fn members(&self) -> Vec<Member> {
        let member = |(name, session): (&String, &Session)| Member {
            name: name.clone(),
            address: session.address.clone(),
            push: session.push.clone(),
            capacity: session.capacity,
        };
        self.sessions.iter().map(member).collect()
    }

    /// The table: members are those with a session, and owners. Of an owner without a session
    /// `known` may know the address. `None` before there is a table.
    pub(super) fn table(&self, known: &[Member]) -> Option<Table> {
        let slots = self.slots.as_ref()?;
        let mut members = self.members();
        let mut places: BTreeMap<String, u16> =
            members.iter().enumerate().map(|(at, m)| (m.name.clone(), at as u16)).collect();
        let mut placed = Vec::with_capacity(slots.len());
        for (name, epoch) in slots {
            let owner = *places.entry(name.clone()).or_insert_with(|| {
                let before = known.iter().find(|member| member.name == *name).cloned();
                let unknown = || Member {
                    name: name.clone(),
                    address: String::new(),
                    push: String::new(),
                    capacity: 0,
                };
                members.push(before.unwrap_or_else(unknown));
                members.len() as u16 - 1
            });
            placed.push(Slot { owner, epoch: *epoch });
        }
        let version = self.revisions.iter().copied().max().unwrap_or(0);
        Table::from_parts(version, members, placed).ok()
    }
}

/// Owner and epoch of each virtual shard of a table, as etcd keeps them.
pub(super) fn slots_of(table: &Table) -> Vec<(String, u32)> {
    let slot = |v| (table.owner(VShard(v)).name.clone(), table.slot(VShard(v)).epoch);
    (0..VSHARDS).map(slot).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, capacity: u16) -> Member {
        let push = format!("{name}:9201");
        Member { name: name.into(), address: format!("{name}:9202"), push, capacity }
    }

    /// What etcd has of a table and these sessions.
    fn pairs(table: &Table, sessions: &[Member]) -> Vec<Pair> {
        let slots = slots_of(table);
        let pair = |key, value, revision| Pair { key, value, revision };
        let chunk = |(at, chunk): (usize, &[(String, u32)])| {
            pair(chunk_key("/weir/", at), write_chunk(chunk), 7 + at as u64 % 3)
        };
        let mut pairs: Vec<Pair> = slots.chunks(IN_CHUNK).enumerate().map(chunk).collect();
        for member in sessions {
            let (address, push) = (member.address.clone(), member.push.clone());
            let session = Session { address, push, capacity: member.capacity, host: None };
            let value = serde_json::to_vec(&session).unwrap();
            pairs.push(pair(member_key("/weir/", &member.name), value, 3));
        }
        pairs
    }

    #[test]
    fn a_table_comes_back_with_its_members() {
        let all = [member("a", 1), member("b", 2)];
        let table = Table::fill(all.to_vec()).unwrap();
        let contents = Contents::read("/weir/", 11, &pairs(&table, &all)).unwrap();
        let read = contents.table(&[]).unwrap();
        assert_eq!((contents.revision, read.version()), (11, 9));
        assert_eq!(read.members(), table.members());
        assert_eq!(slots_of(&read), slots_of(&table));
    }

    #[test]
    fn an_owner_without_a_session_stays_a_member() {
        let all = [member("a", 1), member("b", 1), member("c", 1)];
        let table = Table::fill(all[..2].to_vec()).unwrap();
        let contents = Contents::read("/weir/", 11, &pairs(&table, &all[1..])).unwrap();
        let read = contents.table(&all).unwrap();
        assert_eq!(read.members(), all, "c has a session, and owns nothing");
        assert_eq!(contents.table(&[]).unwrap().members()[0].address, "", "nobody knows it");
        assert_eq!(read.owned_by("a").len(), table.owned_by("a").len());
    }

    #[test]
    fn half_a_table_is_none() {
        let table = Table::fill(vec![member("a", 1)]).unwrap();
        let mut pairs = pairs(&table, &[]);
        assert!(Contents::read("/weir/", 1, &[]).unwrap().table(&[]).is_none());
        pairs[5].value = b"{\"slots\":[[63,\"a\",1]]}".to_vec();
        let why = Contents::read("/weir/", 1, &pairs).unwrap_err();
        assert_eq!(why, "the value of /weir/table/05 cannot be read");
        pairs.truncate(5);
        let why = Contents::read("/weir/", 1, &pairs).unwrap_err();
        assert_eq!(why, "5 of 64 keys of the table are there");
    }
}
