//! Groups that live on another node: what is exported of them, and what is taken in.
//!
//! A node gives each window's part of a foreign group away once, when its own frontier passes the end.
//! Where the group lives the parts of all nodes meet, and wait for each other. A part that comes after
//! its window has closed is carried into the next one as far as it counts increases; the rest of it is
//! dropped and counted.

use std::collections::BTreeMap;

use weir_model::Timestamp;

use super::{Home, PendingRow};
use crate::accumulator::{Complex, Layout, Primitive, merge_histograms};
use crate::group::GroupKey;
use crate::window::next_end;

/// What a node has of one window of a group that lives elsewhere.
#[derive(Clone, Debug)]
pub struct Part {
    /// The rule's place in the rule set.
    pub rule: u16,
    /// The window's end.
    pub end: Timestamp,
    /// The group.
    pub key: GroupKey,
    /// Whether a series of it is alive there at the window's end.
    pub alive: bool,
    /// As the rule's layout says.
    pub row: Vec<f64>,
    /// What does not fit in the row.
    pub complex: Complex,
}

/// What a frontier gives to other nodes.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// Parts, by window, rule and the group's place.
    pub parts: Vec<Part>,
    /// Groups of which this node has no series any more, with the rule's place.
    pub left: Vec<(u16, GroupKey)>,
    /// Groups of which this node has series now, with the rule's place.
    pub joined: Vec<(u16, GroupKey)>,
}

impl Export {
    /// Whether there is nothing to be told.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.left.is_empty() && self.joined.is_empty()
    }

    /// Deals it out by where its groups live.
    pub fn deal<P: Ord>(self, place_of: impl Fn(&GroupKey) -> P) -> BTreeMap<P, Self> {
        let mut dealt: BTreeMap<P, Self> = BTreeMap::new();
        for part in self.parts {
            dealt.entry(place_of(&part.key)).or_default().parts.push(part);
        }
        for (rule, key) in self.left {
            dealt.entry(place_of(&key)).or_default().left.push((rule, key));
        }
        for (rule, key) in self.joined {
            dealt.entry(place_of(&key)).or_default().joined.push((rule, key));
        }
        dealt
    }
}

/// What became of a part that was taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Taken {
    /// It waits for its window.
    InTime,
    /// Its window had closed; what it counts of increases joins the next one.
    Carried,
    /// Its window had closed, and nothing of it counts increases.
    Late,
    /// It is in its window: that had closed without waiting for whose it is, or was said before a disk
    /// was lost.
    Known,
}

impl Home {
    /// Takes out what waits for windows that end by `to` of groups that live elsewhere.
    pub fn export(&mut self, to: Timestamp) -> Export {
        let mut export = Export::default();
        self.heard.forget(&self.origins);
        for (&(end, rule), pending) in self.pending.range_mut(..=(to, u16::MAX)) {
            let layout = &self.config.rules[usize::from(rule)].layout;
            let home = &mut self.rules[usize::from(rule)];
            for at in pending.places() {
                let group = home.groups[at as usize].as_mut();
                let Some(group) = group.filter(|group| !group.lives_here) else {
                    continue;
                };
                let Some(waiting) = pending.take(at, group) else {
                    continue;
                };
                home.counts.samples_in += waiting.local_samples();
                let PendingRow { alive, row, complex } = waiting.merged(layout);
                let key = group.key.clone();
                export.parts.push(Part { rule, end, key, alive, row, complex });
                home.forget_if_idle(at);
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
        for (rule, home) in self.rules.iter_mut().enumerate() {
            export.left.extend(home.left.drain(..).map(|key| (rule as u16, key)));
            export.joined.extend(home.joined.drain(..).map(|key| (rule as u16, key)));
        }
        export
    }

    /// Takes in what another node tells; `each` hears what became of every part. Without an origin it is this
    /// node's own, which another has sent back.
    pub fn import(&mut self, origin: Option<u32>, export: Export, mut each: impl FnMut(Taken)) {
        for part in export.parts {
            each(self.import_part(origin, part));
        }
        let Some(origin) = origin else { return };
        for (rule, key) in export.joined {
            if let Some(home) = self.rules.get_mut(usize::from(rule)) {
                home.join_from(origin, key, &*self.lives_here);
            }
        }
        for (rule, key) in export.left {
            if let Some(home) = self.rules.get_mut(usize::from(rule)) {
                home.leave_from(origin, &key);
            }
        }
    }

    pub(super) fn import_part(&mut self, origin: Option<u32>, part: Part) -> Taken {
        let Part { rule, end, key, alive, row, complex } = part;
        let known = origin.map(|origin| (origin, end, rule, key.clone()));
        let layout = &self.config.rules[usize::from(rule)].layout;
        let home = &mut self.rules[usize::from(rule)];
        let at = match origin {
            Some(origin) => home.join_from(origin, key, &*self.lives_here),
            None => home.place_of(key, &*self.lives_here),
        };
        let row = PendingRow { alive, row, complex };
        if end <= self.closed_through.max(home.spoken_through(at)) {
            let is_known =
                end <= self.silent_through || known.is_some_and(|part| self.heard.has(&part));
            return if is_known { Taken::Known } else { self.carry(rule, at, &row, end) };
        }
        let waiting = self.pending.entry((end, rule)).or_default().of(at, home);
        match origin {
            Some(origin) => waiting.set(origin, layout, row),
            None => waiting.local(layout).merge(layout, row),
        }
        Taken::InTime
    }

    /// What a part whose window has closed counts of increases joins the group's next window, past `told`.
    pub(super) fn carry(
        &mut self,
        rule: u16,
        at: u32,
        part: &PendingRow,
        told: Timestamp,
    ) -> Taken {
        let active = &self.config.rules[usize::from(rule)];
        let home = &mut self.rules[usize::from(rule)];
        let Some(carried) = increases(&active.layout, part).filter(|_| active.carries()) else {
            return Taken::Late;
        };
        let closed = self.closed_through.max(home.spoken_through(at)).max(told);
        let next = next_end(closed, active.rule.interval().0);
        let waiting = self.pending.entry((next, rule)).or_default().of(at, home);
        waiting.local(&active.layout).merge(&active.layout, carried);
        Taken::Carried
    }
}

/// A part's increases alone; `None` if it has none.
fn increases(layout: &Layout, part: &PendingRow) -> Option<PendingRow> {
    let mut carried = PendingRow::untouched(layout);
    let mut any = false;
    for primitive in [Primitive::Increase, Primitive::IncreasePrometheus] {
        if let Some(at) = layout.offset(primitive) {
            carried.row[at] = part.row[at];
            any |= part.row[at] != 0.0;
        }
    }
    let Complex { increase, increase_prometheus, .. } = &part.complex;
    merge_histograms(&mut carried.complex.increase, increase.clone());
    merge_histograms(&mut carried.complex.increase_prometheus, increase_prometheus.clone());
    any |= increase.is_some() || increase_prometheus.is_some();
    // A row that nothing touched would count as no window at all.
    carried.row[0] = part.row[0].min(1.0);
    any.then_some(carried)
}
