//! Whole rule files: what is accepted, what is refused and where, names as in vmagent's output.

use std::collections::BTreeSet;
use std::fmt;

use proptest::prelude::*;
use weir_model::{Label, LabelsBuilder};

use super::*;
use crate::matcher::Matcher;

/// A stand-in for relabelling: sets a label, and refuses to compile for the label `bad`.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Set {
    label: String,
    value: String,
}

impl fmt::Display for Set {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, self.value)
    }
}

struct SetAll(Vec<(String, String)>);

impl Relabel for SetAll {
    fn apply(&self, labels: &mut LabelsBuilder) -> bool {
        self.0.iter().for_each(|(label, value)| labels.set(label, value));
        labels.get("drop").is_empty()
    }
}

fn compile(configs: &[Set]) -> Result<Arc<dyn Relabel>, Vec<String>> {
    let bad = configs.iter().filter(|c| c.label == "bad");
    let bad: Vec<String> = bad.map(|c| format!("bad to {}", c.value)).collect();
    if bad.is_empty() {
        let pairs = configs.iter().map(|c| (c.label.clone(), c.value.clone()));
        Ok(Arc::new(SetAll(pairs.collect())))
    } else {
        Err(bad)
    }
}

fn read(text: &str) -> RuleFile {
    match load(text, &compile) {
        Ok(file) => file,
        Err(problems) => panic!("{}", lines(&problems)),
    }
}

fn one(text: &str) -> Rule {
    read(&format!("- {text}")).rules.remove(0)
}

fn lines<T: ToString>(problems: &[T]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

fn refused(text: &str) -> String {
    lines(&load(text, &compile).unwrap_err())
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&t| t.to_owned()).collect()
}

#[test]
fn a_short_rule_has_the_documented_defaults() {
    let rule = one("{interval: 1m, outputs: [total]}");
    assert_eq!(rule.name(), "rule_1");
    assert_eq!(rule.tenants(), None);
    assert!(rule.selectors().is_empty());
    assert_eq!(rule.interval(), Millis::from_secs(60));
    assert_eq!(rule.dedup_interval(), None);
    assert_eq!(rule.staleness(), Millis::from_secs(300));
    assert_eq!(rule.grouping(), &Grouping::Series);
    assert_eq!(rule.outputs(), [OutputKind::Total]);
    assert!(!rule.keep_metric_names() && !rule.keep_input());
    assert_eq!((rule.late(), rule.births()), (Late::Carry, Births::StartTimestamp));
    assert_eq!(rule.max_groups(), 100_000);
    assert!(rule.input_relabel().is_none() && rule.output_relabel().is_none());
    assert!(rule.drop_input_labels().is_empty());
    let hourly = one("{interval: 1h, outputs: [total]}");
    assert_eq!(hourly.staleness(), Millis::from_secs(3600));
}

#[test]
fn every_key_is_read() {
    let file = read(
        "
- name: cpu
  tenants: [b, a, a]
  match: [node_cpu, '{job=\"x\" or job=\"y\"}']
  interval: 1m
  dedup_interval: 20s
  staleness_interval: 2m
  by: [zone, __name__, job, zone]
  outputs: ['quantiles(0.9, 0.5)', total]
  keep_metric_names: false
  keep_input: true
  late: drop
  births: observed
  max_groups: 7
  drop_input_labels: [pod, uid]
  input_relabel_configs: [{label: a, value: b}]
  output_relabel_configs: [{label: c, value: d}]
",
    );
    assert!(file.notices.is_empty());
    let rule = &file.rules[0];
    assert_eq!(rule.name(), "cpu");
    assert_eq!(rule.tenants(), Some(&strings(&["a", "b"])[..]));
    assert_eq!(rule.selectors().len(), 2);
    assert_eq!(rule.dedup_interval(), Some(Millis::from_secs(20)));
    assert_eq!(rule.staleness(), Millis::from_secs(120));
    assert_eq!(rule.grouping(), &Grouping::By(strings(&["job", "zone"])));
    let outputs = [OutputKind::Total, OutputKind::Quantiles(vec![0.5, 0.9])];
    assert_eq!(rule.outputs(), outputs);
    assert!(rule.keep_input());
    assert_eq!((rule.late(), rule.births()), (Late::Drop, Births::Observed));
    assert_eq!(rule.max_groups(), 7);
    assert_eq!(rule.drop_input_labels(), strings(&["pod", "uid"]));
    let input = LabelsBuilder::from_labels([Label::new("pod", "p"), Label::new("x", "y")]);
    let seen = rule.input_labels(&input).unwrap();
    assert_eq!(seen.build().to_string(), r#"{a="b",x="y"}"#);
    assert!(rule.output_relabel().is_some());
}

#[test]
fn an_empty_file_holds_no_rules() {
    for text in ["", "[]", "# nothing yet\n"] {
        assert!(read(text).rules.is_empty(), "{text:?}");
    }
}

#[test]
fn keys_without_effect_are_accepted_and_named_with_their_line() {
    let file = read(
        "- interval: 1m
  outputs: [total]
  enable_windows: true
  ignore_old_samples: true
  ignore_first_intervals: 2
  ignore_first_sample_interval: 1m
  flush_on_shutdown: true
  no_align_flush_to_interval: true
",
    );
    let notices: Vec<_> = file.notices.iter().map(|n| (n.line, n.rule, n.key)).collect();
    assert_eq!(
        notices,
        [
            (Some(3), 1, "enable_windows"),
            (Some(4), 1, "ignore_old_samples"),
            (Some(5), 1, "ignore_first_intervals"),
            (Some(6), 1, "ignore_first_sample_interval"),
            (Some(7), 1, "flush_on_shutdown"),
            (Some(8), 1, "no_align_flush_to_interval"),
        ]
    );
    assert_eq!(
        file.notices[0].to_string(),
        "line 3: rule 1: enable_windows has no effect: windows are by sample time always"
    );
}

#[test]
fn what_does_not_hold_together_is_refused_with_what_is_allowed() {
    let known = "there are total, total_prometheus, increase, increase_prometheus, rate_sum, \
                 rate_avg, sum_samples, sum_samples_total, count_samples, count_series, \
                 unique_samples, last, min, max, avg, stddev, stdvar, histogram_bucket, sum_last, \
                 avg_last, min_last, max_last, native_histogram, quantiles(φ1, …, φN)";
    let keep_names = "keep_metric_names needs outputs with a single entry that gives a single \
                      series (not histogram_bucket, nor several quantiles); there are ";
    for (keys, expected) in [
        ("outputs: [total]", "interval is missing; write the length of a window, such as interval: 1m".to_owned()),
        ("{interval: 500ms, outputs: [total]}", "interval must be at least 1s; it is 500ms".into()),
        ("{interval: 60, outputs: [total]}", "interval: \"60\" is not a duration; write it as 500ms, 15s, 1h30m or 2d (units in the order y, w, d, h, m, s, ms)".into()),
        ("{interval: 1m, outputs: [total], dedup_interval: 25s}", "dedup_interval (25s) must divide interval (1m)".into()),
        ("{interval: 1m, outputs: [total], dedup_interval: 2m}", "dedup_interval (2m) must divide interval (1m)".into()),
        ("{interval: 1m, outputs: [total], staleness_interval: 30s}", "staleness_interval (30s) must be at least interval (1m)".into()),
        ("{interval: 1m, outputs: [total], by: [a], without: [b]}", "by and without cannot be set together; keep one of them".into()),
        ("{interval: 1m}", "outputs is missing; list one at least, such as outputs: [total]".into()),
        ("{interval: 1m, outputs: []}", "outputs is missing; list one at least, such as outputs: [total]".into()),
        ("{interval: 1m, outputs: [sum]}", format!("outputs: unknown output \"sum\"; {known}")),
        ("{interval: 1m, outputs: [max, max]}", "outputs lists max twice; once is enough".into()),
        ("{interval: 1m, outputs: [quantiles(0.5), quantiles(0.9)]}", "outputs lists quantiles twice; once is enough".into()),
        ("{interval: 1m, outputs: ['quantiles(1.5)']}", "outputs: \"1.5\" is no quantile; each must be a number from 0 to 1".into()),
        ("{interval: 1m, outputs: [max, min], keep_metric_names: true}", format!("{keep_names}min, max")),
        ("{interval: 1m, outputs: ['quantiles(0, 1)'], keep_metric_names: true}", format!("{keep_names}quantiles(0, 1)")),
        ("{interval: 1m, outputs: [histogram_bucket], keep_metric_names: true}", format!("{keep_names}histogram_bucket")),
        ("{interval: 1m, outputs: [max], keep_metric_names: true, keep_input: true}", "keep_metric_names and keep_input cannot be set together: their series would collide".into()),
        ("{interval: 1m, outputs: [max], keep_metric_names: true, without: [__name__]}", "keep_metric_names needs the name that without: [__name__] takes away".into()),
        ("{interval: 1m, outputs: [max], max_groups: 0}", "max_groups must be from 1 to 4294967295; it is 0".into()),
        ("{interval: 1m, outputs: [max], tenants: []}", "tenants is empty; leave it out or list something".into()),
        ("{interval: 1m, outputs: [max], match: []}", "match is empty; leave it out or list something".into()),
        ("{interval: 1m, outputs: [max], name: ''}", "name is empty; leave it out or list something".into()),
        ("{interval: 1m, outputs: [max], match: 'a{'}", "match: cannot read selector \"a{\" at character 3: expected a label name".into()),
        ("{interval: 1m, outputs: [max], output_relabel_configs: [{label: bad, value: v}]}", "output_relabel_configs: bad to v".into()),
    ] {
        assert_eq!(refused(&format!("- {keys}")), format!("line 1: rule 1: {expected}"));
    }
    let one_quantile = "{interval: 1m, outputs: ['quantiles(0.5)'], keep_metric_names: true}";
    assert!(one(one_quantile).keep_metric_names());
}

#[test]
fn all_problems_of_all_rules_are_reported_with_their_lines() {
    let text = "- name: a
  match:
    - up
    - '{a=~\"(\"}'
  interval: 10ms
  outputs:
    - total
    - totl
- name: a
  interval: 1m
  outputs: [max]
  input_relabel_configs:
    - {label: bad, value: one}
    - {label: bad, value: two}
";
    let found = load(text, &compile).unwrap_err();
    let places: Vec<_> = found.iter().map(|p| (p.line, p.rule)).collect();
    assert_eq!(
        places,
        [
            (Some(5), Some(1)),
            (Some(4), Some(1)),
            (Some(8), Some(1)),
            (Some(13), Some(2)),
            (Some(13), Some(2)),
            (Some(9), Some(2)),
        ],
        "{}",
        lines(&found)
    );
    assert_eq!(found[5].error, RuleError::DuplicateName("a".into()));
}

#[test]
fn a_file_of_another_shape_is_refused_with_its_line() {
    for (text, expected) in [
        (
            "- interval: 1m\n  outputs: [total]\n  intervall: 2m",
            "line 3: unknown field `intervall`",
        ),
        ("- interval: 1m\n  late: maybe", "line 2: unknown variant `maybe`"),
        ("- interval: 1m\n  keep_input: [1]", "line 2: "),
        (
            "- interval: 1m\n  output_relabel_configs:\n    - {lable: a}",
            "line 3: unknown field `lable`",
        ),
        ("interval: 1m", "line 1: "),
        ("- interval: 1m\n  interval: 2m", "line 2: "),
        ("- a: [", "line 1: "),
    ] {
        let found = refused(text);
        assert!(found.starts_with(expected), "{text:?}: {found}");
        assert!(!found.contains('\n'), "{found}");
    }
}

#[test]
fn rules_that_mean_the_same_have_one_identity_however_written() {
    let identity = |text: &str| one(text).identity();
    let plain = identity("{match: up, interval: 1m, by: [a, b], outputs: [max, min]}");
    for same in [
        "{outputs: [min, max], by: [b, a, __name__], interval: 1m, match: [up]}",
        "{name: x, match: '{__name__=\"up\"}', interval: 1m, by: [b, a], outputs: [min, max]}",
        "{match: ['up', 'up'], interval: 1m, by: [a, b], outputs: [max, min], keep_input: true}",
        "{match: up, interval: 1m, by: [a, b], outputs: [max, min], staleness_interval: 5m, late: carry, births: start_timestamp, max_groups: 100000, dedup_interval: 0s, enable_windows: true}",
    ] {
        assert_eq!(identity(same), plain, "{same}");
    }
    let any = "{match: '{}', interval: 1m, outputs: [max]}";
    assert_eq!(identity(any), identity("{interval: 1m, outputs: [max]}"));
    let or = identity("{match: '{a=\"b\",c=\"d\" or e=\"f\"}', interval: 1m, outputs: [max]}");
    let list = "{match: ['{e=\"f\"}', '{c=\"d\",a=\"b\"}'], interval: 1m, outputs: [max]}";
    assert_eq!(identity(list), or);
}

#[test]
fn a_change_of_meaning_changes_the_identity() {
    let keys = [
        "",
        "match: up",
        "match: '{a=\"up\"}'",
        "tenants: [t]",
        "by: [a]",
        "by: [a, b]",
        "by: [a_b]",
        "by: [__name__]",
        "without: [a]",
        "dedup_interval: 30s",
        "staleness_interval: 6m",
        "late: drop",
        "births: observed",
        "max_groups: 9",
        "drop_input_labels: [a]",
        "input_relabel_configs: [{label: a, value: b}]",
        "output_relabel_configs: [{label: a, value: b}]",
        "output_relabel_configs: [{label: a, value: c}]",
        "keep_metric_names: true",
    ];
    let whole = keys.map(|key| format!("{{interval: 1m, outputs: [max], {key}}}"));
    let others = [
        "{interval: 60s, outputs: [max]}",
        "{interval: 2m, outputs: [max]}",
        "{interval: 1m, outputs: [min]}",
        "{interval: 1m, outputs: [quantiles(0.5)]}",
        "{interval: 1m, outputs: [quantiles(0.6)]}",
    ];
    let all = whole.iter().map(String::as_str).chain(others);
    let identities: BTreeSet<u128> = all.map(|text| one(text).identity()).collect();
    assert_eq!(identities.len(), keys.len() + others.len());
}

#[test]
fn an_identity_is_frozen() {
    // State on disk is found by it. xxh3_128 of these bytes, by the xxhash package of Python:
    // "weir rule 1\ntenants 0\nmatch 1\n13 __name__=\"up\"\ninterval 1\n5 60000\n…".
    let rule = one("{match: up, interval: 1m, without: [pod], outputs: [total]}");
    assert_eq!(format!("{:032x}", rule.identity()), "5838830fc65d175046ae106e0cf8ea60");
}

/// `{a="b",…} rest` as the captures write it; no value in them holds a quote or comma.
fn captured(line: &str) -> LabelsBuilder {
    let (labels, _) = line.trim_start_matches('{').split_once("\"}").unwrap();
    let pairs = labels.split("\",").map(|pair| pair.split_once("=\"").unwrap());
    LabelsBuilder::from_labels(pairs.map(|(name, value)| Label::new(name, value)))
}

#[test]
fn outputs_are_called_what_vmagent_called_them() {
    let rules = read(include_str!("../../tests/fixtures/stream-aggregation/rules.yml")).rules;
    let input = include_str!("../../tests/fixtures/stream-aggregation/input.txt");
    let output = include_str!("../../tests/fixtures/stream-aggregation/vmagent-1.150-output.txt");
    let matcher = Matcher::new(&rules);
    let mut ours = BTreeSet::new();
    let mut matched = Vec::new();
    for series in input.lines().map(captured) {
        let labels: Vec<Label<'_>> = series.iter().collect();
        matcher.matching("", &labels, &mut matched);
        for rule in matched.iter().map(|&at| &rules[usize::from(at)]) {
            let group = rule.group_labels(&rule.input_labels(&series).unwrap());
            for kind in rule.outputs() {
                let mut labels = group.clone();
                labels.set("__name__", &rule.output_name(group.get("__name__"), kind));
                let mut add = |extra: &str, value: &str| {
                    let mut labels = labels.clone();
                    labels.set(extra, value);
                    ours.insert(labels.build().to_string());
                };
                match kind {
                    OutputKind::Quantiles(quantiles) => {
                        quantiles.iter().for_each(|&q| add(QUANTILE_LABEL, &quantile_value(q)))
                    }
                    OutputKind::HistogramBucket => add(VMRANGE_LABEL, "any"),
                    _ => add("", ""),
                }
            }
        }
    }
    let theirs = output.lines().map(captured).map(|mut labels| {
        if !labels.get(VMRANGE_LABEL).is_empty() {
            labels.set(VMRANGE_LABEL, "any");
        }
        labels.build().to_string()
    });
    assert_eq!(ours, theirs.collect());
}

#[test]
fn groups_keep_what_the_grouping_says() {
    let labels = ["__name__", "a", "b", "c"].map(|name| Label::new(name, "x"));
    let series = LabelsBuilder::from_labels(labels);
    for (keys, group, name) in [
        ("match: '{}'", r#"x{a="x",b="x",c="x"}"#, "x:1m_max"),
        ("by: [b, z]", r#"x{b="x"}"#, "x:1m_by_b_z_max"),
        ("by: [__name__]", "x{}", "x:1m_max"),
        ("without: [c, a]", r#"x{b="x"}"#, "x:1m_without_a_c_max"),
        ("without: [__name__, a]", r#"{b="x",c="x"}"#, ":1m_without_a_max"),
        ("by: [a], keep_metric_names: true", r#"x{a="x"}"#, "x"),
    ] {
        let rule = one(&format!("{{interval: 1m, outputs: [max], {keys}}}"));
        let found = rule.group_labels(&series).build();
        assert_eq!(found.to_string(), group, "{keys}");
        assert_eq!(rule.output_name(found.metric_name(), &OutputKind::Max), name, "{keys}");
    }
    let dropping =
        "{interval: 1m, outputs: [max], input_relabel_configs: [{label: drop, value: y}]}";
    assert_eq!(one(dropping).input_labels(&series), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_group_is_a_part_of_the_series_that_only_the_listed_labels_decide(
        values in prop::collection::vec("[xy]?", 5),
        listed in prop::collection::btree_set("[a-e]", 1..4),
        by in any::<bool>(),
    ) {
        let names = ["a", "b", "c", "d", "e"];
        let series = names.iter().zip(&values).map(|(name, value)| Label::new(name, value));
        let series = LabelsBuilder::from_labels(series);
        let list = listed.iter().cloned().collect::<Vec<_>>().join(", ");
        let key = if by { "by" } else { "without" };
        let rule = one(&format!("{{interval: 1m, outputs: [max], {key}: [{list}]}}"));
        let group = rule.group_labels(&series);
        for name in names {
            let kept = listed.contains(name) == by;
            prop_assert_eq!(group.get(name), if kept { series.get(name) } else { "" });
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[-a-z:\\[\\]{}\"'0-9 \n,#&*|>]{0,40}") {
        let _read = load(&text, &compile).is_ok();
    }
}
