//! One pass over an RE2 pattern that writes a Rust pattern of the same meaning.
//!
//! The grammar is that of Go's `regexp/syntax` with Perl flags. Whatever has a syntax in Rust
//! that differs is written in the plainest form that both engines share: classes as ranges of
//! code points, literals escaped. Names of groups are kept aside, as RE2 allows more of them.

use super::Re2Reason;
use super::class;

/// RE2's limit on a repeat count.
const REPEAT_MAX: u32 = 1000;

/// A Rust pattern, not anchored, and the names of its groups (0 is the whole match).
pub(super) struct Translated {
    pub(super) rust: String,
    pub(super) group_names: Vec<Option<String>>,
}

/// Translates a pattern, or says why RE2 or Rust would refuse it.
pub(super) fn translate(pattern: &str) -> Result<Translated, Re2Reason> {
    let mut translator = Translator {
        scan: Scan { rest: pattern },
        out: String::with_capacity(pattern.len() + 16),
        group_names: vec![None],
        open_groups: 0,
        last: Last::Nothing,
    };
    translator.run()?;
    Ok(Translated { rust: translator.out, group_names: translator.group_names })
}

/// What is left to read.
pub(super) struct Scan<'a> {
    pub(super) rest: &'a str,
}

impl<'a> Scan<'a> {
    pub(super) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    /// Consumes this text if it comes next.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What was read since `start` was all that was left.
    pub(super) fn since(&self, start: &'a str) -> &'a str {
        &start[..start.len() - self.rest.len()]
    }
}

/// What a repetition operator would find before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    Item,
    Repetition,
}

struct Translator<'a> {
    scan: Scan<'a>,
    out: String,
    group_names: Vec<Option<String>>,
    open_groups: usize,
    last: Last,
}

impl<'a> Translator<'a> {
    fn run(&mut self) -> Result<(), Re2Reason> {
        while let Some(c) = self.scan.peek() {
            match c {
                '(' => self.group()?,
                ')' => self.close_group()?,
                '*' | '+' | '?' | '{' => self.repetition()?,
                '[' => {
                    class::bracketed(&mut self.scan, &mut self.out)?;
                    self.last = Last::Item;
                }
                '\\' => self.escape()?,
                '|' => self.copy(c, Last::Nothing),
                '^' | '$' | '.' => self.copy(c, Last::Item),
                _ => {
                    self.scan.next();
                    self.literal(c);
                }
            }
        }
        if self.open_groups > 0 {
            return Err(Re2Reason::UnclosedGroup);
        }
        Ok(())
    }

    fn copy(&mut self, c: char, last: Last) {
        self.scan.next();
        self.out.push(c);
        self.last = last;
    }

    fn literal(&mut self, c: char) {
        if regex_syntax::is_meta_character(c) {
            self.out.push('\\');
        }
        self.out.push(c);
        self.last = Last::Item;
    }

    fn group(&mut self) -> Result<(), Re2Reason> {
        self.scan.next();
        self.last = Last::Nothing;
        if self.scan.eat("?P<") || self.scan.eat("?<") {
            let name = self.group_name()?;
            self.group_names.push(Some(name));
        } else if self.scan.eat("?") {
            return self.flags();
        } else {
            self.group_names.push(None);
        }
        self.out.push('(');
        self.open_groups += 1;
        Ok(())
    }

    fn group_name(&mut self) -> Result<String, Re2Reason> {
        let refuse = |name: &str| Err(Re2Reason::GroupName(name.to_owned()));
        let Some((name, rest)) = self.scan.rest.split_once('>') else {
            return refuse(self.scan.rest);
        };
        let legal = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(legal) {
            return refuse(name);
        }
        self.scan.rest = rest;
        Ok(name.to_owned())
    }

    /// `(?i)`, `(?i-s:` and their like, after the question mark.
    fn flags(&mut self) -> Result<(), Re2Reason> {
        let start = self.scan.rest;
        let refuse = |scan: &Scan<'_>| {
            let read = &start[..start.len() - scan.rest.len()];
            Err(Re2Reason::PerlSyntax(format!("(?{read}")))
        };
        let (mut on, mut off) = (String::new(), String::new());
        let mut negated = false;
        let end = loop {
            match self.scan.next() {
                Some(c @ ('i' | 'm' | 's' | 'U')) => {
                    let flags = if negated { &mut off } else { &mut on };
                    if !flags.contains(c) {
                        flags.push(c);
                    }
                }
                Some('-') if !negated => negated = true,
                Some(c @ (':' | ')')) if !negated || !off.is_empty() => break c,
                _ => return refuse(&self.scan),
            }
        };
        on.retain(|c| !off.contains(c));
        if end == ':' {
            self.open_groups += 1;
        } else if on.is_empty() && off.is_empty() {
            return Ok(());
        }
        let minus = if off.is_empty() { "" } else { "-" };
        self.out.push_str(&format!("(?{on}{minus}{off}{end}"));
        Ok(())
    }

    fn close_group(&mut self) -> Result<(), Re2Reason> {
        let open = self.open_groups.checked_sub(1);
        self.open_groups = open.ok_or(Re2Reason::UnopenedGroup)?;
        self.copy(')', Last::Item);
        Ok(())
    }

    fn repetition(&mut self) -> Result<(), Re2Reason> {
        let start = self.scan.rest;
        if !self.scan.eat("{") {
            self.scan.next();
        } else if !self.repeat_count(start)? {
            self.literal('{');
            return Ok(());
        }
        self.scan.eat("?");
        let operator = self.scan.since(start);
        match self.last {
            Last::Nothing => return Err(Re2Reason::NothingToRepeat(operator.to_owned())),
            Last::Repetition => return Err(Re2Reason::NestedRepetition(operator.to_owned())),
            Last::Item => {}
        }
        self.out.push_str(operator);
        self.last = Last::Repetition;
        Ok(())
    }

    /// Reads `n}`, `n,}` or `n,m}`; anything else makes the brace a literal, and stays unread.
    fn repeat_count(&mut self, start: &'a str) -> Result<bool, Re2Reason> {
        let Some((inside, rest)) = self.scan.rest.split_once('}') else {
            return Ok(false);
        };
        let (min, max) = inside.split_once(',').unwrap_or((inside, inside));
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits && (text == "0" || !text.starts_with('0'))
        };
        if !number(min) || !(max.is_empty() || number(max)) {
            return Ok(false);
        }
        self.scan.rest = rest;
        // A number that does not fit is above the limit too.
        let count = |text: &str| text.parse().unwrap_or(u32::MAX);
        let (least, most) = (count(min), if max.is_empty() { count(min) } else { count(max) });
        if least > most || most > REPEAT_MAX {
            return Err(Re2Reason::RepeatCount(self.scan.since(start).to_owned()));
        }
        Ok(true)
    }

    fn escape(&mut self) -> Result<(), Re2Reason> {
        let start = self.scan.rest;
        if self.scan.eat("\\Q") {
            // Without its end it would swallow the anchors that Prometheus puts around it.
            let Some((quoted, rest)) = self.scan.rest.split_once("\\E") else {
                return Err(Re2Reason::UnclosedQuote(start.to_owned()));
            };
            quoted.chars().for_each(|c| self.literal(c));
            self.scan.rest = rest;
            return Ok(());
        }
        // RE2's word boundary is ASCII; \A and \z mean the same in both.
        let assertions =
            [("\\A", "\\A"), ("\\z", "\\z"), ("\\b", "(?-u:\\b)"), ("\\B", "(?-u:\\B)")];
        if let Some((_, rust)) = assertions.iter().find(|(re2, _)| self.scan.eat(re2)) {
            self.out.push_str(rust);
            self.last = Last::Item;
        } else if class::escaped(&mut self.scan, &mut self.out)? {
            self.last = Last::Item;
        } else {
            let c = escaped_char(&mut self.scan)?;
            self.literal(c);
        }
        Ok(())
    }
}

/// An escape that stands for one character, in a class or outside.
pub(super) fn escaped_char(scan: &mut Scan<'_>) -> Result<char, Re2Reason> {
    let start = scan.rest;
    scan.next();
    let code = match scan.next() {
        Some('a') => Some(7),
        Some('f') => Some(12),
        Some('t') => Some(9),
        Some('n') => Some(10),
        Some('r') => Some(13),
        Some('v') => Some(11),
        Some('x') => hexadecimal(scan),
        // A single digit but 0 would be a back reference, which RE2 has not.
        Some(c @ '0') => Some(octal(scan, c)),
        Some(c @ '1'..='7') if matches!(scan.peek(), Some('0'..='7')) => Some(octal(scan, c)),
        Some(c) if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(u32::from(c)),
        _ => None,
    };
    let escape = || Re2Reason::Escape(scan.since(start).to_owned());
    code.and_then(char::from_u32).ok_or_else(escape)
}

fn octal(scan: &mut Scan<'_>, first: char) -> u32 {
    let mut code = first.to_digit(8).unwrap_or_default();
    for _ in 0..2 {
        let Some(digit) = scan.peek().and_then(|c| c.to_digit(8)) else {
            break;
        };
        scan.next();
        code = code * 8 + digit;
    }
    code
}

/// `xF0` or `x{1F600}`.
fn hexadecimal(scan: &mut Scan<'_>) -> Option<u32> {
    let digits = if scan.eat("{") {
        let (digits, rest) = scan.rest.split_once('}')?;
        scan.rest = rest;
        digits
    } else {
        let (digits, rest) = scan.rest.split_at_checked(2)?;
        scan.rest = rest;
        digits
    };
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_hexdigit());
    hexadecimal.then(|| u32::from_str_radix(digits, 16).ok())?
}
