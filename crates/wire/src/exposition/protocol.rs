//! What a scraper asks a target for, and which format the answer is in.
//!
//! The names are those of `scrape_protocols`, the header is the one that Prometheus 3 sends. Takes
//! and gives text: this crate knows no HTTP library.

use std::fmt::Write as _;

use super::Format;

/// An exposition format by the name that configuration files give it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ScrapeProtocol {
    /// `PrometheusProto`: length-delimited protobuf.
    PrometheusProto,
    /// `OpenMetricsText1.0.0`.
    OpenMetricsText1_0_0,
    /// `OpenMetricsText0.0.1`.
    OpenMetricsText0_0_1,
    /// `PrometheusText1.0.0`: text with quoted names.
    PrometheusText1_0_0,
    /// `PrometheusText0.0.4`.
    PrometheusText0_0_4,
}

/// How a target is asked to write names that are not of the old alphabet
/// (`metric_name_escaping_scheme`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Escaping {
    /// As they are, in quotes.
    #[default]
    AllowUtf8,
    /// Other characters become `_`.
    Underscores,
    /// Dots become `_dot_`.
    Dots,
    /// `U__`, and other characters by their number.
    Values,
}

/// A page whose format is not known.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UnknownFormat {
    /// No `Content-Type`, and no fallback.
    #[error("the target sends no Content-Type, and there is no fallback_scrape_protocol")]
    Missing,
    /// A `Content-Type` of no format that is read here, and no fallback.
    #[error("the target sends Content-Type {0:?}, and there is no fallback_scrape_protocol")]
    Unsupported(String),
}

impl ScrapeProtocol {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::PrometheusProto,
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// Prometheus's default for `scrape_protocols`.
    pub const DEFAULT: [Self; 4] = [
        Self::OpenMetricsText1_0_0,
        Self::OpenMetricsText0_0_1,
        Self::PrometheusText1_0_0,
        Self::PrometheusText0_0_4,
    ];

    /// Prometheus's default where native histograms are scraped.
    pub const DEFAULT_NATIVE: [Self; 5] = Self::ALL;

    /// The name in configuration files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PrometheusProto => "PrometheusProto",
            Self::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
            Self::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Self::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Self::PrometheusText0_0_4 => "PrometheusText0.0.4",
        }
    }

    /// The protocol of this name; upper and lower case matter, as in Prometheus.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }

    /// Its format.
    pub const fn format(self) -> Format {
        match self {
            Self::PrometheusProto => Format::Protobuf,
            Self::OpenMetricsText1_0_0 | Self::OpenMetricsText0_0_1 => Format::OpenMetrics,
            Self::PrometheusText1_0_0 | Self::PrometheusText0_0_4 => Format::Text,
        }
    }

    const fn media_type(self) -> &'static str {
        match self {
            Self::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
                 encoding=delimited"
            }
            Self::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
            Self::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Self::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Self::PrometheusText0_0_4 => "text/plain;version=0.0.4",
        }
    }

    /// Whether the format can quote names, so that the target is told how to write them.
    const fn quotes_names(self) -> bool {
        matches!(self, Self::OpenMetricsText1_0_0 | Self::PrometheusText1_0_0)
    }
}

impl Escaping {
    /// The name in configuration files and headers.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AllowUtf8 => "allow-utf-8",
            Self::Underscores => "underscores",
            Self::Dots => "dots",
            Self::Values => "values",
        }
    }

    /// The scheme of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::AllowUtf8, Self::Underscores, Self::Dots, Self::Values];
        all.into_iter().find(|scheme| scheme.name() == name)
    }
}

/// Value of `Accept` for a scrape: the protocols in the order of preference, then anything.
pub fn accept(protocols: &[ScrapeProtocol], escaping: Escaping) -> String {
    let (mut header, mut weight) = (String::new(), ScrapeProtocol::ALL.len() + 1);
    for protocol in protocols.iter().take(ScrapeProtocol::ALL.len()) {
        header.push_str(protocol.media_type());
        if protocol.quotes_names() {
            header.push_str(";escaping=");
            header.push_str(escaping.name());
        }
        push_weight(&mut header, weight);
        header.push(',');
        weight -= 1;
    }
    header.push_str("*/*");
    push_weight(&mut header, weight);
    header
}

fn push_weight(header: &mut String, tenths: usize) {
    // Writing to a string cannot fail.
    let written = write!(header, ";q=0.{tenths}");
    debug_assert!(written.is_ok());
}

/// The format of an answer. `fallback` is `fallback_scrape_protocol`: what an answer is taken for
/// whose `Content-Type` is missing, malformed or unknown.
pub fn format(
    content_type: Option<&str>,
    fallback: Option<ScrapeProtocol>,
) -> Result<Format, UnknownFormat> {
    let header = content_type.unwrap_or_default();
    if let Some(format) = known_format(header) {
        return Ok(format);
    }
    fallback.map(ScrapeProtocol::format).ok_or_else(|| match header {
        "" => UnknownFormat::Missing,
        other => UnknownFormat::Unsupported(other.to_owned()),
    })
}

/// Reads a `Content-Type` as strictly as Go's `mime.ParseMediaType`: a parameter that is none, or
/// comes twice, spoils the whole.
fn known_format(header: &str) -> Option<Format> {
    let mut parts = Parts { rest: Some(header) };
    let media_type = parts.next()?.trim().to_ascii_lowercase();
    let mut seen: Vec<String> = Vec::new();
    let mut version = "";
    while let Some(part) = parts.next() {
        let part = part.trim();
        // A semicolon may stand at the end.
        if part.is_empty() && parts.rest.is_none() {
            break;
        }
        let (name, value) = part.split_once('=')?;
        let name = name.to_ascii_lowercase();
        let quoted = value.len() > 1 && value.starts_with('"') && value.ends_with('"');
        if !is_token(&name) || !(quoted || is_token(value)) || seen.contains(&name) {
            return None;
        }
        if name == "version" {
            version = value.trim_matches('"');
        }
        seen.push(name);
    }
    match media_type.as_str() {
        "text/plain" => Some(Format::Text),
        // Another format under the same name.
        "application/openmetrics-text" if version == "2.0.0" => None,
        "application/openmetrics-text" => Some(Format::OpenMetrics),
        "application/vnd.google.protobuf" => Some(Format::Protobuf),
        _ => None,
    }
}

/// What stands between semicolons, but for those in quotes.
struct Parts<'a> {
    rest: Option<&'a str>,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let rest = self.rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = rest.bytes().position(|byte| {
            let quote = byte == b'"' && !escaped;
            escaped = quoted && byte == b'\\' && !escaped;
            quoted ^= quote;
            byte == b';' && !quoted
        });
        self.rest = end.map(|end| &rest[end + 1..]);
        Some(end.map_or(rest, |end| &rest[..end]))
    }
}

/// A token of HTTP.
fn is_token(text: &str) -> bool {
    let ok = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_prometheus_own() {
        // Prometheus 3.5 with defaults, and with `scrape_native_histograms`, as its targets see it.
        assert_eq!(
            accept(&ScrapeProtocol::DEFAULT, Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
             application/openmetrics-text;version=0.0.1;q=0.5,\
             text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
             text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
        );
        assert_eq!(
            accept(&ScrapeProtocol::DEFAULT_NATIVE, Escaping::Underscores),
            "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;\
             encoding=delimited;q=0.6,\
             application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5,\
             application/openmetrics-text;version=0.0.1;q=0.4,\
             text/plain;version=1.0.0;escaping=underscores;q=0.3,\
             text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
        );
    }

    #[test]
    fn names() {
        for protocol in ScrapeProtocol::ALL {
            assert_eq!(ScrapeProtocol::from_name(protocol.name()), Some(protocol));
        }
        assert_eq!(ScrapeProtocol::from_name("prometheustext0.0.4"), None);
        assert_eq!(Escaping::from_name("dots"), Some(Escaping::Dots));
    }

    #[test]
    fn content_types() {
        for (header, expected) in [
            ("text/plain; version=0.0.4; charset=utf-8", Format::Text),
            ("text/plain", Format::Text),
            ("Text/Plain;version=\"1.0.0\";escaping=allow-utf-8;", Format::Text),
            ("application/openmetrics-text; version=1.0.0; charset=utf-8", Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited; escaping=underscores",
                Format::Protobuf,
            ),
        ] {
            assert_eq!(format(Some(header), None), Ok(expected), "{header}");
        }
        for header in [
            "application/json",
            "text/html; charset=utf-8",
            "application/openmetrics-text; version=2.0.0",
            "text/plain; version",
            "text/plain; a=1; a=2",
            "text/plain;; a=1",
            "text/plain; a=b c",
            ";",
        ] {
            let unsupported = UnknownFormat::Unsupported(header.to_owned());
            assert_eq!(format(Some(header), None), Err(unsupported), "{header}");
            let fallback = Some(ScrapeProtocol::PrometheusText0_0_4);
            assert_eq!(format(Some(header), fallback), Ok(Format::Text));
        }
        assert_eq!(format(None, None), Err(UnknownFormat::Missing));
        assert_eq!(format(Some(""), Some(ScrapeProtocol::PrometheusProto)), Ok(Format::Protobuf));
    }
}
