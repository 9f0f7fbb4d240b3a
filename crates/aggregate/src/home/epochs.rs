//! How often each virtual shard has changed hands, as far as a node knows.
//!
//! Two nodes may each know of a move that the other does not, so what they know has no order by any one
//! number: it is compared virtual shard by virtual shard.

use std::sync::Arc;

use weir_model::VShard;

use crate::codec::{Reader, Unreadable, Writer};

/// By virtual shard; what is past the end is 0. The default knows of nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Epochs(Arc<[u32]>);

impl From<&[u32]> for Epochs {
    fn from(epochs: &[u32]) -> Self {
        Self(epochs.into())
    }
}

impl Epochs {
    /// Whether who knows this knows of every move that `other` knows of.
    pub fn cover(&self, other: &Self) -> bool {
        let mine = |at: usize| self.0.get(at).copied().unwrap_or(0);
        other.0.iter().enumerate().all(|(at, &epoch)| mine(at) >= epoch)
    }

    /// Only those of virtual shards that are named.
    #[must_use]
    pub fn of(&self, is_named: impl Fn(VShard) -> bool) -> Self {
        let each = self.0.iter().zip(0..);
        Self(each.map(|(&epoch, at)| if is_named(VShard(at)) { epoch } else { 0 }).collect())
    }

    /// What who knows both knows.
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let at = |epochs: &Self, at: usize| epochs.0.get(at).copied().unwrap_or(0);
        let all = 0..self.0.len().max(other.0.len());
        Self(all.map(|vshard| at(self, vshard).max(at(other, vshard))).collect())
    }

    /// Appends them, in runs of equal ones.
    pub fn write(&self, out: &mut Writer) {
        let runs: Vec<&[u32]> = self.0.chunk_by(|a, b| a == b).collect();
        out.number(runs.len() as u64);
        for run in runs {
            out.number(run.len() as u64);
            out.number(u64::from(run[0]));
        }
    }

    /// Reads what [`Epochs::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let mut epochs = Vec::new();
        for _ in 0..from.count()? {
            let (len, epoch) = (usize::from(from.small::<u16>()?), from.small()?);
            if len == 0 || epochs.len() + len > usize::from(weir_model::VSHARDS) {
                return Err(Unreadable);
            }
            epochs.resize(epochs.len() + len, epoch);
        }
        Ok(Self(epochs.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two givers moved a virtual shard each, so both had made as many moves, and neither knew of the
    /// other's. By the sum of the epochs each took the other for one that knows.
    #[test]
    fn who_knows_of_as_many_moves_need_not_know_of_the_same() {
        let of = |epochs: &[u32]| Epochs::from(epochs);
        let (first, one, other) = (of(&[1, 1, 1]), of(&[2, 1, 1]), of(&[1, 1, 2]));
        assert!(one.cover(&first) && other.cover(&first) && one.cover(&one));
        assert!(!one.cover(&other) && !other.cover(&one) && !first.cover(&one));
        assert_eq!(one.with(&other), of(&[2, 1, 2]));
        assert!(other.cover(&one.of(|vshard| vshard.0 > 0)));
        assert!(first.cover(&Epochs::default()) && !Epochs::default().cover(&first));
    }

    #[test]
    fn they_come_back_and_no_more_than_there_are() {
        let bytes = |epochs: &Epochs| {
            let mut out = Writer::default();
            epochs.write(&mut out);
            out.bytes
        };
        let epochs = Epochs::from(&[1, 1, 7, 7, 7, 2][..]);
        assert_eq!(Epochs::read(&mut Reader::new(&bytes(&epochs))), Ok(epochs));
        let all = Epochs::from(&[1; weir_model::VSHARDS as usize][..]);
        assert!(bytes(&all).len() < 8);
        assert_eq!(Epochs::read(&mut Reader::new(&bytes(&all))), Ok(all));
        let mut out = Writer::default();
        [1, u64::from(weir_model::VSHARDS) + 1, 1].into_iter().for_each(|n| out.number(n));
        assert_eq!(Epochs::read(&mut Reader::new(&out.bytes)), Err(Unreadable));
    }
}
