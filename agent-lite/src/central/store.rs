//! The last good configuration on disk.
//!
//! Invariant: the file holds one text or another, never a part of one: it is written beside, synced
//! and renamed. It may hold secrets, so it is its owner's alone to read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use weir_config::files;

/// In the agent's folder.
#[derive(Debug)]
pub(super) struct Store {
    folder: PathBuf,
    file: PathBuf,
}

impl Store {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: folder.join("gateway.yml") }
    }

    /// The text, if there is one that can be read.
    pub(super) fn load(&self) -> Option<String> {
        if !self.file.exists() {
            return None;
        }
        let read = files::read_text(&self.file);
        read.inspect_err(|why| tracing::error!(why, "the configuration kept on disk")).ok()
    }

    /// Keeps a text in place of the one before.
    pub(super) fn save(&self, text: &str) -> io::Result<()> {
        let beside = self.folder.join("gateway.yml.new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.file)?;
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_text_comes_back_and_half_a_text_never() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::new(folder.path());
        assert_eq!(store.load(), None);
        store.save("first, and longer").expect("saved");
        store.save("second").expect("saved");
        std::fs::write(folder.path().join("gateway.yml.new"), "thi").expect("a crash's leftover");
        assert_eq!(Store::new(folder.path()).load().as_deref(), Some("second"));
        store.save("third").expect("saved");
        assert_eq!(store.load().as_deref(), Some("third"));
    }
}
