//! `weir-loadgen run`: from arguments to a plan.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::check::CheckArgs;
use crate::body::{Compression, Protocol};
use crate::pacing::Schedule;
use crate::replay::Replay;
use crate::report::bounds::Bounds;
use crate::run::{Pace, Plan};
use crate::sender::{Endpoint, Spread};
use crate::units;
use crate::workload::churn::Life;
use crate::workload::mishaps::Mishaps;
use crate::workload::presets::Preset;
use crate::workload::replicas::Replicas;
use crate::workload::{Extras, Shape};

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// Where to: the URL of a remote write endpoint. May be repeated, for the gateways of a tier:
    /// what fails at one is tried again at the next.
    #[arg(long = "target", value_name = "URL", required = true)]
    pub targets: Vec<String>,
    /// How requests are spread over several targets.
    #[arg(long, value_enum, default_value = "requests")]
    pub spread: Spread,

    /// Which series, with which labels.
    #[arg(long, value_enum, default_value = "kubernetes", help_heading = "Load")]
    pub preset: Preset,
    /// Send captured bodies again instead, with the timestamps of now: the *.body files of a
    /// folder.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = OF_PRESETS, help_heading = "Load")]
    pub replay: Option<PathBuf>,
    /// How many series.
    #[arg(long, value_parser = units::count, default_value = "100k", help_heading = "Load")]
    pub series: u64,
    /// Series of a target; default: the preset's.
    #[arg(long, value_parser = units::count, value_name = "N", help_heading = "Load")]
    pub series_per_target: Option<u64>,
    /// Services that the targets belong to; default: the preset's.
    #[arg(long, value_parser = units::count, value_name = "N", help_heading = "Load")]
    pub services: Option<u64>,
    /// Namespaces that the services belong to; default: the preset's.
    #[arg(long, value_parser = units::count, value_name = "N", help_heading = "Load")]
    pub namespaces: Option<u64>,
    /// One more label of targets, and how many values it has. May be repeated.
    #[arg(long = "label", value_name = "NAME=N", value_parser = label, help_heading = "Load")]
    pub labels: Vec<(String, u32)>,
    /// Native histograms count in whole numbers, as scrapers send them; else in floats.
    #[arg(long, help_heading = "Load")]
    pub whole_counts: bool,
    /// Counters and histograms say when they began. Only 2.0 can.
    #[arg(long, help_heading = "Load")]
    pub start_timestamps: bool,
    /// Share of counters that have an exemplar.
    #[arg(long, value_parser = units::ratio, value_name = "SHARE", default_value = "0", help_heading = "Load")]
    pub exemplars: f64,
    /// Makes everything that looks random: the same seed, the same traffic.
    #[arg(long, default_value_t = 1, help_heading = "Load")]
    pub seed: u64,

    /// A pod ends after this, and another takes its place.
    #[arg(long, value_parser = units::duration, value_name = "TIME", help_heading = "What happens")]
    pub pod_life: Option<Duration>,
    /// A service is deployed this often: all its pods are replaced, one after the other.
    #[arg(long, value_parser = units::duration, value_name = "TIME", help_heading = "What happens")]
    pub deploy_every: Option<Duration>,
    /// How long a deploy takes to reach the last pod.
    #[arg(long, value_parser = units::duration, value_name = "TIME", default_value = "5m", help_heading = "What happens")]
    pub rollout: Duration,
    /// A container restarts this often, and its counters begin at 0; default: the preset's.
    #[arg(long, value_parser = units::duration, value_name = "TIME", help_heading = "What happens")]
    pub restart_every: Option<Duration>,
    /// Every sample comes from two replicas (labels cluster and __replica__): twice the series.
    #[arg(long, help_heading = "What happens")]
    pub ha: bool,
    /// How far the second replica is behind the first.
    #[arg(long, value_parser = units::duration, value_name = "TIME", default_value = "0s", help_heading = "What happens")]
    pub replica_lag: Duration,
    /// Share of minutes in which one of both replicas is away.
    #[arg(long, value_parser = units::ratio, value_name = "SHARE", default_value = "0", help_heading = "What happens")]
    pub replica_outages: f64,
    /// Share of requests that are sent twice.
    #[arg(long, value_parser = units::ratio, value_name = "SHARE", default_value = "0", help_heading = "What happens")]
    pub duplicates: f64,
    /// Share of requests whose samples are older than those before them.
    #[arg(long, value_parser = units::ratio, value_name = "SHARE", default_value = "0", help_heading = "What happens")]
    pub out_of_order: f64,
    /// Share of requests whose samples come late.
    #[arg(long, value_parser = units::ratio, value_name = "SHARE", default_value = "0", help_heading = "What happens")]
    pub late: f64,
    /// How late those are.
    #[arg(long, value_parser = units::duration, value_name = "TIME", default_value = "2m", help_heading = "What happens")]
    pub late_by: Duration,
    /// A quarter of all targets have clocks that are wrong by up to this.
    #[arg(long, value_parser = units::duration, value_name = "TIME", default_value = "0s", help_heading = "What happens")]
    pub clock_skew: Duration,
    /// Share of requests that are broken on purpose, and must be refused.
    #[arg(long, value_parser = units::ratio, value_name = "SHARE", default_value = "0", help_heading = "What happens")]
    pub malformed: f64,

    /// Version of remote write.
    #[arg(long, value_enum, default_value = "1.0", help_heading = "Sending")]
    pub protocol: Protocol,
    /// How bodies are compressed. zstd is compressed anew for each request, and costs far more.
    #[arg(long, value_enum, default_value = "snappy", help_heading = "Sending")]
    pub compression: Compression,
    /// Samples of a request.
    #[arg(long, value_parser = units::count, value_name = "N", default_value = "2000", help_heading = "Sending")]
    pub samples_per_request: u64,
    /// A request's series come from many targets; else from one, or from neighbours.
    #[arg(long, help_heading = "Sending")]
    pub mixed: bool,
    /// Connections, each with one request at a time.
    #[arg(long, value_parser = units::count, value_name = "N", default_value = "8", help_heading = "Sending")]
    pub connections: u64,
    /// Sent as X-Scope-OrgID.
    #[arg(long, help_heading = "Sending")]
    pub tenant: Option<String>,
    /// One more header. May be repeated.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header, help_heading = "Sending")]
    pub headers: Vec<(String, String)>,
    /// File with a token for `Authorization: Bearer`.
    #[arg(long, value_name = "FILE", help_heading = "Sending")]
    pub bearer_token_file: Option<PathBuf>,
    /// Certificates of authorities to trust, PEM; default: the system's.
    #[arg(long, value_name = "FILE", help_heading = "Sending")]
    pub ca_file: Option<PathBuf>,
    /// Trust any certificate.
    #[arg(long, help_heading = "Sending")]
    pub insecure: bool,
    /// How long an answer may take.
    #[arg(long, value_parser = units::duration, value_name = "TIME", default_value = "30s", help_heading = "Sending")]
    pub timeout: Duration,
    /// Send again what was answered 429; by default it is dropped, as Prometheus does.
    #[arg(long = "retry-on-429", help_heading = "Sending")]
    pub retry_on_429: bool,

    /// Samples a second; default: every series once in --interval.
    #[arg(long, value_parser = units::rate, group = "pace", help_heading = "Pace")]
    pub rate: Option<f64>,
    /// Time between two samples of a series; default: the preset's.
    #[arg(long, value_parser = units::duration, value_name = "TIME", group = "pace", help_heading = "Pace")]
    pub interval: Option<Duration>,
    /// From a rate to another within a time, then steady: 0:60s:1M. More legs may follow.
    #[arg(long, value_name = "RATE:TIME:RATE", group = "pace", help_heading = "Pace")]
    pub ramp: Option<String>,
    /// One rate after the other, each for this long: 30s:100k,200k,400k.
    #[arg(long, value_name = "TIME:RATE,…", group = "pace", help_heading = "Pace")]
    pub steps: Option<String>,
    /// Search for the greatest rate that holds --max-p99 (100ms) and --max-error-ratio (0).
    #[arg(long, conflicts_with_all = ["ramp", "steps"], help_heading = "Pace")]
    pub find_limit: bool,
    /// How long a rate is tried in that search.
    #[arg(long, value_parser = units::duration, value_name = "TIME", default_value = "10s", help_heading = "Pace")]
    pub trial: Duration,
    /// How long to send; a bare number is seconds.
    #[arg(long, value_parser = units::time_or_seconds, value_name = "TIME", default_value = "60s", help_heading = "Pace")]
    pub duration: Duration,

    /// Greatest 99th percentile of the latency.
    #[arg(long, value_parser = units::duration, value_name = "TIME", help_heading = "Bounds (exit status 1 when missed)")]
    pub max_p99: Option<Duration>,
    /// Greatest share of attempts that may fail.
    #[arg(long, value_parser = units::ratio, value_name = "SHARE", help_heading = "Bounds (exit status 1 when missed)")]
    pub max_error_ratio: Option<f64>,
    /// Fewest acknowledged samples a second; with --find-limit, the least limit.
    #[arg(long, value_parser = units::rate, value_name = "RATE", help_heading = "Bounds (exit status 1 when missed)")]
    pub min_rate: Option<f64>,

    /// Whether what comes out is checked.
    #[command(flatten)]
    pub check: CheckArgs,

    /// Where to write a page with plots.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub report_html: Option<PathBuf>,
    /// Where to write everything as JSON.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    pub report_json: Option<PathBuf>,
    /// The target's process, if it runs on this machine.
    #[arg(long, value_name = "PID", help_heading = "Report")]
    pub target_pid: Option<u32>,
    /// The target's metrics; default: /metrics where it takes remote write.
    #[arg(long, value_name = "URL", help_heading = "Report")]
    pub target_metrics: Option<String>,
}

/// What means nothing where captured bodies are sent.
const OF_PRESETS: [&str; 25] = [
    "preset",
    "series",
    "series_per_target",
    "services",
    "namespaces",
    "labels",
    "whole_counts",
    "start_timestamps",
    "exemplars",
    "pod_life",
    "deploy_every",
    "rollout",
    "restart_every",
    "ha",
    "replica_lag",
    "replica_outages",
    "duplicates",
    "out_of_order",
    "late",
    "late_by",
    "clock_skew",
    "malformed",
    "protocol",
    "samples_per_request",
    "mixed",
];

/// Examples.
pub const AFTER: &str = "\
Examples:
  1 M series every 10 s for five minutes, a page with plots, and an exit status for a script:
    weir-loadgen run --target http://127.0.0.1:9201/api/v1/push --series 1M --duration 5m \\
      --report-html report.html --max-p99 100ms --max-error-ratio 0
  How much does it take?
    weir-loadgen run --target http://127.0.0.1:9201/api/v1/push --series 1M --find-limit
  A ramp into overload:
    weir-loadgen run --target http://127.0.0.1:9201/api/v1/push --series 1M --ramp 0:5m:1M
  Is it right? The gateway runs rules.yml and sends to http://127.0.0.1:9009:
    weir-loadgen run --target http://127.0.0.1:9201/api/v1/push --series 2k --duration 2m \\
      --rules rules.yml
  A tier of three gateways, every request to any of them:
    weir-loadgen run --target http://gw-0:9201/api/v1/push --target http://gw-1:9201/api/v1/push \\
      --target http://gw-2:9201/api/v1/push --series 1M
  A bad day:
    weir-loadgen run --target http://127.0.0.1:9201/api/v1/push --preset high-churn --ha \\
      --replica-lag 3s --replica-outages 5% --late 1% --duplicates 1% --malformed 0.1%

Numbers are written 1500, 100k, 1M; times 250ms, 90s, 1h30m; shares 0.01 or 1%.
Exit status: 0 done and all bounds met, 1 a bound missed or an output wrong, 2 wrong usage or the run could not begin.";

/// Samples of a request at most: gateways have caps.
const SAMPLES_MOST: u64 = 100_000;
/// Threads at most.
const CONNECTIONS_MOST: u64 = 4096;

impl RunArgs {
    /// What to do, or all that is wrong.
    pub fn plan(&self) -> Result<Plan, Vec<String>> {
        let mut wrong = Vec::new();
        let mut keep = |outcome: Result<(), String>| wrong.extend(outcome.err());
        let urls: Result<Vec<_>, _> = self.targets.iter().map(|url| Endpoint::url(url)).collect();
        keep(urls.as_ref().map(|_| ()).map_err(|e| format!("--target: {e}")));
        let metrics = self.target_metrics.as_deref().map(Endpoint::url).transpose();
        keep(metrics.as_ref().map(|_| ()).map_err(|e| format!("--target-metrics: {e}")));
        let replay = self.replay.as_deref().map(Replay::read).transpose();
        if let Err(broken) = &replay {
            broken.iter().for_each(|why| keep(Err(format!("--replay: {why}"))));
        }
        let samples = match &replay {
            Ok(Some(replay)) => replay.samples(),
            _ => self.series * if self.ha { 2 } else { 1 },
        };
        let pace = self.pace(samples);
        keep(pace.as_ref().map(|_| ()).map_err(Clone::clone));
        let headers = self.all_headers();
        keep(headers.as_ref().map(|_| ()).map_err(Clone::clone));
        self.numbers().into_iter().for_each(|why| keep(Err(why)));
        let (Ok(mut urls), Ok(metrics), Ok(pace), Ok(headers), Ok(replay), true) =
            (urls, metrics, pace, headers, replay, wrong.is_empty())
        else {
            return Err(wrong);
        };
        let endpoint = Endpoint {
            url: urls.remove(0),
            others: urls,
            spread: self.spread,
            doors: None,
            headers,
            protocol: self.protocol,
            compression: self.compression,
            timeout: self.timeout,
            ca_file: self.ca_file.clone(),
            insecure: self.insecure,
        };
        Ok(Plan {
            shape: self.shape(),
            replay: replay.zip(self.replay.as_ref().map(|f| f.display().to_string())),
            seed: self.seed,
            endpoint,
            connections: self.connections as usize,
            retries_429: self.retry_on_429,
            pace,
            bounds: Bounds {
                p99: self.max_p99.map(|t| t.as_secs_f64()),
                error_ratio: self.max_error_ratio,
                rate: self.min_rate,
            },
            metrics,
            pid: self.target_pid,
        })
    }

    /// Numbers that are out of bounds, or mean nothing.
    fn numbers(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for (name, value, most) in [
            ("--samples-per-request", self.samples_per_request, SAMPLES_MOST),
            ("--connections", self.connections, CONNECTIONS_MOST),
            ("--series-per-target", self.series_per_target.unwrap_or(1), 1_000_000),
            ("--services", self.services.unwrap_or(1), 1_000_000),
            ("--namespaces", self.namespaces.unwrap_or(1), 1_000_000),
        ] {
            if value > most {
                wrong.push(format!("{name}: at most {most}"));
            }
        }
        if !self.ha && (!self.replica_lag.is_zero() || self.replica_outages > 0.0) {
            wrong.push("--replica-lag and --replica-outages need --ha".to_owned());
        }
        if self.start_timestamps && self.protocol == Protocol::V1 {
            wrong.push("--start-timestamps needs --protocol 2.0".to_owned());
        }
        for (name, time) in [
            ("--pod-life", self.pod_life),
            ("--deploy-every", self.deploy_every),
            ("--restart-every", self.restart_every),
            ("--timeout", Some(self.timeout)),
            ("--duration", Some(self.duration)),
            ("--trial", Some(self.trial)),
        ] {
            if time.is_some_and(|time| time < Duration::from_millis(100)) {
                wrong.push(format!("{name}: at least 100ms"));
            }
        }
        let alone = self.target_pid.is_none() && self.target_metrics.is_none();
        if self.targets.len() > 1 && !alone {
            wrong
                .push("--target-pid and --target-metrics are of one target, not of several".into());
        }
        if let Some(pid) = self.target_pid
            && crate::watch::process(pid).is_none()
        {
            wrong.push(format!("--target-pid: there is no process {pid}"));
        }
        wrong
    }

    fn shape(&self) -> Shape {
        let defaults = self.preset.defaults();
        let small = |given: Option<u64>, default: u32| {
            given.map_or(default, |n| u32::try_from(n).unwrap_or(u32::MAX))
        };
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let life = Life {
            pod: self.pod_life.map(ms).or(defaults.life.pod),
            deploy: self.deploy_every.map(ms).or(defaults.life.deploy),
            rollout: ms(self.rollout),
            restart: self.restart_every.map_or(defaults.life.restart, ms),
        };
        Shape {
            preset: self.preset,
            series: self.series,
            series_per_target: small(self.series_per_target, defaults.series_per_target),
            samples_per_request: small(Some(self.samples_per_request), 2000),
            mixed: self.mixed,
            services: small(self.services, defaults.services),
            namespaces: small(self.namespaces, defaults.namespaces),
            labels: self.labels.clone(),
            life,
            replicas: Replicas {
                pair: self.ha,
                lag: ms(self.replica_lag),
                outages: self.replica_outages,
            },
            mishaps: Mishaps {
                duplicates: self.duplicates,
                out_of_order: self.out_of_order,
                late: self.late,
                late_by: ms(self.late_by),
                malformed: self.malformed,
                skew: ms(self.clock_skew),
            },
            extras: Extras {
                whole_counts: self.whole_counts,
                starts: self.start_timestamps,
                exemplars: self.exemplars,
            },
        }
    }

    /// The pace, for a round of so many samples.
    fn pace(&self, samples: u64) -> Result<Pace, String> {
        let interval =
            self.interval.map_or(self.preset.defaults().interval as f64 / 1e3, |t| t.as_secs_f64());
        if interval < 0.001 {
            return Err("--interval: at least 1ms".to_owned());
        }
        let steady = self.rate.unwrap_or(samples as f64 / interval);
        if self.find_limit {
            return Ok(Pace::Find { first: steady, trial: self.trial });
        }
        let schedule = match (&self.ramp, &self.steps) {
            (Some(ramp), _) => {
                Schedule::ramp(ramp, self.duration).map_err(|e| format!("--ramp: {e}"))?
            }
            (_, Some(steps)) => Schedule::steps(steps).map_err(|e| format!("--steps: {e}"))?,
            _ => Schedule::constant(steady, self.duration),
        };
        Ok(Pace::Schedule(schedule))
    }

    fn all_headers(&self) -> Result<Vec<(String, String)>, String> {
        let mut headers = self.headers.clone();
        headers.extend(self.tenant.iter().map(|t| ("X-Scope-OrgID".to_owned(), t.clone())));
        if let Some(file) = &self.bearer_token_file {
            let token = std::fs::read_to_string(file)
                .map_err(|e| format!("--bearer-token-file {}: {e}", file.display()))?;
            headers.push(("Authorization".to_owned(), format!("Bearer {}", token.trim())));
        }
        let broken = headers.iter().find(|(_, value)| value.contains(['\r', '\n']));
        match broken {
            Some((name, _)) => Err(format!("header {name}: a value has no line breaks")),
            None => Ok(headers),
        }
    }
}

fn label(text: &str) -> Result<(String, u32), String> {
    let bad = || "a label is written zone=3: its name, and how many values it has".to_owned();
    let (name, values) = text.split_once('=').ok_or_else(bad)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let good = name.chars().all(plain) && name.starts_with(|c: char| !c.is_ascii_digit());
    let values = units::count(values).ok().and_then(|n| u32::try_from(n).ok());
    values.filter(|_| good).map(|values| (name.to_owned(), values)).ok_or_else(bad)
}

fn header(text: &str) -> Result<(String, String), String> {
    let bad = || "a header is written 'Name: value'".to_owned();
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    good.then(|| (name.to_owned(), value.trim().to_owned())).ok_or_else(bad)
}
