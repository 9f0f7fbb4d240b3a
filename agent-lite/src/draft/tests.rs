//! Drafts over the ends of processes, at every byte.

use super::*;

fn part<'a>(number: u64, samples: u64, symbols: &'a [u8], series: &'a [u8]) -> Part<'a> {
    let summary = Summary { samples, ..Summary::default() };
    Part { number, owner: None, symbols, series, summary }
}

/// What a start after a kill finds: requests and their samples.
fn found(storage: &Path, next: u64) -> Vec<(Vec<u8>, u64)> {
    let (_, found) = Drafts::open(storage, next);
    found.into_iter().map(|one| (one.plain, one.summary.samples)).collect()
}

#[test]
fn a_kill_leaves_what_the_scrapes_before_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let (mut drafts, none) = Drafts::open(folder.path(), 1);
    assert!(none.is_empty());
    drafts.keep(&part(7, 2, b"ab", b"1234"), 0);
    drafts.keep(&part(7, 3, b"c", b"56"), 0);
    drafts.keep(&Part { owner: Some(9), ..part(8, 1, b"x", b"y") }, 0);
    assert_eq!(found(folder.path(), 1), [(b"abc123456".to_vec(), 3), (b"xy".to_vec(), 1)]);
    let (mut drafts, all) = Drafts::open(folder.path(), 1);
    assert_eq!([all[0].owner, all[1].owner], [None, Some(9)]);
    assert_eq!(all[0].summary.plain_bytes, 9);
    drafts.forget();
    assert!(found(folder.path(), 1).is_empty());
}

#[test]
fn what_has_become_a_frame_is_not_found_unless_that_was_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (mut drafts, _) = Drafts::open(folder.path(), 1);
    drafts.keep(&part(7, 2, b"ab", b"1234"), 0);
    drafts.end(7, Some(5));
    assert!(found(folder.path(), 6).is_empty());
    assert_eq!(found(folder.path(), 5), [(b"ab1234".to_vec(), 2)]);
    // Its file is another's once the frame is on disk, and not before.
    drafts.keep(&part(8, 1, b"", b"z"), 4);
    assert_eq!(found(folder.path(), 5).len(), 2);
    drafts.end(8, Some(6));
    drafts.keep(&part(9, 1, b"", b"w"), 6);
    assert_eq!(drafts.slots.len(), 2);
    assert_eq!(found(folder.path(), 7), [(b"w".to_vec(), 1)]);
    // One that the buffer had no room for is not found either: it was counted as lost.
    drafts.end(9, None);
    assert!(found(folder.path(), 7).is_empty());
}

#[test]
fn a_file_that_ends_anywhere_has_whole_scrapes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut drafts, _) = Drafts::open(folder.path(), 1);
    drafts.keep(&part(3, 9, b"old", b"an older and longer request"), 0);
    drafts.end(3, Some(1));
    drafts.keep(&part(4, 1, b"s", b"first"), 1);
    let one = drafts.slots[0].at as usize;
    drafts.keep(&part(4, 2, b"t", b"second"), 1);
    let file = folder.path().join("draft/0");
    let whole = std::fs::read(&file).unwrap();
    let two = drafts.slots[0].at as usize;
    for end in 0..=whole.len() {
        // Cut off there, and with other bytes from there on.
        let mut spoilt = whole.clone();
        spoilt[end..].iter_mut().for_each(|byte| *byte ^= 0x55);
        for bytes in [&whole[..end], &spoilt] {
            std::fs::write(&file, bytes).unwrap();
            let expected: &[(Vec<u8>, u64)] = match end {
                _ if end < one => &[],
                _ if end < two => &[(b"sfirst".to_vec(), 1)],
                _ => &[(b"stfirstsecond".to_vec(), 2)],
            };
            assert_eq!(found(folder.path(), 2), expected, "{end} of {}", whole.len());
        }
    }
}

#[test]
fn a_disk_that_takes_nothing_is_counted_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (mut drafts, _) = Drafts::open(folder.path(), 1);
    drafts.keep(&part(7, 1, b"", b"kept"), 0);
    // A file that may only be read.
    drafts.slots[0].file = File::open(folder.path().join("draft/0")).unwrap();
    drafts.keep(&part(7, 2, b"", b"lost"), 0);
    drafts.keep(&part(7, 3, b"", b"useless"), 0);
    assert_eq!(drafts.failures(), 2);
    assert_eq!(found(folder.path(), 1), [(b"kept".to_vec(), 1)]);
}
