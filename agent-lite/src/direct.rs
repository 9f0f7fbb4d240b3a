//! The way to the owners: where a destination is a tier, each owner of this agent's targets is gone to
//! directly, by a branch of the destination.
//!
//! What the tier says of its owners is kept beside the buffer, so that a restart goes on as it was.
//! Invariants: a body is only written for an owner whose branch runs, and a branch runs until all that
//! was written for it is done; so nothing is left behind, whatever becomes of the tier. A tier changes
//! the host that samples go to, never the scheme, the path or the credentials ([`doors`]). One
//! destination at a time is gone to directly. Decides only; [`crate::director`] asks and acts.

mod doors;
mod kept;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_journal::fs::DiskFs;
use weir_remote::config::Destination;
use weir_remote::shares::{Share, branch_name, owner_number};
use weir_remote::{Destinations, HttpTransport};
use weir_ring::Guide;
use weir_telemetry::Scrape;

use crate::scrape::Placement;

/// What is gone to directly.
#[derive(Debug)]
pub struct Direct {
    state: Mutex<State>,
    file: PathBuf,
    /// Frames before this position were written by another placement.
    fence: AtomicU64,
    pub(crate) counts: Counts,
}

#[derive(Debug, Default)]
struct State {
    configured: Vec<Destination>,
    tier: Option<Tier>,
    branches: BTreeMap<(String, String), Branch>,
    /// Counts placements.
    version: u64,
}

/// The destination that is a tier, and what it says.
#[derive(Clone, Debug)]
struct Tier {
    trunk: String,
    url: String,
    word: String,
    guide: Guide,
}

/// The way to one member, by trunk and member.
#[derive(Debug, Default)]
struct Branch {
    /// `None` where it is not known any more: it goes where its trunk goes.
    url: Option<String>,
    /// Nothing is written for it any more from this position on.
    ends: Option<u64>,
}

/// How often a tier was asked.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) learned: AtomicU64,
    pub(crate) failed: AtomicU64,
}

/// What the next text has to be newer than.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Known {
    pub(crate) trunk: String,
    pub(crate) word: String,
    pub(crate) generation: u64,
}

impl Direct {
    /// Reads what is known beside the buffer in `dir`, for these destinations.
    pub fn open(dir: &Path, configured: &[Destination]) -> Result<Self, String> {
        let mut branches = BTreeMap::new();
        for Destination { name, .. } in configured {
            let members = Destinations::<HttpTransport>::branches(&DiskFs, dir, name)?;
            let is_own = |member: &String| {
                let branch = branch_name(name, member);
                configured.iter().all(|other| other.name != branch)
            };
            let members = members.into_iter().filter(is_own);
            branches.extend(members.map(|member| ((name.clone(), member), Branch::default())));
        }
        let file = dir.join(kept::FILE);
        let tier = kept::read(&file);
        let state = State { configured: configured.to_vec(), tier, branches, version: 0 };
        let direct = Self {
            state: Mutex::new(state),
            file,
            fence: AtomicU64::new(0),
            counts: Counts::default(),
        };
        direct.configure(configured.to_vec());
        Ok(direct)
    }

    /// Takes other destinations; what runs of them is [`Direct::destinations`].
    pub fn configure(&self, configured: Vec<Destination>) {
        let mut state = self.lock();
        state.configured = configured;
        let State { configured, tier, branches, .. } = &mut *state;
        branches.retain(|(trunk, _), _| configured.iter().any(|d| d.name == *trunk));
        let stays = |tier: &Tier| {
            let same = |d: &&Destination| (&d.name, &d.url) == (&tier.trunk, &tier.url);
            configured.iter().find(same).is_some_and(may_be_tier)
        };
        if !tier.as_ref().is_some_and(stays) {
            *tier = None;
        }
        state.renew_urls();
    }

    /// Destinations as they are configured.
    pub fn configured(&self) -> Vec<Destination> {
        self.lock().configured.clone()
    }

    /// All destinations: the configured ones, and their branches.
    pub fn destinations(&self) -> Vec<Destination> {
        let state = self.lock();
        let mut all = state.configured.clone();
        for ((trunk, member), branch) in &state.branches {
            let trunk = state.configured.iter().find(|d| d.name == *trunk);
            all.extend(trunk.map(|trunk| trunk.branch(member, branch.url.as_deref())));
        }
        all
    }

    /// Which owners bodies are to be gathered by. All branches that it names have to run by then.
    pub fn placement(&self) -> Arc<Placement> {
        let mut state = self.lock();
        state.version += 1;
        let (version, numbers) = (state.version, state.numbers());
        Arc::new(match (&state.tier, numbers) {
            (Some(tier), Some(numbers)) => Placement::new(version, tier.guide.clone(), numbers),
            _ => Placement::none(version),
        })
    }

    /// Nobody's, until the next [`Direct::placement`].
    pub(crate) fn no_placement(&self) -> Arc<Placement> {
        let mut state = self.lock();
        state.version += 1;
        Arc::new(Placement::none(state.version))
    }

    /// A placement is in force for all frames from this position on.
    pub(crate) fn placed_from(&self, position: u64) {
        self.fence.store(position, Ordering::Release);
        let mut state = self.lock();
        let placed: Vec<_> = state.placed().collect();
        for (key, branch) in &mut state.branches {
            match placed.contains(key) {
                true => branch.ends = None,
                false => _ = branch.ends.get_or_insert(position),
            }
        }
    }

    /// Frames before this position were written by another placement.
    pub(crate) fn fence(&self) -> u64 {
        self.fence.load(Ordering::Acquire)
    }

    /// The tier that is gone to, as it is known.
    pub(crate) fn known(&self) -> Option<Known> {
        let state = self.lock();
        let tier = state.tier.as_ref()?;
        let (trunk, word) = (tier.trunk.clone(), tier.word.clone());
        Some(Known { trunk, word, generation: tier.guide.text().generation })
    }

    /// A destination that may be gone to directly, by its own name or by a branch's.
    pub(crate) fn trunk_of(&self, destination: &Destination) -> Option<Destination> {
        let name = match &destination.share {
            Share::Trunk => &destination.name,
            Share::Branch { trunk, .. } => trunk,
        };
        let state = self.lock();
        state.configured.iter().find(|d| d.name == *name).filter(|d| may_be_tier(d)).cloned()
    }

    /// Takes what a tier says. Members that were gone to and are not listed are gone to no more.
    pub(crate) fn learn(&self, trunk: &Destination, word: &str, guide: Guide) {
        let (name, url) = (trunk.name.clone(), trunk.url.clone());
        let tier = Tier { trunk: name, url, word: word.to_owned(), guide };
        if let Err(why) = kept::write(&self.file, &tier) {
            // It is asked for again after a restart.
            tracing::warn!(%why, file = %self.file.display(), "the owners cannot be written down");
        }
        let mut state = self.lock();
        state.tier = Some(tier);
        state.renew_urls();
    }

    /// Goes to these members, too, as far as they can be gone to; whether that is news.
    pub(crate) fn go_to(&self, places: impl Iterator<Item = u16>) -> bool {
        let mut state = self.lock();
        let State { configured, tier, branches, .. } = &mut *state;
        let Some(tier) = tier else {
            return false;
        };
        let Some(trunk) = configured.iter().find(|d| d.name == tier.trunk) else {
            return false;
        };
        let mut news = false;
        for door in places.filter_map(|at| tier.guide.doors().get(usize::from(at))) {
            let key = (trunk.name.clone(), door.name.clone());
            let name = branch_name(&trunk.name, &door.name);
            let is_taken = configured.iter().any(|d| d.name == name);
            if branches.contains_key(&key) || is_taken || branches.len() >= BRANCHES_MAX {
                continue;
            }
            if let Some(url) = doors::url(trunk, &door.push) {
                branches.insert(key, Branch { url: Some(url), ends: None });
                news = true;
            }
        }
        news
    }

    /// Forgets branches that have come to their end: `is_done` says so of their names and positions.
    /// Whether there were some.
    pub(crate) fn retire(&self, is_done: impl Fn(&str, u64) -> bool) -> bool {
        let mut state = self.lock();
        let before = state.branches.len();
        state.branches.retain(|(trunk, member), branch| {
            let ends = branch.ends;
            !ends.is_some_and(|position| is_done(&branch_name(trunk, member), position))
        });
        state.branches.len() < before
    }

    /// Adds its metrics to a scrape.
    pub fn collect(&self, scrape: &mut Scrape) {
        let (branches, generation) = {
            let state = self.lock();
            let generation = state.tier.as_ref().map_or(0, |tier| tier.guide.text().generation);
            (state.branches.len(), generation)
        };
        let help = "Members of a tier that are gone to directly.";
        scrape.gauge("weir_agent_owners", help, &[], branches as f64);
        let help = "Generation of the tier's table, by which targets have owners; 0 without one.";
        scrape.gauge("weir_agent_owners_generation", help, &[], generation as f64);
        let help = "How often a tier was asked for its owners, by result.";
        let name = "weir_agent_owners_asked_total";
        for (result, count) in [("ok", &self.counts.learned), ("failed", &self.counts.failed)] {
            scrape.counter(name, help, &[("result", result)], count.load(Ordering::Relaxed));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Where branches go, after another text or another configuration.
    fn renew_urls(&mut self) {
        let Self { configured, tier, branches, .. } = self;
        for ((trunk, member), branch) in branches {
            let tier = tier.as_ref().filter(|tier| tier.trunk == *trunk);
            let trunk = configured.iter().find(|d| d.name == *trunk);
            branch.url = tier.zip(trunk).and_then(|(tier, trunk)| {
                let door = tier.guide.doors().iter().find(|door| door.name == *member)?;
                doors::url(trunk, &door.push)
            });
        }
    }

    /// The branches that bodies may be written for.
    fn placed(&self) -> impl Iterator<Item = (String, String)> {
        let trunk = self.tier.as_ref().map(|tier| &tier.trunk);
        let open = self
            .branches
            .iter()
            .filter(move |((of, _), branch)| trunk == Some(of) && branch.url.is_some());
        open.map(|(key, _)| key.clone())
    }

    /// The numbers of the tier's members, by their places.
    fn numbers(&self) -> Option<Vec<Option<u64>>> {
        let tier = self.tier.as_ref()?;
        let placed: Vec<(String, String)> = self.placed().collect();
        let number = |door: &weir_ring::Door| {
            let key = (tier.trunk.clone(), door.name.clone());
            placed.contains(&key).then(|| owner_number(&tier.trunk, &door.name))
        };
        Some(tier.guide.doors().iter().map(number).collect())
    }
}

fn may_be_tier(destination: &Destination) -> bool {
    destination.direct && destination.share == Share::Trunk
}

/// Members that are gone to; the targets of others go where the whole goes.
const BRANCHES_MAX: usize = 32;

#[cfg(test)]
mod tests;
