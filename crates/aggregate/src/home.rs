//! Where output groups live: partials of all workers are merged, totals go on, outputs are made.
//!
//! What an output series has said so far (its totals, whether it is alive) is kept here and
//! nowhere else. Groups that live on another node are merged here too, and exported ([`afar`]); what
//! other nodes export of those that live here waits until all of them have passed the window's end.
//! Invariant: what was closed once is never closed again: a replay that begins before the state at
//! hand is listened to in silence until it has caught up.

pub mod afar;
mod epochs;
mod groups;
mod handover;
mod heard;
mod origins;
mod pending;
mod renewed;
mod speech;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ahash::AHashMap;
use weir_model::mutation::{self, Mutation};
use weir_model::{Labels, NativeHistogram, STALE_NAN, Sample, TenantId, Timestamp};

use crate::decisions::{ActiveRule, Decisions};
use crate::group::{GroupKey, GroupNews};
use crate::rule::OutputKind;
use crate::snapshot::WaitingPart;
use crate::sweep::Closing;
use crate::window::next_end;

pub use epochs::Epochs;
pub(crate) use groups::HomeRule;
pub use groups::RuleCounts;
pub(crate) use heard::{Heard, HeardPart};
pub use origins::{Origin, Origins};
pub(crate) use pending::{Pending, PendingRow, Waiting};
pub use speech::HomeGroup;

use groups::Member;

/// The label of the group that takes what is past `max_groups`.
pub const OVERFLOW: &str = "__overflow__";

/// An output series' part of an EMIT.
#[derive(Clone, Debug)]
pub struct Emission {
    /// Whose it is.
    pub tenant: TenantId,
    /// The output series.
    pub labels: Labels,
    /// Its samples, oldest first: the value, before it a 0 where a counter begins.
    pub samples: Vec<Sample>,
    /// Its histogram, where it is one.
    pub histogram: Option<Box<NativeHistogram>>,
    /// Which of the group's outputs this is, for [`Home::adopt`].
    pub source: EmissionSource,
}

/// Where an emission came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EmissionSource {
    rule: u16,
    group: u32,
    output: u16,
}

impl Emission {
    /// Samples of both kinds.
    pub fn sample_count(&self) -> u64 {
        self.samples.len() as u64 + u64::from(self.histogram.is_some())
    }
}

impl EmissionSource {
    /// The last word of a rule that is gone.
    const NONE: Self = Self { rule: u16::MAX, group: 0, output: 0 };
}

/// Whether a group lives on this node: what a placement table says.
pub type LivesHere = Arc<dyn Fn(&GroupKey) -> bool + Send + Sync>;

/// A worker's number of a group: worker, rule, number.
type Number = (usize, u16, u32);

/// All output groups of a node.
pub struct Home {
    config: Arc<Decisions>,
    rules: Vec<HomeRule>,
    numbers: AHashMap<Number, Member>,
    /// Numbers that workers have given up. They stand until the next close: the partials of the
    /// frontier at which a group ended still mean it.
    leaving: Vec<Number>,
    pending: BTreeMap<(Timestamp, u16), Pending>,
    closed_through: Timestamp,
    /// Windows that end by then were said by another data directory.
    silent_through: Timestamp,
    lives_here: LivesHere,
    kept: handover::Kept,
    pub(crate) heard: Heard,
    /// Other nodes whose partials come here.
    pub origins: Origins,
    /// What the caller keeps with the groups' state and alone can read: where groups live.
    pub table: Vec<u8>,
}

impl Home {
    /// A home without groups.
    pub fn new(config: Arc<Decisions>) -> Self {
        let rules = vec![HomeRule::default(); config.rules.len()];
        Self {
            config,
            rules,
            numbers: AHashMap::new(),
            leaving: Vec::new(),
            pending: BTreeMap::new(),
            closed_through: Timestamp::MIN / 2,
            silent_through: Timestamp::MIN / 2,
            lives_here: Arc::new(|_| true),
            kept: handover::Kept::default(),
            heard: Heard::default(),
            origins: Origins::default(),
            table: Vec::new(),
        }
    }

    /// Says which groups live here; before that all do. Groups that are known must stay where they are.
    pub fn set_lives_here(&mut self, lives_here: LivesHere) {
        self.lives_here = lives_here;
        for group in self.rules.iter_mut().flat_map(|rule| rule.groups.iter_mut().flatten()) {
            group.lives_here = (self.lives_here)(&group.key);
        }
    }

    /// Learns what a worker's group numbers stand for.
    pub fn handle_news(&mut self, worker: usize, news: GroupNews) {
        match news {
            GroupNews::Added { rule, group, key } => {
                let at = usize::from(rule);
                let max = self.config.rules[at].rule.max_groups();
                let member = self.rules[at].admit(key, max, &*self.lives_here);
                if let Some(old) = self.numbers.insert((worker, rule, group), member) {
                    self.rules[at].leave(&old);
                }
            }
            GroupNews::Gone { rule, group } => {
                let number = (worker, rule, group);
                if let Some(member) = self.numbers.get_mut(&number) {
                    member.gone = true;
                    self.leaving.push(number);
                }
            }
        }
    }

    /// Takes a worker's partial of a window.
    pub fn handle_closing(&mut self, worker: usize, mut closing: Closing) {
        let dropped = worker == 0 && mutation::is(Mutation::WorkerDropped);
        // What was said by another directory may not have been told by it.
        let (is_closed, is_silent) =
            (closing.end <= self.closed_through, closing.end <= self.silent_through);
        if (is_closed && !is_silent) || dropped {
            return;
        }
        let layout = &self.config.rules[usize::from(closing.rule)].layout;
        let pending = self.pending.entry((closing.end, closing.rule)).or_default();
        let mut complex = std::mem::take(&mut closing.complex);
        for (at, &group) in closing.groups.iter().enumerate() {
            let Some(home) = self.numbers.get(&(worker, closing.rule, group)) else {
                continue;
            };
            if home.folded.is_some() && mutation::is(Mutation::OverflowLost) {
                continue;
            }
            let home_rule = &mut self.rules[usize::from(closing.rule)];
            if is_silent && home_rule.lives_here(home.at) {
                continue;
            }
            let entry = pending.of(home.at, home_rule).local(layout);
            entry.alive |= closing.alive[at];
            layout.merge(&mut entry.row, closing.row(layout, at));
            if let Some(complex) = complex.remove(&(at as u32)) {
                entry.complex.merge(*complex);
            }
        }
        if is_silent && pending.is_empty() {
            self.pending.remove(&(closing.end, closing.rule));
        }
    }

    /// The frontier has passed from `from` to `to` everywhere: every window that ends in between
    /// is complete. What its outputs say, window by window, in the order of their ends. Windows
    /// that were closed before stay silent.
    pub fn close(&mut self, from: Timestamp, to: Timestamp) -> Vec<(Timestamp, Vec<Emission>)> {
        std::iter::from_fn(|| self.close_next(from, to)).collect()
    }

    /// As [`Home::close`], but only up to the next end at which something is said, so that what was
    /// said before a crash can be adopted before the windows behind it are closed. `None` when all
    /// windows up to `to` are.
    pub fn close_next(
        &mut self,
        from: Timestamp,
        to: Timestamp,
    ) -> Option<(Timestamp, Vec<Emission>)> {
        loop {
            let ends = self.ends_between(from.max(self.closed_through), to);
            let Some(&(end, _)) = ends.first() else {
                break;
            };
            let mut emissions = Vec::new();
            for &(_, rule) in ends.iter().take_while(|&&(other, _)| other == end) {
                emissions.extend(self.close_window(rule, end));
            }
            self.closed_through = self.closed_through.max(end);
            if !emissions.is_empty() {
                return Some((end, emissions));
            }
        }
        self.forget_gone();
        self.closed_through = self.closed_through.max(to);
        None
    }

    /// Lets go of numbers and groups whose last windows are closed.
    fn forget_gone(&mut self) {
        for number in std::mem::take(&mut self.leaving) {
            // A number that was used again in between has left its old group already.
            if self.numbers.get(&number).is_some_and(|m| m.gone)
                && let Some(member) = self.numbers.remove(&number)
            {
                self.rules[usize::from(number.1)].leave(&member);
            }
        }
        self.rules.iter_mut().for_each(HomeRule::forget_idle_folded);
    }

    /// Sets what an emission said to what was durably said before a crash: the same bits go on.
    pub fn adopt(
        &mut self,
        source: EmissionSource,
        said: Option<f64>,
        histogram: Option<&NativeHistogram>,
    ) {
        let rule = usize::from(source.rule);
        let (Some(active), Some(home)) = (self.config.rules.get(rule), self.rules.get_mut(rule))
        else {
            return;
        };
        let Some(Some(group)) = home.groups.get_mut(source.group as usize) else {
            return;
        };
        let said = said.filter(|v| !v.is_nan());
        match (active.rule.outputs().get(usize::from(source.output)), said) {
            (Some(OutputKind::Total), Some(value)) => group.totals.total = value,
            (Some(OutputKind::TotalPrometheus), Some(value)) => {
                group.totals.total_prometheus = value;
            }
            (Some(OutputKind::SumSamplesTotal), Some(value)) => group.totals.sum = value,
            (Some(OutputKind::Total), None) if histogram.is_some() => {
                group.totals.histogram = histogram.cloned().map(Box::new);
            }
            (Some(OutputKind::TotalPrometheus), None) if histogram.is_some() => {
                group.totals.histogram_prometheus = histogram.cloned().map(Box::new);
            }
            _ => {}
        }
    }

    /// What each rule's windows have come to.
    pub fn counts(&self) -> impl Iterator<Item = (&ActiveRule, RuleCounts, usize)> {
        let rules = self.config.rules.iter().zip(&self.rules);
        rules.map(|(active, rule)| (active, rule.counts, rule.len()))
    }

    /// The configuration in force.
    pub fn config(&self) -> &Decisions {
        &self.config
    }

    /// The frontier through which windows have been closed.
    pub fn closed_through(&self) -> Timestamp {
        self.closed_through
    }

    /// Every group, with its rule's place: what a checkpoint keeps.
    pub fn groups(&self) -> impl Iterator<Item = (u16, &HomeGroup)> {
        let each = self.rules.iter().enumerate();
        each.flat_map(|(rule, r)| r.groups.iter().flatten().map(move |g| (rule as u16, g)))
    }

    /// Puts back a group that a checkpoint kept. Workers will refer to it again.
    pub fn restore(&mut self, rule: u16, group: HomeGroup) {
        self.rules[usize::from(rule)].restore(group, &*self.lives_here);
    }

    /// The configuration and its rules' groups, for a snapshot.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (&ActiveRule, &HomeRule)> {
        self.config.rules.iter().zip(&self.rules)
    }

    /// Remembers a group that was past the limit when a checkpoint was written.
    pub(crate) fn restore_folded(&mut self, rule: u16, key: GroupKey) {
        self.rules[usize::from(rule)].restore_folded(key);
    }

    /// What waits for windows: the rule, the end, the group, where it is from.
    pub(crate) fn waiting(
        &self,
    ) -> impl Iterator<Item = (&ActiveRule, Timestamp, &GroupKey, Option<u32>, &PendingRow)> {
        self.pending.iter().flat_map(move |(&(end, rule), pending)| {
            let (active, home) =
                (&self.config.rules[usize::from(rule)], &self.rules[usize::from(rule)]);
            pending.places().into_iter().flat_map(move |at| {
                let group = home.groups[at as usize].as_ref();
                let parts = pending.get(at).into_iter().flat_map(Waiting::parts);
                let of_group = group.map(|group| (&group.key, parts));
                of_group.into_iter().flat_map(move |(key, parts)| {
                    parts.map(move |(origin, row)| (active, end, key, origin, row))
                })
            })
        })
    }

    /// Puts back a part that waited when a checkpoint was written.
    pub(crate) fn restore_waiting(&mut self, part: WaitingPart) {
        let rule = usize::from(part.rule);
        let at = self.rules[rule].place_of(part.key, &*self.lives_here);
        let pending = self.pending.entry((part.end, part.rule)).or_default();
        let waiting = pending.of(at, &mut self.rules[rule]);
        let layout = &self.config.rules[rule].layout;
        match part.origin {
            Some(origin) => waiting.set(origin, layout, part.row),
            None => *waiting.local(layout) = part.row,
        }
    }

    /// Remembers what was closed when a checkpoint was written.
    pub(crate) fn restore_closed(&mut self, through: Timestamp) {
        self.closed_through = through;
    }

    /// Goes over to another configuration: rules that mean the same keep their groups. The
    /// workers' news of the new numbers must follow. Returns the last words of the rules that
    /// are gone: a marker for each series that was speaking, at `at`.
    pub fn reconfigure(&mut self, config: Arc<Decisions>, at: Timestamp) -> Vec<Emission> {
        let old = std::mem::replace(&mut self.config, config);
        let mut states: AHashMap<u128, HomeRule> = AHashMap::new();
        for (active, rule) in old.rules.iter().zip(std::mem::take(&mut self.rules)) {
            states.insert(active.rule.identity(), rule);
        }
        self.numbers.clear();
        self.leaving.clear();
        let mut waiting = std::mem::take(&mut self.pending);
        for active in &self.config.rules {
            let mut rule = states.remove(&active.rule.identity()).unwrap_or_default();
            rule.workers_are_gone();
            self.rules.push(rule);
        }
        let identities = self.config.rules.iter().map(|active| active.rule.identity());
        let places: AHashMap<u128, u16> = identities.zip(0..).collect();
        while let Some(((end, rule), pending)) = waiting.pop_first() {
            let before = old.rules.get(usize::from(rule)).map(|active| active.rule.identity());
            if let Some(&at) = before.and_then(|identity| places.get(&identity)) {
                self.pending.insert((end, at), pending);
            }
        }
        let place = |rule: u16| {
            let before = old.rules.get(usize::from(rule))?;
            places.get(&before.rule.identity()).copied()
        };
        self.kept.renumber(place);
        self.heard.renumber(place);
        let gone = states.into_values().flat_map(|rule| rule.groups);
        let mut last_words = Vec::new();
        for group in gone.flatten() {
            for labels in group.speaking {
                last_words.push(Emission {
                    tenant: group.key.tenant,
                    labels,
                    samples: vec![Sample::new(at, STALE_NAN)],
                    histogram: None,
                    source: EmissionSource::NONE,
                });
            }
        }
        last_words
    }

    /// Windows that have something to say: those with partials, and for each rule that speaks its
    /// first one. Whether a window after that has, closing it shows.
    fn ends_between(&self, from: Timestamp, to: Timestamp) -> BTreeSet<(Timestamp, u16)> {
        let mut ends: BTreeSet<(Timestamp, u16)> = self.pending.keys().copied().collect();
        ends.retain(|&(end, _)| end <= to);
        for (at, (active, rule)) in self.config.rules.iter().zip(&self.rules).enumerate() {
            let interval_ms = active.rule.interval().0;
            if next_end(from, interval_ms) > to {
                continue;
            }
            // A node that took groups over may have closed nothing yet: `from` is the beginning of time.
            let Some(spoken) = rule.speaks_past() else { continue };
            let end = next_end(from.max(spoken), interval_ms);
            if end <= to {
                ends.insert((end, at as u16));
            }
        }
        ends
    }

    fn close_window(&mut self, rule: u16, end: Timestamp) -> Vec<Emission> {
        let mut pending = self.pending.remove(&(end, rule)).unwrap_or_default();
        let active = &self.config.rules[usize::from(rule)];
        let home = &mut self.rules[usize::from(rule)];
        let (mut out, mut late) = (Vec::new(), Vec::new());
        let behind = self.origins.behind(end);
        home.counts.last_end = end;
        for at in 0..home.groups.len() {
            let Some(group) = home.groups[at].as_mut().filter(|group| group.lives_here) else {
                continue;
            };
            let waiting = pending.take(at as u32, group);
            for origin in waiting.iter().flat_map(Waiting::origins) {
                if behind.contains(&origin) {
                    self.heard.note((origin, end, rule, group.key.clone()));
                }
            }
            if end <= group.spoken_through {
                late.extend(waiting.map(|waiting| (at as u32, waiting.merged(&active.layout))));
                continue;
            }
            home.counts.samples_in += waiting.as_ref().map_or(0, Waiting::local_samples);
            let part = waiting.map(|waiting| waiting.merged(&active.layout));
            if part.is_some() || !group.speaking.is_empty() {
                group.speak(active, (rule, at as u32), end, part, &mut out);
            }
            home.forget_if_idle(at as u32);
        }
        home.counts.samples_out += out.iter().map(Emission::sample_count).sum::<u64>();
        for (at, part) in late {
            self.carry(rule, at, &part, end);
        }
        out
    }
}
