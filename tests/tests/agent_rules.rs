//! Rules in the agent: per-core series never leave the host, what is left is their sum, and the
//! series of no rule leave as they came.

use std::time::Duration;

use weir_tests::agent::Agent;
use weir_tests::backend::Backend;
use weir_tests::samples::{self, Sample, is_stale};
use weir_tests::target::Target;
use weir_tests::{http, wait};

const SOON: Duration = Duration::from_secs(60);

const RULES: &str = "- match: cpu_seconds_total\n  interval: 2s\n  without: [core]\n  \
    outputs: [total]\n  keep_metric_names: true\n";

fn page(counts: [u32; 2]) -> String {
    let [a, b] = counts;
    format!(
        "# TYPE cpu_seconds_total counter\ncpu_seconds_total{{core=\"0\"}} {a}\n\
         cpu_seconds_total{{core=\"1\"}} {b}\n# TYPE load gauge\nload 0.5\n"
    )
}

fn of<'a>(all: &'a [Sample], name: &str) -> Vec<&'a Sample> {
    all.iter().filter(|s| samples::name(&s.labels) == name).collect()
}

#[test]
fn cores_are_summed_before_they_leave_the_host() {
    let folder = tempfile::tempdir().expect("a folder");
    let (target, backend) = (Target::start(), Backend::start());
    target.say(Some(page([100, 1000])));
    let rules = folder.path().join("rules.yml");
    std::fs::write(&rules, RULES).expect("rules are written");
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  \
         - {{job_name: host, static_configs: [{{targets: ['{}']}}]}}\nremote_write:\n  \
         - {{url: '{}', queue_config: {{batch_send_deadline: 100ms}}}}\n",
        target.address(),
        backend.url()
    );
    let rule_file = format!("--aggregation.rule-file={}", rules.display());
    let flags = [rule_file.as_str(), "--aggregation.grace=1s"];
    let agent = Agent::start_with(&config, folder.path(), &flags);
    let newest = || {
        let all = backend.samples();
        of(&all, "cpu_seconds_total").iter().max_by_key(|s| s.timestamp).map(|s| s.value)
    };
    wait::until_true("a first output", SOON, || newest().is_some());
    let before = newest().expect("an output");
    target.say(Some(page([107, 1035])));
    wait::until_true("the increase of both", SOON, || newest() == Some(before + 42.0));
    // A rule that is taken away ends its series; the raw ones go on then.
    std::fs::write(&rules, "[]\n").expect("rules are written");
    let reloaded = http::post(agent.address(), "/-/reload", &[], b"").expect("an answer");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    wait::until_true("raw series", SOON, || {
        of(&backend.samples(), "cpu_seconds_total").iter().any(|s| s.labels.contains_key("core"))
    });
    let all = backend.samples();
    let (raw, reduced): (Vec<_>, Vec<_>) =
        of(&all, "cpu_seconds_total").into_iter().partition(|s| s.labels.contains_key("core"));
    let last = reduced.iter().max_by_key(|s| s.timestamp).expect("outputs");
    assert!(is_stale(last.value), "{last:?}");
    // A scrape is stamped with when it was due: on a busy machine some time before the rules changed.
    let earliest = raw.iter().map(|s| s.timestamp).min().expect("raw samples");
    assert!(earliest >= last.timestamp - 2_000, "raw at {earliest} while a rule took it: {last:?}");
    assert!(of(&all, "load").len() > 4 && of(&all, "up").len() > 4);
    let late = agent.metrics().count("weir_rule_late_samples_total", &[]);
    assert_eq!(late, 0.0);
}
