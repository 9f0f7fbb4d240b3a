//! What came of it: faults by kind, what was sent and compared, what differs.

use std::collections::BTreeMap;
use std::fmt;

use super::faults::Fault;
use crate::oracle::Differences;

/// The sum of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Faults by kind: 0 of those that could have come and did not.
    pub faults: BTreeMap<Fault, usize>,
    /// Requests that senders made, those that failed included.
    pub requests: usize,
    /// Samples that were acknowledged.
    pub acknowledged: usize,
    /// Samples that agents put into their buffers.
    pub heard: usize,
    /// Requests that the receiver saw.
    pub received: usize,
    /// What the oracle found in the end.
    pub differences: Differences,
    /// What it had found on the way in tiers that got no more faults then, also what has healed since.
    pub found_early: Vec<Differences>,
}

impl Summary {
    /// Faults of all kinds.
    pub fn fault_count(&self) -> usize {
        self.faults.values().sum()
    }

    /// Those that were SIGKILL.
    pub fn kill_count(&self) -> usize {
        self.faults.iter().filter(|(fault, _)| fault.is_kill()).map(|(_, n)| n).sum()
    }

    /// Whether nothing differed, neither in the end nor on the way.
    pub fn is_right(&self) -> bool {
        self.differences.is_empty() && self.found_early.is_empty()
    }

    /// All that differed, for people.
    pub fn found(&self) -> String {
        let early = self.found_early.iter().map(|found| format!("on the way: {found}"));
        let last = (!self.differences.is_empty()).then(|| self.differences.to_string());
        early.chain(last).collect::<Vec<_>>().join("\n")
    }

    /// Adds another gateway's.
    pub fn add(&mut self, other: Self) {
        for (fault, times) in other.faults {
            *self.faults.entry(fault).or_default() += times;
        }
        self.requests += other.requests;
        self.acknowledged += other.acknowledged;
        self.heard += other.heard;
        self.received += other.received;
        self.differences.add(other.differences);
        self.found_early.extend(other.found_early);
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, times) in &self.faults {
            writeln!(f, "{fault:28} {times:8}")?;
        }
        for (what, count) in [
            ("all faults", self.fault_count()),
            ("requests of senders", self.requests),
            ("samples acknowledged", self.acknowledged),
            ("samples of agents", self.heard),
            ("requests at the receiver", self.received),
            ("outputs compared", self.differences.compared),
            ("samples that came again", self.differences.resent),
        ] {
            writeln!(f, "{what:28} {count:8}")?;
        }
        for (kind, list) in self.differences.kinds() {
            writeln!(f, "{kind:28} {:8}", list.len())?;
        }
        if !self.found_early.is_empty() {
            writeln!(f, "{:28} {:8}", "tiers found on the way", self.found_early.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_on_the_way_counts_although_it_has_healed() {
        let lost = vec!["x at 2000".to_owned()];
        let found = Differences { lost, compared: 5, ..Differences::default() };
        let healed = Summary { found_early: vec![found], ..Summary::default() };
        let mut all = Summary::default();
        assert!(all.is_right());
        all.add(healed);
        assert!(all.differences.is_empty() && !all.is_right());
        assert!(all.found().contains("x at 2000"), "{}", all.found());
        assert!(all.to_string().contains("tiers found on the way"), "{all}");
    }
}
