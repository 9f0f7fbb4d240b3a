//! What holds while nothing fails.

use std::sync::Mutex;

use super::*;
use crate::{AppendError, OpenError};

#[test]
fn records_come_back_in_order_with_their_kinds_across_segments_and_restarts() {
    let fs = FaultyFs::new(1);
    let (journal, recovery) = open(&fs, config(2048));
    assert_eq!((recovery.clean, recovery.first, recovery.next), (true, 1, 1));
    assert_eq!(recovery.last(), None);
    for kind in 0..60 {
        append(&journal, kind).unwrap();
    }
    journal.wait_durable(60).unwrap();
    assert!(segments(&fs).len() >= 3);
    let (records, gaps) = read_checked(&journal, 1);
    assert_eq!(records, (1..=60).zip(0..60).collect());
    assert!(gaps.is_empty());
    journal.close().unwrap();
    drop(journal);

    let (journal, recovery) = open(&fs, config(2048));
    assert!(recovery.clean && recovery.damage.is_empty());
    assert_eq!((recovery.first, recovery.last(), recovery.torn_tail_bytes), (1, Some(60), 0));
    assert_eq!(append(&journal, 60).unwrap(), 61);
    journal.wait_durable(61).unwrap();
    assert_eq!(read_checked(&journal, 1).0, (1..=61).zip(0..61).collect());
}

#[test]
fn a_reader_yields_only_what_is_durable_and_goes_on_when_more_is() {
    let fs = FaultyFs::new(2);
    let (journal, _) = open(&fs, config(4096));
    let mut reader = journal.reader(1);
    assert_eq!(reader.next().unwrap(), None);
    fill(&journal, 1);
    assert!(matches!(reader.next().unwrap(), Some(Item::Record(record)) if record.position == 1));
    assert_eq!(reader.next().unwrap(), None);
    fill(&journal, 100);
    let mut late = journal.reader(57);
    assert!(matches!(late.next().unwrap(), Some(Item::Record(record)) if record.position == 57));
    assert_eq!(drain(&mut reader).len(), 100);
    assert_eq!(reader.position(), 102);
}

#[test]
fn the_callback_hears_of_rising_positions_and_of_the_end() {
    let fs = FaultyFs::new(3);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let on_durable = move |event: Result<u64, Poisoned>| ear.lock().unwrap().push(event);
    let config = Config { on_durable: Some(Arc::new(on_durable)), ..config(4096) };
    let (journal, _) = open(&fs, config);
    fill(&journal, 50);
    journal.close().unwrap();
    let heard = heard.lock().unwrap();
    let positions: Vec<u64> =
        heard.iter().filter_map(|event| event.as_ref().ok().copied()).collect();
    assert!(positions.is_sorted_by(|a, b| a < b));
    assert_eq!(positions.last(), Some(&50));
    assert!(heard.last().unwrap().is_err());
    assert_eq!(heard.iter().filter(|event| event.is_err()).count(), 1);
}

#[test]
fn cutting_recycles_segments_and_a_reader_below_hears_of_it() {
    let fs = FaultyFs::new(4);
    let (journal, _) = open(&fs, config(2048));
    let mut inside = journal.reader(1);
    fill(&journal, 1);
    assert!(inside.next().unwrap().is_some());
    fill(&journal, 99);
    let before = journal.bytes();
    let starts: Vec<u64> = segments(&fs)
        .iter()
        .map(|path| u64::from_str_radix(&path.file_name().unwrap().to_str().unwrap()[..16], 16))
        .map(Result::unwrap)
        .collect();
    journal.cut_below(70).unwrap();
    let first = starts.iter().copied().filter(|&first| first <= 70).max().unwrap();
    assert_eq!(journal.first(), first);
    assert!(journal.bytes() < before);
    // A reader from far below is told at once, one inside a cut segment when it has finished that.
    let (records, gaps) = read_checked(&journal, 1);
    assert_eq!(gaps, [(1, first, GapCause::Cut)]);
    assert_eq!(records.into_keys().collect::<Vec<_>>(), (first..=100).collect::<Vec<_>>());
    let items = drain(&mut inside);
    let second = starts[1];
    let gap = Item::Gap { from: second, to: first, cause: GapCause::Cut };
    assert_eq!(items.iter().position(|item| *item == gap), Some(second as usize - 2));
    // The files are used again, and what was in them does not come back.
    fill(&journal, 60);
    assert!(journal.stats().segments_recycled.load(std::sync::atomic::Ordering::Relaxed) > 0);
    let (records, _) = read_checked(&journal, first);
    assert_eq!(records.into_keys().collect::<Vec<_>>(), (first..=160).collect::<Vec<_>>());
    journal.close().unwrap();
    drop(journal);
    let (journal, recovery) = open(&fs, config(2048));
    assert_eq!((recovery.first, recovery.last()), (first, Some(160)));
    journal.cut_below(u64::MAX).unwrap();
    assert_eq!(segments(&fs).len(), 1);
    assert_eq!(append(&journal, 0).unwrap(), 161);
}

#[test]
fn cutting_keeps_no_more_files_than_it_is_told() {
    let fs = FaultyFs::new(9);
    let config = Config { recycled_segments: 1, ..config(1024) };
    let (journal, _) = open(&fs, config);
    fill(&journal, 200);
    assert!(segments(&fs).len() > 10);
    journal.cut_below(u64::MAX).unwrap();
    // The active one, two made ahead, one kept, and one that the helper may just be making.
    assert!(journal.disk_bytes() <= 5 * 1024);
    assert!(fs.used_bytes() <= 6 * 1024);
}

#[test]
fn as_many_files_are_kept_as_were_begun_since_the_last_cut() {
    let fs = FaultyFs::new(12);
    let config = Config { recycled_segments: 100, ..config(1024) };
    let (journal, _) = open(&fs, config);
    let recycled = || journal.stats().segments_recycled.load(std::sync::atomic::Ordering::Relaxed);
    fill(&journal, 200);
    let burst = segments(&fs).len() as u64;
    assert!(burst > 10);
    journal.cut_below(u64::MAX).unwrap();
    assert!(journal.disk_bytes() >= (burst - 1) * 1024, "all are kept");
    // The same again needs no new file, but for those that had been made ahead.
    let before = recycled();
    fill(&journal, 200);
    let begun = segments(&fs).len() as u64 - 1;
    assert!(recycled() - before + 3 >= begun, "{begun} begun");
    journal.cut_below(u64::MAX).unwrap();
    // Little is written from now on: what the burst has left goes.
    fill(&journal, 20);
    journal.cut_below(u64::MAX).unwrap();
    assert!(journal.disk_bytes() <= 8 * 1024, "{}", journal.disk_bytes());
}

#[test]
fn appenders_on_many_threads_get_distinct_positions_and_all_their_records() {
    let fs = FaultyFs::new(5);
    let (journal, _) = open(&fs, config(64 << 10));
    let written = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for thread in 0..4u8 {
            let (journal, written) = (&journal, &written);
            scope.spawn(move || {
                for n in 0..500u32 {
                    let bytes = n.to_le_bytes().repeat(thread as usize + 1);
                    let reservation =
                        until(|| journal.reserve(bytes.len() as u64, Importance::Ordinary).ok());
                    let pieces = vec![Bytes::from(bytes.clone())];
                    let position = journal.append(reservation, thread, pieces).unwrap();
                    if n % 100 == 0 {
                        journal.wait_durable(position).unwrap();
                        assert!(journal.durable() >= position);
                    }
                    written.lock().unwrap().insert(position, (thread, bytes));
                }
            });
        }
    });
    journal.wait_durable(2000).unwrap();
    let read: BTreeMap<_, _> = drain(&mut journal.reader(1))
        .into_iter()
        .map(|item| match item {
            Item::Record(record) => (record.position, (record.kind, record.payload.to_vec())),
            gap @ Item::Gap { .. } => panic!("{gap:?}"),
        })
        .collect();
    assert_eq!(read, written.into_inner().unwrap());
    assert_eq!(read.len(), 2000);
    let stats = journal.stats();
    assert_eq!(stats.records.load(std::sync::atomic::Ordering::Relaxed), 2000);
    assert_eq!(stats.queue_bytes.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn what_cannot_be_stored_is_refused_with_its_reason() {
    let fs = FaultyFs::new(6);
    let small = Config { queue_bytes: 600, ..config(1024) };
    let (journal, _) = open(&fs, small.clone());
    // 1024 less the header of 64, the frame's 24 and the closing frame's 24.
    let max = 912;
    let refused = journal.reserve(max + 1, Importance::Essential).unwrap_err();
    assert_eq!(refused, ReserveError::TooLarge { bytes: max + 1, max });
    let whole = journal.reserve(max, Importance::Ordinary).unwrap();
    let refused = journal.reserve(1, Importance::Ordinary).unwrap_err();
    assert_eq!(refused, ReserveError::Queue { in_flight: 936, max: 600 });
    let position = journal.append(whole, 1, vec![Bytes::from(vec![9; max as usize])]).unwrap();
    journal.wait_durable(position).unwrap();

    let reservation = loop {
        match journal.reserve(3, Importance::Ordinary) {
            // The helper has not made the next file yet.
            Err(ReserveError::Disk) => std::thread::yield_now(),
            answer => break answer.unwrap(),
        }
    };
    let error = journal.append(reservation, 0, vec![Bytes::from_static(b"four")]).unwrap_err();
    assert_eq!(error, AppendError::LargerThanReserved { bytes: 4, reserved: 3 });
    assert_eq!(journal.next_position(), 2);

    let again = Journal::open(Arc::new(fs.clone()), small).unwrap_err();
    assert!(matches!(again, OpenError::Locked(_)));
    journal.close().unwrap();
    assert!(matches!(journal.reserve(1, Importance::Essential), Err(ReserveError::Poisoned(_))));
    assert!(journal.wait_durable(2).is_err());
    let tiny = Journal::open(Arc::new(fs.clone()), config(100)).unwrap_err();
    assert!(matches!(tiny, OpenError::Config(_)));
}

#[test]
fn a_commit_delay_gathers_what_comes_meanwhile() {
    let fs = FaultyFs::new(7);
    let delayed = Config { commit_delay: Duration::from_millis(300), ..config(64 << 10) };
    let (journal, _) = open(&fs, delayed);
    let started = Instant::now();
    fill(&journal, 20);
    let commits = journal.stats().commits.load(std::sync::atomic::Ordering::Relaxed);
    // On a slow machine they may have missed the first group, but never without the delay.
    assert!(commits <= 2 && started.elapsed() >= Duration::from_millis(300));
}

#[test]
fn positions_known_elsewhere_are_not_given_out_again() {
    let fs = FaultyFs::new(8);
    let (journal, _) = open(&fs, config(2048));
    fill(&journal, 10);
    journal.close().unwrap();
    drop(journal);
    let ahead = Config { first_position: 31, ..config(2048) };
    let (journal, recovery) = open(&fs, ahead.clone());
    assert_eq!((recovery.next, recovery.lost()), (31, 20));
    assert_eq!(fill(&journal, 1), 31);
    assert_eq!(read_checked(&journal, 1).1, [(11, 31, GapCause::Damaged)]);
    drop(journal);
    let (_, recovery) = open(&fs, ahead);
    assert_eq!((recovery.next, recovery.lost(), recovery.known_lost), (32, 0, 20));
}
