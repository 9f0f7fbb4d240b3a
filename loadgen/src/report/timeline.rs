//! A run second by second.

use serde::Serialize;

use super::Times;
use crate::sender::Tally;
use crate::watch::Sight;

/// One second or so.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Moment {
    /// Its end, in seconds from the run's beginning.
    pub at: f64,
    /// Samples a second that were asked for at its end.
    pub asked: f64,
    /// Samples a second that were acknowledged.
    pub acknowledged: f64,
    /// Attempts a second that failed.
    pub failed: f64,
    /// From when a request was due; none if nothing was acknowledged.
    pub latency: Option<Times>,
    /// How long ago the oldest request in hand was due, seconds.
    pub lag: f64,
    /// Cores that the target kept busy.
    pub cores: Option<f64>,
    /// The target's resident memory, bytes.
    pub resident: Option<f64>,
    /// Age of the oldest sample that a destination has not got, seconds.
    pub queue_lag: Option<f64>,
    /// Samples in for each sample out, since the run's beginning: outputs leave when windows end, all at once.
    pub reduction: Option<f64>,
}

/// A moment that is shorter says nothing about rates: the last one may be.
const LEAST: f64 = 0.2;

/// Makes moments of what is counted and seen.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    moments: Vec<Moment>,
    first: Sight,
    seen: Sight,
    at: f64,
    /// Sights that differ: metrics may be read more seldom than moments are made.
    seen_at: f64,
}

impl Recorder {
    /// Begins with what is seen before the load.
    pub fn new(seen: Sight) -> Self {
        Self { first: seen, seen, ..Self::default() }
    }

    /// Begins a moment now: what was before it belongs to none.
    pub fn resume(&mut self, at: f64) {
        self.at = at;
    }

    /// Adds a moment that ends now, unless it is too short.
    pub fn add(
        &mut self,
        at: f64,
        asked: f64,
        lag: f64,
        tally: &Tally,
        sight: Sight,
    ) -> Option<&Moment> {
        if at - self.at < LEAST && !self.moments.is_empty() {
            return None;
        }
        let seconds = (at - self.at).max(1e-3);
        let grown = |now: Option<f64>, before: Option<f64>| Some((now? - before?).max(0.0));
        let seen_for = (at - self.seen_at).max(1e-3);
        let cores = grown(sight.cpu, self.seen.cpu).map(|cpu| cpu / seen_for);
        let out = grown(sight.sent_on, self.first.sent_on).filter(|out| *out > 0.0);
        let reduction = grown(sight.received, self.first.received).zip(out).map(|(i, o)| i / o);
        let last = self.moments.last();
        let changed = sight != self.seen;
        let moment = Moment {
            at,
            asked,
            acknowledged: tally.acknowledged as f64 / seconds,
            failed: tally.failed_attempts as f64 / seconds,
            latency: (tally.latency.count() > 0).then(|| Times::from(&tally.latency)),
            lag,
            cores: if changed { cores } else { last.and_then(|m| m.cores) },
            resident: sight.resident,
            queue_lag: sight.queue_lag,
            reduction,
        };
        self.at = at;
        if changed {
            (self.seen, self.seen_at) = (sight, at);
        }
        self.moments.push(moment);
        self.moments.last()
    }

    /// All moments.
    pub fn into_moments(self) -> Vec<Moment> {
        self.moments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_by_second_and_unseen_is_absent() {
        let sight = |cpu, received, sent_on| Sight {
            cpu: Some(cpu),
            received: Some(received),
            sent_on: Some(sent_on),
            ..Sight::default()
        };
        let mut recorder = Recorder::new(sight(1.0, 0.0, 0.0));
        let mut tally = Tally { acknowledged: 1000, failed_attempts: 4, ..Tally::default() };
        tally.latency.add(0.001);
        let moment = recorder.add(2.0, 600.0, 0.0, &tally, sight(2.0, 1000.0, 100.0));
        let moment = moment.expect("long enough").clone();
        assert_eq!((moment.acknowledged, moment.failed, moment.asked), (500.0, 2.0, 600.0));
        assert_eq!((moment.cores, moment.reduction), (Some(0.5), Some(10.0)));
        assert_eq!((moment.resident, moment.latency.map(|l| l.max)), (None, Some(0.001)));
        assert_eq!(recorder.add(2.1, 600.0, 0.0, &tally, Sight::default()), None);
        let more = recorder.add(3.0, 600.0, 0.0, &tally, sight(3.0, 3000.0, 100.0));
        let reduction = more.expect("long enough").reduction;
        assert_eq!(reduction, Some(30.0), "what comes in until the next window ends counts");
        let silent = recorder.add(4.0, 600.0, 1.0, &Tally::default(), Sight::default());
        let silent = silent.expect("long enough");
        assert_eq!((silent.latency, silent.cores, silent.lag), (None, None, 1.0));
    }
}
