//! What is kept of one series: its newest sample, and those before it that a scraper has not seen.
//!
//! Invariant: timestamps ascend. A sample is known by the queue's position of its frame, which is
//! what tells whether a scraper has seen it: windows of different lengths end in no order of time.

use weir_model::{Sample, Timestamp};

/// One series' samples.
#[derive(Debug)]
pub(super) struct Line {
    newest: Kept,
    earlier: Vec<Kept>,
    /// A stale marker came: what was not seen is shown once, and then nothing.
    pub(super) ended: bool,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    position: u64,
    sample: Sample,
}

impl Line {
    pub(super) fn new(position: u64, sample: Sample) -> Self {
        Self { newest: Kept { position, sample }, earlier: Vec::new(), ended: false }
    }

    /// The newest sample.
    pub(super) fn newest(&self) -> &Sample {
        &self.newest.sample
    }

    /// How many samples before the newest are kept.
    pub(super) fn earlier(&self) -> usize {
        self.earlier.len()
    }

    /// Takes a sample that is not older. The one before is kept until every scraper has seen it, if
    /// there is room for one more, else the oldest is forgotten; says whether one was.
    pub(super) fn push(
        &mut self,
        position: u64,
        sample: Sample,
        seen_through: u64,
        has_room: bool,
    ) -> bool {
        self.ended = false;
        let before = std::mem::replace(&mut self.newest, Kept { position, sample });
        if before.sample.timestamp == sample.timestamp || before.position <= seen_through {
            return false;
        }
        if has_room {
            self.earlier.push(before);
        } else if !self.earlier.is_empty() {
            self.earlier.remove(0);
            self.earlier.push(before);
        }
        !has_room
    }

    /// What a scraper that has seen everything through a position is shown: what came since, or
    /// else the newest once more, so that a series is on every page for as long as it lives.
    pub(super) fn unseen(&self, through: u64) -> impl Iterator<Item = &Sample> {
        let earlier = self.earlier.iter().filter(move |kept| kept.position > through);
        let last = Some(&self.newest).filter(|kept| !self.ended || kept.position > through);
        earlier.chain(last).map(|kept| &kept.sample)
    }

    /// Forgets what every scraper has seen and what is too old to be shown; says whether anything
    /// is left.
    pub(super) fn trim(&mut self, seen_through: u64, older_than: Timestamp) -> bool {
        let needed =
            |kept: &Kept| kept.position > seen_through && kept.sample.timestamp > older_than;
        self.earlier.retain(needed);
        if self.earlier.is_empty() {
            self.earlier.shrink_to_fit();
        }
        let lives = !self.ended && self.newest.sample.timestamp > older_than;
        lives || needed(&self.newest)
    }
}
