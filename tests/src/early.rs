//! Windows that leave early: every sender has promised to be past their end.

use std::time::Duration;

use crate::backend::Backend;
use crate::samples::name;
use crate::wait;

/// How long after a window's end its output may leave where nobody has to be waited for.
const EARLY_MS: i64 = 3_000;
/// A new data directory says nothing before `grace`.
const WITHIN: Duration = Duration::from_secs(180);

/// The newest window of which this output has arrived, by its end.
pub fn newest(backend: &Backend, output: &str) -> Option<i64> {
    let samples = backend.samples();
    samples.iter().filter(|s| name(&s.labels) == output).map(|s| s.timestamp).max()
}

/// Waits until so many windows have left early. Without promises none does before `grace`; with them one may still be
/// late on a machine that is busy for a moment.
pub fn wait_for(backend: &Backend, output: &str, at_least: usize) {
    let (mut lags_ms, mut last) = (Vec::new(), wait::now_ms());
    wait::until("windows leave early", wait::stretched(WITHIN), || {
        if let Some(end) = newest(backend, output).filter(|end| *end > last) {
            last = end;
            lags_ms.push(wait::now_ms() - end);
        }
        let early = lags_ms.iter().filter(|lag_ms| **lag_ms <= EARLY_MS).count();
        let said = || format!("they left {lags_ms:?} ms after their ends");
        if early >= at_least { Ok(()) } else { Err(said()) }
    });
}
