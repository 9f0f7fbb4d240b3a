//! The search for the greatest rate that holds its bounds.
//!
//! Doubles until a trial fails, then halves the gap until it is small. Pure: it names rates and is
//! told how they went. Invariant: the answer passed a trial itself.

/// A search that is under way.
#[derive(Clone, PartialEq, Debug)]
pub struct Search {
    first: f64,
    precision: f64,
    passed: Option<f64>,
    failed: Option<f64>,
    trials: u32,
}

/// Trials of one search.
const TRIALS_MOST: u32 = 24;
/// How often the first rate is halved before it is given up.
const LEAST_SHARE: f64 = 1.0 / 64.0;

impl Search {
    /// Begins at a rate; ends when the gap is this share of the answer.
    pub fn new(first: f64, precision: f64) -> Self {
        Self { first, precision, passed: None, failed: None, trials: 0 }
    }

    /// The rate to try next; none when it is done.
    pub fn next(&self) -> Option<f64> {
        if self.trials >= TRIALS_MOST {
            return None;
        }
        match (self.passed, self.failed) {
            (None, None) => Some(self.first),
            (Some(passed), None) => Some(passed * 2.0),
            (None, Some(failed)) => {
                Some(failed / 2.0).filter(|rate| *rate >= self.first * LEAST_SHARE)
            }
            (Some(passed), Some(failed)) => {
                let wide = failed - passed > passed * self.precision;
                wide.then_some((passed + failed) / 2.0)
            }
        }
    }

    /// Tells how a rate went.
    pub fn record(&mut self, rate: f64, passed: bool) {
        self.trials += 1;
        let bound = if passed { &mut self.passed } else { &mut self.failed };
        *bound = Some(rate);
    }

    /// The greatest rate that passed.
    pub fn answer(&self) -> Option<f64> {
        self.passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(limit: f64) -> (Option<f64>, u32) {
        let mut search = Search::new(50_000.0, 0.05);
        while let Some(rate) = search.next() {
            search.record(rate, rate <= limit);
        }
        (search.answer(), search.trials)
    }

    #[test]
    fn the_limit_is_found_within_its_precision() {
        for limit in [1_000.0, 49_000.0, 50_000.0, 77_777.0, 3_000_000.0] {
            let (answer, trials) = find(limit);
            let answer = answer.expect("a rate");
            assert!(answer <= limit && answer > limit * 0.95, "{answer} of {limit}");
            assert!(trials <= 16, "{trials}");
        }
    }

    #[test]
    fn a_gateway_that_holds_nothing_has_no_limit() {
        let (answer, trials) = find(0.0);
        assert_eq!(answer, None);
        assert!(trials < 10);
    }
}
