//! A set of virtual shards: which of them are one member's.

use weir_model::{VSHARDS, VShard};

const WORDS: usize = VSHARDS as usize / 64;

/// A set of virtual shards.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OwnedSet([u64; WORDS]);

impl Default for OwnedSet {
    /// [`OwnedSet::NONE`].
    fn default() -> Self {
        Self::NONE
    }
}

impl OwnedSet {
    /// All of them: a node that stands alone.
    pub const ALL: Self = Self([u64::MAX; WORDS]);
    /// None of them.
    pub const NONE: Self = Self([0; WORDS]);

    /// Whether it is in the set.
    #[inline]
    pub fn contains(&self, vshard: VShard) -> bool {
        let at = usize::from(vshard.0 % VSHARDS);
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    /// Puts one in.
    pub fn insert(&mut self, vshard: VShard) {
        let at = usize::from(vshard.0 % VSHARDS);
        self.0[at / 64] |= 1 << (at % 64);
    }

    /// Takes one out.
    pub fn remove(&mut self, vshard: VShard) {
        let at = usize::from(vshard.0 % VSHARDS);
        self.0[at / 64] &= !(1 << (at % 64));
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many of these are not in the other set.
    pub fn len_without(&self, other: &Self) -> usize {
        let words = self.0.iter().zip(&other.0);
        words.map(|(word, other)| (word & !other).count_ones() as usize).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those in the set, ascending.
    pub fn iter(&self) -> impl Iterator<Item = VShard> {
        (0..VSHARDS).map(VShard).filter(|&vshard| self.contains(vshard))
    }

    /// The set as 512 bytes, the first virtual shard in the lowest bit of the first byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads what [`OwnedSet::to_bytes`] gave; `None` for another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let words: [[u8; 8]; WORDS] = words.try_into().ok()?;
        Some(Self(words.map(u64::from_le_bytes)))
    }
}

impl std::str::FromStr for OwnedSet {
    type Err = SetError;

    /// As people write it: `0-31,77`.
    fn from_str(text: &str) -> Result<Self, SetError> {
        let mut set = Self::NONE;
        for part in text.split(',').map(str::trim) {
            let wrong = || SetError(part.to_owned());
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u16 = first.trim().parse().map_err(|_| wrong())?;
            let last: u16 = last.trim().parse().map_err(|_| wrong())?;
            if first > last || last >= VSHARDS {
                return Err(wrong());
            }
            (first..=last).for_each(|vshard| set.insert(VShard(vshard)));
        }
        Ok(set)
    }
}

impl std::fmt::Display for OwnedSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<u16> = self.iter().map(|vshard| vshard.0).collect();
        for (at, run) in all.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match run {
                [one] => write!(f, "{comma}{one}")?,
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

/// A text that is no set of virtual shards.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{0:?} is no virtual shard nor a range of them; they are written as 0-31,77 and go up to 4095"
)]
pub struct SetError(String);

impl FromIterator<VShard> for OwnedSet {
    fn from_iter<I: IntoIterator<Item = VShard>>(vshards: I) -> Self {
        let mut set = Self::NONE;
        vshards.into_iter().for_each(|vshard| set.insert(vshard));
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_in_is_in_and_comes_back_from_bytes() {
        let mut set: OwnedSet = [0, 7, 63, 64, 4095].map(VShard).into_iter().collect();
        assert_eq!(set.iter().map(|v| v.0).collect::<Vec<_>>(), [0, 7, 63, 64, 4095]);
        assert_eq!(OwnedSet::from_bytes(&set.to_bytes()), Some(set.clone()));
        assert_eq!(set.to_bytes()[..2], [0x81, 0]);
        set.remove(VShard(63));
        assert!(!set.contains(VShard(63)) && set.len() == 4);
        let other: OwnedSet = [7, 8, 4095].map(VShard).into_iter().collect();
        assert_eq!((set.len_without(&other), other.len_without(&set)), (2, 1));
        assert_eq!(OwnedSet::ALL.len(), usize::from(VSHARDS));
        assert_eq!(OwnedSet::from_bytes(&[0; 511]), None);
    }

    #[test]
    fn sets_are_read_as_people_write_them() {
        let set: OwnedSet = "0-3, 77,4095".parse().unwrap();
        assert_eq!(set.iter().map(|v| v.0).collect::<Vec<_>>(), [0, 1, 2, 3, 77, 4095]);
        assert_eq!(set.to_string(), "0-3,77,4095");
        for wrong in ["", "4096", "7-3", "a", "1-"] {
            assert!(wrong.parse::<OwnedSet>().is_err(), "{wrong}");
        }
    }
}
