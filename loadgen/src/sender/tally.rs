//! What a connection counts.
//!
//! Invariant: every sample that was due is in exactly one of `acknowledged`, `refused`, `given_up`,
//! `unsent`, `away` and `broken`. Repeats are counted apart.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::report::quantiles::Quantiles;

/// Counts of some time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tally {
    /// Attempts to send a request, repeats included, broken ones not.
    pub attempts: u64,
    /// Attempts that were not answered 2xx.
    pub failed_attempts: u64,
    /// Samples that were answered 2xx.
    pub acknowledged: u64,
    /// Samples that were answered as not to be sent again.
    pub refused: u64,
    /// Samples still to be sent again when the run ended.
    pub given_up: u64,
    /// Samples that were due, and whose connection did not come to them before the run ended.
    pub unsent: u64,
    /// Samples that were due while their replica was away.
    pub away: u64,
    /// Samples of requests that were broken on purpose.
    pub broken: u64,
    /// Samples that were sent a second time on purpose.
    pub repeated: u64,
    /// Broken requests that were refused, as they should be.
    pub malformed_refused: u64,
    /// Broken requests that were answered otherwise.
    pub malformed_taken: u64,
    /// Bytes of bodies sent.
    pub bytes: u64,
    /// The same before compression.
    pub plain_bytes: u64,
    /// Answers by status code.
    pub answers: BTreeMap<u16, u64>,
    /// Attempts without an answer, by what went wrong.
    pub errors: BTreeMap<String, u64>,
    /// What a refusal or an error said first.
    pub said: Option<String>,
    /// Seconds from when a request was due to when it was acknowledged.
    #[serde(skip)]
    pub latency: Quantiles,
    /// Seconds from when a request was first sent to when it was acknowledged.
    #[serde(skip)]
    pub service: Quantiles,
}

/// Different errors that are told apart.
const ERRORS_MOST: usize = 20;

impl Tally {
    /// Adds another one.
    pub fn merge(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.failed_attempts += other.failed_attempts;
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.given_up += other.given_up;
        self.unsent += other.unsent;
        self.away += other.away;
        self.broken += other.broken;
        self.repeated += other.repeated;
        self.malformed_refused += other.malformed_refused;
        self.malformed_taken += other.malformed_taken;
        self.bytes += other.bytes;
        self.plain_bytes += other.plain_bytes;
        for (status, count) in &other.answers {
            *self.answers.entry(*status).or_default() += count;
        }
        for (error, count) in &other.errors {
            self.add_error(error, *count);
        }
        if self.said.is_none() {
            self.said.clone_from(&other.said);
        }
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
    }

    /// Counts attempts without an answer.
    pub fn add_error(&mut self, error: &str, count: u64) {
        let known = self.errors.contains_key(error) || self.errors.len() < ERRORS_MOST;
        let error = if known { error } else { "others" };
        *self.errors.entry(error.to_owned()).or_default() += count;
    }

    /// Share of attempts that failed, 0 to 1.
    pub fn error_ratio(&self) -> f64 {
        if self.attempts == 0 { 0.0 } else { self.failed_attempts as f64 / self.attempts as f64 }
    }
}
