//! Syncs that fail, disks and quotas that are full.

use std::sync::atomic::Ordering;

use super::*;

#[test]
fn a_failed_sync_poisons_and_nothing_after_it_is_durable() {
    let fs = FaultyFs::new(1);
    let failures = Arc::new(std::sync::Mutex::new(0));
    let count = Arc::clone(&failures);
    let on_durable = move |event: Result<u64, Poisoned>| {
        *count.lock().unwrap() += u32::from(event.is_err());
    };
    let with_callback = Config { on_durable: Some(Arc::new(on_durable)), ..config(4096) };
    let (journal, _) = open(&fs, with_callback);
    fill(&journal, 5);
    // The helper has made its files, so the next sync is the writer's.
    until(|| (journal.disk_bytes() == 3 * 4096).then_some(()));
    let held = journal.reserve(10, Importance::Ordinary).unwrap();
    fs.fail_sync_at(fs.operations());
    let position = append(&journal, 0).unwrap();
    let poisoned = journal.wait_durable(position).unwrap_err();
    assert!(poisoned.to_string().contains("cannot sync"), "{poisoned}");
    assert_eq!(journal.durable(), 5);
    assert_eq!(journal.poisoned(), Some(poisoned.clone()));
    let refused = journal.reserve(1, Importance::Essential).unwrap_err();
    assert_eq!(refused, ReserveError::Poisoned(poisoned.clone()));
    let refused = journal.append(held, 0, vec![Bytes::from_static(b"x")]).unwrap_err();
    assert_eq!(refused, crate::AppendError::Poisoned(poisoned.clone()));
    // What is durable can still be read, and no more.
    assert_eq!(read_checked(&journal, 1).0.len(), 5);
    assert_eq!(journal.close(), Err(poisoned));
    assert_eq!(*failures.lock().unwrap(), 1);
    drop(journal);

    // The pages are clean but not on disk: another sync of that file would lie. The next start sees the
    // record in memory, and puts it on disk before anyone may rely on it.
    fs.restart_process();
    let (journal, recovery) = open(&fs, config(4096));
    assert!(!recovery.clean);
    assert_eq!(recovery.last(), Some(position));
    fs.crash_at(0);
    drop(journal);
    fs.power_cycle();
    let (journal, recovery) = open(&fs, config(4096));
    assert_eq!((recovery.last(), recovery.lost()), (Some(position), 0));
    assert_eq!(read_checked(&journal, 1).0.len() as u64, position);
}

#[test]
fn a_full_disk_refuses_ordinary_records_first_and_recovers_unaided() {
    let fs = FaultyFs::new(2);
    let reserve = 900;
    let config = Config { reserve_bytes: reserve, ..config(1024) };
    let (journal, _) = open(&fs, config);
    let bytes = 100;
    let put = |importance| -> Result<u64, ReserveError> {
        let room = journal.reserve(bytes, importance)?;
        let position = journal.append(room, 0, vec![Bytes::from(vec![1; 100])]).unwrap();
        journal.wait_durable(position).unwrap();
        Ok(position)
    };
    until(|| (journal.disk_bytes() == 4 * 1024).then_some(()));
    // Others fill the disk.
    fs.set_capacity(fs.used_bytes());
    let refused = until(|| put(Importance::Ordinary).err());
    assert_eq!(refused, ReserveError::Disk);
    until(|| journal.stats().disk_full.load(Ordering::Relaxed).then_some(()));
    assert_eq!(journal.disk_free_bytes().unwrap(), 0);
    // What is left takes the reserve at least: frames of 24 + 100, padded to 128.
    let mut essential = 0;
    let refused = loop {
        match put(Importance::Essential) {
            Ok(_) => essential += 128,
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, ReserveError::Disk);
    assert!(essential >= reserve, "{essential}");
    assert!(journal.poisoned().is_none());
    let last = journal.durable();
    // Space comes back, and nobody tells the journal.
    fs.set_capacity(u64::MAX);
    let next = until(|| put(Importance::Ordinary).ok());
    assert_eq!(next, last + 1);
    until(|| (!journal.stats().disk_full.load(Ordering::Relaxed)).then_some(()));
    assert_eq!(drain(&mut journal.reader(1)).len() as u64, next);
}

#[test]
fn a_quota_holds_and_cutting_makes_room() {
    let fs = FaultyFs::new(3);
    let quota = 6 * 1024;
    let config = Config { quota_bytes: Some(quota), reserve_bytes: 500, ..config(1024) };
    let (journal, _) = open(&fs, config.clone());
    let mut appended = 0;
    for round in 0..6 {
        let mut full = |importance, refused_with: ReserveError| {
            let started = Instant::now();
            loop {
                match journal.reserve(150, importance) {
                    Ok(room) => {
                        appended =
                            journal.append(room, 0, vec![Bytes::from(vec![2; 150])]).unwrap();
                        journal.wait_durable(appended).unwrap();
                    }
                    Err(refused) if refused == refused_with => return,
                    // The helper has not made the next file yet.
                    Err(ReserveError::Disk) => std::thread::yield_now(),
                    Err(other) => panic!("{other}"),
                }
                assert!(fs.used_bytes() <= quota);
                assert!(started.elapsed() < Duration::from_secs(20));
            }
        };
        full(Importance::Ordinary, ReserveError::Quota);
        if round % 2 == 0 {
            full(Importance::Essential, ReserveError::Quota);
        }
        assert!(journal.disk_bytes() <= quota);
        journal.cut_below(appended).unwrap();
    }
    // Six rounds of several segments each in a quota of six segments.
    assert!(appended * 176 > 3 * quota, "{appended}");
    assert!(journal.stats().refused.load(Ordering::Relaxed) >= 9);
    drop(journal);
    let (journal, recovery) = open(&fs, config);
    assert_eq!(recovery.last(), Some(appended));
    assert!(journal.disk_bytes() <= quota);
}

#[test]
fn room_that_was_granted_holds_whatever_the_sizes_and_the_order() {
    // A segment takes frames of 936 bytes in all: sizes that fill it, and that waste almost half of it.
    for sizes in
        [vec![500], vec![900], vec![300], vec![8], vec![900, 16, 500, 480, 8, 700, 300, 40]]
    {
        let fs = FaultyFs::new(4);
        let config = Config { quota_bytes: Some(8 * 1024), spare_segments: 7, ..config(1024) };
        let (journal, _) = open(&fs, config);
        until(|| (journal.disk_bytes() == 8 * 1024).then_some(()));
        // The disk has not a byte more than what is allocated.
        fs.set_capacity(fs.used_bytes());
        let mut rounds = 0;
        loop {
            let ask = |&size: &u64| journal.reserve(size, Importance::Ordinary).ok();
            let mut granted: Vec<_> = sizes.iter().cycle().map_while(ask).collect();
            if granted.is_empty() {
                break;
            }
            rounds += 1;
            let turn = rounds % granted.len();
            granted.rotate_left(turn);
            for room in granted {
                let bytes = Bytes::from(vec![3; room.payload_bytes() as usize]);
                journal.append(room, 0, vec![bytes]).unwrap();
            }
            let last = journal.next_position() - 1;
            assert_eq!(journal.wait_durable(last), Ok(()), "sizes {sizes:?}");
        }
        assert!(rounds > 0 && journal.poisoned().is_none());
    }
}

#[test]
fn recovery_on_a_full_disk_does_without_what_needs_room() {
    for spares in [true, false] {
        let fs = FaultyFs::new(5);
        let (journal, _) = open(&fs, config(1024));
        fill(&journal, 12);
        until(|| (journal.disk_bytes() == 1024 * (segments(&fs).len() as u64 + 2)).then_some(()));
        fs.crash_at(0);
        drop(journal);
        fs.restart_process();
        if !spares {
            let is_spare = |path: &PathBuf| path.to_str().unwrap().contains("spare");
            for path in fs.paths().into_iter().filter(is_spare) {
                crate::fs::Fs::remove(&fs, &path).unwrap();
            }
        }
        let path = segments(&fs)[0].clone();
        assert!(fs.flip(&path, 64 + 25, 1));
        fs.set_capacity(fs.used_bytes());
        for start in 0..2 {
            let (journal, recovery) = open(&fs, config(1024));
            // Without room the damage cannot be repaired, so it is found again.
            let lost = if spares && start > 0 { 0 } else { 1 };
            assert_eq!((recovery.lost(), recovery.last()), (lost, Some(12)));
            assert!(recovery.damage.iter().all(|damage| damage.quarantine.is_none()));
            assert_eq!(read_checked(&journal, 1).1, [(1, 2, GapCause::Damaged)]);
            fs.crash_at(0);
            drop(journal);
            fs.power_cycle();
        }
    }
}

#[test]
fn after_a_failed_sync_on_a_full_disk_the_survivors_are_synced_in_place() {
    for seed in 0..12 {
        let fs = FaultyFs::new(seed);
        let (journal, _) = open(&fs, config(1024));
        until(|| (journal.disk_bytes() == 3 * 1024).then_some(()));
        fs.fail_sync_at(fs.operations());
        let position = append(&journal, 0).unwrap();
        journal.wait_durable(position).unwrap_err();
        drop(journal);
        fs.restart_process();
        for path in fs.paths().into_iter().filter(|path| path.to_str().unwrap().contains("spare")) {
            crate::fs::Fs::remove(&fs, &path).unwrap();
        }
        fs.set_capacity(fs.used_bytes());
        let (journal, recovery) = open(&fs, config(1024));
        assert_eq!(recovery.last(), Some(position));
        fs.crash_at(0);
        drop(journal);
        fs.power_cycle();
        let (journal, recovery) = open(&fs, config(1024));
        assert_eq!(recovery.last(), Some(position));
        assert_eq!(read_checked(&journal, 1).0.len(), 1);
    }
}
