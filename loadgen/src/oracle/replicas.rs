//! An HA pair under `merge`: whose sample counts.
//!
//! The incumbent's samples are taken. With Δ the median of its last three scrape distances (a
//! minute while none is known), the other replica takes over when it is more than 1.25 Δ past the
//! newest accepted sample, and there is no switching back. A stale marker counts only from the
//! incumbent while the other is silent. Arrivals must come in the order in which the gateway took
//! them; a test of pairs sends one request after the other.

/// A target's pair of replicas.
#[derive(Default)]
pub(super) struct Pair {
    incumbent: Option<String>,
    accepted: i64,
    other: Option<i64>,
    distances: Vec<i64>,
}

impl Pair {
    /// Whether a sample of this replica counts.
    pub(super) fn takes(&mut self, replica: &str, at: i64, marker: bool) -> bool {
        let patience = self.patience();
        match self.incumbent.as_deref() {
            None => {
                self.incumbent = Some(replica.to_owned());
                self.accepted = at;
                true
            }
            Some(incumbent) if incumbent == replica => {
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
