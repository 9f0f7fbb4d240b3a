//! OpenMetrics 1.0 text, with quoted UTF-8 names.
//!
//! Strict where text 0.0.4 is lax: single spaces, no free comments, `# EOF` at the end and nothing
//! behind it, for otherwise a page that was cut off would look whole. As lax as Prometheus where
//! the specification asks for more: families may come in any order and twice, names need no
//! suffix.

use weir_model::{MetricType, Timestamp};

use super::created::Created;
use super::error::{ParseError, ParseErrorKind as Kind, excerpt};
use super::last::LastSeries;
use super::lexer::{Lexer, Part};
use super::number::{float, seconds, short_float};
use super::series::{LineSource, Source};
use super::{Entry, Series};

/// A page on its way through.
#[derive(Debug)]
pub(super) struct OpenMetrics<'a> {
    lexer: Lexer<'a>,
    last: LastSeries,
    /// The line at hand, and what the last `TYPE` said.
    line: LineSource<'a>,
    /// The family that the last line of metadata named, still escaped.
    family: &'a str,
    /// Start timestamps, where they are asked for.
    created: Option<Created>,
    done: bool,
}

/// What one line was.
enum Line<'a> {
    Series(Sample<'a>),
    Created,
    Help { family: &'a str, text: &'a str },
    Type { family: &'a str },
    Unit { family: &'a str, unit: &'a str },
    Eof,
}

/// A series' line, but for its exemplar.
struct Sample<'a> {
    raw: &'a [u8],
    value: f64,
    timestamp: Option<Timestamp>,
    start: Option<Timestamp>,
}

impl<'a> OpenMetrics<'a> {
    pub(super) fn new(page: &'a [u8], created_as_start: bool) -> Self {
        Self {
            lexer: Lexer::new(page),
            last: LastSeries::default(),
            line: LineSource { page, at: 0, kind: MetricType::Unknown, exemplar: b"" },
            family: "",
            created: created_as_start.then(Created::default),
            done: false,
        }
    }

    #[inline]
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>, ParseError> {
        while !self.done {
            self.line.at = self.lexer.pos();
            let line = match self.lexer.peek() {
                None => Err(Kind::NoEof),
                Some(b'#') => self.metadata(),
                Some(_) => self.series(),
            };
            let entry = match line.map_err(|kind| self.line.error(kind))? {
                Line::Series(Sample { raw, value, timestamp, start }) => {
                    let source = Source::Line(&self.line);
                    Entry::Series(Series { raw, value, timestamp, start, source })
                }
                Line::Help { family, text } => Entry::Help {
                    family: self.lexer.unescaped(family, true),
                    text: self.lexer.unescaped(text, true),
                },
                Line::Type { family } => {
                    let family = self.lexer.unescaped(family, true);
                    Entry::Type { family, kind: self.line.kind }
                }
                Line::Unit { family, unit } => {
                    Entry::Unit { family: self.lexer.unescaped(family, true), unit: unit.into() }
                }
                Line::Created => continue,
                Line::Eof => {
                    self.done = true;
                    break;
                }
            };
            return Ok(Some(entry));
        }
        Ok(None)
    }

    /// See [`Parser::next_known`](super::Parser::next_known).
    #[inline]
    pub(super) fn next_known(&mut self, known: impl FnOnce(&[u8]) -> bool) -> Option<f64> {
        // A series' start may stand on a line of its own.
        if self.created.is_some() { None } else { self.lexer.known(known) }
    }

    #[inline]
    pub(super) fn comment(&self) -> Option<&[u8]> {
        self.lexer.comment()
    }

    /// See [`Parser::pass_comment`](super::Parser::pass_comment).
    #[inline]
    pub(super) fn pass_comment(&mut self) -> Result<bool, ParseError> {
        self.line.at = self.lexer.pos();
        if self.created.is_some() || self.lexer.rest().starts_with(b"# EOF") {
            return Ok(false);
        }
        if self.lexer.rest().starts_with(b"# TYPE ") || !self.lexer.is_plain() {
            self.metadata().map_err(|kind| self.line.error(kind))?;
        } else {
            self.lexer.line();
        }
        Ok(true)
    }

    #[inline]
    fn series(&mut self) -> Result<Line<'a>, Kind> {
        let (before, kind) = (self.lexer.clone(), self.line.kind);
        let mut name = &[][..];
        let raw = self.lexer.next_series::<true>(&mut self.last, |part| {
            if let Part::Name(text) = part {
                name = text;
            }
        })?;
        let value = value(&mut self.lexer)?;
        let timestamp = self.rest_of_line()?;
        let mut start = None;
        if let Some(created) = self.created.as_mut().filter(|_| has_start(kind)) {
            created.look_ahead(before, self.family.as_bytes(), kind);
            if name.ends_with(b"_created") {
                return Ok(Line::Created);
            }
            start = created.start_of(raw, self.family.as_bytes(), kind);
        }
        Ok(Line::Series(Sample { raw, value, timestamp, start }))
    }

    /// Timestamp and exemplar, if they are there.
    #[inline]
    fn rest_of_line(&mut self) -> Result<Option<Timestamp>, Kind> {
        self.line.exemplar = b"";
        let mut timestamp = None;
        loop {
            if self.lexer.eat(b'\n') {
                return Ok(timestamp);
            }
            if self.lexer.eat_all(b" # {") {
                self.line.exemplar = self.exemplar()?;
                return Ok(timestamp);
            }
            if self.lexer.peek().is_none() {
                return Err(Kind::NoEof);
            }
            if timestamp.is_some() {
                return Err(self.lexer.expected("an exemplar or the end of the line"));
            }
            let text = word(&mut self.lexer, "a timestamp")?;
            timestamp = Some(seconds(text).ok_or_else(|| Kind::Timestamp(excerpt(text)))?);
        }
    }

    /// Checks an exemplar, behind its opening brace, and gives its bytes.
    fn exemplar(&mut self) -> Result<&'a [u8], Kind> {
        let start = self.lexer.pos();
        self.lexer.exemplar_labels(|_| {})?;
        value(&mut self.lexer)?;
        if self.lexer.peek() == Some(b' ') {
            let text = word(&mut self.lexer, "a timestamp")?;
            seconds(text).ok_or_else(|| Kind::Timestamp(excerpt(text)))?;
        }
        let exemplar = self.lexer.since(start);
        match self.lexer.peek() {
            None => Err(Kind::NoEof),
            _ if self.lexer.eat(b'\n') => Ok(exemplar),
            _ => Err(self.lexer.expected("the end of the line")),
        }
    }

    /// A line that begins with `#`.
    fn metadata(&mut self) -> Result<Line<'a>, Kind> {
        if self.lexer.eat_all(b"# EOF") {
            self.lexer.eat(b'\n');
            return if self.lexer.rest().is_empty() { Ok(Line::Eof) } else { Err(Kind::AfterEof) };
        }
        let fields: [&[u8]; 3] = [b"# HELP ", b"# TYPE ", b"# UNIT "];
        let Some(field) = fields.into_iter().position(|field| self.lexer.eat_all(field)) else {
            return Err(self.lexer.expected("`# HELP`, `# TYPE`, `# UNIT` or `# EOF`"));
        };
        let family = self.lexer.family()?;
        self.family = family;
        if let Some(created) = &mut self.created {
            created.forget();
        }
        if !self.lexer.eat(b' ') {
            return Err(self.lexer.expected("a space and a text"));
        }
        let (at, text) = (self.lexer.pos(), self.lexer.line());
        if !self.lexer.after_line() {
            return Err(Kind::NoEof);
        }
        let text = self.lexer.as_text(at, text, "a help text")?;
        match field {
            0 => Ok(Line::Help { family, text }),
            1 => {
                self.line.kind = metric_type(text).ok_or_else(|| Kind::Type(text.to_owned()))?;
                Ok(Line::Type { family })
            }
            _ => {
                let rest = family.strip_suffix(text);
                if !text.is_empty() && !rest.is_some_and(|rest| rest.ends_with('_')) {
                    let family = self.lexer.unescaped(family, true).into_owned();
                    return Err(Kind::Unit { family, unit: text.to_owned() });
                }
                Ok(Line::Unit { family, unit: text })
            }
        }
    }
}

/// One space and a float.
#[inline]
pub(super) fn value(lexer: &mut Lexer<'_>) -> Result<f64, Kind> {
    if let Some((b' ', rest)) = lexer.rest().split_first()
        && let Some((value, len)) = short_float(rest)
        && matches!(rest.get(len), Some(b'\n' | b' '))
    {
        lexer.advance(1 + len);
        return Ok(value);
    }
    let text = word(lexer, "a space and a value")?;
    float(text).ok_or_else(|| Kind::Number(excerpt(text)))
}

/// One space and what follows it up to the next one.
fn word<'a>(lexer: &mut Lexer<'a>, expected: &'static str) -> Result<&'a [u8], Kind> {
    if !lexer.eat(b' ') {
        return Err(lexer.expected(expected));
    }
    let word = lexer.until(|b| matches!(b, b' ' | b'\n'));
    if word.is_empty() { Err(lexer.expected(expected)) } else { Ok(word) }
}

/// Whether samples of this type may have a start timestamp.
fn has_start(kind: MetricType) -> bool {
    matches!(kind, MetricType::Counter | MetricType::Histogram | MetricType::Summary)
}

fn metric_type(text: &str) -> Option<MetricType> {
    Some(match text {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        "unknown" => MetricType::Unknown,
        _ => return None,
    })
}
