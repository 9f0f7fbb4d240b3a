//! What has been pushed, group by group, as pages that can be scraped like a target's.
//!
//! A push replaces a group (PUT) or the families that it brings (POST); a group stays until it is
//! deleted, or nobody has pushed to it for `expire_after`. Every group also says when it was last
//! pushed to, and when that last failed, as the Pushgateway's do. Invariant: a push that is refused
//! changes no pushed metric. Time is an argument; nothing is kept on disk here: what was scraped
//! from a page is in the buffer, and after a restart the jobs push anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_model::{Millis, Sample, Timestamp};
use weir_wire::exposition::Format;
use weir_wire::text::{Format as Written, Writer};

use super::family::{Family, PushError, read_families};
use super::grouping::GroupingKey;

/// Bounds of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Groups.
    pub groups_max: usize,
    /// Series of all groups together.
    pub series_max: usize,
    /// A group that nobody has pushed to for so long ends.
    pub expire_after: Millis,
}

/// All groups.
#[derive(Debug)]
pub struct Store {
    limits: Limits,
    groups: BTreeMap<GroupingKey, Group>,
    series: usize,
}

/// What the families of a push replace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replace {
    /// All that the group has: PUT.
    Group,
    /// The families of the same names: POST.
    Families,
}

#[derive(Debug, Default)]
struct Group {
    families: BTreeMap<String, Family>,
    /// Milliseconds since the epoch; `None`: never.
    pushed: Option<Timestamp>,
    failed: Option<Timestamp>,
    touched: Timestamp,
    page: Arc<[u8]>,
}

impl Group {
    fn series(&self) -> usize {
        self.families.values().map(Family::series_count).sum()
    }
}

impl Store {
    /// An empty store.
    pub fn new(limits: Limits) -> Self {
        Self { limits, groups: BTreeMap::new(), series: 0 }
    }

    /// Takes a push of `body`. An error leaves the group's metrics as they are, and shows in its
    /// `push_failure_time_seconds`.
    pub fn handle_push(
        &mut self,
        key: &GroupingKey,
        replace: Replace,
        body: &[u8],
        format: Format,
        now: Timestamp,
    ) -> Result<(), PushError> {
        let read = read_families(body, format, key).and_then(|f| self.bounded(key, replace, f));
        let is_known = self.groups.contains_key(key);
        if read.is_err() && !is_known && self.groups.len() >= self.limits.groups_max {
            return read.map(drop);
        }
        let group = self.groups.entry(key.clone()).or_default();
        group.touched = now;
        let before = group.series();
        let result = match read {
            Ok(families) => {
                if replace == Replace::Group {
                    group.families.clear();
                }
                group.families.extend(families);
                group.pushed = Some(now);
                Ok(())
            }
            Err(error) => {
                group.failed = Some(now);
                Err(error)
            }
        };
        self.series = self.series - before + group.series();
        group.page = render(key, group);
        result
    }

    /// Ends a group. Whether there was one.
    pub fn handle_delete(&mut self, key: &GroupingKey) -> bool {
        let gone = self.groups.remove(key);
        self.series -= gone.as_ref().map_or(0, Group::series);
        gone.is_some()
    }

    /// Ends the groups that nobody has pushed to for too long, and says which.
    pub fn poll_expired(&mut self, now: Timestamp) -> Vec<GroupingKey> {
        let bound = now.saturating_sub(self.limits.expire_after.0);
        let gone: Vec<_> = self.groups.extract_if(.., |_, g| g.touched < bound).collect();
        self.series -= gone.iter().map(|(_, group)| group.series()).sum::<usize>();
        gone.into_iter().map(|(key, _)| key).collect()
    }

    /// When [`Store::poll_expired`] has something, if nobody pushes.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let oldest = self.groups.values().map(|group| group.touched).min();
        oldest.map(|touched| touched.saturating_add(self.limits.expire_after.0 + 1))
    }

    /// A group's page in text format, to be scraped.
    pub fn page(&self, key: &GroupingKey) -> Option<Arc<[u8]>> {
        self.groups.get(key).map(|group| Arc::clone(&group.page))
    }

    /// The groups in the order of their labels.
    pub fn keys(&self) -> impl Iterator<Item = &GroupingKey> {
        self.groups.keys()
    }

    /// Series of all groups.
    pub fn series_count(&self) -> usize {
        self.series
    }

    /// Refuses what would not fit.
    fn bounded(
        &self,
        key: &GroupingKey,
        replace: Replace,
        families: BTreeMap<String, Family>,
    ) -> Result<BTreeMap<String, Family>, PushError> {
        let known = self.groups.get(key);
        if known.is_none() && self.groups.len() >= self.limits.groups_max {
            return Err(PushError::TooManyGroups(self.limits.groups_max));
        }
        let replaced: usize = known.map_or(0, |group| match replace {
            Replace::Group => group.series(),
            Replace::Families => {
                let same = families.keys().filter_map(|name| group.families.get(name));
                same.map(Family::series_count).sum()
            }
        });
        let new: usize = families.values().map(Family::series_count).sum();
        if self.series - replaced + new > self.limits.series_max {
            return Err(PushError::TooManySeries(self.limits.series_max));
        }
        Ok(families)
    }
}

/// The group's page: its families, and the two that tell of pushes.
fn render(key: &GroupingKey, group: &Group) -> Arc<[u8]> {
    let mut page = Writer::new(Written::Text);
    for (name, family) in &group.families {
        family.write(name, &mut page);
    }
    let stamps = [
        ("push_time_seconds", "Last Unix time when changing this group succeeded.", group.pushed),
        (
            "push_failure_time_seconds",
            "Last Unix time when changing this group failed.",
            group.failed,
        ),
    ];
    for (name, help, at) in stamps {
        Family::gauge(name, help, at.unwrap_or(0) as f64 / 1000.0, key).write(name, &mut page);
    }
    page.finish().into_bytes().into()
}

/// Pages are scraped with the scrape's own time, so what stands there does not matter.
pub(super) const NO_TIME: Timestamp = 0;

/// A sample for a page.
pub(super) fn sample(value: f64) -> [Sample; 1] {
    [Sample::new(NO_TIME, value)]
}

#[cfg(test)]
mod tests;
