//! What a twin has still to be told: the changes in their order, and who waits for them.
//!
//! Invariant: a sync returns when the twin is in step and has synced everything that was told before it;
//! while no twin is in step it waits. What is kept for the follower is bounded in bytes: one that falls
//! behind further is out of step, and gets a copy of everything anew. Until [`Outgoing::claim`] the
//! directory stands for itself, and after [`Outgoing::let_go`] again.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use weir_aggregate::codec::Writer;
use weir_journal::fs::{Fs, FsFile};

use super::copying::Copying;
use super::name::{Change, Name};
use super::op::Op;

/// Bytes that wait for the follower at most.
const WAITING_BYTES_MAX: usize = 128 << 20;

/// Bytes of one batch, unless one change is larger.
const BATCH_BYTES: usize = 4 << 20;

/// How far the twin is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// There shall be none: syncs are local.
    Alone,
    /// There is none, since then and for this reason.
    Apart(Instant, String),
    /// It is being copied, since then.
    Copying(Instant),
    /// It is the same.
    In,
}

/// Changes for the follower.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    /// Of the stream.
    pub epoch: u64,
    /// Changes before it in the stream.
    pub first: u64,
    /// Themselves.
    pub bytes: Bytes,
}

/// What a sync waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    epoch: u64,
    through: u64,
}

/// The changes of one data directory.
#[derive(Debug)]
pub struct Outgoing {
    root: PathBuf,
    disk: Arc<dyn Fs>,
    state: Mutex<State>,
    /// Syncs wait here.
    moved: Condvar,
    /// The sender waits here.
    more: Notify,
    waiting_bytes_max: usize,
    waits: AtomicU64,
    told_bytes: AtomicU64,
}

#[derive(Debug)]
struct State {
    step: Step,
    /// The process ends: there is no other step any more.
    is_over: bool,
    epoch: u64,
    queue: VecDeque<Vec<u8>>,
    bytes: usize,
    /// When the follower last took something, or had everything.
    progress: Instant,
    /// Changes that the follower has, which is the number of the queue's first.
    acknowledged: u64,
    names: HashMap<Arc<str>, Weak<Name>>,
    folders: BTreeSet<String>,
    copying: Copying,
    /// The number after the change that says that the copy is whole.
    whole: Option<u64>,
}

impl Outgoing {
    /// Of the data directory `root`, which stands for itself until [`Outgoing::claim`].
    pub fn new(disk: Arc<dyn Fs>, root: &Path) -> Self {
        Self::bounded(disk, root, WAITING_BYTES_MAX)
    }

    /// The same with another bound on what waits.
    pub fn bounded(disk: Arc<dyn Fs>, root: &Path, waiting_bytes_max: usize) -> Self {
        let state = State {
            step: Step::Alone,
            is_over: false,
            epoch: 0,
            queue: VecDeque::new(),
            bytes: 0,
            progress: Instant::now(),
            acknowledged: 0,
            names: HashMap::new(),
            folders: BTreeSet::from([String::new()]),
            copying: Copying::default(),
            whole: None,
        };
        Self {
            root: root.to_owned(),
            disk,
            state: Mutex::new(state),
            moved: Condvar::new(),
            more: Notify::new(),
            waiting_bytes_max,
            waits: AtomicU64::new(0),
            told_bytes: AtomicU64::new(0),
        }
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// From now on nothing is synced that is not in a twin.
    pub fn claim(&self) {
        self.fall_apart("no follower is in step yet");
    }

    /// Syncs are local again, for the process ends.
    pub fn let_go(&self) {
        let mut state = self.lock();
        state.forget();
        (state.step, state.is_over) = (Step::Alone, true);
        drop(state);
        self.moved.notify_all();
        self.more.notify_one();
    }

    /// A stream of this epoch begins, with a copy of everything.
    pub fn begin(&self, epoch: u64) -> io::Result<()> {
        let mut state = self.lock();
        if state.is_over {
            return Ok(());
        }
        state.forget();
        let since = match state.step {
            Step::Apart(since, _) | Step::Copying(since) => since,
            Step::Alone | Step::In => Instant::now(),
        };
        state.step = Step::Copying(since);
        (state.epoch, state.acknowledged) = (epoch, 0);
        let folders = state.folders.clone();
        for folder in folders.iter().filter(|folder| !folder.is_empty()) {
            state.push(&Op::Folder(folder));
        }
        state.copying = Copying::of(&*self.disk, &self.root, &folders)?;
        drop(state);
        self.more.notify_one();
        Ok(())
    }

    /// There is no follower any more, or it is not in step.
    pub fn fall_apart(&self, why: &str) {
        let mut state = self.lock();
        if state.is_over {
            return;
        }
        state.forget();
        state.step = match &state.step {
            Step::Apart(since, _) | Step::Copying(since) => Step::Apart(*since, why.to_owned()),
            Step::Alone | Step::In => Step::Apart(Instant::now(), why.to_owned()),
        };
        drop(state);
        self.more.notify_one();
    }

    /// The follower of this epoch is in step, and everybody knows; false where that is over.
    pub fn in_step(&self, epoch: u64) -> bool {
        let mut state = self.lock();
        let is_whole = state.whole.is_some_and(|whole| whole <= state.acknowledged);
        if state.epoch != epoch || !is_whole || !matches!(state.step, Step::Copying(_)) {
            return false;
        }
        state.step = Step::In;
        drop(state);
        self.moved.notify_all();
        true
    }

    /// Whether all of the copy is in the twin, so that it may be in step.
    pub fn is_copied(&self) -> bool {
        let state = self.lock();
        state.whole.is_some_and(|whole| whole <= state.acknowledged)
    }

    /// How far the twin is.
    pub fn step(&self) -> Step {
        self.lock().step.clone()
    }

    /// For how long there has been no twin in step, or none that answers; `None` while all is well, or
    /// there shall be none.
    pub fn stalled_for(&self) -> Option<Duration> {
        let state = self.lock();
        match state.step {
            Step::Apart(since, _) | Step::Copying(since) => Some(since.elapsed()),
            Step::In if !state.queue.is_empty() => Some(state.progress.elapsed()),
            Step::Alone | Step::In => None,
        }
    }

    /// Bytes that wait for the follower, those of the copy to come not counted.
    pub fn waiting_bytes(&self) -> usize {
        self.lock().bytes
    }

    /// Syncs that have waited for the follower.
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// Bytes that followers were told, copies included and repeats not.
    pub fn told_bytes(&self) -> u64 {
        self.told_bytes.load(Ordering::Relaxed)
    }

    /// What the follower lacks, from the front; waits until there is something. `None` once the stream of
    /// this epoch is over.
    pub async fn next(&self, epoch: u64) -> Option<Batch> {
        loop {
            let more = self.more.notified();
            match self.batch(epoch) {
                Ok(Some(batch)) => return Some(batch),
                Ok(None) => more.await,
                Err(()) => return None,
            }
        }
    }

    /// What the follower lacks, from the front; nothing, if it lacks nothing. An error once the stream of
    /// this epoch is over.
    #[expect(clippy::result_unit_err, reason = "there is nothing to say about it")]
    pub fn batch(&self, epoch: u64) -> Result<Option<Batch>, ()> {
        let mut state = self.lock();
        if state.epoch != epoch || !matches!(state.step, Step::Copying(_) | Step::In) {
            return Err(());
        }
        if let Err(why) = state.copy_on(&*self.disk, &self.root, BATCH_BYTES) {
            drop(state);
            self.fall_apart(&format!("the data directory cannot be copied: {why}"));
            return Err(());
        }
        let mut bytes = Vec::new();
        for op in &state.queue {
            if !bytes.is_empty() && bytes.len() + op.len() > BATCH_BYTES {
                break;
            }
            bytes.extend_from_slice(op);
        }
        let first = state.acknowledged;
        let batch = || Batch { epoch, first, bytes: bytes.into() };
        Ok((!state.queue.is_empty()).then(batch))
    }

    /// The follower of this epoch has so many changes on disk.
    pub fn acknowledge(&self, epoch: u64, changes: u64) {
        let mut state = self.lock();
        if state.epoch != epoch {
            return;
        }
        state.progress = Instant::now();
        let mut told = 0;
        while state.acknowledged < changes
            && let Some(op) = state.queue.pop_front()
        {
            state.acknowledged += 1;
            state.bytes -= op.len();
            told += op.len() as u64;
        }
        drop(state);
        self.told_bytes.fetch_add(told, Ordering::Relaxed);
        self.moved.notify_all();
    }

    pub(super) fn folder(&self, folder: &str) {
        let mut state = self.lock();
        if state.folders.insert(folder.to_owned()) {
            self.push(&mut state, &Op::Folder(folder));
        }
    }

    pub(super) fn create(
        &self,
        path: &str,
        make: impl FnOnce() -> io::Result<Arc<dyn FsFile>>,
    ) -> io::Result<(Arc<dyn FsFile>, Arc<Name>)> {
        let mut state = self.lock();
        let file = make()?;
        let name = state.name(path);
        name.begin();
        state.copying.drop_file(path);
        self.push(&mut state, &Op::Create(path));
        Ok((file, name))
    }

    pub(super) fn open(&self, path: &str) -> Arc<Name> {
        self.lock().name(path)
    }

    pub(super) fn rename(
        &self,
        from: &str,
        to: &str,
        rename: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        if from == to {
            return rename();
        }
        let mut state = self.lock();
        rename()?;
        state.rename(from, to);
        self.push(&mut state, &Op::Rename(from, to));
        Ok(())
    }

    pub(super) fn remove(
        &self,
        path: &str,
        remove: impl FnOnce() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.lock();
        remove()?;
        state.lose_name(path);
        state.copying.drop_file(path);
        self.push(&mut state, &Op::Remove(path));
        Ok(())
    }

    pub(super) fn tell(&self, op: &Op<'_>) {
        let mut state = self.lock();
        self.push(&mut state, op);
    }

    /// Tells a change of a file, unless its name is gone.
    pub(super) fn tell_of(&self, name: &Name, change: Change<'_>) {
        let mut state = self.lock();
        if let Some(path) = name.path() {
            self.push(&mut state, &change.at(&path));
        }
    }

    /// Tells a sync; the ticket is for [`Outgoing::wait`].
    pub(super) fn sync(&self, name: &Name) -> Ticket {
        self.tell_of(name, Change::Sync);
        let state = self.lock();
        Ticket { epoch: state.epoch, through: state.told() }
    }

    /// Waits until all before the ticket is in a twin that is in step.
    pub(super) fn wait(&self, ticket: Ticket) {
        let mut state = self.lock();
        if state.step != Step::Alone {
            self.waits.fetch_add(1, Ordering::Relaxed);
        }
        loop {
            let is_told = state.epoch > ticket.epoch || state.acknowledged >= ticket.through;
            match state.step {
                Step::Alone => return,
                Step::In if is_told => return,
                _ => {}
            }
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn push(&self, state: &mut State, op: &Op<'_>) {
        if !matches!(state.step, Step::Copying(_) | Step::In) {
            return;
        }
        state.push(op);
        if state.bytes > self.waiting_bytes_max {
            let since = if let Step::Copying(since) = state.step { since } else { Instant::now() };
            state.forget();
            state.step = Step::Apart(since, "the follower is too far behind".to_owned());
        }
        self.more.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Changes of this epoch so far.
    fn told(&self) -> u64 {
        self.acknowledged + self.queue.len() as u64
    }

    fn push(&mut self, op: &Op<'_>) {
        if self.queue.is_empty() {
            self.progress = Instant::now();
        }
        let mut out = Writer::default();
        op.write(&mut out);
        self.bytes += out.bytes.len();
        self.queue.push_back(out.bytes);
    }

    /// What waits is of no use any more.
    fn forget(&mut self) {
        self.queue.clear();
        self.bytes = 0;
        self.copying = Copying::default();
        self.whole = None;
    }

    fn name(&mut self, path: &str) -> Arc<Name> {
        if let Some(known) = self.names.get(path).and_then(Weak::upgrade) {
            return known;
        }
        self.names.retain(|_, name| name.strong_count() > 0);
        let path: Arc<str> = path.into();
        let name = Arc::new(Name::new(&path));
        self.names.insert(path, Arc::downgrade(&name));
        name
    }

    fn lose_name(&mut self, path: &str) {
        if let Some(name) = self.names.remove(path).as_ref().and_then(Weak::upgrade) {
            name.set_path(None);
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.lose_name(to);
        self.copying.rename(from, to);
        if let Some(name) = self.names.remove(from) {
            let to: Arc<str> = to.into();
            if let Some(name) = name.upgrade() {
                name.set_path(Some(Arc::clone(&to)));
            }
            self.names.insert(to, name);
        }
    }

    /// Adds what comes next of the copy, while less than so many bytes wait.
    fn copy_on(&mut self, disk: &dyn Fs, root: &Path, below: usize) -> io::Result<()> {
        if self.whole.is_some() {
            return Ok(());
        }
        let mut copying = std::mem::take(&mut self.copying);
        let mut copied = Ok(true);
        while self.bytes < below && matches!(copied, Ok(true)) {
            copied = copying.next(disk, root, &mut |op| self.push(op));
        }
        self.copying = copying;
        if !copied? {
            self.push(&Op::Whole);
            self.whole = Some(self.told());
        }
        Ok(())
    }
}
