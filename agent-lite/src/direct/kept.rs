//! What a tier said, beside the buffer.
//!
//! Invariant: the file is whole or absent. One that cannot be read is as good as none.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};
use weir_ring::Owners;

use super::Tier;

/// Its name.
pub(super) const FILE: &str = "owners.json";

#[derive(Serialize, Deserialize)]
struct Text {
    destination: String,
    url: String,
    word: String,
    owners: Owners,
}

pub(super) fn read(file: &Path) -> Option<Tier> {
    let text: Text = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
    let guide = text.owners.guide()?;
    Some(Tier { trunk: text.destination, url: text.url, word: text.word, guide })
}

pub(super) fn write(file: &Path, tier: &Tier) -> io::Result<()> {
    let text = Text {
        destination: tier.trunk.clone(),
        url: tier.url.clone(),
        word: tier.word.clone(),
        owners: tier.guide.text().clone(),
    };
    let beside = file.with_extension("new");
    let mut new = File::create(&beside)?;
    new.write_all(&serde_json::to_vec(&text)?)?;
    new.sync_all()?;
    fs::rename(&beside, file)?;
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
