//! The table in the data directory, so that a restart finds the owners that were.
//!
//! Invariant: the file is whole or absent. One that cannot be read is as good as none: the other
//! members are asked.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use weir_ring::{Member, Table, TableError};

use super::table_text;

/// Its name in the data directory.
pub(super) const FILE: &str = "cluster.table";

pub(super) fn read(file: &Path) -> Option<Table> {
    let text = match fs::read(file) {
        Ok(text) => text,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return None,
        Err(why) => {
            tracing::warn!(%why, file = %file.display(), "the table that was kept cannot be read");
            return None;
        }
    };
    let table = table_text::read(&text);
    if let Err(why) = &table {
        tracing::warn!(%why, file = %file.display(), "what was kept is no table");
    }
    table.ok()
}

pub(super) fn write(file: &Path, text: &[u8]) -> io::Result<()> {
    let beside = file.with_extension("new");
    let mut new = File::create(&beside)?;
    new.write_all(text)?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// The table with the members that are listed now, and those that are not and own something: a start
/// cannot take it from them.
pub(super) fn with_listed(table: &Table, listed: &[Member]) -> Result<Table, TableError> {
    let next = table.among(listed);
    for old in next.members() {
        if listed.iter().all(|member| member.name != old.name) {
            let owned = table.owned_by(&old.name).len();
            tracing::warn!(member = old.name, owned, "it is not listed, and owns virtual shards");
        }
    }
    if next.members() == table.members() {
        return Ok(next);
    }
    table.with_members(next.members().to_vec())
}
