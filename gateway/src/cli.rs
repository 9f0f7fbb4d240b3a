//! The command line: flags, and a help page from which one can begin.
//!
//! Invariant: flags only choose the configuration or override a key of it; nothing can be said
//! here that the file cannot say; but for what a gateway says to one that it starts, of a member that it
//! has taken over.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::config::{Hosted, Overrides};

pub mod admin;
mod columns;

/// The gateway's arguments.
#[derive(Clone, PartialEq, Eq, Debug, Parser)]
#[command(name = "weir-gateway", version, about = ABOUT, after_help = AFTER, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, subcommand_value_name = "COMMAND")]
pub struct Args {
    /// What to do instead of running.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// The configuration file (YAML). Without it all is default: loopback, no rules, outputs at
    /// /federate. SIGHUP or POST /-/reload reads it again.
    #[arg(long = "config.file", value_name = "FILE")]
    pub config_file: Option<PathBuf>,

    /// Check the configuration and all files it names, print what would run, and exit: 0 if it is
    /// good, 1 if not, with file, line and what is allowed for each error.
    #[arg(long)]
    pub check: bool,

    /// Where to serve HTTP; overrides `listen`. Default 127.0.0.1:9201.
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,

    /// Where the log, the queues and the checkpoints live; overrides `data_dir`. Default weir-data.
    #[arg(long = "data-dir", value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// error, warn, info, debug or trace, or module=level,…; overrides `log.level`.
    #[arg(long = "log.level", value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// text or json; overrides `log.format`.
    #[arg(long = "log.format", value_name = "FORMAT")]
    pub log_format: Option<String>,

    /// Whom this process is for another member that has taken it over and has started it.
    #[command(flatten)]
    pub hosted: Option<HostedArgs>,
}

/// What a gateway says to one that it starts, of a member that it has taken over.
#[derive(Clone, PartialEq, Eq, Debug, clap::Args)]
pub struct HostedArgs {
    /// Who starts it.
    #[arg(long = "hosted.by", hide = true, required = false)]
    pub hosted_by: String,
    /// Who it is.
    #[arg(long = "hosted.name", hide = true, required = false)]
    pub hosted_name: String,
    /// Where it listens for other members.
    #[arg(long = "hosted.listen", hide = true, required = false)]
    pub hosted_listen: SocketAddr,
    /// Where they reach it.
    #[arg(long = "hosted.advertise", hide = true, required = false)]
    pub hosted_advertise: String,
}

/// What to do instead of running.
#[derive(Clone, PartialEq, Eq, Debug, Subcommand)]
pub enum Command {
    /// Ask a running gateway about its tier.
    Admin(admin::AdminArgs),
}

impl Args {
    /// What the flags say over the file.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            data_dir: self.data_dir.clone(),
            log_level: self.log_level.clone(),
            log_format: self.log_format.clone(),
            hosted: self.hosted.as_ref().map(|hosted| Hosted {
                by: hosted.hosted_by.clone(),
                name: hosted.hosted_name.clone(),
                listen: hosted.hosted_listen,
                advertise: hosted.hosted_advertise.clone(),
            }),
        }
    }
}

const ABOUT: &str = "\
Weir's aggregation gateway for Prometheus metrics.

It takes remote write from any Prometheus, vmagent, Alloy or OpenTelemetry collector, reduces the
series by vmagent's stream aggregation rules, and remote-writes fewer series with the same answers
to Cortex, Mimir, M3DB, Thanos, VictoriaMetrics or Prometheus. A sample that was answered 204 is on
disk, and survives kill -9.";

const AFTER: &str = "\
Endpoints:
  POST /api/v1/write, /api/v1/push   remote write 1.0 and 2.0, snappy or zstd
  GET  /federate                     outputs for a scrape, where there is no remote_write
  GET  /                             what comes in, what goes out, what is wrong
  GET  /metrics                      the gateway's own metrics
  GET  /-/healthy, /-/ready          for the orchestrator
  POST /-/reload                     read the configuration again, as SIGHUP does
  GET  /api/v1/cluster/members       the tier; weir-gateway admin members prints it

Example:
  cat > rules.yml <<'END'
  - match: http_requests_total
    interval: 1m
    without: [instance, pod]
    outputs: [total]
  END
  cat > weir.yml <<'END'
  rule_files: [rules.yml]
  remote_write:
    - url: http://localhost:9090/api/v1/write
  END
  weir-gateway --config.file=weir.yml --check
  weir-gateway --config.file=weir.yml

  Then in the sender's prometheus.yml:
  remote_write:
    - url: http://localhost:9201/api/v1/write

Data: everything durable is below the data directory, ./weir-data unless you say otherwise. One
gateway has it for itself; to start afresh, stop the gateway and remove it.

Every key is explained in docs/CONFIGURATION.md, every key of a rule in docs/RULES.md.";

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_prometheus_style() {
        let args = [
            "weir-gateway",
            "--config.file=a.yml",
            "--check",
            "--listen",
            ":1",
            "--log.level=debug",
        ];
        let args = Args::try_parse_from(args).unwrap();
        assert_eq!(args.config_file, Some("a.yml".into()));
        assert!(args.check);
        let overrides = Overrides {
            listen: Some(":1".into()),
            log_level: Some("debug".into()),
            ..Overrides::default()
        };
        assert_eq!(args.overrides(), overrides);
        assert!(Args::try_parse_from(["weir-gateway", "--lisen=:1"]).is_err());
        let hosted = [
            "weir-gateway",
            "--hosted.by=gw-1",
            "--hosted.name=gw-0",
            "--hosted.listen=127.0.0.1:7",
            "--hosted.advertise=gw-1:7",
        ];
        let all = Args::try_parse_from(hosted).unwrap().overrides().hosted.unwrap();
        assert_eq!((all.by.as_str(), all.name.as_str(), all.listen.port()), ("gw-1", "gw-0", 7));
        assert!(Args::try_parse_from(&hosted[..3]).is_err());
        let mixed = ["weir-gateway", "--check", "admin", "members"];
        assert!(Args::try_parse_from(mixed).is_err());
    }

    #[test]
    fn help_teaches() {
        Args::command().debug_assert();
        let help = Args::command().render_long_help().to_string();
        let words = [
            "204 is on\ndisk",
            "/api/v1/write",
            "/federate",
            "rule_files",
            "weir-data",
            "--config.file",
        ];
        for word in words {
            assert!(help.contains(word), "{word}: {help}");
        }
    }
}
