//! Which fault comes next, by a seed.
//!
//! Half of them are kills. Faults of either kind are dealt like cards: none comes again before all have
//! come, and tiers side by side are dealt from one deck. Invariant: of so many kills, and so many others, as
//! there are cards, all have happened somewhere.

use std::collections::BTreeSet;

use super::dice::Dice;
use super::faults::{Fault, Victims};

/// One tier's share of the faults.
pub(super) struct Deck {
    kills: Pile,
    others: Option<Pile>,
    dice: Dice,
    /// What the second one of two is: the other half.
    owed: Option<bool>,
}

impl Deck {
    /// For one of several tiers; `seed` is that of all of them.
    pub(super) fn new(
        victims: Victims,
        kills_only: bool,
        seed: u64,
        (number, tiers): (usize, usize),
    ) -> Self {
        let pile = |cards, salt| Pile::new(cards, Dice::new(seed ^ salt), (number, tiers));
        let others = (!kills_only).then(|| pile(victims.others(), 1 << 32));
        let kills = pile(victims.kills(), 1 << 33);
        let dice = Dice::new(seed.wrapping_add(number as u64) ^ (1 << 34));
        Self { kills, others, dice, owed: None }
    }

    /// The next one.
    pub(super) fn draw(&mut self) -> Fault {
        let is_kill = self.owed.take().unwrap_or_else(|| {
            let is_kill = self.dice.between(0, 1) == 0;
            self.owed = Some(!is_kill);
            is_kill
        });
        let pile = self.others.as_mut().filter(|_| !is_kill).unwrap_or(&mut self.kills);
        pile.draw().unwrap_or(Fault::Kill)
    }

    /// All that may come.
    pub(super) fn faults(&self) -> BTreeSet<Fault> {
        let others = self.others.iter().flat_map(|pile| &pile.cards);
        self.kills.cards.iter().chain(others).copied().collect()
    }
}

/// Cards, shuffled anew whenever all have been dealt.
struct Pile {
    cards: Vec<Fault>,
    left: Vec<Fault>,
    dice: Dice,
    /// Of how many who are dealt to in turn this is one.
    tiers: usize,
}

impl Pile {
    fn new(cards: Vec<Fault>, dice: Dice, (number, tiers): (usize, usize)) -> Self {
        let mut pile = Self { cards, left: Vec::new(), dice, tiers };
        for _ in 0..number {
            pile.turn();
        }
        pile
    }

    fn draw(&mut self) -> Option<Fault> {
        let card = self.turn();
        for _ in 1..self.tiers {
            self.turn();
        }
        card
    }

    fn turn(&mut self) -> Option<Fault> {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
            for at in (1..self.left.len()).rev() {
                self.left.swap(at, self.dice.between(0, at as u64) as usize);
            }
        }
        self.left.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ALL: Victims = Victims {
        disks: true,
        several: true,
        moves: true,
        senders: true,
        clocks: true,
        agents: true,
    };

    /// So many faults of each of so many tiers.
    fn dealt(tiers: usize, each: usize, kills_only: bool, seed: u64) -> Vec<Vec<Fault>> {
        let deal = |number| {
            let mut deck = Deck::new(ALL, kills_only, seed, (number, tiers));
            (0..each).map(|_| deck.draw()).collect()
        };
        (0..tiers).map(deal).collect()
    }

    #[test]
    fn half_are_kills_and_all_that_may_come_do() {
        let others = ALL.others().len();
        let all = Deck::new(ALL, false, 7, (0, 1)).faults();
        for tiers in [1, 2, 4] {
            // As many others as there are, dealt to all tiers together.
            let each = 2 * others.div_ceil(tiers);
            let dealt = dealt(tiers, each, false, 7);
            for faults in &dealt {
                assert_eq!(faults.iter().filter(|fault| fault.is_kill()).count() * 2, each);
            }
            let met: BTreeSet<Fault> = dealt.into_iter().flatten().collect();
            assert_eq!(met, all, "{tiers}");
        }
    }

    #[test]
    fn a_seed_repeats_itself_and_another_does_not() {
        assert_eq!(dealt(2, 40, false, 7), dealt(2, 40, false, 7));
        assert_ne!(dealt(2, 40, false, 7), dealt(2, 40, false, 8));
        let kills = dealt(1, 100, true, 7).concat();
        let mut counts = BTreeMap::new();
        kills.iter().for_each(|kill| *counts.entry(*kill).or_insert(0) += 1);
        assert!(kills.iter().all(|kill| kill.is_kill()) && counts.values().all(|n| *n >= 9));
    }
}
