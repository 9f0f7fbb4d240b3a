//! From the parts of a series to labels: unescaping, and the one form of bounds and quantiles.

use std::borrow::Cow;

use weir_model::labels::METRIC_NAME;
use weir_model::sample::NORMAL_NAN_BITS;
use weir_model::{Exemplar, LabelsBuilder, MetricType, Timestamp};

use super::error::{ParseErrorKind as Kind, excerpt};
use super::lexer::{Lexer, Part};
use super::number::{float, seconds};
use super::openmetrics;
use crate::text::push_openmetrics_float;

/// Reads the labels of a series out of its bytes.
pub(super) fn read(raw: &[u8], kind: MetricType, into: &mut LabelsBuilder) -> Result<(), Kind> {
    let mut outcome = Ok(());
    // The laxer grammar holds the stricter one.
    Lexer::trusting(raw).series::<false>(|part| {
        if outcome.is_ok() {
            outcome = add(part, kind, into);
        }
    })?;
    outcome
}

fn add(part: Part<'_>, kind: MetricType, into: &mut LabelsBuilder) -> Result<(), Kind> {
    let (name, value) = match part {
        Part::Name(name) => (Cow::Borrowed(METRIC_NAME), unescape_bytes(name)?),
        Part::Label(name, value) => (unescape_bytes(name)?, unescape_bytes(value)?),
    };
    let bound =
        matches!((kind, &*name), (MetricType::Histogram, "le") | (MetricType::Summary, "quantile"));
    match float(value.as_bytes()).filter(|_| bound) {
        Some(number) => put(&name, &bound_text(number), into),
        None => put(&name, &value, into),
    }
}

/// Adds a label that must not be there yet. Empty values are no labels.
pub(super) fn put(name: &str, value: &str, into: &mut LabelsBuilder) -> Result<(), Kind> {
    if name.is_empty() {
        return Err(Kind::EmptyName);
    }
    if value.is_empty() {
        return Ok(());
    }
    if !into.get(name).is_empty() {
        return Err(Kind::DuplicateLabel(name.to_owned()));
    }
    into.set(name, value);
    Ok(())
}

/// Reads an exemplar from behind its opening brace; one without a timestamp gets `timestamp`.
pub(super) fn read_exemplar(text: &[u8], timestamp: Timestamp) -> Result<Exemplar, Kind> {
    let mut exemplar = Exemplar { labels: Vec::new(), value: 0.0, timestamp };
    let mut lexer = Lexer::trusting(text);
    let mut labels = Ok(());
    lexer.exemplar_labels(|part| {
        if let Part::Label(name, value) = part
            && labels.is_ok()
        {
            let pair = unescape_bytes(name).and_then(|name| Ok((name, unescape_bytes(value)?)));
            labels = pair.map(|(name, value)| {
                exemplar.labels.push((name.into_owned(), value.into_owned()));
            });
        }
    })?;
    labels?;
    exemplar.value = openmetrics::value(&mut lexer)?;
    if lexer.eat(b' ') {
        let text = lexer.rest();
        exemplar.timestamp = seconds(text).ok_or_else(|| Kind::Timestamp(excerpt(text)))?;
    }
    Ok(exemplar)
}

/// A value in which no NaN passes for a stale marker.
pub(super) fn ordinary_nan(value: f64) -> f64 {
    if value.is_nan() { f64::from_bits(NORMAL_NAN_BITS) } else { value }
}

/// How `le` and `quantile` are written: `1` and `1e0` are both `1.0`.
pub(crate) fn bound_text(bound: f64) -> String {
    let mut text = String::new();
    // Adding zero takes the sign off a negative zero.
    push_openmetrics_float(&mut text, bound + 0.0);
    text
}

/// A name or value of a page that was checked to be UTF-8.
pub(super) fn unescape_bytes(escaped: &[u8]) -> Result<Cow<'_, str>, Kind> {
    let text = std::str::from_utf8(escaped).map_err(|_| Kind::NotUtf8("a label"))?;
    Ok(unescape(text, true))
}

/// Undoes `\\`, `\n` and, within quotes, `\"`. Any other backslash stands for itself.
pub(super) fn unescape(text: &str, quotes: bool) -> Cow<'_, str> {
    if memchr::memchr(b'\\', text.as_bytes()).is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        let plain = match after.bytes().next() {
            Some(b'\\') => '\\',
            Some(b'n') => '\n',
            Some(b'"') if quotes => '"',
            _ => {
                out.push('\\');
                rest = after;
                continue;
            }
        };
        out.push(plain);
        rest = &after[1..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes() {
        assert_eq!(unescape(r#"l1\nl2 \"q\" \\n \t \"#, true), "l1\nl2 \"q\" \\n \\t \\");
        assert_eq!(unescape(r#"\"q\" \\ \n"#, false), "\\\"q\\\" \\ \n");
    }

    #[test]
    fn bounds_have_one_form() {
        for (bound, text) in [
            (1.0, "1.0"),
            (-0.0, "0.0"),
            (0.005, "0.005"),
            (1e6, "1e+06"),
            (123_456.0, "123456.0"),
            (f64::INFINITY, "+Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(bound_text(bound), text);
        }
    }
}
