//! Destinations that are tiers: their frames by owner, each owner's on a sender of its own.
//!
//! A frame that holds one owner's series carries the owner's number. A *branch* takes the frames of one
//! number and goes to that owner first; its *trunk*, the destination as it is configured, takes all
//! others. So an owner that is away holds up nobody else's samples. Invariant: as long as a branch runs,
//! its trunk leaves its frames alone; once it has ended, the trunk takes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_64;

use crate::config::Destination;
use crate::frame::{self, FrameKind};

/// Which frames a destination takes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Share {
    /// All but those of its branches.
    #[default]
    Trunk,
    /// One owner's.
    Branch {
        /// The name of the destination that it is a part of.
        trunk: String,
        /// Where that goes.
        trunk_url: String,
        /// The owner's name.
        member: String,
        /// The owner's number.
        owner: u64,
    },
}

/// The number of a member of the tier that a destination is.
pub fn owner_number(trunk: &str, member: &str) -> u64 {
    xxh3_64([trunk.as_bytes(), &[0], member.as_bytes()].concat().as_slice())
}

/// What a destination's branch for a member is called.
pub fn branch_name(trunk: &str, member: &str) -> String {
    format!("{trunk}/{member}")
}

/// The members for which a destination of this name had branches, out of all names with a cursor.
pub fn members_of<'a>(
    trunk: &'a str,
    names: impl Iterator<Item = &'a str>,
) -> impl Iterator<Item = &'a str> {
    names.filter_map(move |name| name.strip_prefix(trunk)?.strip_prefix('/'))
}

/// The owners whose frames some branch takes, with its trunk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claims(Arc<Mutex<BTreeMap<u64, String>>>);

/// What one destination takes.
#[derive(Clone, Debug)]
pub struct Taken {
    name: String,
    share: Share,
    claims: Claims,
}

impl Claims {
    /// These destinations run from now on.
    pub(crate) fn set(&self, destinations: &[Destination]) {
        let claim = |destination: &Destination| match &destination.share {
            Share::Branch { trunk, owner, .. } => Some((*owner, trunk.clone())),
            Share::Trunk => None,
        };
        let claims = destinations.iter().filter_map(claim).collect();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = claims;
    }

    pub(crate) fn of(&self, destination: &Destination) -> Taken {
        let (name, share) = (destination.name.clone(), destination.share.clone());
        Taken { name, share, claims: self.clone() }
    }
}

impl Taken {
    /// Whether a frame is this destination's.
    pub fn takes(&self, payload: &[u8]) -> bool {
        // What cannot be read is the trunk's to report.
        let kind = frame::read(payload).map_or(FrameKind::Pass, |(header, _)| header.kind);
        match (kind, &self.share) {
            (FrameKind::Placed { owner }, Share::Trunk) => {
                let claims = self.claims.0.lock().unwrap_or_else(PoisonError::into_inner);
                claims.get(&owner).is_none_or(|trunk| *trunk != self.name)
            }
            (FrameKind::Placed { owner }, Share::Branch { owner: own, .. }) => owner == *own,
            (_, Share::Trunk) => true,
            (_, Share::Branch { .. }) => false,
        }
    }
}
