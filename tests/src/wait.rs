//! Waiting for conditions. The only file of the tests that sleeps.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The longest pause between two questions.
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Asks again and again until the answer is `Ok`; panics with the last reason after `within`.
pub fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let asked = Instant::now();
        let reason = match ask() {
            Ok(answer) => return answer,
            Err(reason) => reason,
        };
        assert!(began.elapsed() < within, "not within {within:?}: {what}: {reason}");
        // A question that is much work leaves the cores to who is to answer it; one that takes long has waited itself.
        std::thread::sleep(pause.max((asked.elapsed() * 2).min(PAUSE_MAX)));
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// [`until`] for a condition that is true or false.
pub fn until_true(what: &str, within: Duration, mut ask: impl FnMut() -> bool) {
    until(what, within, || ask().then_some(()).ok_or_else(|| "it is not so".into()));
}

/// Waits for what may never come: whether it came.
pub fn perhaps(within: Duration, mut ask: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        if ask() {
            return true;
        }
        if began.elapsed() >= within {
            return false;
        }
        std::thread::sleep(Duration::from_millis(200).max((asked.elapsed() * 4).min(PAUSE_MAX)));
    }
}

/// How long what takes `bound` on a machine of its own may take on this one as busy as it is: as much longer as more
/// than two programs wait for each core, four times at most.
pub fn stretched(bound: Duration) -> Duration {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    bound.mul_f64((load / cores / 2.0).clamp(1.0, 4.0))
}

/// Waits for a moment of the wall clock, in milliseconds since the epoch.
///
/// For what is driven by the clock itself (samples at a pace, a window that must end) and for
/// blows at random moments; never for something to be done.
pub fn for_clock(unix_ms: i64) {
    let left = unix_ms - now_ms();
    std::thread::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
}

/// The wall clock in milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
