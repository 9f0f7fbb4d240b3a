//! A script file: what the receiver does, step by step, over and over.
//!
//! A step lasts for some time or some requests; the last one without either lasts for ever. The
//! answers are those of real backends: who refuses a part of a request, and what the text says.

use std::sync::{Arc, Mutex, PoisonError};
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
  for         seconds that it lasts
  requests    or requests that it lasts; neither: for ever
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
}

impl Script {
    /// Reads a script file.
    pub fn read(text: &str) -> Result<Self, String> {
        let steps: Vec<Step> = serde_saphyr::from_str(text).map_err(|e| e.to_string())?;
        for (number, step) in steps.iter().enumerate() {
            let lasts = step.r#for.is_some() || step.requests.is_some();
            if !lasts && number + 1 < steps.len() {
                return Err(format!("step {} never ends: give it `for` or `requests`", number + 1));
            }
            if step.r#do == Deed::Status && step.status.is_none() {
                return Err(format!("step {} does not say which status", number + 1));
            }
            if step.r#do == Deed::Hang && step.r#for.is_none() {
                return Err(format!("step {} hangs for ever: give it `for`", number + 1));
            }
        }
        if steps.is_empty() { Err("a script without steps".into()) } else { Ok(Self(steps)) }
    }

    /// Makes a receiver behave like this from now on.
    pub fn play(self, receiver: &Receiver) {
        let begun = Place { step: 0, since: Instant::now(), requests: 0 };
        let place = Arc::new(Mutex::new(begun));
        receiver.script(move |request| {
            let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
            self.0[self.go_on(&mut place)].reply(&request.samples, &place)
        });
    }

    /// Moves on to the step of this moment, and counts the request that meets it.
    fn go_on(&self, place: &mut Place) -> usize {
        let step = &self.0[place.step];
        let timed_out = step.r#for.is_some_and(|s| place.since.elapsed().as_secs_f64() >= s);
        if timed_out || step.requests.is_some_and(|n| place.requests >= n) {
            let step = (place.step + 1) % self.0.len();
            *place = Place { step, since: Instant::now(), requests: 0 };
        }
        place.requests += 1;
        place.step
    }
}

impl Step {
    fn reply(&self, samples: &[Sample], place: &Place) -> Reply {
        let status = |status, headers: &[(&str, &str)], body: &str| {
            let headers = headers.iter().map(|&(k, v)| (k.to_owned(), v.to_owned()));
            Reply::Status(status, headers.collect(), body.to_owned())
        };
        match self.r#do {
            Deed::Accept => Reply::Accept,
            Deed::Slow => Reply::Slow(Duration::from_secs_f64(self.delay.unwrap_or(1.0).max(0.0))),
            Deed::Hang => {
                let left = self.r#for.unwrap_or_default() - place.since.elapsed().as_secs_f64();
                Reply::Slow(Duration::from_secs_f64(left.max(0.0)))
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

fn is_refused(sample: &Sample) -> bool {
    name(&sample.labels).ends_with("_refused")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deeds(script: &Script, requests: usize) -> Vec<Deed> {
        let mut place = Place { step: 0, since: Instant::now(), requests: 0 };
        (0..requests).map(|_| script.0[script.go_on(&mut place)].r#do).collect()
    }

    #[test]
    fn steps_last_as_long_as_they_say_and_begin_again() {
        let script = Script::read(
            "- {do: accept, requests: 2}\n- {do: m3, requests: 1}\n- {do: slow, for: 3600}\n",
        )
        .unwrap();
        assert_eq!(
            deeds(&script, 5),
            [Deed::Accept, Deed::Accept, Deed::M3, Deed::Slow, Deed::Slow]
        );
        let again = Script::read("- {do: limit, for: 0}\n- {do: overload, requests: 1}\n").unwrap();
        assert_eq!(deeds(&again, 4), [Deed::Overload, Deed::Limit, Deed::Overload, Deed::Limit]);
    }

    #[test]
    fn a_script_that_cannot_be_played_is_refused() {
        for text in ["[]", "- {do: dance}", "- {do: accept}\n- {do: m3}\n", "- {do: status}"] {
            assert!(Script::read(text).is_err(), "{text}");
        }
        assert!(Script::read("- {do: status, status: 502}").is_ok());
    }
}
