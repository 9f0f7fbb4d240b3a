//! What a job asks of the scrapes of its targets: the part of `scrape_configs` that decides about
//! samples.
//!
//! Not here: where and when to scrape, and how to connect.

use weir_relabel::Program;
use weir_wire::exposition;

use super::limits::Limits;

/// Settings of a job, shared by its targets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// `honor_labels`: the page's labels win over the target's.
    pub honor_labels: bool,
    /// `honor_timestamps`: the page's timestamps count.
    pub honor_timestamps: bool,
    /// `track_timestamps_staleness`: series with timestamps of their own get stale markers too.
    pub track_timestamps_staleness: bool,
    /// `metric_relabel_configs`
    pub metric_relabel: Program,
    /// `sample_limit` and its like.
    pub limits: Limits,
    /// `external_labels`: added at last, where a series has none of that name.
    pub external_labels: Vec<(String, String)>,
    /// `extra_scrape_metrics`: three more report series.
    pub extra_metrics: bool,
    /// What is asked of the parser.
    pub parser: exposition::Options,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            honor_labels: false,
            honor_timestamps: true,
            track_timestamps_staleness: false,
            metric_relabel: Program::default(),
            limits: Limits::default(),
            external_labels: Vec::new(),
            extra_metrics: false,
            parser: exposition::Options::default(),
        }
    }
}
