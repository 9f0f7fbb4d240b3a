//! The machine's own file system.

use super::*;
use crate::OpenError;
use crate::fs::DiskFs;

#[test]
fn a_journal_on_the_real_disk_survives_restart_and_torn_tail() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { segment_bytes: 64 << 10, ..Config::new(dir.path().join("deep/log")) };
    let open = || Journal::open(Arc::new(DiskFs), config.clone());
    let (journal, _) = open().unwrap();
    assert!(matches!(open().unwrap_err(), OpenError::Locked(_)));
    // More pieces than one vectored write may have, and pieces that are too big to copy.
    let big = Bytes::from(vec![5; 3000]);
    let mut last = 0;
    for n in 0..100u64 {
        let room = until(|| journal.reserve(60_000, Importance::Ordinary).ok());
        let mut pieces = vec![big.clone(); (n % 19) as usize];
        pieces.extend((0..n * 20).map(|_| Bytes::from_static(b"z")));
        last = journal.append(room, n as u8, pieces).unwrap();
    }
    journal.wait_durable(last).unwrap();
    journal.cut_below(20).unwrap();
    assert!(journal.disk_free_bytes().unwrap() > 0);
    drop(journal);

    let (journal, recovery) = open().unwrap();
    assert!(recovery.clean && recovery.damage.is_empty());
    assert_eq!(recovery.last(), Some(100));
    assert!(recovery.first > 1 && recovery.first <= 20);
    let mut reader = journal.reader(recovery.first);
    for position in recovery.first..=100 {
        let Some(Item::Record(record)) = reader.next().unwrap() else { panic!("{position}") };
        let n = position - 1;
        assert_eq!((record.position, record.kind), (position, n as u8));
        assert_eq!(record.payload.len() as u64, (n % 19) * 3000 + n * 20);
    }
    assert_eq!(reader.next().unwrap(), None);
    // A process that was killed: the directory as it is while the journal is open, and half a record.
    let copy = tempfile::tempdir().unwrap();
    let room = journal.reserve(100, Importance::Ordinary).unwrap();
    let position = journal.append(room, 1, vec![Bytes::from(vec![1; 100])]).unwrap();
    journal.wait_durable(position).unwrap();
    for entry in std::fs::read_dir(&config.dir).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    let killed = Config { dir: copy.path().to_owned(), ..config.clone() };
    let (journal, recovery) = Journal::open(Arc::new(DiskFs), killed).unwrap();
    assert!(!recovery.clean);
    assert_eq!((recovery.last(), recovery.lost()), (Some(position), 0));
    assert_eq!(
        drain(&mut journal.reader(recovery.first)).len() as u64,
        position + 1 - recovery.first
    );
}
