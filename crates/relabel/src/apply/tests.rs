//! Prometheus's own cases, vectors from other implementations, and properties.

use proptest::prelude::*;
use weir_model::{Label, LabelsBuilder, Relabel};

use super::{hash, lowercase, uppercase};
use crate::{Action, Program, RelabelConfig};

/// Runs YAML rules over `name=value` words and writes the outcome in the same way.
fn run(rules: &str, input: &str) -> Option<String> {
    let configs: Vec<RelabelConfig> = serde_saphyr::from_str(rules).unwrap();
    let program = Program::compile(&configs).unwrap();
    let pairs = input.split_whitespace().map(|w| w.split_once('=').unwrap());
    let mut labels = LabelsBuilder::from_labels(pairs.map(|(n, v)| Label::new(n, v)));
    program.apply(&mut labels).then(|| written(&labels))
}

fn written(labels: &LabelsBuilder) -> String {
    let words = labels.iter().map(|l| format!("{}={}", l.name, l.value));
    words.collect::<Vec<_>>().join(" ")
}

/// What Prometheus's relabel tests state, case by case: rules, input, outcome.
const PROMETHEUS: &[(&str, &str, Option<&str>)] = &[
    (
        "- {source_labels: [a], regex: f(.*), target_label: d, replacement: 'ch${1}-ch${1}'}",
        "a=foo b=bar c=baz",
        Some("a=foo b=bar c=baz d=choo-choo"),
    ),
    (
        "- {source_labels: [a, b], regex: f(.*);(.*)r, target_label: a, replacement: 'b${1}${2}m'}
- {source_labels: [c, a], regex: (b).*b(.*)ba(.*), target_label: d, replacement: $1$2$2$3}",
        "a=foo b=bar c=baz",
        Some("a=boobam b=bar c=baz d=boooom"),
    ),
    (
        "- {source_labels: [a], regex: .*o.*, action: drop}
- {source_labels: [a], regex: f(.*), target_label: d, replacement: ch$1-ch$1}",
        "a=foo",
        None,
    ),
    (
        "- {source_labels: [a], regex: .*(b).*, target_label: d, replacement: $1}",
        "a=abc",
        Some("a=abc d=b"),
    ),
    ("- {source_labels: [a], regex: no-match, action: drop}", "a=foo", Some("a=foo")),
    ("- {source_labels: [a], regex: f|o, action: drop}", "a=foo", Some("a=foo")),
    ("- {source_labels: [a], regex: no-match, action: keep}", "a=foo", None),
    ("- {source_labels: [a], regex: f.*, action: keep}", "a=foo", Some("a=foo")),
    (
        "- {source_labels: [a], regex: f, target_label: b, replacement: bar}",
        "a=boo",
        Some("a=boo"),
    ),
    (
        "- {source_labels: [c], target_label: d, action: hashmod, modulus: 1000}",
        "a=foo b=bar c=baz",
        Some("a=foo b=bar c=baz d=976"),
    ),
    (
        "- {regex: (b.*), replacement: 'bar_${1}', action: labelmap}",
        "a=foo b1=bar b2=baz",
        Some("a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz"),
    ),
    (
        "- {regex: __meta_(my.*), replacement: '${1}', action: labelmap}",
        "a=foo __meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc",
        Some("__meta_my_bar=aaa __meta_my_baz=bbb __meta_other=ccc a=foo my_bar=aaa my_baz=bbb"),
    ),
    (
        "- {source_labels: [a], regex: 'some-([^-]+)-([^,]+)', replacement: '${2}', target_label: '${1}'}",
        "a=some-name-value",
        Some("a=some-name-value name=value"),
    ),
    // An empty replacement deletes the label, which was not there.
    (
        "- {source_labels: [a], regex: 'some-([^-]+)-([^,]+)', replacement: '${3}', target_label: '${1}'}",
        "a=some-name-value",
        Some("a=some-name-value"),
    ),
    // A target label that expands to nothing.
    (
        "- {source_labels: [a], regex: 'some-([^-]+)-([^,]+)', replacement: '${1}', target_label: '${3}'}",
        "a=some-name-0",
        Some("a=some-name-0"),
    ),
    (
        "- {source_labels: [tags], regex: '(?:.+,|^)path:(/[^,]+).*', target_label: __metrics_path__}
- {source_labels: [tags], regex: '(?:.+,|^)job:([^,]+).*', target_label: job}
- {source_labels: [tags], regex: '(?:.+,|^)label:([^=]+)=([^,]+).*', replacement: '${2}', target_label: '${1}'}",
        "tags=path:/secret,job:some-job,label:foo=bar",
        Some("__metrics_path__=/secret foo=bar job=some-job tags=path:/secret,job:some-job,label:foo=bar"),
    ),
    // prometheus/prometheus#12283: a label that was dropped can be set again.
    (
        "- {regex: ^port_name$, action: labeldrop}
- {source_labels: [metrics_port], regex: (.+), replacement: metrics, target_label: port_name}
- {source_labels: [port_name], regex: ^metrics$, action: keep}",
        "port_name=foo metrics_port=9091",
        Some("metrics_port=9091 port_name=metrics"),
    ),
    ("- {regex: (b.*), action: labelkeep}", "a=foo b1=bar b2=baz", Some("b1=bar b2=baz")),
    ("- {regex: (b.*), action: labeldrop}", "a=foo b1=bar b2=baz", Some("a=foo")),
    (
        "- {source_labels: [foo], action: uppercase, target_label: up}
- {source_labels: [foo], action: lowercase, target_label: low}",
        "foo=bAr123Foo",
        Some("foo=bAr123Foo low=bar123foo up=BAR123FOO"),
    ),
    (
        "- {source_labels: [tmp], action: keepequal, target_label: port1}",
        "tmp=1234 port1=1234 port2=5678",
        Some("port1=1234 port2=5678 tmp=1234"),
    ),
    (
        "- {source_labels: [tmp], action: dropequal, target_label: port1}",
        "tmp=1234 port1=1234 port2=5678",
        None,
    ),
    (
        "- {source_labels: [tmp], action: dropequal, target_label: port2}",
        "tmp=1234 port1=1234 port2=5678",
        Some("port1=1234 port2=5678 tmp=1234"),
    ),
    (
        "- {source_labels: [tmp], action: keepequal, target_label: port2}",
        "tmp=1234 port1=1234 port2=5678",
        None,
    ),
    (
        "- {source_labels: [a], regex: '(line1).*(?<second>line2)', target_label: 'label1_${1}', replacement: 'val_${second}'}
- {source_labels: [a], regex: '(line1).*(?<second>line2)', target_label: label2_$1, replacement: val_$second}",
        "a=line1-line2",
        Some("a=line1-line2 label1_line1=val_line2 label2_line1=val_line2"),
    ),
    (
        "- {source_labels: [a], regex: line1.*line2, target_label: 'utf-8.label${1}', replacement: 'match${1}'}",
        "a=line1-line2",
        Some("a=line1-line2 utf-8.label=match"),
    ),
    (
        "- {source_labels: [__name__], regex: .*_total$, target_label: __type__, replacement: counter}",
        "__name__=http_requests_total",
        Some("__name__=http_requests_total __type__=counter"),
    ),
];

#[test]
fn prometheus_cases_come_out_as_in_prometheus() {
    for (rules, input, expected) in PROMETHEUS {
        assert_eq!(run(rules, input).as_deref(), *expected, "{rules}");
    }
}

#[test]
fn the_configuration_of_a_kubernetes_scrape_runs() {
    let rules = r"
- {source_labels: [port_name], regex: .*-metrics, action: keep}
- {source_labels: [label_name], action: drop, regex: ''}
- {source_labels: [phase], regex: Succeeded|Failed, action: drop}
- {source_labels: [__address__, port], target_label: __address__, regex: '(.+?)(\:\d+)?;(\d+)', replacement: '$1:$3'}
- {regex: label_(.+), action: labelmap}
- {source_labels: [namespace, label_name], separator: /, target_label: job}
- {target_label: cluster, replacement: dev}
- {source_labels: [__address__], target_label: __tmp_hash, modulus: 3, action: hashmod}
- {source_labels: [__tmp_hash], regex: ^1$, action: keep}
- {regex: __tmp_hash|port_name|phase|label_.+, action: labeldrop}
";
    let input = "port_name=http-metrics label_name=loki phase=Running __address__=10.0.0.1:80 \
                 port=8080 namespace=prod";
    // MD5("10.0.0.1:8080") ends in 0x76612ddbd5f89a4c by hashlib, 0 modulo 3.
    assert_eq!(run(rules, input), None);
    let rules = rules.replace("^1$", "^0$");
    let expected =
        "__address__=10.0.0.1:8080 cluster=dev job=prod/loki name=loki namespace=prod port=8080";
    assert_eq!(run(&rules, input).as_deref(), Some(expected));
}

#[test]
fn a_dot_matches_a_newline() {
    let rules =
        r#"- {source_labels: [a], regex: line1.*line2, target_label: d, replacement: 'match${1}'}"#;
    let configs: Vec<RelabelConfig> = serde_saphyr::from_str(rules).unwrap();
    let mut labels = LabelsBuilder::from_labels([Label::new("a", "line1\nline2")]);
    assert!(Program::compile(&configs).unwrap().apply(&mut labels));
    assert_eq!(labels.get("d"), "match");
}

#[test]
fn labels_may_be_set_from_nothing_and_deleted() {
    let fixed = "- {target_label: a, replacement: static}";
    assert_eq!(run(fixed, "b=1").as_deref(), Some("a=static b=1"));
    let delete = "- {target_label: b, replacement: ''}";
    assert_eq!(run(delete, "a=x b=1").as_deref(), Some("a=x"));
    let absent = "- {source_labels: [nope], target_label: a}";
    assert_eq!(run(absent, "a=x b=1").as_deref(), Some("b=1"));
    let empty_regex = "- {regex: , replacement: static, target_label: a}";
    assert_eq!(run(empty_regex, "b=1").as_deref(), Some("a=static b=1"));
}

#[test]
fn labelmap_reads_before_it_writes() {
    let swap = "- {regex: (a|b), replacement: 'x$1', action: labelmap}\n\
                - {regex: x(.*), replacement: x, action: labelmap}";
    assert_eq!(run(swap, "a=1 b=2").as_deref(), Some("a=1 b=2 x=2 xa=1 xb=2"));
    let nameless = "- {regex: a(z)?, replacement: $1, action: labelmap}";
    assert_eq!(run(nameless, "a=1").as_deref(), Some("a=1"));
}

#[test]
fn hashmod_agrees_with_md5_elsewhere() {
    // python3: int.from_bytes(hashlib.md5(v.encode()).digest()[8:], "big") % m
    for (value, modulus, expected) in [
        ("baz", 1000, 976),
        ("foo\nbar", 1000, 734),
        ("", 8, 6),
        ("10.132.183.40:80", 3, 1),
        ("a;b", 7, 2),
        ("é", u64::MAX, 17_796_970_744_824_711_023),
        ("host-17:9100", 4096, 942),
        ("node;localhost:9100", 2, 0),
    ] {
        assert_eq!(hash(value) % modulus, expected, "{value:?}");
    }
}

#[test]
fn case_is_mapped_as_go_maps_it() {
    // Go 1.26: strings.ToLower and strings.ToUpper, where Rust's own differ above all.
    for (text, lower, upper) in [
        ("bAr123", "bar123", "BAR123"),
        ("straße", "straße", "STRAßE"),
        ("İI", "ii", "İI"),
        ("ΟΔΟΣ", "οδοσ", "ΟΔΟΣ"),
        ("ŉ ǰ ΐ ﬁ", "ŉ ǰ ΐ ﬁ", "ŉ ǰ ΐ ﬁ"),
        ("ᾀ ᾗ ᾧ ᾳ ῃ ῳ", "ᾀ ᾗ ᾧ ᾳ ῃ ῳ", "ᾈ ᾟ ᾯ ᾼ ῌ ῼ"),
        ("ǅ", "ǆ", "Ǆ"),
    ] {
        assert_eq!(lowercase(text), lower, "{text}");
        assert_eq!(uppercase(text), upper, "{text}");
    }
}

fn any_labels() -> impl Strategy<Value = LabelsBuilder> {
    let pair = ("[a-c_]{1,2}", "[a-c;]{0,3}");
    prop::collection::vec(pair, 0..6)
        .prop_map(|pairs| LabelsBuilder::from_labels(pairs.iter().map(|(n, v)| Label::new(n, v))))
}

fn one(action: Action, change: impl FnOnce(&mut RelabelConfig)) -> Program {
    let mut config = RelabelConfig { action, ..RelabelConfig::default() };
    change(&mut config);
    Program::compile(&[config]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn keep_and_drop_are_opposites(labels in any_labels(), regex in "[a-c]{0,2}(\\.\\*)?") {
        let verdict = |action| {
            let program = one(action, |c| {
                c.source_labels = vec!["a".into(), "b".into()];
                c.regex = regex.clone();
            });
            program.apply(&mut labels.clone())
        };
        prop_assert_ne!(verdict(Action::Keep), verdict(Action::Drop));
    }

    #[test]
    fn labelkeep_and_labeldrop_divide_the_labels(labels in any_labels(), regex in "[a-c](\\.\\*)?") {
        let rest = |action| {
            let mut rest = labels.clone();
            one(action, |c| c.regex = regex.clone()).apply(&mut rest);
            rest
        };
        let (kept, dropped) = (rest(Action::LabelKeep), rest(Action::LabelDrop));
        prop_assert_eq!(kept.len() + dropped.len(), labels.len());
        let both = LabelsBuilder::from_labels(kept.iter().chain(dropped.iter()));
        prop_assert_eq!(both, labels);
    }

    #[test]
    fn the_default_replacement_copies_the_joined_sources(labels in any_labels(), separator in "[-;]{0,2}") {
        let mut after = labels.clone();
        let copy = one(Action::Replace, |c| {
            c.source_labels = vec!["a".into(), "b".into(), "c".into()];
            c.separator.clone_from(&separator);
            c.target_label = "copy".into();
        });
        prop_assert!(copy.apply(&mut after));
        let joined = [labels.get("a"), labels.get("b"), labels.get("c")].join(&separator);
        prop_assert_eq!(after.get("copy"), joined);
    }

    #[test]
    fn hashmod_stays_below_its_modulus(labels in any_labels(), modulus in 1u64..10_000) {
        let mut after = labels;
        one(Action::HashMod, |c| {
            c.source_labels = vec!["a".into()];
            c.target_label = "shard".into();
            c.modulus = modulus;
        })
        .apply(&mut after);
        prop_assert!(after.get("shard").parse::<u64>().unwrap() < modulus);
    }
}
