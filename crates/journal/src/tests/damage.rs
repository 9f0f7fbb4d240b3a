//! Bits that flip, files that vanish, disks that lie.

use std::path::Path;

use super::*;
use crate::scan_bytes;

/// A closed journal over three segments; where each record lies: file, offset, length of its frame.
fn three_segments(fs: &FaultyFs) -> (u64, BTreeMap<u64, (PathBuf, usize, usize)>) {
    let (journal, _) = open(fs, config(1024));
    let mut last = 0;
    while segments(fs).len() < 3 {
        last = fill(&journal, 1);
    }
    last = fill(&journal, 3).max(last);
    journal.close().unwrap();
    let mut places = BTreeMap::new();
    let mut position = 1;
    for path in segments(fs) {
        let mut offset = 64;
        let limit = segments(fs).iter().find(|other| **other > path).map(|path| first_of(path));
        while position <= last && limit.is_none_or(|limit| position < limit) {
            let size = (24 + payload(position, 0).len()).next_multiple_of(8);
            places.insert(position, (path.clone(), offset, size));
            offset += size;
            position += 1;
        }
    }
    (last, places)
}

fn first_of(path: &Path) -> u64 {
    let name = path.file_name().unwrap().to_str().unwrap();
    u64::from_str_radix(&name[..16], 16).unwrap()
}

#[test]
fn any_flipped_byte_costs_exactly_the_record_it_is_in() {
    let original = FaultyFs::new(1);
    let (last, places) = three_segments(&original);
    for path in segments(&original) {
        let length = original.content(&path).unwrap().len();
        for offset in 0..length {
            let fs = original.fork();
            assert!(fs.flip(&path, offset, 1 << (offset % 8)));
            let hit = places.iter().find(|(position, (file, from, size))| {
                // Padding is not part of anything.
                let used = 24 + payload(**position, 0).len();
                debug_assert!(used <= *size);
                *file == path && (*from..from + used).contains(&offset)
            });
            let hit = hit.map(|(&position, _)| position);
            let (journal, recovery) = open(&fs, config(1024));
            let context = format!("byte {offset} of {}: {recovery:?}", path.display());
            assert_eq!((recovery.first, recovery.last()), (1, Some(last)), "{context}");
            assert_eq!(recovery.lost(), u64::from(hit.is_some()), "{context}");
            let (records, gaps) = read_checked(&journal, 1);
            let expected: Vec<_> = hit.iter().map(|&at| (at, at + 1, GapCause::Damaged)).collect();
            assert_eq!(gaps, expected, "{context}");
            assert_eq!(records.len() as u64, last - expected.len() as u64);
            for damage in recovery.damage.iter().filter(|damage| damage.to > damage.from) {
                assert!(damage.synced && damage.bytes > 0);
                let quarantined = fs.content(damage.quarantine.as_ref().unwrap()).unwrap();
                assert_eq!(quarantined.len() as u64, damage.bytes);
            }
        }
    }
}

#[test]
fn what_was_found_once_is_not_reported_as_new_again() {
    let fs = FaultyFs::new(2);
    let (last, places) = three_segments(&fs);
    let (path, offset, _) = &places[&3];
    assert!(fs.flip(path, offset + 30, 4));
    let (journal, recovery) = open(&fs, config(1024));
    assert_eq!((recovery.lost(), recovery.known_lost, recovery.clean), (1, 0, true));
    drop(journal);
    let (journal, recovery) = open(&fs, config(1024));
    assert_eq!((recovery.lost(), recovery.known_lost, recovery.damage.len()), (0, 1, 0));
    let (records, gaps) = read_checked(&journal, 1);
    assert_eq!(gaps, [(3, 4, GapCause::Damaged)]);
    assert_eq!(records.len() as u64, last - 1);
}

#[test]
fn damage_that_comes_while_the_journal_is_open_is_a_gap_for_its_readers() {
    let fs = FaultyFs::new(3);
    let (journal, _) = open(&fs, config(1024));
    fill(&journal, 20);
    let path = &segments(&fs)[0];
    // The first record's payload begins after the segment's header and its own.
    assert!(fs.flip(path, 64 + 24, 1));
    let (records, gaps) = read_checked(&journal, 1);
    assert_eq!(gaps, [(1, 2, GapCause::Damaged)]);
    assert_eq!(records.len(), 19);
}

#[test]
fn a_segment_that_vanished_is_lost_exactly() {
    let fs = FaultyFs::new(4);
    let (last, places) = three_segments(&fs);
    let middle = segments(&fs)[1].clone();
    let gone = places.values().filter(|(path, ..)| *path == middle).count() as u64;
    crate::fs::Fs::remove(&fs, &middle).unwrap();
    let (journal, recovery) = open(&fs, config(1024));
    assert_eq!((recovery.lost(), recovery.last()), (gone, Some(last)));
    let first = first_of(&middle);
    assert_eq!(read_checked(&journal, 1).1, [(first, first + gone, GapCause::Damaged)]);
}

#[test]
fn a_torn_record_at_the_end_is_cut_and_counted() {
    let fs = FaultyFs::new(5);
    let (journal, _) = open(&fs, config(64 << 10));
    fill(&journal, 4);
    // The fifth is on its way when the machine stops: its frame is there, half of its bytes are not.
    let killed = fs.fork();
    let path = &segments(&killed)[0];
    let file = crate::fs::Fs::open(&killed, path).unwrap();
    let content = killed.content(path).unwrap();
    let end = 64 + (1..=4).map(|at| (24 + payload(at, 0).len()).next_multiple_of(8)).sum::<usize>();
    let mut torn = content[64..88].to_vec();
    torn[4..8].copy_from_slice(&200u32.to_le_bytes());
    torn[8..16].copy_from_slice(&5u64.to_le_bytes());
    file.write_at(&[std::io::IoSlice::new(&torn)], end as u64).unwrap();
    let (journal, recovery) = open(&killed, config(64 << 10));
    assert_eq!((recovery.clean, recovery.torn_tail_bytes), (false, 224));
    assert_eq!((recovery.last(), recovery.lost()), (Some(4), 0));
    assert_eq!(append(&journal, 1).unwrap(), 5);
    journal.wait_durable(5).unwrap();
    assert_eq!(read_checked(&journal, 1).0.len(), 5);
}

#[test]
fn a_disk_that_lies_about_syncs_yields_gaps_but_never_garbage() {
    let mut found = 0;
    for seed in 0..60 {
        let fs = FaultyFs::new(seed);
        let (journal, _) = open(&fs, config(1024));
        fill(&journal, 10);
        fs.lie_about_syncs(true);
        let last = fill(&journal, 40);
        fs.crash_at(0);
        drop(journal);
        fs.power_cycle();
        fs.lie_about_syncs(false);
        let (journal, recovery) = open(&fs, config(1024));
        // What was synced before is there; what came after is a record as it was appended, or missing.
        let (records, gaps) = read_checked(&journal, 1);
        assert!((1..=10).all(|position| records.contains_key(&position)));
        assert!(recovery.next <= last + 1);
        assert_eq!(gaps.iter().map(|(from, to, _)| to - from).sum::<u64>(), recovery.lost());
        found += u64::from(recovery.lost() > 0);
    }
    assert!(found > 0, "no seed left a hole");
}

#[test]
fn another_version_is_refused_and_left_alone() {
    let fs = FaultyFs::new(6);
    drop(open(&fs, config(1024)));
    let path = &segments(&fs)[0];
    let file = crate::fs::Fs::open(&fs, path).unwrap();
    let mut header = fs.content(path).unwrap()[..64].to_vec();
    header[8] = 2;
    let sum = crc32fast::hash(&header[..60]).to_le_bytes();
    header[60..].copy_from_slice(&sum);
    file.write_at(&[std::io::IoSlice::new(&header)], 0).unwrap();
    let error = Journal::open(Arc::new(fs.clone()), config(1024)).unwrap_err();
    assert!(matches!(error, crate::OpenError::Version { version: 2, known: 1, .. }), "{error}");
    assert_eq!(fs.content(path).unwrap()[..64], header);
}

#[test]
fn the_frame_is_laid_out_as_documented() {
    let fs = FaultyFs::new(7);
    let (journal, _) = open(&fs, config(1024));
    let room = journal.reserve(5, Importance::Ordinary).unwrap();
    journal.append(room, 77, vec![Bytes::from_static(b"hel"), Bytes::from_static(b"lo")]).unwrap();
    journal.wait_durable(1).unwrap();
    let path = &segments(&fs)[0];
    let content = fs.content(path).unwrap();
    assert_eq!(content[..16], *b"WEIRJRNL\x01\0\0\0\x40\0\0\0");
    let (first, salt) = (&content[16..24], &content[24..32]);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    assert_eq!(
        path.file_name().unwrap().to_str().unwrap(),
        format!("{:016x}-{:016x}.seg", number(first), number(salt))
    );
    let mark = 0x4652_4a57 ^ number(salt) as u32;
    let mut frame = mark.to_le_bytes().to_vec();
    frame.extend(5u32.to_le_bytes());
    frame.extend(1u64.to_le_bytes());
    frame.extend([0, 0, 77, 1]);
    let sum = crc32fast::hash(&[salt, &frame, b"hello"].concat());
    frame.extend(sum.to_le_bytes());
    frame.extend(b"hello\0\0\0");
    assert_eq!(content[64..64 + 32], frame);
    let found = scan_bytes(&content);
    assert_eq!((found.header_whole, found.records, found.lost), (true, 1, 0));
    assert_eq!((found.next, found.end), (2, 96));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_the_scan_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..600),
        edits in proptest::collection::vec((0usize..1024, proptest::prelude::any::<u8>()), 0..20),
    ) {
        scan_bytes(&bytes);
        let fs = FaultyFs::new(1);
        let (journal, _) = open(&fs, config(1024));
        fill(&journal, 6);
        let mut segment = fs.content(&segments(&fs)[0]).unwrap();
        for (at, value) in edits {
            segment[at] = value;
        }
        let found = scan_bytes(&segment);
        proptest::prop_assert!(found.end <= segment.len());
        proptest::prop_assert!(found.records <= 6);
    }
}
