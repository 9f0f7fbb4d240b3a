//! Prometheus text 0.0.4 (and 1.0.0, which adds quoted names).
//!
//! What Prometheus's lexer takes is taken, also what the format's description does not promise:
//! any blanks between tokens, a value right behind the name or brace, labels without commas, line
//! breaks in label values. Two things differ on purpose. Blanks before a name are no part of it,
//! and a zero byte at the beginning of a line is an error rather than the end of the page.

use weir_model::{MetricType, Timestamp};

use super::error::{ParseError, ParseErrorKind as Kind, excerpt};
use super::last::LastSeries;
use super::lexer::Lexer;
use super::number::{float, millis, short_float};
use super::series::{LineSource, Source};
use super::{Entry, Series};

/// A page on its way through.
#[derive(Debug)]
pub(super) struct Text<'a> {
    lexer: Lexer<'a>,
    last: LastSeries,
    /// The line at hand, and what the last `TYPE` said; it decides how `le` and `quantile` are
    /// written.
    line: LineSource<'a>,
}

/// What a line that begins with `#` was.
enum Metadata<'a> {
    Help { family: &'a str, text: &'a str },
    Type { family: &'a str },
    Comment,
}

/// What a line of metadata is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Help,
    Type,
}

impl<'a> Text<'a> {
    pub(super) fn new(page: &'a [u8]) -> Self {
        let line = LineSource { page, at: 0, kind: MetricType::Unknown, exemplar: b"" };
        Self { lexer: Lexer::new(page), last: LastSeries::default(), line }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        loop {
            self.lexer.blanks();
            self.line.at = self.lexer.pos();
            match self.lexer.peek() {
                None => return Ok(None),
                Some(b'\n') => self.lexer.advance(1),
                Some(b'#') => match self.metadata().map_err(|kind| self.line.error(kind))? {
                    Metadata::Help { family, text } => {
                        let family = self.lexer.unescaped(family, true);
                        // Quotes are not escaped in the help text of this format.
                        let text = self.lexer.unescaped(text, false);
                        return Ok(Some(Entry::Help { family, text }));
                    }
                    Metadata::Type { family } => {
                        let (family, kind) = (self.lexer.unescaped(family, true), self.line.kind);
                        return Ok(Some(Entry::Type { family, kind }));
                    }
                    Metadata::Comment => {}
                },
                Some(_) => {
                    let (raw, value, timestamp) =
                        self.series().map_err(|kind| self.line.error(kind))?;
                    let source = Source::Line(&self.line);
                    let series = Series { raw, value, timestamp, start: None, source };
                    return Ok(Some(Entry::Series(series)));
                }
            }
        }
    }

    /// See [`Parser::next_known`](super::Parser::next_known).
    #[inline]
    pub(super) fn next_known(&mut self, known: impl FnOnce(&[u8]) -> bool) -> Option<f64> {
        self.lexer.known(known)
    }

    #[inline]
    pub(super) fn comment(&self) -> Option<&[u8]> {
        self.lexer.comment()
    }

    /// See [`Parser::pass_comment`](super::Parser::pass_comment). Types are needed: they say how
    /// bounds are written.
    #[inline]
    pub(super) fn pass_comment(&mut self) -> Result<bool, ParseError> {
        self.line.at = self.lexer.pos();
        let (rest, is_plain) = (self.lexer.rest(), self.lexer.is_plain());
        if is_plain && rest.starts_with(b"# HELP ") {
            self.lexer.line();
        } else if is_plain
            && rest.starts_with(b"# TYPE ")
            && let Some(kind) = self.lexer.comment().and_then(last_word).and_then(metric_type)
        {
            self.lexer.line();
            self.line.kind = kind;
        } else {
            self.metadata().map_err(|kind| self.line.error(kind))?;
        }
        Ok(true)
    }

    #[inline]
    fn series(&mut self) -> Result<(&'a [u8], f64, Option<Timestamp>), Kind> {
        let raw = self.lexer.next_series::<false>(&mut self.last, |_| {})?;
        let value = self.value()?;
        self.lexer.blanks();
        let timestamp = match self.lexer.peek() {
            None | Some(b'\n') => None,
            Some(b'0'..=b'9') => Some(self.timestamp()?),
            Some(_) => return Err(self.lexer.expected("a timestamp or the end of the line")),
        };
        self.lexer.advance(1);
        Ok((raw, value, timestamp))
    }

    #[inline]
    fn value(&mut self) -> Result<f64, Kind> {
        self.lexer.blanks();
        let rest = self.lexer.rest();
        if let Some((value, len)) = short_float(rest)
            && matches!(rest.get(len), None | Some(b'\n' | b' ' | b'\t'))
        {
            self.lexer.advance(len);
            return Ok(value);
        }
        let text = self.lexer.until(|b| matches!(b, b' ' | b'\t' | b'\n' | b'{'));
        if text.is_empty() {
            return Err(self.lexer.expected("a value"));
        }
        float(text).ok_or_else(|| Kind::Number(excerpt(text)))
    }

    fn timestamp(&mut self) -> Result<i64, Kind> {
        let digits = self.lexer.until(|b| !b.is_ascii_digit());
        self.lexer.blanks();
        if !matches!(self.lexer.peek(), None | Some(b'\n')) {
            return Err(self.lexer.expected("the end of the line"));
        }
        millis(digits).ok_or_else(|| Kind::Timestamp(excerpt(digits)))
    }

    #[inline]
    fn metadata(&mut self) -> Result<Metadata<'a>, Kind> {
        let Some(field) = self.field() else {
            self.lexer.line();
            return Ok(Metadata::Comment);
        };
        let family = self.lexer.family()?;
        let at = self.lexer.pos() + 1;
        let line = self.lexer.line();
        // One byte separates the text from the name; more blanks belong to it.
        let blank = line.iter().all(|b| matches!(b, b' ' | b'\t'));
        let text = line.get(1..).filter(|_| !blank).unwrap_or_default();
        if field == Field::Help {
            return Ok(Metadata::Help {
                family,
                text: self.lexer.as_text(at, text, "a help text")?,
            });
        }
        self.line.kind = metric_type(text).ok_or_else(|| Kind::Type(excerpt(text)))?;
        Ok(Metadata::Type { family })
    }

    /// What a line that begins with `#` says of a family, whose name is next; `None` for a comment.
    #[inline]
    fn field(&mut self) -> Option<Field> {
        let field = match self.lexer.rest().first_chunk() {
            // As nearly all programs write it.
            Some(b"# HELP ") => Field::Help,
            Some(b"# TYPE ") => Field::Type,
            _ => return self.field_apart(),
        };
        self.lexer.advance(7);
        self.lexer.blanks();
        Some(field)
    }

    /// As [`Text::field`], with any blanks.
    fn field_apart(&mut self) -> Option<Field> {
        self.lexer.advance(1);
        let spaced = self.lexer.blanks();
        let help = spaced && self.lexer.eat_all(b"HELP");
        let kind = spaced && !help && self.lexer.eat_all(b"TYPE");
        if !(help || kind) || !self.lexer.blanks() {
            return None;
        }
        Some(if help { Field::Help } else { Field::Type })
    }
}

fn last_word(line: &[u8]) -> Option<&[u8]> {
    line.rsplit(|byte| matches!(byte, b' ' | b'\t')).next()
}

fn metric_type(text: &[u8]) -> Option<MetricType> {
    Some(match text {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"summary" => MetricType::Summary,
        b"untyped" => MetricType::Unknown,
        _ => return None,
    })
}
