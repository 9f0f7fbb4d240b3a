//! Several gateways are one tier: whichever gateway a request reaches, what comes out is what one
//! gateway would have said, once.
//!
//! Real processes on loopback, known to each other by a file; senders that take any of them; the
//! oracle, which knows of no tier, says what must come out.

mod absent;
mod blocked;
mod bytes;
mod checked;
mod kills;
mod limits;
mod moves;
mod partitions;
mod rolling;
mod same;
mod secured;

use std::io::Write;
use std::time::Duration;

use weir_tests::backend::Backend;
use weir_tests::gateway::sending_to;
use weir_tests::load::{Load, Rules};
use weir_tests::tier::Tier;
use weir_tests::wait;

/// Windows of two lengths.
const RULES: Rules = Rules { short_s: 2, long_s: 6 };
/// Longer than anything that happens to a gateway here, so that nothing may be late.
const GRACE: &str = "10s";
const GATEWAYS: usize = 3;
/// How long a frontier may take to come to a window's end that is past.
const SOON: Duration = Duration::from_secs(60);
/// A tier waits for a gateway that is away for a minute at most.
const MISSING: Duration = Duration::from_secs(75);

/// A tier between senders and a backend.
struct Trial {
    tier: Tier,
    load: Load,
    backend: Backend,
}

impl Trial {
    /// Starts everything, and waits until the load flows.
    fn begin(linked: bool) -> Self {
        Self::begin_with(if linked { Tier::start_linked } else { Tier::start })
    }

    fn begin_with(start: fn(usize, &str, &str) -> Tier) -> Self {
        let backend = Backend::start();
        let config = sending_to(&backend.url(), GRACE, "");
        let tier = start(GATEWAYS, &config, &RULES.file());
        let load = Load::spread(&tier.addresses(), 4, 100);
        let trial = Self { tier, load, backend };
        trial.wait_samples(1_000);
        trial
    }

    /// Waits until so many more samples are acknowledged.
    fn wait_samples(&self, more: usize) {
        let before = self.load.acknowledged();
        wait::until_true("samples are acknowledged", SOON, || {
            self.load.acknowledged() >= before + more
        });
    }

    /// Lets some time pass under load.
    fn pause(&self, ms: i64) {
        wait::for_clock(wait::now_ms() + ms);
    }

    /// Ends the load, and panics unless everything came out as the oracle computes it.
    fn judge(self, what: &str) {
        self.judge_but(what, |_| false);
    }

    /// The same; a disorder that is known is left out.
    fn judge_but(self, what: &str, is_known: impl Fn(&str) -> bool) {
        let Self { tier, load, backend } = self;
        let last_tick = wait::now_ms();
        let history = load.stop();
        let through = RULES.window_end(last_tick) - RULES.long_s * 1000;
        tier.wait_frontier(through, SOON);
        let verdict = wait::until("everything arrives as computed", MISSING, || {
            let mut found = RULES.compare(&history, &backend.samples(), through);
            found.disordered.retain(|entry| !is_known(entry));
            found.into_result()
        });
        assert!(verdict.compared > 1_000, "{verdict}");
        let late = tier.sum("weir_samples_total", &[("class", "late")]);
        assert_eq!(late, 0.0, "samples within grace were late");
        tier.assert_audited();
        say(&format!("{what}: {} samples acknowledged; {verdict}\n", history.len()));
    }
}

fn say(text: &str) {
    std::io::stdout().write_all(text.as_bytes()).expect("stdout");
}
