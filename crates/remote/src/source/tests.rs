//! The queue on a real journal in a temporary directory.

use bytes::Bytes;
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Importance, Poisoned, ReserveError};

use super::*;

fn open(dir: &std::path::Path) -> (Arc<Journal>, watch::Receiver<u64>) {
    let (sender, receiver) = watch::channel(0);
    let mut config = Config::new(dir);
    config.segment_bytes = 64 << 10;
    config.on_durable = Some(Arc::new(move |durable: Result<u64, Poisoned>| {
        if let Ok(position) = durable {
            sender.send_replace(position);
        }
    }));
    let (journal, _) = Journal::open(Arc::new(DiskFs), config).unwrap();
    (Arc::new(journal), receiver)
}

/// Segments this small run out now and then, until the next one has been made.
fn append(journal: &Journal, payload: Vec<u8>) -> u64 {
    let room = loop {
        match journal.reserve(payload.len() as u64, Importance::Ordinary) {
            Ok(room) => break room,
            Err(ReserveError::Disk) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    };
    let position = journal.append(room, 1, vec![Bytes::from(payload)]).unwrap();
    journal.wait_durable(position).unwrap();
    position
}

#[tokio::test]
async fn durable_frames_are_read_and_cut_ones_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let (journal, durable) = open(dir.path());
    let first = append(&journal, b"one".to_vec());
    let mut frames = JournalFrames::new(journal.clone(), first, durable.clone());
    frames.wait().await;
    assert_eq!(frames.end(), first + 1);
    let Some(Queued::Frame { position, payload }) = frames.next().unwrap() else {
        panic!("no frame");
    };
    assert_eq!((position, &payload[..]), (first, &b"one"[..]));
    assert!(frames.next().unwrap().is_none());

    let positions: Vec<u64> = (0..20).map(|_| append(&journal, vec![7; 20 << 10])).collect();
    let last = positions[19];
    let all = frames.backlog(first);
    assert_eq!(all.frames, 21);
    assert!((400 << 10..500 << 10).contains(&all.bytes), "{all:?}");
    let tail = frames.backlog(last);
    assert_eq!(tail.frames, 1);
    assert!((15 << 10..25 << 10).contains(&tail.bytes), "{tail:?}");
    assert_eq!(frames.backlog(last + 1), Backlog::default());

    journal.cut_below(last).unwrap();
    let mut late = JournalFrames::new(journal.clone(), first, durable);
    let Some(Queued::Missing { from, to }) = late.next().unwrap() else {
        panic!("nothing is missing");
    };
    assert_eq!((from, to), (first, journal.first()));
    journal.close().unwrap();
}

#[test]
fn cursors_are_durable_before_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Arc::new(Cursors::new(Ledger::open(&DiskFs, dir.path(), "cursors").unwrap()));
    let cursors = open();
    assert_eq!(cursors.needed_from(), None);
    assert_eq!(cursors.begin("a", 10).unwrap(), 10);
    drop(cursors);
    let cursors = open();
    assert_eq!(cursors.begin("a", 99).unwrap(), 10, "it is no new destination");
    cursors.begin("b", 5).unwrap();
    assert_eq!(cursors.needed_from(), Some(5));
    cursors.store("b").save(20).unwrap();
    drop(cursors);
    let cursors = open();
    assert_eq!(cursors.needed_from(), Some(10));
    cursors.retain(&|name| name == "b").unwrap();
    assert_eq!(cursors.needed_from(), Some(20));
}
