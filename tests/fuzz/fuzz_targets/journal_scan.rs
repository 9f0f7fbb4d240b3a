//! The log reader: any bytes as a segment, and a whole segment with damage in it. It never panics,
//! finds no record that was not there, and accounts for every position.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use weir_journal::fs::DiskFs;
use weir_journal::{Config, Importance, Journal, scan_bytes};

const RECORDS: u64 = 40;

/// A segment with some records, as the journal writes it.
static SEGMENT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let dir = tempfile::tempdir().expect("a folder");
    let config = Config { segment_bytes: 8 << 10, ..Config::new(dir.path()) };
    let (journal, _) = Journal::open(Arc::new(DiskFs), config).expect("a journal");
    for at in 0..RECORDS {
        let payload = vec![at as u8; at as usize * 3];
        let room = journal.reserve(payload.len() as u64, Importance::Ordinary).expect("room");
        let position = journal.append(room, 1, vec![payload.into()]).expect("appended");
        journal.wait_durable(position).expect("durable");
    }
    journal.close().expect("closed");
    let files = std::fs::read_dir(dir.path()).expect("listed").map(|f| f.expect("a file").path());
    let segment = files.filter(|p| p.extension().is_some_and(|e| e == "seg")).min();
    let bytes = std::fs::read(segment.expect("a segment")).expect("read");
    assert_eq!(scan_bytes(&bytes).records, RECORDS);
    bytes
});

fuzz_target!(|script: &[u8]| {
    let any = scan_bytes(script);
    assert!(any.end <= script.len().max(64));

    let damaged = weir_disk_fuzz::changed(&SEGMENT, script);
    let scan = scan_bytes(&damaged);
    assert!(scan.records <= RECORDS, "{scan:?}");
    if scan.header_whole {
        assert_eq!(scan.records + scan.lost, scan.next - 1, "{scan:?}");
    }
});
