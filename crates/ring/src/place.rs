//! Filling a table: capacity-weighted rendezvous hashing with a bound on imbalance.
//!
//! A member of capacity c draws c numbers for each virtual shard and counts with the largest, so the
//! chance to win is proportional to capacity without a logarithm that platforms round differently.
//! Virtual shards and members then choose each other from the highest number down, a member taking no
//! more than its share and 10 % on top: whoever joins or leaves moves its own share and what the bound
//! pushes on. Source of the method: Thaler and Ravishankar, "Using name-based mappings to increase hit
//! rates" (1998); the bound after Mirrokni, Thorup and Zadimoghaddam (2016).

use weir_model::{VSHARDS, VShard, varint};
use xxhash_rust::xxh3::xxh3_64;

use crate::table::Member;

/// What a member draws for a virtual shard: the largest XXH3-64 over 0x10, the length-prefixed name,
/// the virtual shard and the number of the draw, both big-endian in two bytes. Frozen: `docs/WIRE.md`.
pub fn score(member: &Member, vshard: VShard) -> u64 {
    let mut bytes = vec![0x10];
    varint::write(member.name.len() as u64, &mut bytes);
    bytes.extend_from_slice(member.name.as_bytes());
    bytes.extend_from_slice(&vshard.0.to_be_bytes());
    let head = bytes.len();
    let draw = |number: u16| {
        bytes.truncate(head);
        bytes.extend_from_slice(&number.to_be_bytes());
        xxh3_64(&bytes)
    };
    (0..member.capacity).map(draw).max().unwrap_or(0)
}

/// The place of each virtual shard's owner in `members`. Those without capacity get none; where no
/// member has any, all belong to the first.
pub fn place(members: &[Member]) -> Vec<u16> {
    let mut owners = vec![0; usize::from(VSHARDS)];
    let capacity: u64 = members.iter().map(|member| u64::from(member.capacity)).sum();
    if capacity == 0 {
        return owners;
    }
    let mut left: Vec<u64> = members.iter().map(|m| bound(m.capacity, capacity)).collect();
    let mut draws = Vec::with_capacity(members.len() * usize::from(VSHARDS));
    for (at, member) in members.iter().enumerate().filter(|(_, m)| m.capacity > 0) {
        let of = |v: u16| (score(member, VShard(v)), v, at as u16);
        draws.extend((0..VSHARDS).map(of));
    }
    draws.sort_unstable_by(|a, b| b.cmp(a));
    let mut is_placed = vec![false; usize::from(VSHARDS)];
    for (_, vshard, member) in draws {
        let (at, room) = (usize::from(vshard), &mut left[usize::from(member)]);
        if !is_placed[at] && *room > 0 {
            (owners[at], is_placed[at]) = (member, true);
            *room -= 1;
        }
    }
    owners
}

/// Most virtual shards of a member: its share, 10 % on top, rounded up.
fn bound(capacity: u16, all: u64) -> u64 {
    (u64::from(VSHARDS) * u64::from(capacity) * 110).div_ceil(all * 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(capacities: &[u16]) -> Vec<Member> {
        let member = |(at, &capacity): (usize, &u16)| Member {
            name: format!("gw-{at}"),
            address: format!("10.0.0.{at}:9202"),
            push: String::new(),
            capacity,
        };
        capacities.iter().enumerate().map(member).collect()
    }

    fn counts(owners: &[u16], members: usize) -> Vec<usize> {
        (0..members as u16).map(|m| owners.iter().filter(|&&o| o == m).count()).collect()
    }

    #[test]
    fn shares_follow_capacity_within_the_bound() {
        for capacities in [&[1, 1, 1][..], &[1; 5], &[1; 200], &[4, 2, 2, 1], &[1, 0, 1]] {
            let all: u16 = capacities.iter().sum();
            let owners = place(&members(capacities));
            for (count, &capacity) in counts(&owners, capacities.len()).iter().zip(capacities) {
                let share = 4096.0 * f64::from(capacity) / f64::from(all);
                assert!(*count as f64 <= (share * 1.1).ceil(), "{count} of {share}");
                assert!(*count as f64 >= share * 0.6 - 2.0, "{count} of {share}");
            }
        }
    }

    /// Of n members one that joins has to get 1/n; the bound pushes a little more about.
    #[test]
    fn a_join_moves_little_more_than_the_new_share() {
        for n in [3, 4, 10, 50] {
            let (before, after) = (members(&vec![1; n]), members(&vec![1; n + 1]));
            let (old, new) = (place(&before), place(&after));
            let moved = old.iter().zip(&new).filter(|(a, b)| a != b).count();
            let share = 4096 / (n + 1);
            assert!(
                moved >= share * 9 / 10 && moved <= share * 13 / 10 + 8,
                "{n}: {moved} of {share}"
            );
        }
    }

    /// Computed with the reference implementation (python-xxhash, XXH3-64 seed 0).
    #[test]
    fn scores_are_frozen() {
        let all = members(&[1, 3]);
        assert_eq!(score(&all[0], VShard(0)), 10_151_953_082_532_678_020);
        assert_eq!(score(&all[1], VShard(1749)), 9_970_473_372_988_906_928);
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let all = members(&[1, 3, 2]);
        let turned: Vec<Member> = all.iter().rev().cloned().collect();
        let names = |members: &[Member], owners: Vec<u16>| -> Vec<String> {
            owners.into_iter().map(|o| members[usize::from(o)].name.clone()).collect()
        };
        assert_eq!(names(&all, place(&all)), names(&turned, place(&turned)));
    }
}
