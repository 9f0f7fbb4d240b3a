//! Exposition, the slow way: what the parser gives as text, and what prost's reading of a protobuf
//! page falls into by the rules of `io/prometheus/client/metrics.proto`.
//!
//! The `check_` functions panic where the parser disagrees or breaks a promise.

mod expand;
pub mod messages;

use prost::Message as _;
use weir_model::{Exemplar, LabelsBuilder, MetricType};

use self::messages::MetricFamily;
use crate::exposition::{Entry, Format, Options, ParseError, Parser};

/// What a page holds, an entry a line, as a person would write it:
/// `m_total{a="b"} 1.0 @1000 since 5 # {trace="x"} 1.0 @7`.
pub fn dump(page: &[u8], format: Format, options: Options) -> Result<Vec<String>, ParseError> {
    let mut parser = Parser::new(page, format, options);
    let (mut lines, mut labels) = (Vec::new(), LabelsBuilder::default());
    while let Some(entry) = parser.next()? {
        let mut exemplars = Vec::new();
        let mut line = match entry {
            Entry::Type { family, kind } => type_line(&family, kind),
            Entry::Help { family, text } => format!("HELP {family} {text}"),
            Entry::Unit { family, unit } => format!("UNIT {family} {unit}"),
            Entry::Series(series) => {
                series.labels(&mut labels)?;
                series.exemplars(NO_TIMESTAMP, &mut exemplars)?;
                let value = format!("{} {:?}", labels.build(), series.value);
                with_times(value, series.timestamp, series.start)
            }
            Entry::Histogram(series) => {
                series.labels(&mut labels)?;
                series.exemplars(&mut exemplars)?;
                let value = format!("{} {:?}", labels.build(), series.value);
                with_times(value, series.timestamp, series.start)
            }
        };
        push_exemplars(&mut line, &exemplars);
        lines.push(line);
    }
    Ok(lines)
}

/// Any bytes as text and as OpenMetrics: no panic, and a series' bytes are a series of their own.
pub fn check_text(bytes: &[u8]) {
    for (format, created_as_start) in
        [(Format::Text, false), (Format::OpenMetrics, false), (Format::OpenMetrics, true)]
    {
        let options = Options { created_as_start, ..Options::default() };
        // Any outcome will do; that there is one is the point.
        drop(dump(bytes, format, options));
        let mut parser = Parser::new(bytes, format, options);
        while let Ok(Some(entry)) = parser.next() {
            let Entry::Series(series) = entry else { continue };
            let line = [series.raw, b" 7\n# EOF\n"].concat();
            let mut alone = Parser::new(&line, format, Options::default());
            let Ok(Some(Entry::Series(again))) = alone.next() else {
                panic!("{:?} is no series", String::from_utf8_lossy(series.raw));
            };
            assert_eq!((again.raw, again.value), (series.raw, 7.0));
        }
    }
}

/// A protobuf page: whatever prost takes and the rules allow is taken, and read the same. Returns
/// whether it is.
pub fn check_protobuf(bytes: &[u8]) -> bool {
    let mut taken = false;
    for (classic_too, ignore_native) in [(false, false), (true, false), (false, true)] {
        let options = Options { classic_too, ignore_native, ..Options::default() };
        let ours = dump(bytes, Format::Protobuf, options);
        if let Some(families) = families(bytes)
            && let Some(expected) = expand::lines(&families, options)
        {
            assert_eq!(ours.as_ref(), Ok(&expected));
            taken = true;
        }
    }
    taken
}

/// Reads length-delimited families; `None` if prost refuses one.
fn families(mut bytes: &[u8]) -> Option<Vec<MetricFamily>> {
    let mut families = Vec::new();
    while !bytes.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut bytes).ok()?);
    }
    Some(families)
}

fn type_line(family: &str, kind: MetricType) -> String {
    format!("TYPE {family} {kind:?}")
}

fn with_times(mut line: String, timestamp: Option<i64>, start: Option<i64>) -> String {
    if let Some(timestamp) = timestamp {
        line.push_str(&format!(" @{timestamp}"));
    }
    if let Some(start) = start {
        line.push_str(&format!(" since {start}"));
    }
    line
}

fn push_exemplars(line: &mut String, exemplars: &[Exemplar]) {
    for Exemplar { labels, value, timestamp } in exemplars {
        let labels: Vec<_> =
            labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
        line.push_str(&format!(" # {{{}}} {value:?}", labels.join(",")));
        if *timestamp != NO_TIMESTAMP {
            line.push_str(&format!(" @{timestamp}"));
        }
    }
}

/// Stands for the timestamp that an exemplar does not have.
const NO_TIMESTAMP: i64 = i64::MIN;
