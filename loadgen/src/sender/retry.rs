//! What becomes of a request by its answer: as a Prometheus does.
//!
//! 5xx and broken connections are tried again, first after 30 ms, then after twice as long each
//! time, 5 s at most, or when `Retry-After` says. 4xx is not. 429 is dropped unless asked for.
//! Nothing here sleeps.

use std::time::Duration;

use super::answer::{Answer, NoAnswer};

const FIRST: Duration = Duration::from_millis(30);
const LAST: Duration = Duration::from_secs(5);
/// However long `Retry-After` is.
const AFTER_MOST: Duration = Duration::from_secs(300);

/// What an answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// 2xx: acknowledged.
    Delivered,
    /// Not to be sent again.
    Refused,
    /// To be sent again after this.
    Again(Duration),
}

/// What an outcome means after so many failures of the same request.
pub fn verdict(outcome: &Result<Answer, NoAnswer>, failures: u32, retries_429: bool) -> Verdict {
    let backoff = FIRST.saturating_mul(1 << failures.min(10)).min(LAST);
    match outcome {
        Err(_) => Verdict::Again(backoff),
        Ok(answer) => match answer.status {
            200..300 => Verdict::Delivered,
            500.. => Verdict::Again(answer.retry_after.map_or(backoff, |t| t.min(AFTER_MOST))),
            429 if retries_429 => {
                Verdict::Again(answer.retry_after.map_or(backoff, |t| t.min(AFTER_MOST)))
            }
            _ => Verdict::Refused,
        },
    }
}

/// Whether some of a request may have been taken, whatever its sender was told: a tier that fails at one
/// gateway may have it at another, and 400 may be of a part.
pub fn may_be_taken(outcome: &Result<Answer, NoAnswer>) -> bool {
    match outcome {
        Ok(answer) => matches!(answer.status, 200..300 | 400 | 500..),
        Err(none) => none.sent,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    fn of(status: u16, failures: u32) -> Verdict {
        verdict(&Ok(Answer { status, ..Answer::default() }), failures, false)
    }

    #[test]
    fn it_does_as_prometheus_does() {
        for status in [200, 202, 204] {
            assert_eq!(of(status, 0), Verdict::Delivered);
        }
        for status in [301, 400, 401, 413, 415, 429] {
            assert_eq!(of(status, 0), Verdict::Refused);
        }
        let waits = [30, 60, 120, 240, 480, 960, 1920, 3840, 5000, 5000];
        for (failures, wait) in waits.into_iter().enumerate() {
            let again = Verdict::Again(Duration::from_millis(wait));
            assert_eq!(of(503, failures as u32), again);
            let broken = Err(NoAnswer::unsent(io::ErrorKind::ConnectionRefused.into()));
            assert_eq!(verdict(&broken, failures as u32, false), again);
        }
    }

    #[test]
    fn retry_after_is_honoured() {
        let later = |status, seconds| Answer {
            status,
            retry_after: Some(Duration::from_secs(seconds)),
            ..Answer::default()
        };
        let again = |seconds| Verdict::Again(Duration::from_secs(seconds));
        assert_eq!(verdict(&Ok(later(503, 7)), 0, false), again(7));
        assert_eq!(verdict(&Ok(later(503, 4000)), 0, false), again(300));
        assert_eq!(verdict(&Ok(later(429, 7)), 0, false), Verdict::Refused);
        assert_eq!(verdict(&Ok(later(429, 7)), 0, true), again(7));
    }

    #[test]
    fn what_was_sent_and_not_plainly_refused_may_have_been_taken() {
        let of = |status| may_be_taken(&Ok(Answer { status, ..Answer::default() }));
        assert!([204, 400, 500, 503].into_iter().all(of));
        assert!(![401, 413, 415, 429].into_iter().any(of), "nothing of it is stored");
        let why = || io::ErrorKind::UnexpectedEof.into();
        assert!(may_be_taken(&Err(NoAnswer::lost(why()))));
        assert!(!may_be_taken(&Err(NoAnswer::unsent(why()))));
    }
}
