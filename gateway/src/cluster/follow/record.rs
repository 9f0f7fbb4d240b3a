//! What etcd has of a member's twin, and who may do what by it.
//!
//! Invariant: a record only changes by compare-and-swap, and its epoch only grows, so of a member and its
//! follower that both want to go on one is told that it is over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_model::VShard;
use weir_ring::Member;

/// Where a member runs, and where its twin is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(in crate::cluster) struct Record {
    /// On whose machine it runs: its own name, or that of the member that has taken it over.
    pub(in crate::cluster) host: String,
    /// Who has the twin, or is getting it.
    pub(in crate::cluster) follower: Option<String>,
    /// Goes up with every stream, every start and every fail-over.
    pub(in crate::cluster) epoch: u64,
    /// Everything that the member has acknowledged is in the twin.
    pub(in crate::cluster) in_step: bool,
}

/// A member that has a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cluster) struct Present {
    pub(in crate::cluster) address: String,
    pub(in crate::cluster) capacity: u16,
    /// Who runs it, if it does not itself.
    pub(in crate::cluster) host: Option<String>,
}

/// Sessions and records at one moment.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Standing {
    pub(in crate::cluster) members: BTreeMap<String, Present>,
    /// With the revision of each.
    pub(in crate::cluster) records: BTreeMap<String, (Record, u64)>,
}

impl Record {
    /// The next epoch, on the same machine.
    pub(super) fn next(&self, follower: Option<&str>) -> Self {
        let follower = follower.map(str::to_owned);
        Self { host: self.host.clone(), follower, epoch: self.epoch + 1, in_step: false }
    }

    /// Taken over by its follower.
    pub(super) fn taken_over(&self, by: &str) -> Self {
        Self { host: by.to_owned(), follower: None, epoch: self.epoch + 1, in_step: false }
    }
}

impl Standing {
    /// Who could follow a member that runs on `host`, the best one first: whoever runs at home, and not
    /// on the same machine. Of them each member prefers others (rendezvous), and all keep the same.
    pub(super) fn candidates(&self, own: &str, host: &str) -> Vec<Member> {
        let is_apart = |(name, present): &(&String, &Present)| {
            present.host.is_none() && *name != own && *name != host
        };
        let member = |(name, present): (&String, &Present)| Member {
            name: name.clone(),
            address: present.address.clone(),
            push: String::new(),
            capacity: present.capacity.max(1),
        };
        let mut all: Vec<Member> = self.members.iter().filter(is_apart).map(member).collect();
        let place = place_of(own);
        all.sort_by_key(|member| std::cmp::Reverse(weir_ring::score(member, place)));
        all
    }
}

/// A name as a place in the ring, so that the members' draws are different ones for each.
fn place_of(name: &str) -> VShard {
    let hash = name.bytes().fold(0u16, |hash, byte| hash.wrapping_mul(31) ^ u16::from(byte));
    VShard(hash % weir_model::VSHARDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(members: &[(&str, Option<&str>)]) -> Standing {
        let present = |(name, host): &(&str, Option<&str>)| {
            let (address, host) = (format!("{name}:9202"), host.map(str::to_owned));
            ((*name).to_owned(), Present { address, capacity: 1, host })
        };
        Standing { members: members.iter().map(present).collect(), ..Standing::default() }
    }

    fn names(standing: &Standing, own: &str, host: &str) -> Vec<String> {
        standing.candidates(own, host).into_iter().map(|member| member.name).collect()
    }

    #[test]
    fn nobody_follows_itself_its_host_or_from_another_ones_machine() {
        let all = standing(&[("a", None), ("b", None), ("c", None), ("d", Some("b"))]);
        let mut of_a = names(&all, "a", "a");
        of_a.sort();
        assert_eq!(of_a, ["b", "c"]);
        let mut of_d = names(&all, "d", "b");
        of_d.sort();
        assert_eq!(of_d, ["a", "c"]);
    }

    #[test]
    fn who_leaves_changes_only_those_that_it_followed() {
        let all: Vec<String> = (0..20).map(|n| format!("gw-{n}")).collect();
        let of = |members: &[String]| {
            let members: Vec<(&str, Option<&str>)> =
                members.iter().map(|name| (name.as_str(), None)).collect();
            standing(&members)
        };
        let (before, after) = (of(&all), of(&all[..19]));
        let mut followers = std::collections::BTreeSet::new();
        for name in &all[..19] {
            let first = names(&before, name, name)[0].clone();
            if first != "gw-19" {
                assert_eq!(names(&after, name, name)[0], first);
            }
            followers.insert(first);
        }
        assert!(followers.len() > 5, "{followers:?}");
    }

    #[test]
    fn the_json_is_what_operators_read() {
        let record =
            Record { host: "a".into(), follower: Some("b".into()), epoch: 3, in_step: true };
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(text, r#"{"host":"a","follower":"b","epoch":3,"in_step":true}"#);
        let over = record.taken_over("b");
        assert_eq!((over.host.as_str(), over.epoch, over.in_step), ("b", 4, false));
    }
}
