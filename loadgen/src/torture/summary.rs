//! What came of it: faults by kind, what was sent and compared, what differs.

use std::collections::BTreeMap;
use std::fmt;

use super::faults::Fault;
use crate::oracle::Differences;

/// The sum of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Faults by kind.
    pub faults: BTreeMap<Fault, usize>,
    /// Requests that senders made, those that failed included.
    pub requests: usize,
    /// Samples that were acknowledged.
    pub acknowledged: usize,
    /// Samples that agents put into their buffers.
    pub heard: usize,
    /// Requests that the receiver saw.
    pub received: usize,
    /// What the oracle found.
    pub differences: Differences,
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
        Ok(())
    }
}
