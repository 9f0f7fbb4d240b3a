//! A whole data directory (log, checkpoints, send queue, ledger) on a disk that stops in the middle
//! of any change, fails a sync, fills up or flips a bit: 0 lost, 0 doubled, 0 wrong; or the loss is
//! exactly what the disk has lost, and said.
//!
//! In one process, on `weir-journal`'s faulty disk. The script's steps are the same in every run;
//! the threads of three journals interleave as they like, so an operation is named by its kind, its
//! place, and how many of the kind come before it there. By default every kind of operation in every directory
//! is met at its first and last time and at three between; `WEIR_DISK_FAULTS=all` takes every
//! operation and every byte.

mod image;
mod script;
mod twin;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use weir_gateway::wal;
use weir_journal::fs::faulty::{FaultyFs, Operation};

use image::{Frame, frames};
use script::{Step, World};
use twin::{DIR, Stop, Twin};

/// Between the first and the last operation of a kind, the parts at whose ends one is met.
const EACH: u64 = 4;

fn all() -> bool {
    std::env::var("WEIR_DISK_FAULTS").is_ok_and(|which| which == "all")
}

/// Starts again and does the rest of the script, however often it takes.
fn finish(fs: &FaultyFs, world: &mut World) -> Twin {
    let mut twin = world.start(fs).expect("it starts again");
    let end = world.steps.len();
    world.run(&mut twin, end).expect("the rest of the script");
    twin
}

/// Ends with a comparison of all that the destination has.
fn assert_whole(world: &World, twin: Twin, what: &str) {
    twin.assert_audited();
    assert_eq!(twin.lost_frames, 0, "{what}");
    let result = world.compare().into_result();
    let compared = result.unwrap_or_else(|differences| panic!("{what}: {differences}")).compared;
    assert!(compared > 1000, "{compared} samples prove little");
    twin.stop();
}

/// The operations of an undisturbed run, which is compared as well.
fn undisturbed() -> Vec<(Operation, PathBuf)> {
    let (fs, mut world) = (FaultyFs::new(1), World::new());
    let twin = finish(&fs, &mut world);
    let kinds: BTreeSet<_> = frames(&fs).iter().map(|f| (f.journal().to_owned(), f.kind)).collect();
    for (journal, kind) in [
        ("wal", wal::BATCH),
        ("wal", wal::FRONTIER),
        ("wal", wal::CONFIG),
        ("checkpoints", weir_gateway::checkpoint::SHARD),
        ("checkpoints", weir_gateway::checkpoint::HOME),
        ("checkpoints", weir_gateway::checkpoint::COMPLETE),
        ("queue", 1),
    ] {
        assert!(kinds.contains(&(journal.to_owned(), kind)), "no record {kind} in {journal}");
    }
    assert!(twin.node.log.stats().segments_started.load(Ordering::Relaxed) >= 2, "three segments");
    assert!(twin.node.log.first() > 1, "the log was cut");
    assert_whole(&world, twin, "undisturbed");
    fs.trace()
}

/// An operation's kind, and where: a journal's directory, a file of the ledger, the whole.
type Kind = (Operation, PathBuf);

fn kind_of((operation, path): &(Operation, PathBuf)) -> Kind {
    let part = path.strip_prefix(DIR).ok().and_then(|path| path.iter().next());
    let place = part.map_or(PathBuf::from(DIR), |part| Path::new(DIR).join(part));
    (*operation, place)
}

/// What to meet: the operation of a kind that comes after so many others of it.
fn points(trace: &[(Operation, PathBuf)]) -> Vec<(Kind, u64)> {
    let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
    for operation in trace {
        *kinds.entry(kind_of(operation)).or_default() += 1;
    }
    let sample = |(kind, &count): (&Kind, &u64)| {
        let (kind, last) = (kind.clone(), count - 1);
        let step = if all() { 1 } else { last.div_ceil(EACH).max(1) };
        (0..=last).step_by(step as usize).map(move |skip| (kind.clone(), skip))
    };
    kinds.iter().flat_map(sample).collect()
}

#[test]
fn a_machine_that_stops_in_the_middle_of_any_change_loses_and_doubles_nothing() {
    let trace = undisturbed();
    let points = points(&trace);
    let (mut met, mut seed) = (BTreeSet::new(), 0);
    for ((operation, place), skip) in &points {
        seed += 1;
        let (fs, mut world) = (FaultyFs::new(seed), World::new());
        fs.short_writes(seed % 3 == 0);
        fs.crash_in(*operation, place, *skip);
        let end = world.steps.len();
        if let Ok(mut twin) = world.start(&fs) {
            drop(world.run(&mut twin, end));
            twin.stop();
        }
        let what = format!("{operation:?} in {} after {skip}", place.display());
        if fs.has_crashed() {
            met.insert((*operation, place.clone()));
        }
        if seed % 2 == 0 {
            fs.power_cycle()
        } else {
            fs.restart_process()
        }
        let twin = finish(&fs, &mut world);
        assert_whole(&world, twin, &what);
    }
    let kinds: BTreeSet<_> = trace.iter().map(kind_of).collect();
    assert_eq!(met, kinds, "not met");
    println!("{} of {} operations, of {} kinds", points.len(), trace.len(), kinds.len());
}

#[test]
fn a_machine_that_stops_again_while_it_reads_back_loses_nothing_either() {
    let trace = undisturbed();
    let mut random = 1u64;
    for first in
        (trace.len() / 3..trace.len()).step_by(1 + trace.len() / if all() { 200 } else { 12 })
    {
        let (fs, mut world) = (FaultyFs::new(first as u64), World::new());
        fs.crash_at(first as u64);
        for _ in 0..3 {
            if let Ok(mut twin) = world.start(&fs) {
                let end = world.steps.len();
                drop(world.run(&mut twin, end));
                twin.stop();
            }
            fs.power_cycle();
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            fs.crash_at(fs.operations() + (random >> 33) % 60);
        }
        fs.power_cycle();
        let twin = finish(&fs, &mut world);
        assert_whole(&world, twin, &format!("operation {first} and three more"));
    }
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_a_restart_is_right() {
    let trace = undisturbed();
    let points = points(&trace);
    let syncs = points.iter().filter(|((operation, _), _)| *operation == Operation::Sync);
    let (mut failed, mut seed) = (BTreeSet::new(), 0);
    for ((_, place), skip) in syncs {
        seed += 1;
        let what = format!("failed sync in {} after {skip}", place.display());
        let (fs, mut world) = (FaultyFs::new(seed), World::new());
        fs.fail_sync_in(place, *skip);
        let end = world.steps.len();
        if let Ok(mut twin) = world.start(&fs) {
            drop(world.run(&mut twin, end));
            if let Some(journal) = twin.failed_journal() {
                failed.insert(journal);
                if journal == "log" {
                    let refused = twin.send(&world.samples(0)).expect_err("it is answered 204");
                    assert!(matches!(refused, Stop::Answered(503, Some(_))), "{refused:?}");
                }
            }
            twin.stop();
        }
        fs.restart_process();
        let twin = finish(&fs, &mut world);
        assert_whole(&world, twin, &what);
        // What was said to be durable after the restart is.
        fs.power_cycle();
        let twin = finish(&fs, &mut world);
        assert_whole(&world, twin, &format!("{what}, then no power"));
    }
    assert_eq!(failed, BTreeSet::from(["checkpoints", "log", "queue"]), "all have failed once");
}

#[test]
fn a_full_disk_refuses_samples_drains_and_recovers_unaided() {
    let (fs, mut world) = (FaultyFs::new(3), World::new());
    let mut twin = world.start(&fs).expect("it starts");
    let half = world.steps.iter().position(|&s| s == Step::Send(9)).expect("it is there");
    world.run(&mut twin, half).expect("half of the script");
    // Others fill the disk.
    fs.set_capacity(fs.used_bytes());
    let mut number = 0;
    let refusal = loop {
        let samples = world.more_samples(9, number);
        match twin.send(&samples) {
            Ok(()) => {
                world.history.add(&samples);
                number += 1;
            }
            // What waits in it for room in the queue is answered when there is some.
            Err(Stop::NoAnswer) => {}
            Err(refusal) => break refusal,
        }
        assert!(number < 1000, "a full disk takes everything");
    };
    assert!(matches!(refusal, Stop::Answered(503, Some(_))), "{refusal:?}");
    // The frontier goes on, and what is in the queue leaves.
    twin.log_frontier(world.behind(9)).expect("the reserve has room for a frontier");
    let before = world.received.len();
    twin.deliver(&mut world.received).expect("the ledger has its room");
    assert!(world.received.len() > before, "it drains");
    assert_eq!(twin.failed_journal(), None);
    // Space comes back, and nobody tells the gateway.
    fs.set_capacity(u64::MAX);
    let samples = world.more_samples(9, number);
    let began = Instant::now();
    while twin.send(&samples).is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "it does not recover");
        std::thread::sleep(Duration::from_millis(1));
    }
    world.history.add(&samples);
    let end = world.steps.len();
    world.run(&mut twin, end).expect("the rest of the script");
    assert_whole(&world, twin, "after a full disk");
}

/// What a killed gateway leaves, in the middle of the script.
struct Left {
    fs: FaultyFs,
    world: World,
    frames: Vec<Frame>,
    /// The position behind which an undamaged start reads the log.
    replay_from: u64,
    /// Samples that it reads.
    replayed: u64,
    cursor: u64,
}

fn left() -> Left {
    let (fs, mut world) = (FaultyFs::new(4), World::new());
    let mut twin = world.start(&fs).expect("it starts");
    let until = world.steps.iter().position(|&s| s == Step::Send(23)).expect("it is there");
    world.run(&mut twin, until).expect("a part of the script");
    let (fs, cursor) = (fs.fork(), twin.cursor());
    twin.stop();
    let twin = world.start(&fs.fork()).expect("it starts undamaged");
    let (replay_from, replayed) = (twin.replay_from, twin.replayed);
    twin.stop();
    let frames = frames(&fs);
    let log = frames.iter().filter(|f| f.journal() == "wal");
    assert!(log.map(|f| &f.path).collect::<BTreeSet<_>>().len() >= 3, "three segments of the log");
    Left { fs, world, frames, replay_from, replayed, cursor }
}

impl Left {
    /// Bytes to flip: in the first and the last record of each kind every field, headers, slots of
    /// the ledger, and a few thousandths of everything.
    fn bytes(&self) -> BTreeSet<(PathBuf, usize)> {
        let files = self.fs.paths().into_iter();
        let files = files.map(|path| (self.fs.content(&path).map_or(0, |c| c.len()), path));
        let every = |step: usize| {
            let of = move |(len, path): (usize, PathBuf)| {
                (0..len).step_by(step).map(move |at| (path.clone(), at))
            };
            files.clone().flat_map(of).collect::<BTreeSet<_>>()
        };
        if all() {
            return every(1);
        }
        let mut bytes = every(16_411);
        let mut chosen: BTreeMap<(&str, u8), [&Frame; 2]> = BTreeMap::new();
        for frame in &self.frames {
            let kind = (frame.journal(), frame.kind);
            chosen.entry(kind).and_modify(|[_, last]| *last = frame).or_insert([frame, frame]);
        }
        for frame in chosen.values().flatten() {
            bytes.extend(frame.fields().map(|at| (frame.path.clone(), at)));
            bytes.extend([0, 25].map(|at| (frame.path.clone(), at)));
        }
        let ledger = files.clone().filter(|(_, path)| path.to_string_lossy().contains("destin"));
        bytes.extend(
            ledger.flat_map(|(len, path)| {
                (0..len.min(60)).step_by(7).map(move |at| (path.clone(), at))
            }),
        );
        bytes
    }

    /// Samples of the request at a position.
    fn samples_at(&self, frame: &Frame) -> u64 {
        let content = self.fs.content(&frame.path).expect("it is there");
        let payload = content[frame.offset + 24..][..frame.payload_bytes].to_vec();
        wal::BatchRecord::read(&payload.into()).expect("a batch").0.samples
    }

    /// Flips a bit, starts, finishes the script; panics unless the loss is what the byte explains.
    fn check(&self, path: &Path, offset: usize) {
        let fs = self.fs.fork();
        let mut world = self.world.clone();
        assert!(fs.flip(path, offset, 1 << (offset % 8)));
        let hit = self.frames.iter().find(|frame| frame.holds(path, offset));
        let what = format!("{} at {offset}: {hit:?}", path.display());
        let mut twin = world.start(&fs).unwrap_or_else(|why| panic!("{what}: {why:?}"));
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let audit = &twin.node.audit;
        let said = (read(&audit.lost_positions), read(&audit.set_aside_records));
        let replayed = twin.replayed;
        let end = world.steps.len();
        world.run(&mut twin, end).unwrap_or_else(|why| panic!("{what}: {why:?}"));
        let needed = hit.filter(|frame| frame.position > self.replay_from);
        match hit.map(|frame| (frame.journal(), frame.kind)) {
            Some(("wal", wal::BATCH)) if needed.is_some() => {
                let lost = hit.map_or(0, |frame| self.samples_at(frame));
                assert_eq!((said, replayed), ((1, 0), self.replayed - lost), "{what}");
                twin.assert_audited();
                twin.stop();
            }
            Some(("wal", wal::CONFIG)) if needed.is_some() => {
                let position = hit.map_or(0, |frame| frame.position);
                let later = self.frames.iter().filter(|f| {
                    f.journal() == "wal" && f.kind == wal::BATCH && f.position > position
                });
                let later: Vec<u64> = later.map(|frame| self.samples_at(frame)).collect();
                assert_eq!(said, (1, later.len() as u64), "{what}");
                assert_eq!(replayed, self.replayed - later.iter().sum::<u64>(), "{what}");
                twin.assert_audited();
                twin.stop();
            }
            Some(("queue", _)) if hit.is_some_and(|f| !f.last && f.position >= self.cursor) => {
                assert_eq!((said, twin.lost_frames), ((0, 0), 1), "{what}");
                twin.assert_audited();
                twin.stop();
            }
            Some(("wal", wal::FRONTIER)) if needed.is_some() => {
                assert_eq!(said, (1, 0), "{what}");
                assert_whole(&world, twin, &what);
            }
            _ => {
                assert_eq!(said, (0, 0), "{what}");
                assert_whole(&world, twin, &what);
            }
        }
    }
}

#[test]
fn a_flipped_bit_costs_what_it_hits_and_is_said() {
    let left = left();
    let bytes = left.bytes();
    for (path, offset) in &bytes {
        left.check(path, *offset);
    }
    println!("{} bytes flipped, one by one", bytes.len());
}
