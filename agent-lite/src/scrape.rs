//! Scraping: from a target's page to bodies of remote write.
//!
//! In reading order: [`Settings`] is what a job asks for; [`fetch`](fetch()) gets a page;
//! [`Scraper`] is one target's state machine, which goes through it (`page.rs`, `labels.rs`,
//! `limits.rs`), knows its series (`series.rs`, `exemplars.rs`, `metadata.rs`), reports
//! (`report.rs`), and writes what is to be sent (`rows.rs`, `gather.rs`), each owner's apart (`placement.rs`). [`Manager`] runs one
//! task (`task.rs`) for each target and hands bodies to a [`Sink`].
//!
//! Prometheus 3's scrape loop is the specification; `docs/AGENT.md` names the differences.

mod counters;
mod exemplars;
mod fetch;
mod gather;
mod horizon;
mod labels;
mod limits;
mod manager;
mod metadata;
mod page;
mod placement;
mod report;
mod rows;
mod scraper;
mod series;
mod settings;
mod shared;
mod task;

pub use counters::ScrapeCounters;
pub use fetch::{BODY_BYTES_MAX, FetchError, FetchSettings, Fetched, Way, fetch};
pub use gather::Body;
pub use limits::{Limits, ScrapeError};
pub use manager::Manager;
pub use placement::Placement;
pub use scraper::{Attempt, Counts, Outcome, Scraper, Scratch};
pub use settings::Settings;
pub use shared::{LANE, Sink, SinkError};
pub use task::{Endpoint, Job, TargetStatus};

#[cfg(test)]
mod tests;
