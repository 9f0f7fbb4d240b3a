//! The twin against a model: whatever happens to files, and wherever the follower's power goes, the
//! twin has what the member took for synced.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use weir_gateway::twin::{Applier, Outgoing, Step, TwinFs};
use weir_journal::fs::faulty::FaultyFs;
use weir_journal::fs::{Fs, FsFile, write_all_at};
use weir_journal::{Config, Importance, Item, Journal};

const ROOT: &str = "/member";
const TWIN: &str = "/twin";

/// A small generator, so that a failure comes again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Pair {
    here: FaultyFs,
    there: FaultyFs,
    outgoing: Arc<Outgoing>,
    fs: Arc<dyn Fs>,
    applier: Applier,
    epoch: u64,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let (here, there) = (FaultyFs::new(seed), FaultyFs::new(seed + 1));
        let outgoing = Arc::new(Outgoing::new(Arc::new(here.clone()), Path::new(ROOT)));
        let fs = Arc::new(TwinFs::new(Arc::new(here.clone()), &outgoing));
        let applier = Self::fresh(&there, 0);
        Self { here, there, outgoing, fs, applier, epoch: 0 }
    }

    fn fresh(there: &FaultyFs, epoch: u64) -> Applier {
        Applier::new(Arc::new(there.clone()), PathBuf::from(format!("{TWIN}-{epoch}")))
            .expect("the disk works")
    }

    /// A new follower.
    fn begin(&mut self) {
        self.epoch += 1;
        self.applier = Self::fresh(&self.there, self.epoch);
        self.outgoing.begin(self.epoch).expect("the disk works");
    }

    /// One batch goes over; false if there is none.
    fn pump(&mut self) -> bool {
        let Ok(Some(batch)) = self.outgoing.batch(self.epoch) else { return false };
        self.applier.apply(batch.first, &batch.bytes).expect("the disk works");
        // As if the first answer had been lost.
        self.applier.apply(batch.first, &batch.bytes).expect("the disk works");
        self.outgoing.acknowledge(self.epoch, self.applier.changes());
        if self.outgoing.is_copied() {
            self.outgoing.in_step(self.epoch);
        }
        true
    }

    fn contents(fs: &FaultyFs, root: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let below = |path: PathBuf| {
            let relative = path.strip_prefix(root).ok()?.to_owned();
            Some((relative, fs.content(&path)?))
        };
        fs.paths().into_iter().filter_map(below).collect()
    }

    fn assert_same(&mut self, what: &str) {
        while self.pump() {}
        assert_eq!(self.outgoing.step(), Step::In, "{what}");
        let twin = format!("{TWIN}-{}", self.epoch);
        let (here, there) = (Self::contents(&self.here, ROOT), Self::contents(&self.there, &twin));
        let names = |of: &BTreeMap<PathBuf, Vec<u8>>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&here), names(&there), "{what}");
        for (path, content) in &here {
            assert!(there[path] == *content, "{what}: {} differs", path.display());
        }
    }
}

fn random_change(dice: &mut Dice, fs: &dyn Fs, open: &mut Vec<Arc<dyn FsFile>>) {
    let path = |n: u64| Path::new(ROOT).join(["a", "wal/b", "wal/c", "queue/d"][n as usize % 4]);
    match dice.below(8) {
        0 => {
            // Emptied in place elsewhere, another file on this disk: so only where there is none.
            let path = path(dice.below(4));
            if fs.open(&path).is_err() {
                open.push(fs.create(&path).expect("the disk works"));
            }
        }
        1 => open.extend(fs.open(&path(dice.below(4)))),
        2 => drop(fs.rename(&path(dice.below(4)), &path(dice.below(4)))),
        3 => drop(fs.remove(&path(dice.below(4)))),
        4 if !open.is_empty() => {
            let at = dice.below(open.len() as u64) as usize;
            open[at].allocate(dice.below(600_000)).expect("the disk works");
        }
        5 if !open.is_empty() => {
            let at = dice.below(open.len() as u64) as usize;
            open.swap_remove(at);
        }
        _ if !open.is_empty() => {
            let at = dice.below(open.len() as u64) as usize;
            let byte = if dice.below(3) == 0 { 0 } else { dice.below(256) as u8 };
            let bytes = vec![byte; dice.below(300_000) as usize];
            let offset = dice.below(600_000);
            write_all_at(&*open[at], &mut [IoSlice::new(&bytes)], offset).expect("the disk works");
        }
        _ => {}
    }
}

#[test]
fn any_changes_and_copies_between_them_make_the_same_files() {
    for seed in 0..60 {
        let (mut dice, mut pair) = (Dice(seed), Pair::new(seed * 2));
        for folder in ["", "wal", "queue"] {
            pair.fs.create_dir_all(&Path::new(ROOT).join(folder)).expect("the disk works");
        }
        let mut open = Vec::new();
        pair.outgoing.claim();
        for _ in 0..3 {
            for _ in 0..dice.below(40) {
                random_change(&mut dice, &*pair.fs, &mut open);
            }
            pair.begin();
            for _ in 0..dice.below(60) {
                random_change(&mut dice, &*pair.fs, &mut open);
                if dice.below(3) == 0 {
                    pair.pump();
                }
            }
            pair.assert_same(&format!("seed {seed}"));
            if dice.below(2) == 0 {
                pair.outgoing.fall_apart("a test");
            }
        }
    }
}

fn journal(fs: &Arc<dyn Fs>, root: &str) -> Journal {
    let config = Config { segment_bytes: 4096, ..Config::new(Path::new(root).join("wal")) };
    Journal::open(Arc::clone(fs), config).expect("the disk works").0
}

fn read_all(journal: &Journal) -> BTreeMap<u64, Vec<u8>> {
    let mut reader = journal.reader(journal.first());
    let mut found = BTreeMap::new();
    while let Some(item) = reader.next().expect("the disk works") {
        if let Item::Record(record) = item {
            found.insert(record.position, record.payload.to_vec());
        }
    }
    found
}

/// The follower takes over at any moment, after its own power has gone too: every record that the
/// member's journal has called durable is in the twin.
#[test]
fn a_journal_that_is_opened_from_the_twin_has_all_that_was_durable() {
    for seed in 0..40 {
        let (mut dice, mut pair) = (Dice(seed), Pair::new(seed * 2 + 1));
        pair.fs.create_dir_all(Path::new(ROOT)).expect("the disk works");
        let journal = Arc::new(journal(&pair.fs, ROOT));
        let append = |n: u64| {
            let payload = vec![n as u8; 1 + (n as usize * 37) % 700];
            if let Ok(room) = journal.reserve(payload.len() as u64, Importance::Ordinary) {
                let position =
                    journal.append(room, 1, vec![payload.clone().into()]).expect("the disk works");
                return Some((position, payload));
            }
            None
        };
        // Some from before there was a twin.
        let mut appended: BTreeMap<u64, Vec<u8>> = (0..5).filter_map(append).collect();
        if let Some((&last, _)) = appended.last_key_value() {
            journal.wait_durable(last).expect("the disk works");
        }
        pair.outgoing.claim();
        let begin_at = dice.below(20);
        let end_at = begin_at + 5 + dice.below(60);
        for n in 0..end_at {
            if n == begin_at {
                pair.begin();
            }
            appended.extend(append(n));
            std::thread::sleep(Duration::from_micros(dice.below(400)));
            if n >= begin_at && dice.below(4) > 0 {
                pair.pump();
            }
        }
        let (durable, was_in_step) = (journal.durable(), pair.outgoing.step() == Step::In);
        pair.outgoing.let_go();
        if !was_in_step {
            continue;
        }
        pair.there.power_cycle();
        let there: Arc<dyn Fs> = Arc::new(pair.there.clone());
        let found = read_all(&self::journal(&there, &format!("{TWIN}-1")));
        for (position, payload) in appended.range(..=durable) {
            assert_eq!(found.get(position), Some(payload), "seed {seed}: record {position}");
        }
        assert!(found.iter().all(|(position, payload)| appended[position] == *payload));
    }
}

#[test]
fn nothing_is_durable_while_no_twin_is_in_step() {
    let mut pair = Pair::new(7);
    pair.fs.create_dir_all(Path::new(ROOT)).expect("the disk works");
    let journal = journal(&pair.fs, ROOT);
    pair.outgoing.claim();
    let room = journal.reserve(5, Importance::Ordinary).expect("the disk works");
    let position = journal.append(room, 1, vec!["hello".into()]).expect("the disk works");
    std::thread::sleep(Duration::from_millis(30));
    assert!(journal.durable() < position);
    pair.begin();
    while pair.pump() || journal.durable() < position {
        std::thread::yield_now();
    }
    assert!(pair.outgoing.stalled_for().is_none());
    pair.outgoing.let_go();
}

/// A follower that does not keep up costs a bounded amount of memory.
#[test]
fn a_follower_that_is_too_far_behind_is_out_of_step() {
    let here = Arc::new(FaultyFs::new(1));
    let outgoing = Arc::new(Outgoing::bounded(here.clone(), Path::new(ROOT), 1 << 20));
    let fs = TwinFs::new(here, &outgoing);
    outgoing.claim();
    outgoing.begin(1).expect("the disk works");
    let file = fs.create(&Path::new(ROOT).join("a")).expect("the disk works");
    for n in 0..20 {
        write_all_at(&*file, &mut [IoSlice::new(&[1; 100_000])], n * 100_000)
            .expect("the disk works");
    }
    assert!(matches!(outgoing.step(), Step::Apart(_, why) if why.contains("too far behind")));
    assert_eq!(outgoing.waiting_bytes(), 0);
    assert_eq!(outgoing.batch(1), Err(()));
}
