//! Output groups change hands: totals, who speaks, who has series, and what waits for windows.
//!
//! The receiver must not have closed a window that the giver has not: it takes up where the giver ended,
//! and says nothing of windows that the giver has said (`spoken_through`). Where it refuses them the giver
//! takes them back, and says what it has closed meanwhile without them (`back`).

mod back;
mod kept;

use std::sync::Arc;

use weir_model::mutation::{self, Mutation};
use weir_model::{TenantId, Timestamp};

pub(super) use kept::Kept;

use super::{Epochs, Home, HomeGroup, PendingRow};
use crate::codec::{Reader, Unreadable, Writer};
use crate::group::GroupKey;
use crate::snapshot::{read_group, read_row, write_group, write_row};

/// Version of the layout.
const VERSION: u64 = 2;

/// What was given away.
struct Given {
    /// The giver had closed windows through here.
    closed: Timestamp,
    groups: Vec<GivenGroup>,
}

/// A group of a rule that is in force here.
struct GivenGroup {
    rule: usize,
    group: HomeGroup,
    /// Names of members that have series of it.
    had_by: Vec<String>,
    /// What waits for windows: the end, of whom, what.
    parts: Vec<(Timestamp, String, PendingRow)>,
}

impl Home {
    /// Gives away the groups that live here and that `goes` names, and forgets what was said of them.
    /// `own` is this node's name, under which its parts go.
    pub fn give_away(
        &mut self,
        goes: &dyn Fn(&GroupKey) -> bool,
        own: &str,
        names: &dyn Fn(TenantId) -> Arc<str>,
    ) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(VERSION);
        out.signed(self.closed_through);
        let mut going = Vec::new();
        for (rule, home) in self.rules.iter().enumerate() {
            let stays = mutation::is(Mutation::GroupsLeftBehind);
            let goes = |group: &&HomeGroup| group.lives_here && !stays && goes(&group.key);
            let places = home.places().filter(|(_, group)| goes(group));
            going.extend(places.map(|(at, _)| (rule, at)));
        }
        out.number(going.len() as u64);
        for (rule, at) in going {
            self.give(rule, at, own, names, &mut out);
        }
        out.bytes
    }

    fn give(
        &mut self,
        rule: usize,
        at: u32,
        own: &str,
        names: &dyn Fn(TenantId) -> Arc<str>,
        out: &mut Writer,
    ) {
        let mut parts = Vec::new();
        if let Some(Some(group)) = self.rules[rule].groups.get_mut(at as usize) {
            group.spoken_through = group.spoken_through.max(self.closed_through);
            out.wide(self.config.rules[rule].rule.identity());
            out.blob(names(group.key.tenant).as_bytes());
            write_group(group, out);
            let had_by = group.origins.iter().filter_map(|&origin| self.origins.get(origin));
            let had_by: Vec<&str> = had_by.map(|origin| origin.name.as_str()).collect();
            out.number(had_by.len() as u64);
            had_by.iter().for_each(|name| out.blob(name.as_bytes()));
            for (&(end, of_rule), pending) in &mut self.pending {
                if usize::from(of_rule) == rule
                    && let Some(waiting) = pending.take(at, group)
                {
                    parts.push((end, waiting));
                }
            }
        }
        self.pending.retain(|_, pending| !pending.is_empty());
        let count: usize = parts.iter().map(|(_, waiting)| waiting.parts().count()).sum();
        out.number(count as u64);
        for (end, waiting) in &parts {
            for (origin, row) in waiting.parts() {
                let origin = origin.and_then(|number| self.origins.get(number));
                out.signed(*end);
                out.blob(origin.map_or(own, |origin| &origin.name).as_bytes());
                write_row(row, out);
            }
        }
        self.rules[rule].part_with(at);
    }

    /// Takes groups over that another node, `from`, gave away; `moved` is what it knew of that move. Groups of
    /// rules that are not in force here are left out; nothing is taken where the bytes cannot be read.
    pub fn take_over(
        &mut self,
        bytes: &[u8],
        (from, own): (&str, &str),
        moved: &Epochs,
        tenant: &mut dyn FnMut(&str) -> TenantId,
    ) -> Result<usize, Unreadable> {
        let given = self.read_given(bytes, tenant)?;
        let giver = self.origins.meet(from);
        self.origins.doubt(giver, given.closed, moved);
        let taken = given.groups.len();
        for group in given.groups {
            self.take(own, group, self.closed_through);
        }
        Ok(taken)
    }

    fn read_given(
        &self,
        bytes: &[u8],
        tenant: &mut dyn FnMut(&str) -> TenantId,
    ) -> Result<Given, Unreadable> {
        let from = &mut Reader::new(bytes);
        if from.number()? != VERSION {
            return Err(Unreadable);
        }
        let closed = from.timestamp()?;
        let mut groups = Vec::new();
        for _ in 0..from.count()? {
            let identity = from.wide()?;
            let tenant = tenant(from.text()?);
            let group = read_group(tenant, from)?;
            let had_by = (0..from.count()?).map(|_| Ok(from.text()?.to_owned()));
            let had_by = had_by.collect::<Result<Vec<String>, Unreadable>>()?;
            let mut parts = Vec::new();
            for _ in 0..from.count()? {
                parts.push((from.timestamp()?, from.text()?.to_owned(), read_row(from)?));
            }
            let mut rules = self.config.rules.iter().enumerate();
            let rule = rules.find(|(_, active)| active.rule.identity() == identity);
            if let Some((rule, active)) = rule {
                let stride = active.layout.stride();
                if parts.iter().any(|(_, _, part)| part.row.len() != stride) {
                    return Err(Unreadable);
                }
                groups.push(GivenGroup { rule, group, had_by, parts });
            }
        }
        if from.is_empty() { Ok(Given { closed, groups }) } else { Err(Unreadable) }
    }

    /// Takes a group, with what waits for windows that end past `closed`. Its place.
    fn take(&mut self, own: &str, given: GivenGroup, closed: Timestamp) -> u32 {
        let GivenGroup { rule, group, had_by, parts } = given;
        let key = group.key.clone();
        let at = self.rules[rule].take_over(group, &*self.lives_here);
        for name in had_by.iter().filter(|name| *name != own) {
            let origin = self.origins.meet(name);
            self.rules[rule].join_from(origin, key.clone(), &*self.lives_here);
        }
        for (end, name, row) in parts.into_iter().filter(|(end, ..)| *end > closed) {
            let origin = (name != own).then(|| self.origins.meet(&name));
            let pending = self.pending.entry((end, rule as u16)).or_default();
            let waiting = pending.of(at, &mut self.rules[rule]);
            match origin {
                Some(origin) => waiting.set(origin, &self.config.rules[rule].layout, row),
                None => *waiting.local(&self.config.rules[rule].layout) = row,
            }
        }
        at
    }
}
