//! What goes wrong between a series and the gateway: repeats, delays, wrong clocks, broken senders.
//!
//! Invariant: what is broken is broken beyond doubt, so that an answer other than 4xx to it is a
//! finding.

/// How often, each a share of all requests.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Mishaps {
    /// Sent a second time after it was acknowledged, as by a sender that missed the answer.
    pub duplicates: f64,
    /// Stamped between the two samples before it.
    pub out_of_order: f64,
    /// Stamped `late_by` too early.
    pub late: f64,
    /// Milliseconds.
    pub late_by: i64,
    /// Broken in one of the ways of [`Malformed`].
    pub malformed: f64,
    /// A quarter of all targets have clocks that are wrong by up to this, in milliseconds.
    pub skew: i64,
}

/// Ways to break a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The body ends in the middle.
    CutOff,
    /// The body is noise.
    Noise,
    /// The body claims to be 4 GiB.
    Boastful,
    /// Good bytes under a content type that nobody takes.
    Mislabelled,
}

impl Malformed {
    /// One of them.
    pub fn of(number: u64) -> Self {
        [Self::CutOff, Self::Noise, Self::Boastful, Self::Mislabelled][(number % 4) as usize]
    }

    /// A good body, broken.
    pub fn mangle(self, body: &[u8]) -> Vec<u8> {
        match self {
            Self::CutOff => body[..body.len() / 2].to_vec(),
            Self::Noise => {
                (0..body.len()).map(|at| (at.wrapping_mul(167) ^ at >> 3) as u8).collect()
            }
            Self::Boastful => [&[0xff, 0xff, 0xff, 0xff, 0x0f], body].concat(),
            Self::Mislabelled => body.to_vec(),
        }
    }

    /// Its content type, if not the usual one.
    pub fn content_type(self) -> Option<&'static str> {
        (self == Self::Mislabelled).then_some("application/x-www-form-urlencoded")
    }
}

/// Wrong clocks are one of these many, the right one in the middle.
pub const CLOCKS: i64 = 17;

impl Mishaps {
    /// How many clocks there are.
    pub fn clocks(&self) -> u16 {
        if self.skew == 0 { 1 } else { CLOCKS as u16 }
    }

    /// The clock of a target, by a number that is its own.
    pub fn clock(&self, number: u64) -> u16 {
        match (self.skew, number % 4) {
            (0, _) => 0,
            (_, 0) => ((number >> 8) % CLOCKS as u64) as u16,
            _ => (CLOCKS / 2) as u16,
        }
    }

    /// What a clock adds, in milliseconds.
    pub fn offset(&self, clock: u16) -> i64 {
        let half = CLOCKS / 2;
        if self.skew == 0 { 0 } else { self.skew * (i64::from(clock) - half) / half }
    }
}
