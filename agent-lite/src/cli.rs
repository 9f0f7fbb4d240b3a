//! The command line: Prometheus's agent flags, so that a unit file or a pod's arguments stay as they
//! are, and a few of Weir's own.
//!
//! Invariant: a flag of Prometheus's is obeyed, accepted because it asks for what is so anyway, or
//! refused with what to use instead; none is ignored in silence.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use weir_config::Size;
use weir_model::Millis;
use weir_telemetry::LogFormat;

mod central;

pub use central::CentralArgs;

/// The agent's arguments.
#[derive(Clone, PartialEq, Debug, Parser)]
#[command(name = "weir-agent-lite", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
pub struct Args {
    /// The configuration file: Prometheus's own. SIGHUP reads it again, and POST /-/reload with
    /// --web.enable-lifecycle.
    #[arg(long = "config.file", value_name = "FILE", default_value = "prometheus.yml")]
    pub config_file: PathBuf,

    /// Check the configuration and all files it names, print what would run, and exit: 0 if it is
    /// good, 1 if not, with file, line and what is allowed for each error.
    #[arg(long)]
    pub check: bool,

    /// Where to serve metrics, targets and pushes.
    #[arg(long = "web.listen-address", value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    pub listen: String,

    /// TLS, users and headers of the agent's own pages: Prometheus's web configuration file.
    #[arg(long = "web.config.file", value_name = "FILE")]
    pub web_config: Option<PathBuf>,

    /// Serve POST /-/reload and /-/quit.
    #[arg(long = "web.enable-lifecycle")]
    pub lifecycle: bool,

    /// Take remote write at /api/v1/write.
    #[arg(long = "web.enable-remote-write-receiver")]
    pub receiver: bool,

    /// Where the buffer is kept.
    #[arg(long = "storage.agent.path", value_name = "FOLDER", default_value = "data-agent/")]
    pub storage: PathBuf,

    /// What the buffer may take on disk. When it is full, the oldest samples are given up.
    #[arg(long = "buffer.max-size", value_name = "SIZE", default_value = "4GiB", value_parser = size)]
    pub buffer_max_size: Size,

    /// Samples that could not be delivered for so long are given up.
    #[arg(long = "buffer.max-age", alias = "storage.agent.retention.max-time", value_name = "AGE",
        default_value = "12h", value_parser = duration)]
    pub buffer_max_age: Millis,

    /// Rule files in vmagent's stream aggregation format, as the gateway's, by which scrapes are
    /// reduced before they leave; *, ? and […] are wildcards; may be given several times.
    #[arg(long = "aggregation.rule-file", value_name = "FILE")]
    pub rule_files: Vec<String>,

    /// How long a window of those rules stays open past its end: at least as long as a scrape takes.
    #[arg(long = "aggregation.grace", value_name = "TIME", default_value = "15s",
        value_parser = duration)]
    pub grace: Millis,

    /// Take pushes of short-lived jobs as a Pushgateway does, at /metrics/job/….
    #[arg(long = "push.enable")]
    pub push: bool,

    /// A pushed group that nobody has pushed to for so long ends.
    #[arg(long = "push.expire", value_name = "AGE", default_value = "2d", value_parser = duration)]
    pub push_expire: Millis,

    /// error, warn, info, debug or trace.
    #[arg(long = "log.level", value_name = "LEVEL", default_value = "info")]
    pub log_level: String,

    /// text (logfmt is the same) or json.
    #[arg(long = "log.format", value_name = "FORMAT", default_value = "text", value_parser = log_format)]
    pub log_format: LogFormat,

    /// How long a stop may take to deliver what is buffered; what is left is delivered after the
    /// next start.
    #[arg(long = "storage.remote.flush-deadline", value_name = "TIME", default_value = "10s",
        value_parser = duration)]
    pub flush_deadline: Millis,

    /// Features of Prometheus by name; see docs/AGENT.md for those that are known.
    #[arg(long = "enable-feature", value_name = "NAME,…", value_delimiter = ',')]
    pub features: Vec<String>,

    /// A configuration from a gateway.
    #[command(flatten)]
    pub central: CentralArgs,

    /// Asks for what this program is.
    #[arg(long = "agent", hide = true)]
    pub agent: bool,

    #[command(flatten)]
    prometheus: Prometheus,
}

/// Flags of Prometheus's that have no effect here, or that ask for what is not here.
#[derive(Clone, PartialEq, Debug, clap::Args)]
struct Prometheus {
    #[arg(long = "storage.agent.wal-compression", hide = true, num_args = 0..=1)]
    wal_compression: Option<Option<String>>,
    #[arg(long = "no-storage.agent.wal-compression", hide = true)]
    no_wal_compression: bool,
    #[arg(long = "storage.agent.wal-segment-size", hide = true)]
    wal_segment_size: Option<String>,
    #[arg(long = "storage.agent.wal-truncate-frequency", hide = true)]
    wal_truncate_frequency: Option<String>,
    #[arg(long = "storage.agent.retention.min-time", hide = true)]
    retention_min: Option<String>,
    #[arg(long = "storage.agent.no-lockfile", hide = true)]
    no_lockfile: bool,
    #[arg(long = "scrape.adjust-timestamps", hide = true, num_args = 0..=1)]
    adjust_timestamps: Option<Option<String>>,
    #[arg(long = "scrape.discovery-reload-interval", hide = true)]
    discovery_reload: Option<String>,
    #[arg(long = "web.read-timeout", hide = true)]
    read_timeout: Option<String>,
    #[arg(long = "web.max-connections", hide = true)]
    max_connections: Option<String>,
    #[arg(long = "web.page-title", hide = true)]
    page_title: Option<String>,
    #[arg(long = "web.external-url", hide = true)]
    external_url: Option<String>,
    #[arg(long = "web.route-prefix", hide = true)]
    route_prefix: Option<String>,
    #[arg(long = "web.enable-admin-api", hide = true)]
    admin_api: bool,
    #[arg(long = "storage.tsdb.path", hide = true)]
    tsdb_path: Option<PathBuf>,
    #[arg(long = "storage.tsdb.retention.time", hide = true)]
    tsdb_retention: Option<String>,
}

impl Args {
    /// Flags that were given and mean something that this program does not do: what to use instead,
    /// and those without an effect. The first are errors.
    pub fn advice(&self) -> Advice {
        let mut advice = self.prometheus.advice();
        if self.check && self.central.gateway.is_some() {
            let why = "--check: the gateway's own --check checks configurations of agents";
            advice.errors.push(why.to_owned());
        }
        for feature in &self.features {
            match feature.as_str() {
                "agent"
                | EXTRA_METRICS
                | CREATED_TIMESTAMPS
                | NATIVE_HISTOGRAMS
                | "new-service-discovery-manager"
                | "exemplar-storage"
                | "metadata-wal-records" => {}
                "expand-external-labels" => {}
                other => advice.warnings.push(format!(
                    "--enable-feature={other} has no effect: an agent has no such feature"
                )),
            }
        }
        advice
    }

    /// Whether a feature of Prometheus's was asked for.
    pub fn has_feature(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature == name)
    }

    /// How long a stop may take.
    pub fn flush_deadline(&self) -> Duration {
        self.flush_deadline.to_std()
    }
}

impl Prometheus {
    fn advice(&self) -> Advice {
        let flags = self;
        let mut advice = Advice::default();
        let refused = [
            (flags.route_prefix.is_some(), "--web.route-prefix", "endpoints are at the root"),
            (
                flags.tsdb_path.is_some(),
                "--storage.tsdb.path",
                "an agent has no TSDB; use --storage.agent.path",
            ),
            (
                flags.tsdb_retention.is_some(),
                "--storage.tsdb.retention.time",
                "an agent has no TSDB; use --buffer.max-age",
            ),
        ];
        let refused = refused.into_iter().filter(|(given, ..)| *given);
        advice.errors.extend(refused.map(|(_, flag, why)| format!("{flag}: {why}")));
        let ignored = [
            (
                flags.wal_compression.is_some() || flags.no_wal_compression,
                "--storage.agent.wal-compression",
                "the buffer is always compressed",
            ),
            (
                flags.wal_segment_size.is_some(),
                "--storage.agent.wal-segment-size",
                "segments follow --buffer.max-size",
            ),
            (
                flags.wal_truncate_frequency.is_some(),
                "--storage.agent.wal-truncate-frequency",
                "what is delivered is given up at once",
            ),
            (
                flags.retention_min.is_some(),
                "--storage.agent.retention.min-time",
                "what is delivered is given up at once",
            ),
            (flags.no_lockfile, "--storage.agent.no-lockfile", "the buffer is always locked"),
            (
                flags.discovery_reload.is_some(),
                "--scrape.discovery-reload-interval",
                "changes are taken within a second",
            ),
            (flags.read_timeout.is_some(), "--web.read-timeout", "it is 10 seconds"),
            (flags.max_connections.is_some(), "--web.max-connections", "it is 512"),
            (flags.page_title.is_some(), "--web.page-title", "the page has its own"),
            (flags.external_url.is_some(), "--web.external-url", "nothing here needs it"),
            (flags.admin_api, "--web.enable-admin-api", "there is no TSDB to administer"),
        ];
        let ignored = ignored.into_iter().filter(|(given, ..)| *given);
        advice
            .warnings
            .extend(ignored.map(|(_, flag, why)| format!("{flag} has no effect: {why}")));
        advice
    }
}

/// `--enable-feature`: limits and body sizes as series.
pub const EXTRA_METRICS: &str = "extra-scrape-metrics";
/// `--enable-feature`: start timestamps of pages are used.
pub const CREATED_TIMESTAMPS: &str = "created-timestamp-zero-ingestion";
/// `--enable-feature`: native histograms are scraped.
pub const NATIVE_HISTOGRAMS: &str = "native-histograms";

/// What there is to say about flags.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Advice {
    /// The program cannot do what they ask for.
    pub errors: Vec<String>,
    /// They have no effect.
    pub warnings: Vec<String>,
}

fn size(text: &str) -> Result<Size, String> {
    let size: Size = text.parse().map_err(|e| format!("{e}"))?;
    if size.0 < BUFFER_BYTES_MIN { Err("at least 16MiB".to_owned()) } else { Ok(size) }
}

fn duration(text: &str) -> Result<Millis, String> {
    text.parse().map_err(|e| format!("{e}"))
}

fn log_format(text: &str) -> Result<LogFormat, String> {
    match text {
        "text" | "logfmt" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text, logfmt or json".to_owned()),
    }
}

/// A buffer smaller than this holds hardly a scrape.
const BUFFER_BYTES_MIN: u64 = 16 << 20;

const ABOUT: &str = "\
Weir's agent: `prometheus --enable-feature=agent` at a fraction of its cost.

It reads the same configuration file, finds the same targets, and forwards the same series by remote
write. What it scrapes is on disk before it is sent, survives kill -9, and is delivered after an
outage of hours.";

const AFTER: &str = "\
Endpoints:
  GET  /targets, /api/v1/targets    what is scraped, and how it goes
  GET  /metrics                     the agent's own metrics
  GET  /-/healthy, /-/ready         for the orchestrator
  POST /-/reload                    with --web.enable-lifecycle
  POST /api/v1/write                with --web.enable-remote-write-receiver
  PUT, POST, DELETE /metrics/job/…  with --push.enable

Example:
  weir-agent-lite --config.file=prometheus.yml --check
  weir-agent-lite --config.file=prometheus.yml
  weir-agent-lite --gateway=https://gateway:9201 --agent.label env=prod --agent.label region=eu-1

docs/AGENT.md says what differs from Prometheus, key by key.";

#[cfg(test)]
mod tests;
