//! The twins that this member keeps of others: `twins/NAME/data`, and beside it which stream it is of.
//!
//! Invariant: a twin takes one stream at a time, the one of the highest epoch that it has heard of; it is
//! whole once a file says so that was synced after all of it; and once it is fenced nothing is added to
//! it any more. What a stream says is refused as a whole where it cannot be what a member says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use weir_journal::fs::DiskFs;

use crate::shard::worker::lock;
use crate::twin::{Applier, ApplyError};

/// In the data directory.
const FOLDER: &str = "twins";

/// Of one member: the twin itself.
const DATA: &str = "data";

/// Of one member: which stream the twin is of.
const MARK: &str = "stream.json";

/// Why a batch is not in the twin.
#[derive(Debug, thiserror::Error)]
pub(super) enum RefusedError {
    /// The stream is over; another one may begin.
    #[error("{0}")]
    Over(String),
    /// No batch.
    #[error("{0}")]
    Wrong(ApplyError),
    /// The disk.
    #[error("the twin cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// All of them.
#[derive(Debug)]
pub(super) struct Twins {
    folder: PathBuf,
    all: Mutex<BTreeMap<String, Arc<Mutex<Twin>>>>,
}

#[derive(Debug)]
struct Twin {
    folder: PathBuf,
    mark: Mark,
    state: State,
    /// When the member last said something.
    heard: Option<Instant>,
}

#[derive(Debug)]
enum State {
    /// The stream goes on.
    Taking(Applier),
    /// It does not, in this process.
    Over,
    /// It never will: the member is started from the twin.
    Fenced,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Mark {
    epoch: u64,
    whole: bool,
}

impl Twins {
    /// Below a data directory.
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER), all: Mutex::default() }
    }

    /// Takes a batch of the stream `epoch` of a member, that begins after `first` changes; gives how many
    /// changes are in the twin. `first` 0 of a later epoch begins a twin anew.
    pub(super) fn take(
        &self,
        name: &str,
        epoch: u64,
        first: u64,
        batch: &[u8],
    ) -> Result<u64, RefusedError> {
        let twin = self.twin(name)?;
        let mut twin = lock(&twin);
        twin.heard = Some(Instant::now());
        if matches!(twin.state, State::Fenced) {
            return Err(over("this member has taken it over".into()));
        }
        if epoch > twin.mark.epoch && first == 0 {
            twin.begin(epoch)?;
        }
        let known = twin.mark.epoch;
        let State::Taking(applier) = &mut twin.state else {
            return Err(over(format!("stream {epoch} does not go on here after {known}")));
        };
        if epoch != known {
            return Err(over(format!("stream {epoch} is not {known}, which goes on here")));
        }
        match applier.apply(first, batch) {
            Ok(()) => {}
            Err(ApplyError::Gap(..)) => return Err(over("changes are missing".into())),
            Err(ApplyError::Disk(why)) => {
                twin.state = State::Over;
                return Err(why.into());
            }
            Err(why @ ApplyError::Op(_)) => return Err(RefusedError::Wrong(why)),
        }
        let (changes, is_whole) = (applier.changes(), applier.is_whole());
        if is_whole && !twin.mark.whole {
            twin.note(Mark { epoch, whole: true })?;
        }
        Ok(changes)
    }

    /// For how long a member has said nothing; `None` if it never has.
    pub(super) fn quiet_for(&self, name: &str) -> Option<Duration> {
        let twin = self.twin(name).ok()?;
        let heard = lock(&twin).heard;
        heard.map(|at| at.elapsed())
    }

    /// From now on nothing is added to a twin; the error says why it is not the whole one of `epoch`.
    pub(super) fn fence(&self, name: &str, epoch: u64) -> Result<(), String> {
        let twin = self.twin(name).map_err(|why| why.to_string())?;
        let mut twin = lock(&twin);
        if twin.mark != (Mark { epoch, whole: true }) {
            let Mark { epoch: known, whole } = twin.mark;
            return Err(format!(
                "its twin here is of stream {known} (whole: {whole}), not {epoch}"
            ));
        }
        twin.state = State::Fenced;
        Ok(())
    }

    /// The member has not been taken over after all.
    pub(super) fn unfence(&self, name: &str) {
        if let Ok(twin) = self.twin(name) {
            lock(&twin).state = State::Over;
        }
    }

    /// The member runs on this one, from its twin. No stream of an epoch up to this one ever goes on.
    pub(super) fn hosted(&self, name: &str, epoch: u64) -> io::Result<PathBuf> {
        let twin = self.twin(name)?;
        let mut twin = lock(&twin);
        twin.state = State::Fenced;
        if twin.mark.epoch < epoch {
            twin.note(Mark { epoch, whole: false })?;
        }
        Ok(twin.folder.join(DATA))
    }

    /// Gives a twin's room back: another member follows, and is in step.
    pub(super) fn discard(&self, name: &str) -> io::Result<()> {
        let twin = self.twin(name)?;
        let mut twin = lock(&twin);
        twin.state = State::Over;
        match fs::remove_dir_all(twin.folder.join(DATA)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        }
    }

    fn twin(&self, name: &str) -> io::Result<Arc<Mutex<Twin>>> {
        let mut all = lock(&self.all);
        if let Some(twin) = all.get(name) {
            return Ok(Arc::clone(twin));
        }
        let folder = self.folder.join(name);
        let mark = match fs::read(folder.join(MARK)) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_default(),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Mark::default(),
            Err(why) => return Err(why),
        };
        let twin = Arc::new(Mutex::new(Twin { folder, mark, state: State::Over, heard: None }));
        all.insert(name.to_owned(), Arc::clone(&twin));
        Ok(twin)
    }
}

impl Twin {
    fn begin(&mut self, epoch: u64) -> io::Result<()> {
        self.state = State::Over;
        fs::create_dir_all(&self.folder)?;
        // Before anything is removed: what is left is not whole.
        self.note(Mark { epoch, whole: false })?;
        let data = self.folder.join(DATA);
        match fs::remove_dir_all(&data) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        self.state = State::Taking(Applier::new(Arc::new(DiskFs), data)?);
        File::open(&self.folder)?.sync_all()
    }

    fn note(&mut self, mark: Mark) -> io::Result<()> {
        let text = serde_json::to_vec(&mark)?;
        let (path, beside) = (self.folder.join(MARK), self.folder.join("stream.new"));
        let mut file = File::create(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&beside, &path)?;
        File::open(&self.folder)?.sync_all()?;
        self.mark = mark;
        Ok(())
    }
}

fn over(why: String) -> RefusedError {
    RefusedError::Over(why)
}

#[cfg(test)]
mod tests {
    use weir_aggregate::codec::Writer;

    use super::*;
    use crate::twin::Op;

    fn batch(ops: &[Op<'_>]) -> Vec<u8> {
        let mut out = Writer::default();
        ops.iter().for_each(|op| op.write(&mut out));
        out.bytes
    }

    const SOME: [Op<'static>; 3] = [Op::Folder("wal"), Op::Write("wal/a", 0, b"x"), Op::Whole];

    #[test]
    fn a_whole_twin_can_be_fenced_and_takes_nothing_then() {
        let folder = tempfile::tempdir().unwrap();
        let twins = Twins::new(folder.path());
        assert_eq!(twins.take("a", 3, 0, &batch(&SOME[..2])).unwrap(), 2);
        assert!(twins.fence("a", 3).unwrap_err().contains("whole: false"));
        assert_eq!(twins.take("a", 3, 2, &batch(&SOME[2..])).unwrap(), 3);
        assert!(twins.fence("a", 2).is_err());
        twins.fence("a", 3).unwrap();
        for epoch in [3, 4] {
            let refused = twins.take("a", epoch, 0, &batch(&SOME)).unwrap_err();
            assert!(matches!(refused, RefusedError::Over(_)));
        }
        let data = twins.hosted("a", 4).unwrap();
        assert_eq!(fs::read(data.join("wal/a")).unwrap(), b"x");
    }

    #[test]
    fn a_follower_that_was_restarted_has_the_twin_and_not_the_stream() {
        let folder = tempfile::tempdir().unwrap();
        Twins::new(folder.path()).take("a", 3, 0, &batch(&SOME)).unwrap();
        let twins = Twins::new(folder.path());
        let more = batch(&[Op::Folder("wal"), Op::Create("wal/b")]);
        assert!(matches!(twins.take("a", 3, 3, &more), Err(RefusedError::Over(_))));
        twins.fence("a", 3).unwrap();
        // The member was there after all, and begins anew.
        twins.unfence("a");
        assert!(matches!(twins.take("a", 3, 0, &more), Err(RefusedError::Over(_))));
        assert_eq!(twins.take("a", 4, 0, &more).unwrap(), 2);
        assert!(twins.fence("a", 3).is_err() && twins.fence("a", 4).is_err());
        assert!(!folder.path().join("twins/a/data/wal/a").exists());
    }

    #[test]
    fn an_older_stream_and_a_gap_and_what_is_no_batch_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let twins = Twins::new(folder.path());
        twins.take("a", 3, 0, &batch(&SOME)).unwrap();
        assert!(matches!(twins.take("a", 2, 0, &batch(&SOME)), Err(RefusedError::Over(_))));
        assert!(matches!(twins.take("a", 3, 4, b""), Err(RefusedError::Over(_))));
        assert!(matches!(twins.take("a", 4, 1, b""), Err(RefusedError::Over(_))));
        let hostile = batch(&[Op::Write("../../x", 0, b"x")]);
        assert!(matches!(twins.take("a", 3, 3, &hostile), Err(RefusedError::Wrong(_))));
        // A repeat is none.
        assert_eq!(twins.take("a", 3, 0, &batch(&SOME)).unwrap(), 3);
    }
}
