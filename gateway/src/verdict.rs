//! A batch's verdict: what its workers made of it, put together by whichever is the last.
//!
//! So the request that waits hears of it without the emitter, which comes to the position when it is its
//! turn; but where samples pass, the emitter has their frame first. Invariant: the answer is given once,
//! when all have spoken that the batch was dealt out to, and whoever dealt it out.

use std::sync::Mutex;

use tokio::sync::oneshot;
use weir_aggregate::shard::Outcome;

use crate::shard::worker::lock;

/// What is known of a batch's verdict.
#[derive(Debug, Default)]
pub struct Verdict(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// How many have not spoken.
    missing: usize,
    outcome: Outcome,
    /// Who waits for it.
    reply: Option<oneshot::Sender<Outcome>>,
}

impl Verdict {
    /// A verdict to which so many add.
    pub fn of(missing: usize, reply: oneshot::Sender<Outcome>) -> Self {
        Self(Mutex::new(Known { missing, outcome: Outcome::default(), reply: Some(reply) }))
    }

    /// Adds one's part; the last one's gives the answer.
    pub fn add(&self, part: Outcome) {
        let mut known = lock(&self.0);
        known.outcome.counts.merge(&part.counts);
        known.outcome.refusals.extend(part.refusals);
        known.outcome.histograms_written += part.histograms_written;
        known.missing = known.missing.saturating_sub(1);
        if known.missing > 0 {
            return;
        }
        if let Some(reply) = known.reply.take() {
            let mut outcome = std::mem::take(&mut known.outcome);
            outcome.refusals.sort_by_key(|&(entry, ..)| entry);
            // The sender may have hung up; its samples are in all the same.
            drop(reply.send(outcome));
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_aggregate::birth::Refusal;

    use super::*;

    #[test]
    fn the_last_part_gives_the_answer_in_the_order_of_the_request() {
        let (reply, mut answer) = oneshot::channel();
        let verdict = Verdict::of(3, reply);
        let refused = |entry: u32| {
            let refusals = vec![(entry, Refusal::NoNewSeries(String::new()), 1)];
            Outcome { refusals, histograms_written: 2, ..Outcome::default() }
        };
        verdict.add(refused(7));
        verdict.add(Outcome::default());
        assert!(answer.try_recv().is_err());
        verdict.add(refused(3));
        let outcome = answer.try_recv().unwrap();
        assert_eq!(outcome.refusals.iter().map(|&(at, ..)| at).collect::<Vec<_>>(), [3, 7]);
        assert_eq!(outcome.histograms_written, 4);
    }
}
