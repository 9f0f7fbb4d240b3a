//! The copy of what was there before: file by file, piece by piece, between the changes.
//!
//! Invariant: a piece is read and told with the stream's lock held, so it is not older than the changes
//! told before it, and those after it are made again on top of it. A file that gets another name is
//! copied on under that one. Zeros are not told: a file has them from its length.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_journal::fs::{Fs, FsFile, read_up_to};

use super::fs::is_zero;
use super::op::{Op, is_plain};

/// Bytes that are read at a time, for changes wait meanwhile.
const PIECE_BYTES: u64 = 256 << 10;

/// Names of the data directory that are this process's own, or another directory's: locks, addresses,
/// the table (which stands in etcd), and the twins of other members.
const NOT_COPIED: [&str; 6] =
    ["LOCK", "listen.addr", "cluster.addr", "cluster.table", "cluster.new", "twins"];

/// What a file's name begins with that waits for its use as a segment: its content means nothing, so its
/// length is enough.
const SPARE: &str = "spare-";

/// What is still to be copied.
#[derive(Debug, Default)]
pub(super) struct Copying(VecDeque<File>);

#[derive(Debug)]
struct File {
    path: String,
    /// Open once its first piece has been copied; how much of it has.
    open: Option<(Arc<dyn FsFile>, u64)>,
}

impl Copying {
    /// Everything in these folders of `root`.
    pub(super) fn of(disk: &dyn Fs, root: &Path, folders: &BTreeSet<String>) -> io::Result<Self> {
        let mut files = VecDeque::new();
        for folder in folders {
            let listed = match disk.list(&root.join(folder)) {
                Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                listed => listed?,
            };
            let is_file = |name: &String| {
                is_plain(name) && !NOT_COPIED.contains(&name.as_str()) && !folders.contains(name)
            };
            for name in listed.into_iter().filter(is_file) {
                let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                files.push_back(File { path, open: None });
            }
        }
        Ok(Self(files))
    }

    pub(super) fn drop_file(&mut self, path: &str) {
        self.0.retain(|file| file.path != path);
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        self.drop_file(to);
        if let Some(file) = self.0.iter_mut().find(|file| file.path == from) {
            to.clone_into(&mut file.path);
        }
    }

    /// Tells one more piece; false once there is none.
    pub(super) fn next(
        &mut self,
        disk: &dyn Fs,
        root: &Path,
        tell: &mut dyn FnMut(&Op<'_>),
    ) -> io::Result<bool> {
        let Some(file) = self.0.front_mut() else { return Ok(false) };
        let path = file.path.as_str();
        let (open, offset) = match &mut file.open {
            Some((open, offset)) => (open, offset),
            none => match disk.open(&root.join(path)) {
                Ok(open) => {
                    tell(&Op::Create(path));
                    tell(&Op::Length(path, open.len()?));
                    if path.rsplit('/').next().is_some_and(|name| name.starts_with(SPARE)) {
                        self.0.pop_front();
                        return Ok(true);
                    }
                    let (open, offset) = none.insert((open, 0));
                    (open, offset)
                }
                Err(why) if is_none_of_ours(&why) => {
                    self.0.pop_front();
                    return Ok(true);
                }
                Err(why) => return Err(why),
            },
        };
        let piece = read_up_to(&**open, *offset, PIECE_BYTES as usize)?;
        if !is_zero(&piece) {
            tell(&Op::Write(path, *offset, &piece));
        }
        *offset += PIECE_BYTES;
        if piece.len() < PIECE_BYTES as usize {
            // Now and then, so that the follower has little left to sync in the end.
            tell(&Op::Sync(path));
            self.0.pop_front();
        }
        Ok(true)
    }
}

/// A folder that somebody made, or a file that nobody may read, is not a journal's.
fn is_none_of_ours(why: &io::Error) -> bool {
    use io::ErrorKind::{IsADirectory, NotFound, PermissionDenied};
    matches!(why.kind(), IsADirectory | NotFound | PermissionDenied)
}
