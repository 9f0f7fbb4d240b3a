//! When each sample is due: an open loop.
//!
//! The schedule does not wait for answers. A request that leaves late because the one before took
//! long is late, and its latency counts from when it was due; otherwise a gateway that stalls for a
//! second would hide a second's worth of slow answers (coordinated omission). Invariant: due times
//! depend on the schedule alone. Nothing here asks a clock.

use std::time::Duration;

use crate::units;

/// A piece of time in which the rate goes in a straight line from one value to another.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Leg {
    /// Samples a second at its beginning.
    pub from: f64,
    /// Samples a second at its end.
    pub to: f64,
    /// Seconds.
    pub seconds: f64,
}

impl Leg {
    fn samples(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds
    }

    /// Seconds into the leg at which this many samples have become due.
    fn when(&self, samples: f64) -> f64 {
        if samples <= 0.0 {
            return 0.0;
        }
        let growth = (self.to - self.from) / self.seconds;
        if growth.abs() < 1e-9 {
            return samples / self.from.max(1e-9);
        }
        // from·t + growth/2·t² = samples, in the form that loses no digits.
        let root = (self.from * self.from + 2.0 * growth * samples).max(0.0).sqrt();
        2.0 * samples / (self.from + root)
    }
}

/// Legs, one after the other.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Schedule {
    legs: Vec<Leg>,
}

impl Schedule {
    /// One rate for some time.
    pub fn constant(rate: f64, duration: Duration) -> Self {
        Self { legs: vec![Leg { from: rate, to: rate, seconds: duration.as_secs_f64() }] }
    }

    /// `0:60s:1M`: from a rate to a rate within a time. `duration` in all: the rest keeps the last
    /// rate. More legs may follow: `0:60s:1M:30s:200k`.
    pub fn ramp(text: &str, duration: Duration) -> Result<Self, String> {
        let why = |e: String| format!("{text:?}: {e}; a ramp is written 0:60s:1M");
        let mut parts = text.split(':');
        let mut rate = units::number(parts.next().unwrap_or_default()).map_err(why)?;
        let mut legs = Vec::new();
        while let Some(time) = parts.next() {
            let seconds = units::duration(time).map_err(why)?.as_secs_f64();
            let to = parts.next().ok_or_else(|| why("the last rate is missing".to_owned()))?;
            let to = units::number(to).map_err(why)?;
            if seconds == 0.0 || rate + to == 0.0 {
                return Err(why("a leg needs a time and a rate".to_owned()));
            }
            legs.push(Leg { from: rate, to, seconds });
            rate = to;
        }
        if legs.is_empty() {
            return Err(why("a time and a second rate are missing".to_owned()));
        }
        let rest = duration.as_secs_f64() - legs.iter().map(|leg| leg.seconds).sum::<f64>();
        if rest > 0.0 && rate > 0.0 {
            legs.push(Leg { from: rate, to: rate, seconds: rest });
        }
        Ok(Self { legs })
    }

    /// `30s:100k,200k,400k`: each rate for this long.
    pub fn steps(text: &str) -> Result<Self, String> {
        let why = |e: String| format!("{text:?}: {e}; steps are written 30s:100k,200k,400k");
        let (time, rates) = text.split_once(':').ok_or_else(|| why("no colon".to_owned()))?;
        let seconds = units::duration(time).map_err(why)?.as_secs_f64();
        let leg = |rate| units::rate(rate).map(|rate| Leg { from: rate, to: rate, seconds });
        let legs: Result<Vec<Leg>, String> = rates.split(',').map(leg).collect();
        let legs = legs.map_err(why)?;
        if seconds == 0.0 {
            return Err(why("a step needs a time".to_owned()));
        }
        Ok(Self { legs })
    }

    /// How long it takes.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.legs.iter().map(|leg| leg.seconds).sum())
    }

    /// Samples in all.
    pub fn samples(&self) -> f64 {
        self.legs.iter().map(Leg::samples).sum()
    }

    /// The greatest rate.
    pub fn peak(&self) -> f64 {
        self.legs.iter().map(|leg| leg.from.max(leg.to)).fold(0.0, f64::max)
    }

    /// The rate at a time after the beginning.
    pub fn rate(&self, at: Duration) -> f64 {
        let mut left = at.as_secs_f64();
        for leg in &self.legs {
            if left < leg.seconds {
                return leg.from + (leg.to - leg.from) * left / leg.seconds;
            }
            left -= leg.seconds;
        }
        0.0
    }

    /// When a sample is due that so many others precede. None: not in this schedule.
    pub fn due(&self, before: f64) -> Option<Duration> {
        let (mut samples, mut begin) = (before, 0.0);
        for leg in &self.legs {
            let most = leg.samples();
            if samples < most {
                return Some(Duration::from_secs_f64(begin + leg.when(samples)));
            }
            samples -= most;
            begin += leg.seconds;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn due(schedule: &Schedule, before: f64) -> f64 {
        schedule.due(before).expect("due").as_secs_f64()
    }

    #[test]
    fn a_constant_rate_is_even() {
        let schedule = Schedule::constant(1000.0, MINUTE);
        assert_eq!(due(&schedule, 0.0), 0.0);
        assert_eq!(due(&schedule, 30_000.0), 30.0);
        assert_eq!(schedule.due(60_000.0), None);
        assert_eq!(schedule.samples(), 60_000.0);
    }

    #[test]
    fn a_ramp_is_the_integral_of_its_rate() {
        let schedule = Schedule::ramp("0:60s:1k", 2 * MINUTE).expect("a ramp");
        // 1000/60 · t²/2 = 7,500 at t = 30; 30,000 at 60; then 1,000 a second.
        assert_eq!(due(&schedule, 0.0), 0.0);
        assert!((due(&schedule, 7_500.0) - 30.0).abs() < 1e-6);
        assert!((due(&schedule, 31_000.0) - 61.0).abs() < 1e-6);
        assert_eq!(schedule.duration(), 2 * MINUTE);
        assert_eq!(schedule.rate(MINUTE / 2), 500.0);
        let down = Schedule::ramp("100:10s:0", Duration::ZERO).expect("a ramp");
        assert!((due(&down, 375.0) - 5.0).abs() < 1e-6);
        assert!(due(&down, 499.999) < 10.0);
    }

    #[test]
    fn steps_follow_each_other() {
        let schedule = Schedule::steps("10s:100,200").expect("steps");
        assert_eq!((due(&schedule, 1200.0), schedule.samples()), (11.0, 3000.0));
        assert_eq!(schedule.peak(), 200.0);
    }

    #[test]
    fn what_is_no_schedule_says_how_one_is_written() {
        for bad in ["", "1k", "1k:5s", "1k:x:2k", "0:5s:0", "0:0s:5"] {
            let error = Schedule::ramp(bad, MINUTE).expect_err(bad);
            assert!(error.contains("0:60s:1M"), "{error}");
        }
        for bad in ["", "10s", "10s:", "10s:0", "0s:5"] {
            let error = Schedule::steps(bad).expect_err(bad);
            assert!(error.contains("30s:100k,200k,400k"), "{error}");
        }
    }

    /// A server that takes a millisecond, and once a whole second. In simulated time.
    #[test]
    fn a_stall_is_not_omitted() {
        let schedule = Schedule::constant(100.0, Duration::from_secs(10));
        let mut slow = Vec::new();
        let mut free = 0.0_f64;
        for request in 0..1000 {
            let due = due(&schedule, f64::from(request));
            let takes = if request == 500 { 1.0 } else { 0.001 };
            free = free.max(due) + takes;
            slow.push(free - due);
        }
        // The 100 requests that were due within the second waited, half a second on average. Then
        // the backlog melts by 9 ms a request: about 11 more wait.
        let waited: Vec<&f64> = slow.iter().filter(|latency| **latency > 0.002).collect();
        assert!((105..115).contains(&waited.len()), "{}", waited.len());
        assert!(waited.iter().copied().sum::<f64>() > 50.0);
    }
}
