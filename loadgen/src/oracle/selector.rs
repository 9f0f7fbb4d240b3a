//! Series selectors: `name{label="value",other=~"regex" or …}`, read and matched anew.
//!
//! Regular expressions are anchored, and a label that is not there is empty, as in PromQL. Go's
//! regular expressions are taken for Rust's; files of tests use what both understand.

use std::collections::BTreeMap;

use regex::Regex;

use crate::samples::Labels;

/// One selector: a list of alternatives, each a list of conditions.
#[derive(Clone, Debug)]
pub(super) struct Selector(Vec<Vec<Condition>>);

#[derive(Clone, Debug)]
struct Condition {
    label: String,
    test: Test,
    negated: bool,
}

#[derive(Clone, Debug)]
enum Test {
    Equals(String),
    Matches(Regex),
}

impl Selector {
    /// Whether it takes a series.
    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.0.iter().any(|conditions| conditions.iter().all(|c| c.holds(labels)))
    }
}

impl Condition {
    fn holds(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.label).map_or("", String::as_str);
        let holds = match &self.test {
            Test::Equals(wanted) => wanted == value,
            Test::Matches(regex) => regex.is_match(value),
        };
        holds != self.negated
    }
}

/// Reads a selector.
pub(super) fn parse(text: &str) -> Result<Selector, String> {
    let mut reader = Reader { rest: text.trim() };
    let mut always = Vec::new();
    let name = reader.word();
    if !name.is_empty() {
        always.push(equals("__name__", name));
    }
    if reader.rest.is_empty() {
        return Ok(Selector(vec![always]));
    }
    reader.expect("{")?;
    let (mut alternatives, mut conditions) = (Vec::new(), always.clone());
    while !reader.took("}") {
        if reader.took("or ") {
            alternatives.push(std::mem::replace(&mut conditions, always.clone()));
        } else {
            conditions.push(reader.condition()?);
            reader.took(",");
        }
    }
    alternatives.push(conditions);
    Ok(Selector(alternatives))
}

fn equals(label: &str, value: &str) -> Condition {
    Condition { label: label.to_owned(), test: Test::Equals(value.to_owned()), negated: false }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn condition(&mut self) -> Result<Condition, String> {
        let quoted = self.rest.starts_with(['"', '\'', '`']);
        let label = if quoted { self.string()? } else { self.word().to_owned() };
        for (sign, regex, negated) in
            [("=~", true, false), ("!~", true, true), ("!=", false, true), ("=", false, false)]
        {
            if self.took(sign) {
                let value = self.string()?;
                let test = if regex {
                    let anchored = format!("^(?s:{value})$");
                    Test::Matches(Regex::new(&anchored).map_err(|e| e.to_string())?)
                } else {
                    Test::Equals(value)
                };
                return Ok(Condition { label, test, negated });
            }
        }
        // A quoted name alone is the metric's.
        if quoted { Ok(equals("__name__", &label)) } else { Err(self.wrong()) }
    }

    fn word(&mut self) -> &'a str {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '.');
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn string(&mut self) -> Result<String, String> {
        let mut chars = self.rest.char_indices();
        let quote = chars.next().map(|(_, c)| c).filter(|c| matches!(c, '"' | '\'' | '`'));
        let quote = quote.ok_or_else(|| self.wrong())?;
        let mut text = String::new();
        while let Some((at, c)) = chars.next() {
            match c {
                c if c == quote => {
                    self.rest = self.rest[at + c.len_utf8()..].trim_start();
                    return Ok(text);
                }
                '\\' if quote != '`' => match chars.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some(c) => text.push(c),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err(self.wrong())
    }

    fn took(&mut self, what: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(what) else {
            return false;
        };
        self.rest = rest.trim_start();
        true
    }

    fn expect(&mut self, what: &str) -> Result<(), String> {
        if self.took(what) { Ok(()) } else { Err(self.wrong()) }
    }

    fn wrong(&self) -> String {
        format!("no selector from here on: {:?}", self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::labels;

    #[test]
    fn selectors_mean_what_promql_says() {
        let series = labels("up", &[("job", "api"), ("zone", "eu-1")]);
        for (text, taken) in [
            ("up", true),
            ("down", false),
            ("{job=\"api\"}", true),
            ("up{job!=\"api\"}", false),
            ("up{zone=~\"eu-.*\", job='api'}", true),
            ("up{zone=~\"eu\"}", false),
            ("up{pod=\"\"}", true),
            ("up{pod!~\".+\"}", true),
            ("{job=\"db\" or zone=\"eu-1\"}", true),
            ("{\"up\", job=\"api\"}", true),
        ] {
            let found = parse(text).map(|selector| selector.matches(&series));
            assert_eq!(found, Ok(taken), "{text}");
        }
        assert!(parse("up{job}").is_err());
        assert!(parse("up{job=\"a\"").is_err());
    }
}
