//! What is asked of a run, and whether it was met.

use serde::Serialize;

use super::Report;
use crate::units;

/// Bounds that the user gives. What is absent is not asked.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Bounds {
    /// Greatest 99th percentile of the latency, seconds.
    pub p99: Option<f64>,
    /// Greatest share of failed attempts.
    pub error_ratio: Option<f64>,
    /// Least acknowledged samples a second.
    pub rate: Option<f64>,
}

/// One bound, and what came.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Verdict {
    /// What was asked.
    pub asked: String,
    /// What was measured.
    pub measured: String,
    /// Whether it is within.
    pub met: bool,
}

impl Bounds {
    /// Holds a run against them.
    pub fn judge(&self, report: &Report) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if let Some(most) = self.p99 {
            // A run without one acknowledgement has no latency; it is not fast.
            let none = report.totals.acknowledged == 0;
            let p99 = report.latency.p99;
            verdicts.push(Verdict {
                asked: format!("p99 at most {}", units::seconds(most)),
                measured: if none { "no answer".to_owned() } else { units::seconds(p99) },
                met: !none && p99 <= most,
            });
        }
        if let Some(most) = self.error_ratio {
            let ratio = report.totals.error_ratio();
            verdicts.push(Verdict {
                asked: format!("failed attempts at most {}", percent(most)),
                measured: percent(ratio),
                met: ratio <= most,
            });
        }
        if let Some(least) = self.rate {
            // In a search the rate is that of its answer.
            let searched = !report.trials.is_empty();
            let rate = if searched { report.limit.unwrap_or(0.0) } else { report.rate };
            verdicts.push(Verdict {
                asked: format!("at least {} samples/s", units::short(least)),
                measured: format!("{} samples/s", units::short(rate)),
                met: rate >= least,
            });
        }
        verdicts
    }
}

/// A share as people read it.
pub fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.0001 {
        "<0.01%".to_owned()
    } else {
        format!("{:.2}%", share * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_judged_by_its_figure() {
        let mut report = Report { rate: 990.0, ..Report::default() };
        report.totals.acknowledged = 1;
        report.latency.p99 = 0.05;
        (report.totals.attempts, report.totals.failed_attempts) = (100, 1);
        let met = |bounds: Bounds, report: &Report| {
            bounds.judge(report).iter().map(|v| v.met).collect::<Vec<_>>()
        };
        let of = |p99, error_ratio, rate| Bounds {
            p99: Some(p99),
            error_ratio: Some(error_ratio),
            rate: Some(rate),
        };
        assert_eq!(met(of(0.05, 0.01, 990.0), &report), [true; 3]);
        assert_eq!(met(of(0.049, 0.009, 991.0), &report), [false; 3]);
        assert!(met(Bounds::default(), &report).is_empty());
        report.totals.acknowledged = 0;
        assert_eq!(met(Bounds { p99: Some(1.0), ..Bounds::default() }, &report), [false]);
    }
}
