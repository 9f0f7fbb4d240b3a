//! Groups that were on their way come back, for the taker has refused them.
//!
//! Windows may have closed here meanwhile, and said nothing of these groups. Invariant: what they would have
//! said had they never been away is said now, window by window; what series that were away have of windows
//! that others said without them joins the next ones, as far as it counts increases.

use std::collections::{BTreeMap, BTreeSet};

use weir_model::{TenantId, Timestamp};

use super::super::afar::{Export, Part, Taken};
use super::super::{Emission, Home, PendingRow, Waiting};
use crate::codec::Unreadable;
use crate::sweep::Closing;
use crate::window::next_end;

/// A rule's place and a group's in it.
type Place = (usize, u32);

impl Home {
    /// Takes back what [`Home::give_away`] gave, with what was kept since, and what workers closed of the
    /// series that came back with it, by worker; `local` is this node's own frontier. What these groups have
    /// to say of windows that closed meanwhile; `each` hears what became of what was late. Nothing is taken
    /// where the bytes cannot be read.
    pub fn take_back(
        &mut self,
        (bytes, late): (&[u8], Vec<(usize, Closing)>),
        (own, local): (&str, Timestamp),
        tenant: &mut dyn FnMut(&str) -> TenantId,
        each: impl FnMut(Taken),
    ) -> Result<Vec<(Timestamp, Vec<Emission>)>, Unreadable> {
        let given = self.read_given(bytes, tenant)?;
        let mut back = BTreeSet::new();
        for group in given.groups {
            let rule = group.rule;
            back.insert((rule, self.take(own, group, given.closed)));
        }
        for (of, export) in self.let_go() {
            let origin = (!of.is_empty() && of != own).then(|| self.origins.meet(&of));
            self.take_kept(origin, export, given.closed, &mut back);
        }
        self.take_closed(late, &back, local, each);
        Ok(self.catch_up(&back, given.closed))
    }

    /// Takes what workers closed of series that have just been taken over, by worker: their windows had gone
    /// on here. `local` is this node's own frontier; `each` hears what became of it.
    pub fn take_overdue(
        &mut self,
        late: Vec<(usize, Closing)>,
        local: Timestamp,
        each: impl FnMut(Taken),
    ) {
        self.take_closed(late, &BTreeSet::new(), local, each);
    }

    fn take_closed(
        &mut self,
        late: Vec<(usize, Closing)>,
        back: &BTreeSet<Place>,
        local: Timestamp,
        mut each: impl FnMut(Taken),
    ) {
        for (worker, mut closing) in late {
            for (key, row) in self.rows_of(worker, &mut closing) {
                let (place, end) = ((usize::from(closing.rule), key), closing.end);
                each(self.take_late(place, end, row, back.contains(&place), local));
            }
        }
    }

    /// What a worker has of a window, by the places of its groups.
    fn rows_of(&self, worker: usize, closing: &mut Closing) -> Vec<(u32, PendingRow)> {
        let layout = &self.config.rules[usize::from(closing.rule)].layout;
        let mut complex = std::mem::take(&mut closing.complex);
        let row = |(at, &group): (usize, &u32)| {
            let home = self.numbers.get(&(worker, closing.rule, group))?;
            let complex = complex.remove(&(at as u32)).map(|complex| *complex);
            let row = closing.row(layout, at).to_vec();
            let alive = closing.alive[at];
            Some((home.at, PendingRow { alive, row, complex: complex.unwrap_or_default() }))
        };
        closing.groups.iter().enumerate().filter_map(row).collect()
    }

    /// Takes what series that were away have of a window of a group, which was away with them or not.
    fn take_late(
        &mut self,
        (rule, at): Place,
        end: Timestamp,
        row: PendingRow,
        was_away: bool,
        local: Timestamp,
    ) -> Taken {
        let group = self.rules[rule].groups.get(at as usize).and_then(Option::as_ref);
        let is_here = group.is_some_and(|group| group.lives_here);
        let spoken = self.rules[rule].spoken_through(at);
        // Others have been told all up to the own frontier, and a part that comes again takes its place.
        let past = match (is_here, was_away) {
            (true, true) => spoken,
            (true, false) => spoken.max(self.closed_through),
            (false, _) => local,
        };
        if end <= past {
            return self.carry(rule as u16, at, &row, past);
        }
        let waiting = self.pending.entry((end, rule as u16)).or_default();
        let waiting = waiting.of(at, &mut self.rules[rule]);
        let layout = &self.config.rules[rule].layout;
        waiting.local(layout).merge(layout, row);
        Taken::InTime
    }

    fn take_kept(
        &mut self,
        origin: Option<u32>,
        export: Export,
        closed: Timestamp,
        back: &mut BTreeSet<Place>,
    ) {
        for part in export.parts {
            let rule = usize::from(part.rule);
            let at = self.rules[rule].place_of(part.key.clone(), &*self.lives_here);
            back.insert((rule, at));
            if part.end <= closed {
                self.import_part(origin, part);
                continue;
            }
            let Part { rule: number, end, key, alive, row, complex } = part;
            if let Some(origin) = origin {
                self.rules[rule].join_from(origin, key, &*self.lives_here);
            }
            let waiting = self.pending.entry((end, number)).or_default();
            let waiting = waiting.of(at, &mut self.rules[rule]);
            let (layout, row) =
                (&self.config.rules[rule].layout, PendingRow { alive, row, complex });
            match origin {
                Some(origin) => waiting.set(origin, layout, row),
                None => waiting.local(layout).merge(layout, row),
            }
        }
        let Some(origin) = origin else { return };
        for (rule, key) in export.joined {
            self.rules[usize::from(rule)].join_from(origin, key, &*self.lives_here);
        }
        for (rule, key) in export.left {
            self.rules[usize::from(rule)].leave_from(origin, &key);
        }
    }

    /// Closes windows for these groups alone.
    fn catch_up(
        &mut self,
        back: &BTreeSet<Place>,
        closed: Timestamp,
    ) -> Vec<(Timestamp, Vec<Emission>)> {
        let mut said: BTreeMap<Timestamp, Vec<Emission>> = BTreeMap::new();
        for &(rule, at) in back {
            let mut last = closed;
            while let Some(end) = self.next_of((rule, at), last) {
                let (active, home) = (&self.config.rules[rule], &mut self.rules[rule]);
                let Some(Some(group)) = home.groups.get_mut(at as usize) else { break };
                let pending = self.pending.get_mut(&(end, rule as u16));
                let waiting = pending.and_then(|pending| pending.take(at, group));
                home.counts.samples_in += waiting.as_ref().map_or(0, Waiting::local_samples);
                let part = waiting.map(|waiting| waiting.merged(&active.layout));
                let mut out = Vec::new();
                group.speak(active, (rule as u16, at), end, part, &mut out);
                home.counts.samples_out += out.iter().map(Emission::sample_count).sum::<u64>();
                said.entry(end).or_default().append(&mut out);
                last = end;
            }
            self.rules[rule].has_spoken(at, self.closed_through);
        }
        self.pending.retain(|_, pending| !pending.is_empty());
        said.retain(|_, emissions| !emissions.is_empty());
        said.into_iter().collect()
    }

    /// The next window past `last`, closed by now, in which a group has something to say.
    fn next_of(&self, (rule, at): Place, last: Timestamp) -> Option<Timestamp> {
        let group = self.rules[rule].groups.get(at as usize)?.as_ref()?;
        let interval = self.config.rules[rule].rule.interval().0;
        let speaks = !group.speaking.is_empty();
        let waits = self.pending.iter().find(|&(&(end, of), pending)| {
            end > last && usize::from(of) == rule && pending.get(at).is_some()
        });
        let waits = waits.map(|(&(end, _), _)| end);
        let next = speaks.then(|| next_end(last, interval)).into_iter().chain(waits).min();
        next.filter(|&end| end <= self.closed_through)
    }
}
