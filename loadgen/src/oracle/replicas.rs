//! An HA pair: whose sample counts.
//!
//! Under `merge` the incumbent's samples are taken. With Δ the median of its last three scrape distances (a
//! minute while none is known), the other replica takes over when it is more than 1.25 Δ past the
//! newest accepted sample, and there is no switching back; what the new incumbent says of the time before it
//! took over does not count. A stale marker counts only from the incumbent while the other is silent. Under
//! `elect` all is the same but for Cortex's fail-over time of 30 s in the place of 1.25 Δ. Arrivals must come
//! in the order in which the gateway took them; a test of pairs sends one request after the other.

/// Cortex's `ha_tracker_failover_timeout`.
const FAILOVER_MS: i64 = 30_000;

/// A target's pair of replicas.
#[derive(Default)]
pub(super) struct Pair {
    incumbent: Option<String>,
    accepted: i64,
    other: Option<i64>,
    /// When the incumbent took over.
    since: Option<i64>,
    distances: Vec<i64>,
}

impl Pair {
    /// Whether a sample of this replica counts.
    pub(super) fn takes(&mut self, replica: &str, at: i64, marker: bool, elects: bool) -> bool {
        let patience = if elects { FAILOVER_MS } else { self.patience() };
        match self.incumbent.as_deref() {
            None => {
                self.incumbent = Some(replica.to_owned());
                self.accepted = at;
                true
            }
            Some(incumbent) if incumbent == replica => {
                if self.since.is_some_and(|since| at < since) {
                    return false;
                }
                if marker && self.other.is_some_and(|other| other + patience > at) {
                    return false;
                }
                if at > self.accepted {
                    self.distances.push(at - self.accepted);
                    self.accepted = at;
                }
                true
            }
            Some(_) if marker || at <= self.accepted + patience => {
                self.other = self.other.max(Some(at));
                false
            }
            Some(_) => {
                self.other = Some(self.accepted);
                self.since = Some(at);
                self.incumbent = Some(replica.to_owned());
                self.accepted = at;
                true
            }
        }
    }

    fn patience(&self) -> i64 {
        let mut last: Vec<i64> = self.distances.iter().rev().take(3).copied().collect();
        last.sort_unstable();
        let median = last.get(last.len() / 2).copied().unwrap_or(60_000);
        median + median / 4
    }
}
