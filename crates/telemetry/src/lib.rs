//! What a program says about itself: logs, metrics, process facts.
//!
//! Invariant: no globals but the log subscriber that [`logs::init`] installs: a registry is a
//! value, and two in one process do not see each other. It deliberately serves nothing; the text
//! of a scrape is a `String`, and who asks for it by which path is the program's business.

pub mod logs;
pub mod process;
pub mod registry;

pub use logs::{LogFormat, LogLimiter, Verdict};
pub use process::ProcessCollector;
pub use registry::{
    Collect, Counter, ExpositionFormat, Family, Gauge, Histogram, Registry, Scrape,
};
