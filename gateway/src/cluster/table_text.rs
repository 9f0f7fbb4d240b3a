//! The placement table as text: between members, in the data directory, for people.
//!
//! JSON; owners are places among the members, and stand with epochs in runs of equal ones, as
//! `[how many, which]`. Invariant: what is read back is a table, whoever wrote the text.

use serde::{Deserialize, Serialize};
use weir_model::{VSHARDS, VShard};
use weir_ring::{Member, Slot, Table, TableError, runs, spread};

/// The text's shape; the API shows it as it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct TableText {
    /// Goes up with every change.
    pub version: u64,
    /// All members.
    pub members: Vec<MemberText>,
    /// Runs of virtual shards of one owner, from virtual shard 0 on.
    pub owners: Vec<(u16, u16)>,
    /// Runs of virtual shards of one epoch.
    pub epochs: Vec<(u16, u32)>,
}

/// A member.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberText {
    /// Its name.
    pub name: String,
    /// Where other members reach it.
    pub address: String,
    /// Where senders reach it; empty where nobody knows.
    #[serde(default)]
    pub push: String,
    /// Its weight.
    pub capacity: u16,
}

/// Why a text is no table.
#[derive(Debug, thiserror::Error)]
pub enum TextError {
    /// No JSON of this shape.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// No table.
    #[error("{0}")]
    Table(#[from] TableError),
}

/// A table as text.
pub fn write(table: &Table) -> String {
    let slots = || (0..VSHARDS).map(|vshard| table.slot(VShard(vshard)));
    let member = |m: &Member| MemberText {
        name: m.name.clone(),
        address: m.address.clone(),
        push: m.push.clone(),
        capacity: m.capacity,
    };
    let text = TableText {
        version: table.version(),
        members: table.members().iter().map(member).collect(),
        owners: runs(slots().map(|slot| slot.owner)),
        epochs: runs(slots().map(|slot| slot.epoch)),
    };
    // Names and numbers always have a JSON; an empty text would be refused by its reader.
    serde_json::to_string(&text).unwrap_or_default()
}

/// A table from text.
pub fn read(text: &[u8]) -> Result<Table, TextError> {
    serde_json::from_slice::<TableText>(text)?.table()
}

impl TableText {
    /// The table that it says.
    pub fn table(self) -> Result<Table, TextError> {
        let owners = spread(&self.owners).ok_or(TableError::Slots)?;
        let epochs = spread(&self.epochs).ok_or(TableError::Slots)?;
        let slots = owners.into_iter().zip(epochs).map(|(owner, epoch)| Slot { owner, epoch });
        let member = |m: MemberText| Member {
            name: m.name,
            address: m.address,
            push: m.push,
            capacity: m.capacity,
        };
        let members = self.members.into_iter().map(member).collect();
        Ok(Table::from_parts(self.version, members, slots.collect())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let member = |name: &str| Member {
            name: name.into(),
            address: format!("{name}:9202"),
            push: format!("{name}:9201"),
            capacity: 2,
        };
        let table = Table::fill(vec![member("a"), member("b"), member("c")]).unwrap();
        let vshard = table.owned_by("c").iter().nth(7).unwrap();
        table.moved(vshard, "a").unwrap()
    }

    #[test]
    fn a_table_comes_back_as_it_was() {
        let text = write(&table());
        assert_eq!(read(text.as_bytes()).unwrap(), table());
        assert!(text.len() < 40_000, "{}", text.len());
    }

    #[test]
    fn what_is_no_table_is_refused() {
        let head = "{\"version\":1,\"members\":[{\"name\":\"a\",\"address\":\"\",\"capacity\":1}],";
        let good = format!("{head}\"owners\":[[4096,0]],\"epochs\":[[4096,1]]}}");
        assert_eq!(read(good.as_bytes()).unwrap().owned_by("a").len(), 4096);
        for (owners, epochs) in [
            ("[4095,0]", "[4096,1]"),
            ("[4096,0]", "[4096,1],[1,1]"),
            ("[4096,1]", "[4096,1]"),
            ("[65535,0],[65535,0]", "[4096,1]"),
            ("", ""),
        ] {
            let text = format!("{head}\"owners\":[{owners}],\"epochs\":[{epochs}]}}");
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
        for text in ["", "{}", "[]", &good.replace("[{", "[{},{")] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }
}
