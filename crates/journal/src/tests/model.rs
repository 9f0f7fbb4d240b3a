//! The journal against a vector, under random actions.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Append(u8),
    Wait,
    Reopen,
    Kill,
    PowerCycle,
    Cut(u64),
    Read(u64),
    Follow,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (1u8..30).prop_map(Action::Append),
        4 => Just(Action::Wait),
        1 => Just(Action::Reopen),
        1 => Just(Action::Kill),
        1 => Just(Action::PowerCycle),
        2 => (0u64..100).prop_map(Action::Cut),
        2 => (0u64..110).prop_map(Action::Read),
        3 => Just(Action::Follow),
    ]
}

/// The twin: the kind of each position from 1 on, or `None` where it was lost.
struct Twin {
    records: Vec<Option<u8>>,
    durable: u64,
    cut: u64,
    life: u8,
}

impl Twin {
    /// Takes over what a stop without a close left, which may be less than was appended but not less
    /// than was durable.
    fn after_stop(&mut self, journal: &Journal, recovery: &Recovery) {
        assert!(recovery.next > self.durable && recovery.next <= self.records.len() as u64 + 1);
        self.records.truncate(recovery.next as usize - 1);
        for damage in &recovery.damage {
            assert!(damage.from > self.durable && !damage.synced);
            for position in damage.from..damage.to {
                self.records[position as usize - 1] = None;
            }
        }
        self.durable = self.records.len() as u64;
        assert_eq!(journal.durable(), self.durable);
    }

    fn check(&self, journal: &Journal, from: u64) {
        assert!(journal.first() <= self.cut.max(1));
        // More may become durable while it is read.
        let durable = journal.durable();
        let from = from.clamp(1, durable + 1);
        let (mut records, gaps) = read_checked(journal, from);
        records.split_off(&(durable + 1));
        let start = from.max(journal.first());
        let wanted = (start..=durable)
            .filter_map(|position| Some((position, self.records[position as usize - 1]?)));
        assert_eq!(records, wanted.collect());
        for (from, to, cause) in gaps {
            match cause {
                GapCause::Cut => assert_eq!(to, journal.first()),
                GapCause::Damaged => {
                    assert!((from..to).all(|at| self.records[at as usize - 1].is_none()));
                }
            }
        }
    }
}

fn play(seed: u64, actions: Vec<Action>) {
    let fs = FaultyFs::new(seed);
    fs.short_writes(seed.is_multiple_of(2));
    let config = config(1024 + 512 * (seed % 3));
    let mut journal = open(&fs, config.clone()).0;
    let mut twin = Twin { records: Vec::new(), durable: 0, cut: 0, life: 0 };
    let mut follower = journal.reader(1);
    for action in actions {
        match action {
            Action::Append(n) => {
                for _ in 0..n {
                    append(&journal, twin.life).unwrap();
                    twin.records.push(Some(twin.life));
                }
            }
            Action::Wait => {
                journal.wait_durable(twin.records.len() as u64).unwrap();
                twin.durable = journal.durable();
            }
            Action::Cut(percent) => {
                let at = twin.records.len() as u64 * percent / 100;
                twin.cut = twin.cut.max(at);
                journal.cut_below(at).unwrap();
            }
            Action::Read(percent) => twin.check(&journal, twin.durable * percent / 100),
            Action::Follow => {
                let from = follower.position();
                for item in drain(&mut follower) {
                    if let Item::Record(record) = item {
                        assert_eq!(twin.records[record.position as usize - 1], Some(record.kind));
                        assert_eq!(record.payload, payload(record.position, record.kind));
                    }
                }
                assert!(follower.position() >= from);
            }
            Action::Reopen | Action::Kill | Action::PowerCycle => {
                if matches!(action, Action::Reopen) {
                    journal.close().unwrap();
                    twin.durable = twin.records.len() as u64;
                } else {
                    twin.durable = journal.durable();
                    fs.crash_at(0);
                }
                drop(journal);
                match action {
                    Action::Kill => fs.restart_process(),
                    Action::PowerCycle => fs.power_cycle(),
                    _ => {}
                }
                let (next, recovery) = open(&fs, config.clone());
                assert!(recovery.clean || !matches!(action, Action::Reopen));
                journal = next;
                twin.after_stop(&journal, &recovery);
                twin.life += 1;
                follower = journal.reader(follower.position().min(twin.durable + 1));
            }
        }
    }
    journal.wait_durable(twin.records.len() as u64).unwrap();
    twin.check(&journal, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_journal_behaves_like_a_vector(
        seed in any::<u64>(),
        actions in proptest::collection::vec(action(), 1..40),
    ) {
        play(seed, actions);
    }
}
