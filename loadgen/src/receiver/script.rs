//! A script file: what the receiver does, step by step, over and over.
//!
//! A step lasts for some time or some requests; the last one without either lasts for ever. The
//! answers are those of real backends: who refuses a part of a request, and what the text says.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::{Receiver, Reply};
use crate::samples::{Sample, name};

/// How a script file is written.
pub const HELP: &str = "\
A script is a YAML list; the receiver goes through it again and again. A step has

  do          accept, slow, hang, close, lose (takes it and closes), reset (RST), status,
              cortex (takes a part, 400), prometheus (refuses the whole for one sample, 400),
              m3 (500, no configured cluster namespace), overload (503, Retry-After: 1),
              limit (429)
  for         seconds that it lasts, whether requests come or not
  requests    or requests that it lasts; both: whichever is over first; neither: for ever
  delay       seconds, for slow (default 1)
  status, body, retry_after   for status

Example:
  - {do: accept, for: 20}
  - {do: overload, for: 5}
  - {do: slow, delay: 2.5, requests: 10}
  - {do: status, status: 502, body: bad gateway, for: 3}

Samples whose metric name ends in _refused are the ones that cortex and prometheus refuse.";

/// A script.
#[derive(Clone, Debug)]
pub struct Script(Vec<Step>);

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    r#do: Deed,
    #[serde(default)]
    r#for: Option<f64>,
    #[serde(default)]
    requests: Option<usize>,
    #[serde(default)]
    delay: Option<f64>,
    #[serde(default)]
    status: Option<u16>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    retry_after: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Deed {
    Accept,
    Slow,
    Hang,
    Close,
    Lose,
    Reset,
    Status,
    Cortex,
    Prometheus,
    M3,
    Overload,
    Limit,
}

/// Where a script stands.
struct Place {
    step: usize,
    since: Instant,
    requests: usize,
    /// When the last request met it.
    latest: Instant,
}

impl Place {
    fn begin(step: usize, since: Instant) -> Self {
        Self { step, since, requests: 0, latest: since }
    }
}

/// A step lasts a millisecond at least, so that a long silence is gone through soon.
const SECONDS: std::ops::RangeInclusive<f64> = 1e-3..=1e8;

impl Script {
    /// Reads a script file.
    pub fn read(text: &str) -> Result<Self, String> {
        let steps: Vec<Step> = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        for (number, step) in steps.iter().enumerate() {
            let wrong = |why: &str| Err(format!("step {} {why}", number + 1));
            let lasts = step.r#for.is_some() || step.requests.is_some();
            if !lasts && number + 1 < steps.len() {
                return wrong("never ends: give it `for` or `requests`");
            }
            if step.r#for.is_some_and(|s| !SECONDS.contains(&s)) || step.requests == Some(0) {
                return wrong(
                    "lasts no time that can be: `for` is 0.001 to 1e8, `requests` 1 or more",
                );
            }
            if step.delay.is_some_and(|s| !(0.0..=*SECONDS.end()).contains(&s)) {
                return wrong("has a `delay` that is none: it is 0 to 1e8");
            }
            if step.r#do == Deed::Status && step.status.is_none() {
                return wrong("does not say which status");
            }
            if step.status.is_some_and(|status| !(200..=599).contains(&status)) {
                return wrong("has a status that is none: it is 200 to 599");
            }
            if step.r#do == Deed::Hang && step.r#for.is_none() {
                return wrong("hangs for ever: give it `for`");
            }
        }
        if steps.is_empty() { Err("a script without steps".into()) } else { Ok(Self(steps)) }
    }

    /// Makes a receiver behave like this from now on.
    pub fn play(self, receiver: &Receiver) {
        let place = Mutex::new(Place::begin(0, Instant::now()));
        receiver.script(move |request| {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            self.0[self.go_on(&mut place, now)].reply(&request.samples, now - place.since)
        });
    }

    /// Moves on to the step of this moment, past all that have ended in silence, and counts the request
    /// that meets it.
    fn go_on(&self, place: &mut Place, now: Instant) -> usize {
        while let Some(end) = self.0[place.step].end(place).filter(|&end| end <= now) {
            *place = Place::begin((place.step + 1) % self.0.len(), end);
        }
        place.requests += 1;
        place.latest = now;
        place.step
    }
}

impl Step {
    /// When it ends, as far as is known: at its time, or with its last request.
    fn end(&self, place: &Place) -> Option<Instant> {
        let by_time = self.r#for.map(|s| place.since + Duration::from_secs_f64(s));
        let is_over = self.requests.is_some_and(|n| place.requests >= n);
        by_time.into_iter().chain(is_over.then_some(place.latest)).min()
    }

    /// What it does with a request that comes so long after it began.
    fn reply(&self, samples: &[Sample], after: Duration) -> Reply {
        let status = |status, headers: &[(&str, &str)], body: &str| {
            let headers = headers.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
            Reply::Status(status, headers.collect(), body.to_owned())
        };
        match self.r#do {
            Deed::Accept => Reply::Accept,
            Deed::Slow => Reply::Slow(Duration::from_secs_f64(self.delay.unwrap_or(1.0))),
            Deed::Hang => {
                let lasts = Duration::from_secs_f64(self.r#for.unwrap_or_default());
                Reply::Slow(lasts.saturating_sub(after))
            }
            Deed::Close => Reply::Close,
            Deed::Reset => Reply::Reset,
            Deed::Lose => Reply::Lose,
            Deed::Status => {
                let after = self.retry_after.map(|s| s.to_string()).unwrap_or_default();
                let headers: &[(&str, &str)] =
                    if after.is_empty() { &[] } else { &[("Retry-After", &after)] };
                status(self.status.unwrap_or(500), headers, self.body.as_deref().unwrap_or(""))
            }
            Deed::Cortex if samples.iter().any(is_refused) => Reply::Partly(
                is_refused,
                400,
                "user=anonymous: err: out of bounds. timestamp=0, series={}".into(),
            ),
            Deed::Prometheus if samples.iter().any(is_refused) => status(400, &[], "out of bounds"),
            Deed::Cortex | Deed::Prometheus => Reply::Accept,
            Deed::M3 => status(500, &[], "no configured cluster namespace"),
            Deed::Overload => status(503, &[("Retry-After", "1")], "too busy"),
            Deed::Limit => status(429, &[], "ingestion rate limit exceeded"),
        }
    }
}

/// Whether it is one of those that some backends refuse.
pub(crate) fn is_refused(sample: &Sample) -> bool {
    name(&sample.labels).ends_with("_refused")
}

#[cfg(test)]
mod tests;
