//! Numbers that look random and are none: functions of a seed and of what they are for.
//!
//! Invariant: frozen. A seed means the same traffic in every build, or recorded runs could not be
//! repeated.

/// The seed of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seed(pub u64);

impl Seed {
    /// A number for a purpose and up to two places.
    pub fn number(self, purpose: Purpose, a: u64, b: u64) -> u64 {
        mix(mix(mix(self.0 ^ purpose as u64).wrapping_add(a)).wrapping_add(b))
    }

    /// Whether something that happens in this share of all cases (0 to 1) happens in this one.
    pub fn happens(self, share: f64, purpose: Purpose, a: u64, b: u64) -> bool {
        share > 0.0 && ((self.number(purpose, a, b) >> 11) as f64) < share * (1u64 << 53) as f64
    }
}

/// What a number is for, so that one decision says nothing about another.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Purpose {
    Pace = 1,
    Skew,
    PodBirth,
    Deploy,
    Restart,
    PodName,
    Outage,
    Duplicate,
    OutOfOrder,
    Late,
    Malformed,
    Backoff,
    Motion,
    Place,
    Exemplar,
}

/// The finaliser of splitmix64.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_splitmix64() {
        // The first two outputs of the published generator for the seed 0.
        assert_eq!(mix(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(mix(0x9e37_79b9_7f4a_7c15), 0x6e78_9e6a_a1b9_65f4);
    }

    #[test]
    fn shares_are_met() {
        let of =
            |share| (0..100_000).filter(|&n| Seed(7).happens(share, Purpose::Late, n, 0)).count();
        assert_eq!((of(0.0), of(1.0)), (0, 100_000));
        assert!((900..1100).contains(&of(0.01)), "{}", of(0.01));
    }
}
