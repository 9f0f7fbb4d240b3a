//! The grammar of series selectors: PromQL's, with quoted UTF-8 names and vmagent's `or`.
//!
//! `foo`, `foo{a="b",c!~"d.*"}`, `{__name__=~"x|y"}`, `{"utf8.name",a="b"}`, `{a="b" or c="d"}`.
//! No ranges, offsets or functions. `{}` selects everything, as it does in vmagent.

use std::str::FromStr;

use weir_model::labels::METRIC_NAME;
use weir_model::re2::Re2Error;

use super::selector::{Condition, Operator, Selector};

/// Why a text is no selector.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("cannot read selector {selector:?} at character {at}: {kind}")]
pub struct SelectorError {
    /// The selector as it was given.
    pub selector: String,
    /// Where it goes wrong, counted from 1.
    pub at: usize,
    /// What is wrong there.
    pub kind: SelectorErrorKind,
}

/// What is wrong with a selector.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SelectorErrorKind {
    /// Nothing there.
    #[error("it is empty; write a metric name, conditions in braces, or {{}} for every series")]
    Empty,
    /// Something else than the grammar has there.
    #[error("expected {0}")]
    Expected(&'static str),
    /// A quoted text without its end.
    #[error("the quoted text is not closed")]
    Unclosed,
    /// A backslash and what does not belong to it.
    #[error(
        r#"unknown escape; known are \\ \" \' \a \b \f \n \r \t \v \xHH \OOO \uHHHH \UHHHHHHHH"#
    )]
    Escape,
    /// Escapes that give no text.
    #[error("the escapes are not UTF-8")]
    NotUtf8,
    /// `foo{"bar"}`.
    #[error("the metric name is given twice")]
    TwoNames,
    /// A regular expression that is none.
    #[error(transparent)]
    Regex(#[from] Re2Error),
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { rest: text };
        parser.selector().map_err(|kind| SelectorError {
            selector: text.to_owned(),
            at: text.chars().count() - parser.rest.chars().count() + 1,
            kind,
        })
    }
}

type Parsed<T> = Result<T, SelectorErrorKind>;

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Parsed<Selector> {
        self.space();
        if self.rest.is_empty() {
            return Err(SelectorErrorKind::Empty);
        }
        let mut shared = Vec::new();
        let name = self.word(|c| c == ':');
        if !name.is_empty() {
            shared.push(Condition::new(METRIC_NAME, Operator::Equal, name)?);
            self.space();
        }
        let alternatives = if name.is_empty() || self.rest.starts_with('{') {
            self.braces(&shared)?
        } else {
            vec![shared]
        };
        self.space();
        if !self.rest.is_empty() {
            return Err(SelectorErrorKind::Expected("the end of the selector"));
        }
        Ok(Selector::new(alternatives))
    }

    fn braces(&mut self, shared: &[Condition]) -> Parsed<Vec<Vec<Condition>>> {
        if !self.eat("{") {
            return Err(SelectorErrorKind::Expected("a metric name or {"));
        }
        let mut alternatives = Vec::new();
        loop {
            alternatives.push(self.group(shared)?);
            if self.eat("}") {
                return Ok(alternatives);
            }
            self.eat("or");
            self.space();
            if self.rest.starts_with('}') {
                return Err(SelectorErrorKind::Expected("a condition after `or`"));
            }
        }
    }

    /// Conditions up to `}` or `or`, neither of which is consumed.
    fn group(&mut self, shared: &[Condition]) -> Parsed<Vec<Condition>> {
        let mut conditions = shared.to_vec();
        let mut named = !shared.is_empty();
        self.space();
        while !self.rest.starts_with('}') {
            let (condition, names) = self.condition()?;
            if names && named {
                return Err(SelectorErrorKind::TwoNames);
            }
            named |= names;
            conditions.push(condition);
            self.space();
            let comma = self.eat(",");
            self.space();
            if self.at_or() {
                break;
            }
            if !comma && !self.rest.starts_with('}') {
                return Err(SelectorErrorKind::Expected("a comma, `or` or }"));
            }
        }
        Ok(conditions)
    }

    /// `label op "value"`, or a quoted metric name (then the second is true).
    fn condition(&mut self) -> Parsed<(Condition, bool)> {
        let quoted = self.rest.starts_with(['"', '\'', '`']);
        let label = if quoted { self.string()? } else { self.word(|_| false).to_owned() };
        if label.is_empty() {
            return Err(SelectorErrorKind::Expected("a label name"));
        }
        self.space();
        if quoted && (self.rest.starts_with([',', '}']) || self.at_or()) {
            return Ok((Condition::new(METRIC_NAME, Operator::Equal, &label)?, true));
        }
        let operators = [
            ("=~", Operator::Matches),
            ("!~", Operator::NotMatches),
            ("!=", Operator::NotEqual),
            ("=", Operator::Equal),
        ];
        let Some((_, operator)) = operators.iter().find(|(text, _)| self.eat(text)) else {
            return Err(SelectorErrorKind::Expected("=, !=, =~ or !~"));
        };
        self.space();
        let value = self.string()?;
        Ok((Condition::new(&label, *operator, &value)?, false))
    }

    /// A quoted text, with escapes unless it stands in backticks.
    fn string(&mut self) -> Parsed<String> {
        let quote = self.rest.chars().next().filter(|c| ['"', '\'', '`'].contains(c));
        let quote = quote.ok_or(SelectorErrorKind::Expected("a quoted text"))?;
        let mut bytes = Vec::new();
        let mut rest = &self.rest[1..];
        loop {
            let c = rest.chars().next().ok_or(SelectorErrorKind::Unclosed)?;
            rest = &rest[c.len_utf8()..];
            match c {
                _ if c == quote => break,
                '\\' if quote != '`' => {
                    unescape(&mut rest, &mut bytes).ok_or(SelectorErrorKind::Escape)?
                }
                '\n' if quote != '`' => return Err(SelectorErrorKind::Unclosed),
                _ => push(c, &mut bytes),
            }
        }
        let text = String::from_utf8(bytes).map_err(|_| SelectorErrorKind::NotUtf8)?;
        self.rest = rest;
        Ok(text)
    }

    /// An identifier: ASCII letters, digits and `_`, and what else is allowed; no digit first.
    fn word(&mut self, also: impl Fn(char) -> bool) -> &'a str {
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_' || also(c);
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return "";
        }
        let rest = self.rest.trim_start_matches(legal);
        let word = &self.rest[..self.rest.len() - rest.len()];
        self.rest = rest;
        word
    }

    /// Whether the word `or` comes next, and not a label of that name.
    fn at_or(&self) -> bool {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let after = self.rest.strip_prefix("or");
        after.is_some_and(|rest| {
            !rest.starts_with(is_word) && !rest.trim_start().starts_with(['=', '!'])
        })
    }

    fn eat(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn space(&mut self) {
        self.rest = self.rest.trim_start();
    }
}

fn push(c: char, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

/// What follows a backslash, by Go's rules for interpreted strings.
fn unescape(rest: &mut &str, bytes: &mut Vec<u8>) -> Option<()> {
    let c = rest.chars().next()?;
    let digits = |rest: &mut &str, skip: usize, count: usize, radix: u32| {
        let (digits, tail) = rest.get(skip..)?.split_at_checked(count)?;
        let legal = digits.chars().all(|d| d.is_digit(radix));
        *rest = tail;
        legal.then(|| u32::from_str_radix(digits, radix).ok())?
    };
    match c {
        'x' => bytes.push(u8::try_from(digits(rest, 1, 2, 16)?).ok()?),
        '0'..='7' => bytes.push(u8::try_from(digits(rest, 0, 3, 8)?).ok()?),
        'u' => push(char::from_u32(digits(rest, 1, 4, 16)?)?, bytes),
        'U' => push(char::from_u32(digits(rest, 1, 8, 16)?)?, bytes),
        _ => {
            let at = [('a', 7), ('b', 8), ('f', 12), ('n', 10), ('r', 13), ('t', 9), ('v', 11)];
            let literal = ['\\', '"', '\''].contains(&c).then_some(c as u8);
            let escaped = at.iter().find(|(name, _)| *name == c).map(|(_, byte)| *byte);
            bytes.push(escaped.or(literal)?);
            *rest = &rest[1..];
        }
    }
    Some(())
}
