//! Walks a text page: names, quoted strings, label blocks. Both text formats share it.
//!
//! Invariant: `pos` never passes the page's end and only moves forward. Nothing is copied and
//! nothing is unescaped; errors know what was expected, not in which line. What a
//! name has in common with the one in the line of metadata before is not looked at again: mostly all of it.
//!
//! `STRICT` is OpenMetrics: no blanks between tokens, commas between labels, no line breaks in
//! label values. Text 0.0.4 takes all of these, as Prometheus's lexer does.

use std::borrow::Cow;

use super::error::{ParseErrorKind as Kind, excerpt};
use super::labels::unescape;
use super::last::LastSeries;
use super::number::float;
use crate::swar::{end_of_quoted, word_len};

/// A part of a series, still escaped.
#[derive(Clone, Copy)]
pub(super) enum Part<'a> {
    /// The metric's name.
    Name(&'a [u8]),
    /// A label's name and value.
    Label(&'a [u8], &'a [u8]),
}

/// Whether a label block may name the metric: `{"a name",b="c"}`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// It must, for no name stands before it.
    Due,
    /// There is a name already.
    Done,
    /// Exemplars have none.
    Never,
}

/// A cursor over a page.
#[derive(Clone, Debug)]
pub(super) struct Lexer<'a> {
    page: &'a [u8],
    pos: usize,
    /// Whether it was found to be UTF-8 before.
    trusted: bool,
    /// The page as text if all of it is UTF-8, so that no part of it need be looked at; once that was asked.
    text: Option<Option<&'a str>>,
    /// Whether there is a backslash on the page, once that was asked.
    escapes: Option<bool>,
    /// The name without quotes in the last line of metadata.
    family: &'a [u8],
}

impl<'a> Lexer<'a> {
    /// At the beginning of a page.
    pub(super) fn new(page: &'a [u8]) -> Self {
        Self { page, pos: 0, trusted: false, text: None, escapes: None, family: b"" }
    }

    /// At the beginning of text that was found to be right before.
    pub(super) fn trusting(page: &'a [u8]) -> Self {
        Self { trusted: true, ..Self::new(page) }
    }

    #[inline]
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    /// What is left.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.page.get(self.pos..).unwrap_or_default()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.page.get(self.pos).copied()
    }

    /// What lies between an earlier position and this one.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.page.get(start..self.pos).unwrap_or_default()
    }

    /// Moves on, to the end at most.
    #[inline]
    pub(super) fn advance(&mut self, len: usize) {
        self.pos = self.page.len().min(self.pos + len);
    }

    /// Takes this byte if it is the next one.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.pos += usize::from(there);
        there
    }

    /// Takes this text if it is the next one.
    pub(super) fn eat_all(&mut self, text: &[u8]) -> bool {
        let there = self.rest().starts_with(text);
        if there {
            self.advance(text.len());
        }
        there
    }

    /// Takes spaces and tabs; whether there were any.
    #[inline]
    pub(super) fn blanks(&mut self) -> bool {
        let start = self.pos;
        while let Some(b' ' | b'\t') = self.peek() {
            self.pos += 1;
        }
        self.pos > start
    }

    /// Takes bytes up to the first one that `stop` holds for.
    #[inline]
    pub(super) fn until(&mut self, stop: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|&b| stop(b)).unwrap_or(rest.len());
        self.pos += len;
        &rest[..len]
    }

    /// Takes the rest of the line, and its end.
    #[inline]
    pub(super) fn line(&mut self) -> &'a [u8] {
        let rest = self.rest();
        let len = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.advance(len + 1);
        &rest[..len]
    }

    /// The line that begins here, as far as it has an end: what stands before its last blank, and what
    /// stands behind it. Whether they are a series and a value is not looked at.
    #[inline]
    fn halves(&self) -> Option<(&'a [u8], &'a [u8])> {
        let rest = self.rest();
        let line = &rest[..memchr::memchr(b'\n', rest)?];
        let blank = line.iter().rposition(|&byte| byte == b' ')?;
        Some((&line[..blank], &line[blank + 1..]))
    }

    /// The value of the line that begins here, and passes it, if its series is `known`.
    #[inline]
    pub(super) fn known(&mut self, known: impl FnOnce(&[u8]) -> bool) -> Option<f64> {
        let (raw, text) = self.halves().filter(|(raw, _)| known(raw))?;
        let value = float(text)?;
        self.advance(raw.len() + text.len() + 2);
        Some(value)
    }

    /// Whether the name of a line of metadata, behind `# HELP ` or the like, begins at once and without
    /// quotes, within which it could go over lines.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        !matches!(self.rest().get(b"# HELP ".len()), None | Some(b' ' | b'\t' | b'"'))
    }

    /// The line that begins here, if it is one of metadata or a comment, without its end.
    #[inline]
    pub(super) fn comment(&self) -> Option<&'a [u8]> {
        let rest = self.rest();
        (rest.first() == Some(&b'#'))
            .then(|| &rest[..memchr::memchr(b'\n', rest).unwrap_or(rest.len())])
    }

    /// Whether the byte before is the end of a line.
    pub(super) fn after_line(&self) -> bool {
        self.pos.checked_sub(1).and_then(|at| self.page.get(at)) == Some(&b'\n')
    }

    /// A family's name in a line of metadata, still escaped.
    pub(super) fn family(&mut self) -> Result<&'a str, Kind> {
        let start = self.pos;
        if self.peek() == Some(b'"') {
            let name = self.quoted::<true>("a metric name")?;
            self.check_name(name)?;
            return self.as_text(start + 1, name, "a name");
        }
        let name = self.metric_name().ok_or_else(|| self.expected("a metric name"))?;
        self.family = name;
        self.as_text(start, name, "a name")
    }

    /// A series: `name`, `name{…}` or `{"name",…}`. Gives its bytes, and its parts to `sink`.
    #[inline]
    pub(super) fn series<const STRICT: bool>(
        &mut self,
        mut sink: impl FnMut(Part<'a>),
    ) -> Result<&'a [u8], Kind> {
        self.series_noting::<STRICT>(&mut sink, |_| {})
    }

    /// As [`Lexer::series`], for a page's series one after the other: what this one has in common
    /// with the last one is passed over. Its labels do not all come to `sink` then, its name does.
    #[inline]
    pub(super) fn next_series<const STRICT: bool>(
        &mut self,
        last: &mut LastSeries,
        mut sink: impl FnMut(Part<'a>),
    ) -> Result<&'a [u8], Kind> {
        let start = self.pos;
        if let Some((name_len, known)) = last.known(self.page, start) {
            sink(Part::Name(&self.page[start..start + name_len]));
            self.pos = start + known;
            self.braces::<STRICT>(Naming::Done, sink, |at| last.note(at))?;
            return Ok(self.since(start));
        }
        last.begin(start);
        let mut name_len = 0;
        let raw = self.series_noting::<STRICT>(
            |part| {
                if let Part::Name(name) = part {
                    name_len = name.len();
                }
                sink(part);
            },
            |at| last.note(at),
        )?;
        last.name_len = name_len;
        Ok(raw)
    }

    /// A series; `note` is told where each label begins if a name stands before the braces.
    #[inline]
    fn series_noting<const STRICT: bool>(
        &mut self,
        mut sink: impl FnMut(Part<'a>),
        note: impl FnMut(usize),
    ) -> Result<&'a [u8], Kind> {
        let start = self.pos;
        let name = self.metric_name();
        let end = self.pos;
        if let Some(name) = name {
            sink(Part::Name(name));
        }
        self.gap::<STRICT>();
        if self.eat(b'{') {
            let naming = if name.is_some() { Naming::Done } else { Naming::Due };
            self.braces::<STRICT>(naming, sink, note)?;
        } else if name.is_some() {
            self.pos = end;
        } else {
            return Err(self.expected("a metric name"));
        }
        Ok(self.since(start))
    }

    /// An exemplar's labels, behind their opening brace.
    pub(super) fn exemplar_labels(&mut self, sink: impl FnMut(Part<'a>)) -> Result<(), Kind> {
        self.braces::<true>(Naming::Never, sink, |_| {})
    }

    #[inline]
    fn braces<const STRICT: bool>(
        &mut self,
        mut naming: Naming,
        mut sink: impl FnMut(Part<'a>),
        mut note: impl FnMut(usize),
    ) -> Result<(), Kind> {
        let named = naming == Naming::Done;
        loop {
            self.gap::<STRICT>();
            if self.eat(b'}') {
                return if naming == Naming::Due { Err(Kind::NoName) } else { Ok(()) };
            }
            let quoted = self.peek() == Some(b'"');
            let name = if quoted {
                // Prometheus lets a name in quotes go over lines, but for those of exemplars.
                let name = match naming {
                    Naming::Never => self.quoted::<false>("a label name")?,
                    Naming::Due | Naming::Done => self.quoted::<true>("a label name")?,
                };
                self.check_name(name)?;
                name
            } else {
                self.label_name().ok_or_else(|| self.expected("a label name"))?
            };
            self.gap::<STRICT>();
            if !self.eat(b'=') {
                if !quoted || naming == Naming::Never || !matches!(self.peek(), Some(b',' | b'}')) {
                    return Err(self.expected("`=`"));
                }
                if naming == Naming::Done {
                    return Err(Kind::SecondName);
                }
                naming = Naming::Done;
                sink(Part::Name(name));
                self.eat(b',');
                continue;
            }
            self.gap::<STRICT>();
            let value = if STRICT {
                self.quoted::<false>("a label value in quotes")?
            } else {
                self.quoted::<true>("a label value in quotes")?
            };
            if !self.is_utf8() && std::str::from_utf8(value).is_err() {
                return Err(Kind::NotUtf8("a label value"));
            }
            sink(Part::Label(name, value));
            self.gap::<STRICT>();
            if self.eat(b',') {
                if named {
                    note(self.pos);
                }
            } else if STRICT && self.peek() != Some(b'}') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }

    /// Blanks, where the format has them between tokens.
    #[inline]
    fn gap<const STRICT: bool>(&mut self) {
        if !STRICT {
            self.blanks();
        }
    }

    /// `[a-zA-Z_:][a-zA-Z0-9_:]*`
    #[inline]
    fn metric_name(&mut self) -> Option<&'a [u8]> {
        let family = self.family;
        if family.is_empty() || !self.rest().starts_with(family) {
            return self.word::<b':'>(0);
        }
        if let Some(b' ' | b'{') = self.page.get(self.pos + family.len()) {
            self.pos += family.len();
            return Some(family);
        }
        self.word::<b':'>(family.len())
    }

    /// `[a-zA-Z_][a-zA-Z0-9_]*`
    #[inline]
    fn label_name(&mut self) -> Option<&'a [u8]> {
        self.word::<b'9'>(0)
    }

    /// Letters, `_` and, behind the first byte, digits. `:` follows the digits, and belongs to them
    /// where they are said to end with it; it may be the first byte then. The first `known` bytes are such.
    #[inline]
    fn word<const LAST_DIGIT: u8>(&mut self, known: usize) -> Option<&'a [u8]> {
        let rest = self.rest();
        if rest.first().is_none_or(u8::is_ascii_digit) {
            return None;
        }
        let len = known + word_len::<LAST_DIGIT>(rest.get(known..)?);
        let (word, _) = rest.split_at_checked(len)?;
        self.pos += word.len();
        (!word.is_empty()).then_some(word)
    }

    /// What stands between quotes, still escaped. A backslash takes the next byte with it, which
    /// must not end the line.
    #[inline]
    fn quoted<const LINE_BREAKS: bool>(
        &mut self,
        expected: &'static str,
    ) -> Result<&'a [u8], Kind> {
        if !self.eat(b'"') {
            return Err(self.expected(expected));
        }
        let start = self.pos;
        loop {
            let len = end_of_quoted::<LINE_BREAKS>(self.rest());
            self.advance(len.unwrap_or(usize::MAX - self.pos));
            if self.eat(b'"') {
                break;
            }
            if self.eat(b'\\') && !matches!(self.peek(), None | Some(b'\n')) {
                self.advance(1);
            } else {
                return Err(self.expected("a closing quote"));
            }
        }
        Ok(self.page.get(start..self.pos - 1).unwrap_or_default())
    }

    /// What a quoted name must be besides.
    fn check_name(&mut self, name: &[u8]) -> Result<(), Kind> {
        if name.is_empty() {
            return Err(Kind::EmptyName);
        }
        if !self.is_utf8() && std::str::from_utf8(name).is_err() {
            return Err(Kind::NotUtf8("a name"));
        }
        Ok(())
    }

    #[inline]
    fn text(&mut self) -> Option<&'a str> {
        self.text.unwrap_or_else(|| self.check())
    }

    #[cold]
    #[inline(never)]
    fn check(&mut self) -> Option<&'a str> {
        let text = std::str::from_utf8(self.page).ok();
        self.text = Some(text);
        text
    }

    #[inline]
    fn is_utf8(&mut self) -> bool {
        self.trusted || self.text().is_some()
    }

    /// Bytes that stand at this place of the page, as the text that they must be.
    #[inline]
    pub(super) fn as_text(
        &mut self,
        at: usize,
        bytes: &'a [u8],
        what: &'static str,
    ) -> Result<&'a str, Kind> {
        match self.text().and_then(|page| page.get(at..at + bytes.len())) {
            Some(text) => Ok(text),
            None => std::str::from_utf8(bytes).map_err(|_| Kind::NotUtf8(what)),
        }
    }

    /// What a text of this page says; whether `\\"` is an escape in it.
    #[inline]
    pub(super) fn unescaped(&mut self, text: &'a str, quotes: bool) -> Cow<'a, str> {
        let page = self.page;
        if *self.escapes.get_or_insert_with(|| memchr::memchr(b'\\', page).is_some()) {
            unescape(text, quotes)
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Says what should stand here.
    #[cold]
    pub(super) fn expected(&self, expected: &'static str) -> Kind {
        let found = match self.peek() {
            None => "the end of the page".to_owned(),
            Some(b'\n') => "the end of the line".to_owned(),
            Some(_) => {
                let rest = self.rest();
                let len =
                    rest.iter().position(|&b| matches!(b, b' ' | b'\n')).unwrap_or(rest.len());
                format!("{:?}", excerpt(&rest[..len.max(1)]))
            }
        };
        Kind::Expected { expected, found }
    }
}
