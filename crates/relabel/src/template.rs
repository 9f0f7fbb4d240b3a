//! `$1` and `${name}` in a replacement or target label, read once.
//!
//! The grammar is that of Go's `Regexp.Expand`: a name is the longest run of letters, digits and
//! `_` (so `$1x` is the group named `1x`, not group 1), `$$` is a dollar, an unknown or unmatched
//! group is empty, and a dollar that starts nothing stands for itself.

use std::sync::LazyLock;

use regex::{Captures, Regex};
use weir_model::re2::Re2;

/// A replacement text, cut into its parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Text(String),
    /// The first of these groups that took part in the match: a name may be shared.
    Groups(Box<[usize]>),
}

/// A reference after its dollar, by Go's `unicode.IsLetter` and `unicode.IsDigit`.
static REFERENCE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(?:\{([\p{L}\p{Nd}_]+)\}|([\p{L}\p{Nd}_]+))").ok());

impl Template {
    /// Cuts up a text whose names are those of this regex.
    pub(crate) fn new(text: &str, regex: &Re2) -> Self {
        let mut template = Self { parts: Vec::new() };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            template.text(before);
            if let Some(after) = after.strip_prefix('$') {
                template.text("$");
                rest = after;
            } else if let Some((name, after)) = reference(after) {
                let groups = match group_number(name) {
                    Some(number) => Box::from([number]),
                    None => regex.group_indices(name).collect(),
                };
                template.parts.push(Part::Groups(groups));
                rest = after;
            } else {
                template.text("$");
                rest = after;
            }
        }
        template.text(rest);
        template
    }

    /// Appends the text with its references filled in.
    pub(crate) fn expand(&self, groups: &Captures<'_>, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Groups(numbers) => {
                    let matched = numbers.iter().find_map(|&number| groups.get(number));
                    out.push_str(matched.map_or("", |m| m.as_str()));
                }
            }
        }
    }

    fn text(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }
}

/// The name that comes next, with or without braces, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    let groups = REFERENCE.as_ref()?.captures(text)?;
    let name = groups.get(1).or(groups.get(2))?;
    Some((name.as_str(), &text[groups.get(0)?.end()..]))
}

/// A name of digits without leading zeros is a number; else it is looked up.
fn group_number(name: &str) -> Option<usize> {
    let digits = name.bytes().all(|b| b.is_ascii_digit());
    let number = digits && (name == "0" || !name.starts_with('0'));
    number.then(|| name.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Go 1.26's `regexp.ExpandString`: pattern, text, template, expansion.
    const VECTORS: &[(&str, &str, &str, &str)] = &[
        ("f(.*)", "foo", "ch${1}-ch${1}", "choo-choo"),
        ("f(.*)", "foo", "ch$1-ch$1", "choo-choo"),
        ("(f)(o)(o)", "foo", "$3$2$1$0", "ooffoo"),
        ("(f)oo", "foo", "$1x", ""),
        ("(f)oo", "foo", "${1}x", "fx"),
        ("(f)(?P<1x>oo)", "foo", "$1x", "oo"),
        ("(?P<head>f)(?<tail>o+)", "foo", "$tail/${head}/$missing", "oo/f/"),
        ("(f)oo", "foo", "$", "$"),
        ("(f)oo", "foo", "a$", "a$"),
        ("(f)oo", "foo", "$$1", "$1"),
        ("(f)oo", "foo", "$$$1", "$f"),
        ("(f)oo", "foo", "${1", "${1"),
        ("(f)oo", "foo", "${}x", "${}x"),
        ("(f)oo", "foo", "${ 1}", "${ 1}"),
        ("(f)oo", "foo", "$-1", "$-1"),
        ("(f)oo", "foo", "$01", ""),
        ("(f)oo", "foo", "${01}", ""),
        ("(f)oo", "foo", "$2", ""),
        ("(f)oo", "foo", "$99999999999", ""),
        ("(f)(x)?oo", "foo", "[$2]", "[]"),
        ("(f)oo", "foo", "é$1é", "é"),
        ("(f)oo", "foo", "${1}é", "fé"),
        ("(f)oo", "foo", "$1-$1.$1", "f-f.f"),
        ("(?:(?P<n>a)|(?P<n>b))", "b", "<$n>", "<b>"),
        ("(?:(?P<n>a)|(?P<n>b))", "a", "<$n>", "<a>"),
        (".*", "foo", "$0", "foo"),
        ("(f)oo", "foo", "$_", ""),
        ("(f)oo", "foo", "$1_total", ""),
        ("(f)oo", "foo", "${1}_total", "f_total"),
        ("(?P<_a>f)oo", "foo", "$_a", "f"),
        ("(f)oo", "foo", "{$1}", "{f}"),
        ("(f)oo", "foo", "${1}}", "f}"),
        ("(f)oo", "foo", "", ""),
        ("()", "", "x$1y", "x"),
    ];

    #[test]
    fn references_expand_as_in_go() {
        for (pattern, text, template, expected) in VECTORS {
            let regex = Re2::new(pattern).unwrap();
            let mut out = String::new();
            let groups = regex.captures(text).unwrap();
            Template::new(template, &regex).expand(&groups, &mut out);
            assert_eq!(out, *expected, "{template:?} over {pattern:?}");
        }
    }
}
