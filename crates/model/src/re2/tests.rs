//! Every case that tells the two dialects apart, against what Go's `regexp` answers.

use proptest::prelude::*;

use super::{Re2, Re2Reason};

/// What `vectors.txt` numbers: its lines are a pattern, a tab, and the texts that
/// `regexp.MustCompile("^(?s:" + pattern + ")$")` matches in Go 1.26, or `refused`.
const TEXTS: &[&str] = &[
    "", "a", "b", "aa", "ab", "abc", "foo", "foobar", "FOO", "Foo", "bar", "-", "]", "[", "a[",
    "[[", "{", "a{", "a{,2}", "{2", "x*", "a&b", "&", "&&", "a&&b", "~", "a.b", "axb", "a\u{a}b",
    "\u{a}", "\u{b}", "\u{9}", " ", "0", "7", "42", "٣", "é", "É", "ſ", "K", "k", "_", "a1_", "α",
    "Ω", "ab-cd", "-a", "a-", "a b", "a|b", "a(b", "a)b", "^", "$", "\\", "d", "\\d", "Q", "aaaa",
    "aaa", "日本", "x", "1x", "_b", "b_", "$1", "!", "A", "ß", "ẞ", "\u{7f}", "a{01}", "\"",
];

#[test]
fn every_pattern_matches_what_it_matches_in_go() {
    let mut wrong = Vec::new();
    for line in include_str!("vectors.txt").lines() {
        let (pattern, expected) = line.split_once('\t').unwrap();
        let found = match Re2::new(pattern) {
            Err(_) => "refused".to_owned(),
            Ok(re) => {
                let matching = (0..TEXTS.len()).filter(|&i| re.is_match(TEXTS[i]));
                let matching: Vec<String> = matching.map(|i| i.to_string()).collect();
                matching.join(" ")
            }
        };
        if found != expected {
            wrong.push(format!("{pattern}: {found}, but Go says {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn refusals_say_what_is_wrong() {
    let reason = |pattern: &str| Re2::new(pattern).unwrap_err().reason;
    for (pattern, expected) in [
        ("x*+", Re2Reason::NestedRepetition("+".into())),
        ("*a", Re2Reason::NothingToRepeat("*".into())),
        ("a{1001}", Re2Reason::RepeatCount("{1001}".into())),
        ("(?x)a b", Re2Reason::PerlSyntax("(?x".into())),
        (r"\Qa.b", Re2Reason::UnclosedQuote(r"\Qa.b".into())),
        (r"\C", Re2Reason::Escape(r"\C".into())),
        ("[z-a]", Re2Reason::ClassRange("z-a".into())),
        ("[a", Re2Reason::UnclosedClass("[a".into())),
        ("(?P<n-m>a)", Re2Reason::GroupName("n-m".into())),
        ("(a", Re2Reason::UnclosedGroup),
        ("a)|(b", Re2Reason::UnopenedGroup),
    ] {
        assert_eq!(reason(pattern), expected, "{pattern}");
    }
    let text = Re2::new(r"\p{Alphabetic}").unwrap_err().to_string();
    assert!(text.starts_with(r#"invalid regular expression "\\p{Alphabetic}": "#), "{text}");
    assert!(!text.contains('\n'), "{text}");
}

#[test]
fn few_texts_are_listed_and_many_are_not() {
    let literals = |pattern: &str| Re2::new(pattern).unwrap().literals().map(<[_]>::to_vec);
    assert_eq!(literals("up"), Some(vec!["up".to_owned()]));
    assert_eq!(
        literals("foo|ba[rz]"),
        Some(vec!["bar".to_owned(), "baz".to_owned(), "foo".to_owned()])
    );
    assert_eq!(literals(""), Some(vec![String::new()]));
    for pattern in ["foo.*", "a+", "^foo$", r"\bfoo", "[a-z]{3}"] {
        assert_eq!(literals(pattern), None, "{pattern}");
    }
}

#[test]
fn groups_are_found_by_name_even_one_that_starts_with_a_digit() {
    let re = Re2::new(r"(a)(?P<1x>b)(?:c)(?<last>d)(?<1x>)").unwrap();
    let groups = |name: &str| re.group_indices(name).collect::<Vec<_>>();
    assert_eq!(groups("1x"), [2, 4]);
    assert_eq!(groups("last"), [3]);
    assert!(groups("").is_empty());
    let groups = re.captures("abcd").unwrap();
    assert_eq!(&groups[3], "d");
    assert!(re.captures("abcde").is_none());
}

/// Patterns of a subset that both dialects read alike.
fn common_pattern() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["a", "b", "ab", "[ab]", "[^a]", ".", "", "c"]);
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            pair.clone().prop_map(|(a, b)| format!("{a}{b}")),
            pair.prop_map(|(a, b)| format!("{a}|{b}")),
            inner.clone().prop_map(|a| format!("(?:{a})*")),
            inner.prop_map(|a| format!("({a})?")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn shortcuts_change_no_answer(pattern in common_pattern(), text in "[abc]{0,5}") {
        let engine = regex::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        prop_assert_eq!(Re2::new(&pattern).unwrap().is_match(&text), engine.is_match(&text));
    }

    #[test]
    fn any_text_quoted_is_itself(text in any::<String>()) {
        let quoted = format!(r"\Q{text}\E");
        prop_assume!(!text.contains(r"\E") && !text.ends_with('\\'));
        let re = Re2::new(&quoted).unwrap();
        prop_assert!(re.is_match(&text));
        let longer = format!("{text}x");
        prop_assert!(!re.is_match(&longer));
    }

    #[test]
    fn any_pattern_is_read_or_refused(pattern in r"[ab\\\[\](){}?*+^$.|:<>,0-9xdwsWQEpPiU&~-]{0,12}") {
        let _read = Re2::new(&pattern).is_ok();
    }
}
