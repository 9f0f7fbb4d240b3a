//! Other nodes whose partials come here: how far each has come, and who is waited for.
//!
//! An origin numbers what it sends, within an epoch that is its data directory's. Invariant: within an
//! epoch the place only grows, so a repeat is known; a mark goes back only where it is doubted.

use weir_model::Timestamp;
use weir_model::mutation::{self, Mutation};

use super::Epochs;

/// What is known of another node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// The epoch of what it sends; 0 before the first.
    pub epoch: u64,
    /// The last place of its stream that was taken.
    pub place: u64,
    /// It has sent all that it has of windows that end by then.
    pub mark: Timestamp,
    /// Windows up to here do not wait for it any more.
    pub waived: Timestamp,
    /// Its mark when it began another epoch: what it tells again of windows up to here is known.
    pub told: Timestamp,
    /// What it knew of moves when it chose whom to tell, as of its mark.
    pub knows: Epochs,
    /// What it must know before a mark of it counts.
    pub owes: Epochs,
    /// Whether it belongs to the tier as it is now.
    pub is_member: bool,
}

impl Origin {
    /// Whether it has begun another epoch, and told nothing new in it yet.
    pub fn begins_anew(&self) -> bool {
        self.told > NEVER && self.mark <= self.told
    }
}

/// A mark before the first.
const NEVER: Timestamp = Timestamp::MIN / 2;

/// All of them, numbered as they were met.
#[derive(Clone, Default, Debug)]
pub struct Origins(Vec<Origin>);

impl Origins {
    /// The number of an origin, new if need be.
    pub fn meet(&mut self, name: &str) -> u32 {
        if let Some(at) = self.0.iter().position(|origin| origin.name == name) {
            return at as u32;
        }
        let (mark, waived, told) = (NEVER, NEVER, NEVER);
        let name = name.to_owned();
        let (epoch, place, is_member) = (0, 0, false);
        let (knows, owes) = (Epochs::default(), Epochs::default());
        self.0.push(Origin { name, epoch, place, mark, waived, told, knows, owes, is_member });
        self.0.len() as u32 - 1
    }

    /// By number.
    pub fn get(&self, number: u32) -> Option<&Origin> {
        self.0.get(number as usize)
    }

    /// All, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Origin> {
        self.0.iter()
    }

    /// Whether this place of an origin's stream has been taken.
    pub fn has(&self, name: &str, epoch: u64, place: u64) -> bool {
        let mut known = self.0.iter().filter(|origin| origin.name == name);
        known.any(|origin| origin.epoch == epoch && origin.place >= place)
            && !mutation::is(Mutation::PlaceForgotten)
    }

    /// Notes that an origin's stream was taken up to a place, with all windows that end by `mark`.
    pub fn advance(&mut self, number: u32, (epoch, place): (u64, u64), mark: Timestamp) {
        if let Some(origin) = self.0.get_mut(number as usize) {
            (origin.epoch, origin.place) = (epoch, place);
            if origin.knows.cover(&origin.owes) {
                origin.mark = origin.mark.max(mark);
            }
        }
    }

    /// An origin tells of this epoch from here on. Whether it told of another before.
    pub(super) fn begin(&mut self, number: u32, epoch: u64) -> bool {
        let Some(origin) = self.0.get_mut(number as usize).filter(|o| o.epoch != epoch) else {
            return false;
        };
        let is_another = origin.epoch != 0;
        if is_another {
            origin.told = origin.mark;
        }
        (origin.epoch, origin.place) = (epoch, 0);
        is_another
    }

    /// Notes what an origin knows of moves from here on.
    pub fn chose_by(&mut self, number: u32, knows: Epochs) {
        if let Some(origin) = self.0.get_mut(number as usize) {
            origin.knows = knows;
        }
    }

    /// An origin has given groups away, and passes on what others still send it of them. Its marks from
    /// before say nothing of that: past `from` only those count that it gives knowing of the move.
    pub fn doubt(&mut self, number: u32, from: Timestamp, owes: &Epochs) {
        if let Some(origin) = self.0.get_mut(number as usize) {
            origin.owes = origin.owes.with(owes);
            // It may know by now, but its highest mark may be one of before.
            origin.mark = origin.mark.min(from);
        }
    }

    /// Members that do not know of a move that this node knows of may send what now lives elsewhere: how
    /// far all of those have come.
    pub fn relayed_through(&self, known: &Epochs) -> Timestamp {
        let late = self.0.iter().filter(|origin| origin.is_member && !origin.knows.cover(known));
        late.map(|origin| origin.mark.max(origin.waived)).min().unwrap_or(Timestamp::MAX)
    }

    /// Windows up to `through` do not wait for this one.
    pub fn waive(&mut self, name: &str, through: Timestamp) {
        let number = self.meet(name);
        if let Some(origin) = self.0.get_mut(number as usize) {
            origin.waived = origin.waived.max(through);
        }
    }

    /// Says who belongs to the tier, this node left out. One that is new is not waited for before
    /// `from`.
    pub fn set_members<'a>(&mut self, names: impl Iterator<Item = &'a str>, from: Timestamp) {
        self.0.iter_mut().for_each(|origin| origin.is_member = false);
        for name in names {
            let number = self.meet(name);
            if let Some(origin) = self.0.get_mut(number as usize) {
                origin.is_member = true;
                origin.waived = origin.waived.max(from);
            }
        }
    }

    /// All members have sent what they have of windows that end by then, or are not waited for.
    pub fn complete(&self) -> Timestamp {
        let members = self.0.iter().filter(|origin| origin.is_member);
        let waits = !mutation::is(Mutation::MarkNotAwaited);
        let marks = members.map(|origin| origin.mark.max(origin.waived));
        marks.min().filter(|_| waits).unwrap_or(Timestamp::MAX)
    }

    /// Numbers of those that have not sent all that they have of a window that ends then.
    pub(super) fn behind(&self, end: Timestamp) -> Vec<u32> {
        let numbered = (0..).zip(&self.0);
        numbered.filter(|(_, origin)| origin.mark < end).map(|(number, _)| number).collect()
    }

    /// How many members' parts of a window that ends then are in, and how many members there are.
    pub fn completeness(&self, end: Timestamp) -> (usize, usize) {
        let members = self.0.iter().filter(|origin| origin.is_member);
        let (mut there, mut all) = (0, 0);
        for origin in members {
            all += 1;
            let is_there = origin.mark >= end || mutation::is(Mutation::WaivedInSilence);
            there += usize::from(is_there);
        }
        (there, all)
    }

    pub(crate) fn restore(&mut self, origins: Vec<Origin>) {
        self.0 = origins;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_wait_for_every_member_but_those_that_are_waived() {
        let mut origins = Origins::default();
        assert_eq!(origins.complete(), Timestamp::MAX, "alone");
        origins.set_members(["a", "b"].into_iter(), 0);
        let (a, b) = (origins.meet("a"), origins.meet("b"));
        origins.advance(a, (7, 1), 20_000);
        assert_eq!(origins.complete(), 0);
        origins.advance(b, (9, 1), 10_000);
        assert_eq!((origins.complete(), origins.completeness(20_000)), (10_000, (1, 2)));
        origins.waive("b", 30_000);
        assert_eq!(origins.complete(), 20_000);
        origins.set_members(["b"].into_iter(), 0);
        assert_eq!(origins.complete(), 30_000, "a has left");
    }

    /// A taker closed a window by a mark that the giver had given before the move, while parts of a third
    /// member were on their way over the giver.
    #[test]
    fn a_giver_s_mark_counts_once_it_knows_of_the_move() {
        let mut origins = Origins::default();
        origins.set_members(["a"].into_iter(), 0);
        let a = origins.meet("a");
        let (before, after) = (Epochs::from(&[1, 1][..]), Epochs::from(&[1, 2][..]));
        origins.chose_by(a, before.clone());
        origins.advance(a, (7, 1), 20_000);
        assert_eq!(origins.relayed_through(&after), 20_000);
        assert_eq!(origins.relayed_through(&before), Timestamp::MAX);
        origins.doubt(a, 10_000, &after);
        assert_eq!(origins.complete(), 10_000);
        origins.advance(a, (7, 2), 30_000);
        assert_eq!(origins.complete(), 10_000, "on its way since before");
        origins.chose_by(a, after);
        origins.advance(a, (7, 4), 25_000);
        assert_eq!(origins.complete(), 25_000);
    }

    #[test]
    fn a_repeat_is_known_and_another_epoch_is_none() {
        let mut origins = Origins::default();
        let a = origins.meet("a");
        origins.advance(a, (7, 5), 10);
        assert!(origins.has("a", 7, 5) && origins.has("a", 7, 4));
        assert!(!origins.has("a", 7, 6) && !origins.has("a", 8, 1) && !origins.has("b", 7, 1));
    }
}
