//! Structured logs to standard error, and a limit on how often a thing is said.
//!
//! Invariant: what a limiter suppressed is counted and said later, so the log shows how much there
//! was. Time is an argument. It deliberately limits by a key that the caller chooses, not by text.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use thiserror::Error;
use tracing::Dispatch;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::{Registry, fmt, reload};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, its fields at the top level.
    Json,
}

/// Why logging cannot be set up.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum LogError {
    /// Not a level (`error`, `warn`, `info`, `debug`, `trace`) nor `module=level,…`.
    #[error("log level {0:?}: want error, warn, info, debug, trace, or module=level pairs")]
    Level(String),
    /// Logging is already set up in this process.
    #[error("logging is already set up")]
    Twice,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Say it, and that so many similar ones were suppressed before it.
    Say {
        /// Messages of this key that were suppressed since the last one said.
        suppressed: u64,
    },
    /// Keep quiet; it is counted.
    Suppress,
}

/// Lets at most so many messages of one key through in a period.
#[derive(Debug)]
pub struct LogLimiter {
    burst: u32,
    period: Duration,
    keys: Mutex<HashMap<String, Key>>,
}

#[derive(Debug)]
struct Key {
    started: Instant,
    said: u32,
    suppressed: u64,
}

/// Changes what is logged, until the process ends.
type SetFilter = Box<dyn Fn(Targets) + Send + Sync>;

/// The logger's filter, which is the process's as the logger is.
static FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Sends this process's logs to standard error. `level` is a level or `module=level,…` directives.
pub fn init(level: &str, format: LogFormat) -> Result<(), LogError> {
    let ansi = std::io::stderr().is_terminal();
    let (dispatch, filter) = subscriber(level, format, ansi, std::io::stderr)?;
    tracing::dispatcher::set_global_default(dispatch).map_err(|_| LogError::Twice)?;
    FILTER.set(filter).map_err(|_| LogError::Twice)
}

/// Changes the level of a process that logs already; without [`init`] only `level` is looked at.
pub fn set_level(level: &str) -> Result<(), LogError> {
    let filter = filter(level)?;
    if let Some(set) = FILTER.get() {
        set(filter);
    }
    Ok(())
}

fn filter(level: &str) -> Result<Targets, LogError> {
    level.parse().map_err(|_| LogError::Level(level.to_owned()))
}

fn subscriber<W>(
    level: &str,
    format: LogFormat,
    ansi: bool,
    to: W,
) -> Result<(Dispatch, SetFilter), LogError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(filter(level)?);
    let filtered = Registry::default().with(filter);
    let lines = fmt::layer().with_writer(to);
    let dispatch = match format {
        LogFormat::Text => Dispatch::new(filtered.with(lines.with_ansi(ansi))),
        LogFormat::Json => Dispatch::new(filtered.with(lines.json().flatten_event(true))),
    };
    Ok((dispatch, Box::new(move |filter| drop(handle.reload(filter)))))
}

impl std::str::FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("log format {other:?}: want text or json")),
        }
    }
}

impl LogLimiter {
    /// At most `burst` messages of a key in each `period`, which starts with a key's first message.
    pub fn new(burst: u32, period: Duration) -> Self {
        Self { burst, period, keys: Mutex::default() }
    }

    /// Whether to say a message of this key now.
    pub fn check(&self, key: &str, now: Instant) -> Verdict {
        let mut keys = self.lock();
        // Keys may come from outside: past the bound they share one.
        let crowded = keys.len() >= KEYS_MAX && !keys.contains_key(key);
        let key = if crowded { OTHERS } else { key };
        let state = match keys.get_mut(key) {
            Some(state) => state,
            None => keys.entry(key.to_owned()).or_insert(Key::new(now)),
        };
        let mut suppressed = 0;
        if now.saturating_duration_since(state.started) >= self.period {
            suppressed = state.suppressed;
            *state = Key::new(now);
        }
        if state.said < self.burst {
            state.said += 1;
            Verdict::Say { suppressed }
        } else {
            state.suppressed += 1 + suppressed;
            Verdict::Suppress
        }
    }

    /// Keys whose period is over, with what was suppressed in it (never 0), and forgets them. To
    /// be called now and then, so that the last burst of messages is accounted for, too.
    pub fn poll_suppressed(&self, now: Instant) -> Vec<(String, u64)> {
        let over = |state: &Key| now.saturating_duration_since(state.started) >= self.period;
        let mut ended: Vec<(String, u64)> = Vec::new();
        self.lock().retain(|key, state| {
            if over(state) && state.suppressed > 0 {
                ended.push((key.clone(), state.suppressed));
            }
            !over(state)
        });
        ended.sort();
        ended
    }

    /// [`Self::poll_suppressed`], each as a line in the log.
    pub fn log_suppressed(&self, now: Instant) {
        for (key, suppressed) in self.poll_suppressed(now) {
            tracing::warn!(key, "suppressed {suppressed} similar");
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn new(started: Instant) -> Self {
        Self { started, said: 0, suppressed: 0 }
    }
}

const KEYS_MAX: usize = 1_000;
const OTHERS: &str = "(others)";

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const SAID: Verdict = Verdict::Say { suppressed: 0 };

    #[test]
    fn says_so_many_and_then_how_many_it_did_not() {
        let (limiter, start) = (LogLimiter::new(2, 10 * SECOND), Instant::now());
        assert_eq!(limiter.check("a", start), SAID);
        assert_eq!(limiter.check("a", start + SECOND), SAID);
        for second in 2..9 {
            assert_eq!(limiter.check("a", start + second * SECOND), Verdict::Suppress);
        }
        assert_eq!(limiter.check("b", start + 9 * SECOND), SAID);
        assert_eq!(limiter.check("a", start + 10 * SECOND), Verdict::Say { suppressed: 7 });
        assert_eq!(limiter.check("a", start + 11 * SECOND), SAID);
        assert_eq!(limiter.check("a", start + 12 * SECOND), Verdict::Suppress);
    }

    #[test]
    fn the_last_burst_is_accounted_for() {
        let (limiter, start) = (LogLimiter::new(1, SECOND), Instant::now());
        for _ in 0..4 {
            limiter.check("a", start);
        }
        limiter.check("quiet", start);
        assert_eq!(limiter.poll_suppressed(start), []);
        assert_eq!(limiter.poll_suppressed(start + SECOND), [("a".to_owned(), 3)]);
        assert_eq!(limiter.poll_suppressed(start + SECOND), []);
        assert!(limiter.lock().is_empty());
    }

    #[test]
    fn keys_are_bounded_and_nothing_is_uncounted() {
        let (limiter, start) = (LogLimiter::new(1, SECOND), Instant::now());
        let all = u64::try_from(KEYS_MAX).unwrap() + 500;
        let said = (0..all).filter(|key| limiter.check(&key.to_string(), start) == SAID).count();
        assert!(limiter.lock().len() <= KEYS_MAX + 1);
        let suppressed: u64 =
            limiter.poll_suppressed(start + SECOND).iter().map(|(_, count)| count).sum();
        assert_eq!(said as u64 + suppressed, all);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_harms_nothing() {
        let (limiter, start) = (LogLimiter::new(1, SECOND), Instant::now() + 9 * SECOND);
        assert_eq!(limiter.check("a", start), SAID);
        assert_eq!(limiter.check("a", start - 5 * SECOND), Verdict::Suppress);
    }

    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    /// What is written while `work` runs.
    fn logged(level: &str, format: LogFormat, work: impl FnOnce()) -> String {
        let lines = Lines::default();
        let to = lines.clone();
        let (dispatch, _) = subscriber(level, format, false, move || to.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, work);
        String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap()
    }

    #[test]
    fn json_lines_have_their_fields_at_the_top_and_levels_are_kept() {
        let work = || {
            tracing::info!(rule = "x", "quiet");
            tracing::warn!(rule = "say \"x\"", count = 3, "loud");
        };
        let json = logged("warn", LogFormat::Json, work);
        assert_eq!(json.lines().count(), 1, "{json}");
        for part in ["\"level\":\"WARN\"", "\"message\":\"loud\"", "\"count\":3"] {
            assert!(json.contains(part), "{json}");
        }
        assert!(json.contains(r#""rule":"say \"x\"""#), "{json}");
        let text = logged("info", LogFormat::Text, work);
        assert!(text.contains("quiet rule=\"x\"") && text.contains("count=3"), "{text}");
    }

    #[test]
    fn the_level_can_change_while_logs_are_written() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let lines = Lines::default();
            let to = lines.clone();
            let (dispatch, set) = subscriber("warn", format, false, move || to.clone()).unwrap();
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::info!("before");
                set(filter("info").unwrap());
                tracing::info!("after");
            });
            let text = String::from_utf8(std::mem::take(&mut *lines.0.lock().unwrap())).unwrap();
            assert!(text.contains("after") && !text.contains("before"), "{text}");
        }
        assert!(set_level("weir=loud").is_err());
    }

    #[test]
    fn a_bad_level_is_refused_with_what_is_allowed() {
        let error = init("weir=loud", LogFormat::Text).unwrap_err();
        assert!(error.to_string().contains("want error, warn, info"), "{error}");
        assert_eq!("json".parse(), Ok(LogFormat::Json));
        assert!("xml".parse::<LogFormat>().unwrap_err().contains("text or json"));
    }
}
