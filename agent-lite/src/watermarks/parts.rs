//! What may be promised to the owners of a tier, each by its branch.
//!
//! An owner gets this agent's samples by its own branch, by the trunk, whose members send on what is not
//! theirs, and, of series that have changed hands, by the branch of the owner before. Invariant: a
//! promise waits for all of these, and for nothing else: an owner that is away holds nobody else's
//! windows open. Pure.

use std::collections::BTreeMap;

use weir_model::Timestamp;
use weir_remote::shares::Share;

/// How far a destination or a branch has come.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) share: Share,
    /// All frames before this position are done.
    pub(super) done: u64,
    /// Every sample up to here is delivered, of those that it takes; `None` where that is not known.
    pub(super) reached: Option<Timestamp>,
}

/// What may be promised where this part goes; `None` for nothing. Frames before `fence` may hold
/// series that are another owner's by now.
pub(super) fn promised(
    name: &str,
    parts: &BTreeMap<String, Part>,
    fence: u64,
) -> Option<Timestamp> {
    let part = parts.get(name)?;
    let Share::Branch { trunk, .. } = &part.share else {
        let is_trunk_of = |other: &Part| trunk_of(other).is_some_and(|trunk| trunk == name);
        // Its own members are promised something by their branches.
        return part.reached.filter(|_| !parts.values().any(is_trunk_of));
    };
    let others = parts.iter().filter(|(other, part)| {
        *other == trunk || trunk_of(part) == Some(trunk) && part.done < fence
    });
    others.map(|(_, other)| other.reached).fold(part.reached, |least, reached| least.min(reached))
}

fn trunk_of(part: &Part) -> Option<&String> {
    match &part.share {
        Share::Branch { trunk, .. } => Some(trunk),
        Share::Trunk => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_waits_for_what_can_reach_the_owner() {
        let part = |share, done, reached| Part { share, done, reached };
        let branch = |owner| Share::Branch {
            trunk: "tier".into(),
            trunk_url: String::new(),
            member: String::new(),
            owner,
        };
        let mut parts = BTreeMap::from([
            ("tier".to_owned(), part(Share::Trunk, 90, Some(900))),
            ("tier/a".to_owned(), part(branch(1), 90, Some(950))),
            ("tier/b".to_owned(), part(branch(2), 50, Some(500))),
            ("other".to_owned(), part(Share::Trunk, 10, Some(100))),
        ]);
        assert_eq!(promised("tier/a", &parts, 50), Some(900), "what was sent on is no further");
        assert_eq!(promised("tier/b", &parts, 50), Some(500));
        assert_eq!(promised("tier", &parts, 50), None);
        assert_eq!(promised("other", &parts, 50), Some(100));
        assert_eq!(promised("tier/a", &parts, 51), Some(500), "some of b's may be a's by now");
        parts.insert("tier/b".to_owned(), part(branch(2), 50, None));
        assert_eq!(promised("tier/a", &parts, 51), None);
        parts.retain(|name, _| !name.starts_with("tier/"));
        assert_eq!(promised("tier", &parts, 50), Some(900));
    }
}
