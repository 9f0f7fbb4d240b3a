//! Command lines of Prometheus's agent, as unit files have them.

use clap::CommandFactory;

use super::*;

#[test]
fn a_unit_file_of_prometheus_works_unchanged() {
    let line = "prometheus --enable-feature=agent,extra-scrape-metrics --config.file=/etc/p.yml \
        --web.listen-address=:9091 --storage.agent.path /var/lib/agent --log.level=warn \
        --log.format=json --storage.agent.wal-compression --web.enable-lifecycle \
        --storage.agent.retention.max-time=4h";
    let args = Args::try_parse_from(line.split_whitespace()).unwrap();
    assert_eq!(args.config_file, PathBuf::from("/etc/p.yml"));
    assert_eq!((args.listen.as_str(), args.log_format), (":9091", LogFormat::Json));
    assert_eq!(args.storage, PathBuf::from("/var/lib/agent"));
    assert_eq!(args.buffer_max_age, Millis::from_secs(4 * 3600));
    assert!(args.lifecycle && args.has_feature(EXTRA_METRICS));
    let advice = args.advice();
    assert_eq!((advice.errors.len(), advice.warnings.len()), (0, 1), "{advice:?}");
    assert!(advice.warnings[0].contains("always compressed"));
}

#[test]
fn what_a_server_has_is_refused_with_advice() {
    let line = ["prometheus", "--storage.tsdb.path=x", "--enable-feature=promql-at-modifier"];
    let advice = Args::try_parse_from(line).unwrap().advice();
    assert!(advice.errors[0].contains("--storage.agent.path"), "{advice:?}");
    assert!(advice.warnings[0].contains("promql-at-modifier"), "{advice:?}");
    assert!(Args::try_parse_from(["prometheus", "--web.listen-adress=:1"]).is_err());
    assert!(Args::try_parse_from(["prometheus", "--buffer.max-size=1MiB"]).is_err());
}

#[test]
fn help_teaches() {
    Args::command().debug_assert();
    let help = Args::command().render_long_help().to_string();
    for word in ["--config.file", "/api/v1/targets", "--buffer.max-age", "docs/AGENT.md"] {
        assert!(help.contains(word), "{word}: {help}");
    }
}
