//! `max_groups`: past it, groups are folded into one series of the metric, so that sums stay right.
//!
//! Which groups had room depends on who came first in the gateway, so it is read from what was
//! received: a group that spoke under its own labels had room. That no more than `max_groups` did,
//! and that all others are in the overflow, is what is checked. Groups that end and make room for
//! others are not followed.

use std::collections::BTreeSet;

use super::Rule;
use super::group::Groups;
use crate::samples::{Labels, name};

/// A rule's groups after those without room are folded.
pub(super) fn fold<'a>(rule: &Rule, groups: Groups<'a>, spoken: &BTreeSet<&Labels>) -> Groups<'a> {
    if groups.len() <= rule.max_groups {
        return groups;
    }
    let has_spoken = |group: &Labels| {
        let spoke = |o: &String| {
            rule.output_labels(group, o, None).is_some_and(|labels| spoken.contains(&labels))
        };
        rule.outputs.iter().any(spoke)
    };
    let (first, then): (Vec<_>, Vec<_>) = groups.into_iter().partition(|(g, _)| has_spoken(g));
    let mut folded = Groups::new();
    for (place, (group, members)) in first.into_iter().chain(then).enumerate() {
        if place < rule.max_groups {
            folded.insert(group, members);
        } else {
            folded.entry(overflow_of(&group)).or_default().extend(members);
        }
    }
    folded
}

/// The group that a group without room is folded into.
pub(super) fn overflow_of(group: &Labels) -> Labels {
    let pairs = [("__name__", name(group)), ("__overflow__", "true")];
    pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}
