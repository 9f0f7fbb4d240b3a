//! What an agent tells its gateway about itself, and what asking comes to.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use weir_agent_config::control::Report;
use weir_remote::destinations::now_ms;
use weir_telemetry::Scrape;

use crate::force::Force;

/// Answers by kind.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; KINDS.len()]);

pub(super) const NEW: usize = 0;
pub(super) const SAME: usize = 1;
pub(super) const NONE: usize = 2;
const FAILED: usize = 3;
const KINDS: [&str; 4] = ["new", "same", "none", "failed"];

impl Counts {
    /// Counts an answer of this kind, or that there was none.
    pub(super) fn answered<E>(&self, kind: Result<usize, E>) {
        if let Some(count) = self.0.get(kind.unwrap_or(FAILED)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds them to a scrape.
    pub fn collect(&self, scrape: &mut Scrape) {
        let help = "Questions to the gateway for a configuration, by its answer.";
        for (kind, count) in KINDS.iter().zip(&self.0) {
            let count = count.load(Ordering::Relaxed);
            scrape.counter("weir_agent_config_polls_total", help, &[("answer", kind)], count);
        }
    }
}

/// Looks at the agent; rates are over the time since the last look.
#[derive(Debug, Default)]
pub(super) struct Observer {
    last: Option<(Instant, u64)>,
}

impl Observer {
    pub(super) fn report(&mut self, force: &Force) -> Report {
        let (mut up, mut down) = (0, 0);
        for (_, status) in force.pools.view().iter().flat_map(|pool| &pool.active) {
            match (status.last_scrape, &status.error) {
                (_, Some(_)) => down += 1,
                (Some(_), None) => up += 1,
                (None, None) => {}
            }
        }
        let (mut bytes, mut oldest_ms) = (0, i64::MAX);
        force.destinations.each(|_, sender| {
            let metrics = sender.metrics();
            bytes = metrics.lag_bytes.load(Ordering::Relaxed).max(bytes);
            let oldest = metrics.oldest_unsent_ms.load(Ordering::Relaxed);
            oldest_ms = if oldest > 0 { oldest_ms.min(oldest) } else { oldest_ms };
        });
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            targets_up: up,
            targets_down: down,
            buffer_bytes: bytes,
            buffer_age_ms: u64::try_from(now_ms().saturating_sub(oldest_ms)).unwrap_or_default(),
            samples_per_second: self.rate(force),
            ..Report::default()
        }
    }

    fn rate(&mut self, force: &Force) -> f64 {
        let samples = force
            .pools
            .with_manager(|manager| manager.counters().samples_scraped.load(Ordering::Relaxed));
        let now = Instant::now();
        let last = self.last.replace((now, samples));
        last.map_or(0.0, |(at, before)| {
            let seconds = now.duration_since(at).as_secs_f64().max(1e-3);
            samples.saturating_sub(before) as f64 / seconds
        })
    }
}
