//! Selectors by hand, and the index against a twin that tries everything.

use std::sync::Arc;

use proptest::prelude::*;
use weir_model::labels::normalize;
use weir_model::{Label, LabelsBuilder, Relabel};

use super::{Matcher, Selector, SelectorErrorKind};
use crate::rule::{Rule, load};

fn rules(yaml: &str) -> Vec<Rule> {
    let none = |_: &[String]| Ok(Arc::new(Nothing) as Arc<dyn Relabel>);
    load::<String>(yaml, &none).unwrap().rules
}

struct Nothing;

impl Relabel for Nothing {
    fn apply(&self, _: &mut LabelsBuilder) -> bool {
        true
    }
}

/// `name a=b c=d`; a name of `-` is none.
fn series(text: &str) -> Vec<Label<'_>> {
    let mut words = text.split_whitespace();
    let name = words.next().unwrap().trim_start_matches('-');
    let pairs = words.map(|w| w.split_once('=').unwrap());
    let pairs = pairs.map(|(n, v)| Label::new(n, v));
    let mut labels: Vec<Label<'_>> = pairs.chain([Label::new("__name__", name)]).collect();
    normalize(&mut labels).unwrap();
    labels
}

#[test]
fn selectors_select_what_promql_says() {
    for (selector, selected, others) in [
        ("up", &["up", "up a=b"][..], &["upp", "-", "- up=up"][..]),
        ("job:up:sum", &["job:up:sum"], &["job"]),
        (" up { } ", &["up"], &["down"]),
        ("{}", &["up", "-", "- a=b"], &[]),
        (r#"up{a="b"}"#, &["up a=b", "up a=b c=d"], &["up", "up a=bb", "x a=b"]),
        (r#"up{a="b",}"#, &["up a=b"], &["up"]),
        (r#"up{a!="b"}"#, &["up", "up a=c"], &["up a=b"]),
        (r#"up{a=""}"#, &["up"], &["up a=b"]),
        (r#"up{a!=""}"#, &["up a=b"], &["up"]),
        (r#"up{a=~"b|c.*"}"#, &["up a=b", "up a=cd"], &["up", "up a=bb"]),
        (r#"up{a=~"b?"}"#, &["up", "up a=b"], &["up a=bb"]),
        (r#"up{a!~"d.*"}"#, &["up", "up a=b"], &["up a=d", "up a=dd"]),
        (r#"{__name__=~"x|y"}"#, &["x", "y"], &["z", "xy", "-"]),
        (r#"{__name__!="x"}"#, &["y", "-"], &["x"]),
        (r#"{"utf8.name",a="b"}"#, &["utf8.name a=b"], &["utf8.name"]),
        (r#"{"utf8.name"}"#, &["utf8.name"], &["utf8_name"]),
        (r#"{a="b", "utf8.name"}"#, &["utf8.name a=b"], &["a=b"]),
        (r#"{"utf8.label"="v"}"#, &["up utf8.label=v"], &["up"]),
        (r#"{a="b" or c="d"}"#, &["up a=b", "- c=d"], &["up", "up a=d"]),
        (r#"up{a="b", c="d" or e=~"f.*"}"#, &["up a=b c=d", "up e=ff"], &["x e=f", "up a=b"]),
        (r#"{or="1" or or="2"}"#, &["up or=1", "up or=2"], &["up or=3"]),
        (r#"{"x" or "y"}"#, &["x", "y"], &["z"]),
        (r#"{orders="1" or orders="2"}"#, &["up orders=1", "up orders=2"], &["up"]),
        (r"{a='b'}", &["up a=b"], &["up"]),
        (r"{a=`\b`}", &[r"up a=\b"], &["up a=b"]),
        (r#"{a="\x41\u00e9\103\"\\"}"#, &[r#"up a=AéC"\"#], &["up"]),
        (r"{a='\'\U0001F600'}", &["up a='😀"], &["up"]),
        (r#"{a=~"\\d+"}"#, &["up a=12"], &["up a=x", "up a=٣"]),
        (r"{a=~`\d+`}", &["up a=12"], &["up a=x"]),
    ] {
        let parsed: Selector = selector.parse().unwrap();
        let canonical: Selector = parsed.to_string().parse().unwrap();
        assert_eq!(canonical, parsed, "{selector} is written {parsed}");
        for text in selected {
            assert!(parsed.matches(&series(text)), "{selector} and {text}");
        }
        for text in others {
            assert!(!parsed.matches(&series(text)), "{selector} but not {text}");
        }
    }
}

#[test]
fn what_is_no_selector_is_refused_with_its_place() {
    use SelectorErrorKind::*;
    for (selector, at, kind) in [
        ("", 1, Empty),
        ("  ", 3, Empty),
        ("1up", 1, Expected("a metric name or {")),
        ("up down", 4, Expected("the end of the selector")),
        ("up[5m]", 3, Expected("the end of the selector")),
        ("{a}", 3, Expected("=, !=, =~ or !~")),
        ("{a=b}", 4, Expected("a quoted text")),
        ("{a=\"b\" c=\"d\"}", 8, Expected("a comma, `or` or }")),
        ("{a=\"b\" or }", 11, Expected("a condition after `or`")),
        ("{a=\"b", 4, Unclosed),
        ("{a=\"b\nc\"}", 4, Unclosed),
        ("{a=\"b\"", 7, Expected("a comma, `or` or }")),
        ("{=\"b\"}", 2, Expected("a label name")),
        ("{a=\"\\q\"}", 4, Escape),
        ("{a=\"\\xff\"}", 4, NotUtf8),
        ("{a=\"\\ud800\"}", 4, Escape),
        ("up{\"down\"}", 10, TwoNames),
        ("{\"up\",\"down\"}", 13, TwoNames),
    ] {
        let error = selector.parse::<Selector>().unwrap_err();
        assert_eq!((error.at, &error.kind), (at, &kind), "{selector}");
    }
    let error = "{a=~\"x**\"}".parse::<Selector>().unwrap_err();
    assert!(matches!(error.kind, Regex(_)), "{error}");
    assert!(
        error.to_string().starts_with("cannot read selector \"{a=~\\\"x**\\\"}\" at character ")
    );
}

#[test]
fn canonical_texts_are_sorted_and_quoted() {
    let canonical = |text: &str| text.parse::<Selector>().unwrap().to_string();
    assert_eq!(canonical("up{b='2', a=`1`, b='2'}"), r#"{__name__="up",a="1",b="2"}"#);
    assert_eq!(canonical("{'a.b'='\"\\n\\\\'}"), r#"{"a.b"="\"\n\\"}"#);
    assert_eq!(canonical("{a=\"1\" or b=\"2\"}"), r#"{a="1" or b="2"}"#);
}

#[test]
fn rules_are_found_in_their_order_by_name_and_by_trying() {
    let rules = rules(
        r#"
- {name: a, match: '{job=~"x.*"}', interval: 1m, outputs: [max]}
- {name: b, match: up, interval: 1m, outputs: [max]}
- {name: c, match: ['up', '{job="xy"}', down], interval: 1m, outputs: [max]}
- {name: d, interval: 1m, outputs: [max]}
- {name: e, match: '{__name__=~"up|down",job!=""}', interval: 1m, outputs: [max]}
- {name: f, match: up, tenants: [t, u], interval: 1m, outputs: [max]}
"#,
    );
    let matcher = Matcher::new(&rules);
    let matching = |tenant: &str, text: &str| {
        let mut out = vec![99];
        matcher.matching(tenant, &series(text), &mut out);
        out
    };
    assert_eq!(matching("", "up"), [1, 2, 3]);
    assert_eq!(matching("t", "up"), [1, 2, 3, 5]);
    assert_eq!(matching("u", "up job=xy"), [0, 1, 2, 3, 4, 5]);
    assert_eq!(matching("", "down job=y"), [2, 3, 4]);
    assert_eq!(matching("", "other job=xz"), [0, 3]);
    assert_eq!(matching("", "-"), [3]);
    let mut none = vec![1];
    Matcher::new(&[]).matching("", &series("up"), &mut none);
    assert!(none.is_empty());
}

fn condition() -> impl Strategy<Value = String> {
    let label = prop::sample::select(vec!["__name__", "a", "b"]);
    let operator = prop::sample::select(vec!["=", "!=", "=~", "!~"]);
    let value =
        prop::sample::select(vec!["", "x", "y", "x|y", "x.*", ".+", "[xy]z?", "(x|y)+", "|x"]);
    (label, operator, value)
        .prop_map(|(label, operator, value)| format!("{label}{operator}\"{value}\""))
}

fn selector() -> impl Strategy<Value = String> {
    let group = prop::collection::vec(condition(), 1..4).prop_map(|group| group.join(","));
    let groups = prop::collection::vec(group, 1..3);
    groups.prop_map(|groups| format!("{{{}}}", groups.join(" or ")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_index_answers_as_trying_every_selector_does(
        selectors in prop::collection::vec((prop::collection::vec(selector(), 0..3), any::<bool>()), 0..8),
        all_series in prop::collection::vec(("[xyz]{0,2}", "[xyz]{0,2}", "[xyz]{0,2}"), 1..20),
    ) {
        let mut yaml = String::from("[]");
        for (at, (selectors, tenant)) in selectors.iter().enumerate() {
            let quoted: Vec<String> = selectors.iter().map(|s| format!("'{s}'")).collect();
            let matched = if quoted.is_empty() { String::new() } else { format!("match: [{}],", quoted.join(", ")) };
            let tenants = if *tenant { "tenants: [t]," } else { "" };
            let rule = format!("- {{{matched} {tenants} interval: 1m, outputs: [max]}}\n");
            yaml = if at == 0 { rule } else { yaml + &rule };
        }
        let rules = rules(&yaml);
        let matcher = Matcher::new(&rules);
        let mut out = Vec::new();
        for (name, a, b) in &all_series {
            let labels = [Label::new("__name__", name), Label::new("a", a), Label::new("b", b)];
            let labels = labels.into_iter().filter(|l| !l.value.is_empty()).collect::<Vec<_>>();
            for tenant in ["t", "u"] {
                matcher.matching(tenant, &labels, &mut out);
                let twin = (0..).zip(&rules).filter(|(_, rule)| {
                    let ours = rule.tenants().is_none_or(|t| t.iter().any(|t| t == tenant));
                    let selected = rule.selectors().iter().any(|s| s.matches(&labels));
                    ours && (rule.selectors().is_empty() || selected)
                });
                let twin: Vec<u16> = twin.map(|(at, _)| at).collect();
                prop_assert_eq!(&out, &twin);
            }
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-c{}=!~\"'`\\\\,or x0-9é]{0,20}") {
        if let Ok(selector) = text.parse::<Selector>() {
            prop_assert_eq!(selector.to_string().parse::<Selector>(), Ok(selector));
        }
    }
}
