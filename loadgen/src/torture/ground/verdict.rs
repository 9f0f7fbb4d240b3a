//! What came of it, now and in the end: the oracle's word, the witness's, and the gateways' own.

use std::time::{Duration, Instant};

use super::super::field::Field;
use super::super::node::Node;
use super::super::pause;
use super::super::processes::{Process, WITHIN};
use super::super::summary::Summary;
use super::{Ground, LONG_MS, MISSING};
use crate::clock::now_ms;
use crate::oracle::{Arrival, Differences, Doubts};
use crate::receiver::script::is_refused;

impl Ground {
    /// What the oracle says of all up to now, once the gateways have caught up. What differs is
    /// waited for, as long as that may take.
    pub(crate) fn verdict(&mut self) -> Result<Differences, String> {
        self.wait_ready()?;
        let through = (now_ms() - LONG_MS).div_euclid(LONG_MS) * LONG_MS;
        self.judge(through)
    }

    pub(super) fn wait_ready(&mut self) -> Result<(), String> {
        self.nodes.iter_mut().try_for_each(|node| node.process.wait_ready())
    }

    fn judge(&mut self, through: i64) -> Result<Differences, String> {
        let frontier = |process: &Process| {
            process.metric("weir_frontier_seconds").map_or(i64::MIN, |s| (s * 1000.0) as i64)
        };
        let began = Instant::now();
        while self.nodes.iter().any(|node| frontier(&node.process) < through) {
            if began.elapsed() > WITHIN {
                return Err(format!("the frontier does not come to {through}"));
            }
            pause(50);
        }
        let began = Instant::now();
        let patience = MISSING[usize::from(self.nodes.len() > 1)];
        loop {
            // First what was sent: what arrives in between is not expected yet, and raw samples
            // that are newer than all that is expected are left for the next time.
            let mut arrivals = self.arrivals();
            arrivals.retain(|a| a.sample.timestamp <= through);
            let mut received = self.receiver.samples();
            received.retain(|s| s.timestamp <= through && !is_refused(s));
            let mut found = self.oracle.judge(&arrivals, &received, through);
            let natives = self.receiver.histograms();
            let natives = natives.iter().map(|(labels, h)| (&**labels, h));
            let natives = natives.filter(|(_, h)| h.timestamp <= through);
            let none = Doubts::default();
            found.add(self.oracle.judge_histograms(&none, &arrivals, natives, through));
            if self.moves {
                // What the old owner has yet to deliver of a raw series may come behind the new one's.
                found.disordered.retain(|series| {
                    series.split('{').next().is_some_and(|name| name.contains(':'))
                });
            }
            if let Some(field) = &self.field {
                found.add(field.judge(through));
            }
            if found.is_empty() || began.elapsed() > patience {
                return Ok(found);
            }
            pause(1000);
        }
    }

    /// All that was acknowledged, and all that agents have put into their buffers; but for the series that
    /// the backend refuses now and then, of which nobody knows what it has taken.
    fn arrivals(&self) -> Vec<Arrival> {
        let mut arrivals = self.fleet.arrivals();
        arrivals.retain(|arrival| !is_refused(&arrival.sample));
        arrivals.extend(self.field.iter().flat_map(Field::arrivals));
        arrivals
    }

    /// The last verdict, over everything.
    pub(crate) fn end(mut self) -> Result<Summary, String> {
        self.receiver.accept_all();
        self.wait_ready()?;
        if let Some(field) = &mut self.field {
            wait_caught_up(&self.nodes)?;
            field.stop()?;
        }
        self.fleet.stop();
        // The windows of the last samples, too.
        let through = now_ms().div_euclid(LONG_MS) * LONG_MS + LONG_MS;
        let mut differences = self.judge(through)?;
        differences.wrong.extend(self.nodes.iter().filter_map(audit));
        if let Some(panic) = self.panic() {
            return Err(panic);
        }
        let heard = self.field.iter().map(|field| field.arrivals().len()).sum();
        Ok(Summary {
            faults: std::mem::take(&mut self.suffered),
            requests: self.fleet.requests(),
            acknowledged: self.fleet.acknowledged(),
            heard,
            received: self.receiver.requests_seen(),
            differences,
            found_early: Vec::new(),
        })
    }

    fn panic(&self) -> Option<String> {
        let mut nodes = self.nodes.iter();
        let of_nodes = nodes.find_map(|node| node.process.panic());
        of_nodes.or_else(|| self.field.as_ref().and_then(Field::panic))
    }
}

/// Waits while a frontier follows its targets: those that end now would hold it.
fn wait_caught_up(nodes: &[Node]) -> Result<(), String> {
    let began = Instant::now();
    let catches_up = |node: &Node| node.process.metric("weir_frontier_catching_up") != Some(0.0);
    while nodes.iter().any(catches_up) {
        if began.elapsed() > WITHIN {
            return Err("the frontier does not catch up".into());
        }
        pause(100);
    }
    Ok(())
}

/// What a gateway's own audit finds; what is in flight is waited for.
fn audit(node: &Node) -> Option<String> {
    let began = Instant::now();
    loop {
        let found = node.process.metric("weir_audit_imbalance_samples");
        if found == Some(0.0) {
            return None;
        }
        if began.elapsed() > Duration::from_secs(20) {
            return Some(format!("weir_audit_imbalance_samples is {found:?}"));
        }
        pause(100);
    }
}
