//! Content types, encodings and versions: which decoder a request wants, and what we ask of peers.
//!
//! Receivers decide by Content-Type, never by the version header (remote write 2.0, "Required
//! headers"). Takes and gives text: this crate knows no HTTP library.

use std::fmt;

/// What `Content-Type` starts with in both versions.
pub const CONTENT_TYPE_V1: &str = "application/x-protobuf";
/// `Content-Type` of a 2.0 request.
pub const CONTENT_TYPE_V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
/// Names the version; informative only.
pub const VERSION_HEADER: &str = "X-Prometheus-Remote-Write-Version";
/// 2.0 answers: float samples written.
pub const SAMPLES_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Samples-Written";
/// 2.0 answers: native histograms written.
pub const HISTOGRAMS_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Histograms-Written";
/// 2.0 answers: exemplars written.
pub const EXEMPLARS_WRITTEN_HEADER: &str = "X-Prometheus-Remote-Write-Exemplars-Written";
/// vmagent asks for its protocol with this query argument, and takes `1` for "zstd".
pub const VM_PROTO_VERSION_PROBE: &str = "get_vm_proto_version";
/// What answers [`VM_PROTO_VERSION_PROBE`].
pub const VM_PROTO_VERSION: &str = "1";

/// Remote write's versions.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Version {
    /// `prometheus.WriteRequest`.
    #[default]
    V1,
    /// `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// `Content-Type` of a request.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::V1 => CONTENT_TYPE_V1,
            Self::V2 => CONTENT_TYPE_V2,
        }
    }

    /// Value of [`VERSION_HEADER`].
    pub const fn header_value(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }

    /// The message's name, as Prometheus's `protobuf_message` setting writes it.
    pub const fn message(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// The version whose message has this name.
    pub fn from_message(name: &str) -> Option<Self> {
        [Self::V1, Self::V2].into_iter().find(|v| v.message() == name)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        })
    }
}

/// Compression of a body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Encoding {
    /// Snappy's block format.
    #[default]
    Snappy,
    /// Zstandard frames.
    Zstd,
}

impl Encoding {
    /// Value of `Content-Encoding`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Snappy => "snappy",
            Self::Zstd => "zstd",
        }
    }
}

/// A type or encoding that is not understood: 415.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unsupported {
    /// Another media type.
    #[error("Content-Type {0:?}; remote write is `application/x-protobuf`")]
    MediaType(String),
    /// Another protobuf message.
    #[error(
        "protobuf message {0:?}; `prometheus.WriteRequest` and `io.prometheus.write.v2.Request` \
         are understood"
    )]
    Message(String),
    /// Another compression.
    #[error("Content-Encoding {0:?}; `snappy` and `zstd` are understood")]
    Encoding(String),
}

/// The version that a `Content-Type` asks for. None at all means 1.0, as in Prometheus.
pub fn version(content_type: Option<&str>) -> Result<Version, Unsupported> {
    let Some(text) = content_type.map(str::trim).filter(|t| !t.is_empty()) else {
        return Ok(Version::V1);
    };
    let mut parts = text.split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case(CONTENT_TYPE_V1)) {
        return Err(Unsupported::MediaType(text.to_owned()));
    }
    for part in parts {
        let Some((key, value)) = part.split_once('=') else {
            continue;
        };
        if key.trim().eq_ignore_ascii_case("proto") {
            let name = value.trim().trim_matches('"');
            return Version::from_message(name)
                .ok_or_else(|| Unsupported::Message(name.to_owned()));
        }
    }
    Ok(Version::V1)
}

/// The compression that a `Content-Encoding` names. None at all means snappy, which old senders
/// take for granted.
pub fn encoding(content_encoding: Option<&str>) -> Result<Encoding, Unsupported> {
    let text = content_encoding.unwrap_or_default().trim();
    [Encoding::Snappy, Encoding::Zstd]
        .into_iter()
        .find(|e| text.eq_ignore_ascii_case(e.as_str()))
        .or(text.is_empty().then_some(Encoding::Snappy))
        .ok_or_else(|| Unsupported::Encoding(text.to_owned()))
}

/// A program's `User-Agent`: `weir-gateway/0.1.0`.
pub fn user_agent(program: &str) -> String {
    format!("{program}/{}", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types_choose_the_version() {
        for v1 in [
            None,
            Some(""),
            Some("application/x-protobuf"),
            Some("Application/X-Protobuf; charset=utf-8"),
            Some("application/x-protobuf;proto=prometheus.WriteRequest"),
        ] {
            assert_eq!(version(v1), Ok(Version::V1), "{v1:?}");
        }
        for v2 in
            [CONTENT_TYPE_V2, "application/x-protobuf; proto=\"io.prometheus.write.v2.Request\""]
        {
            assert_eq!(version(Some(v2)), Ok(Version::V2));
        }
        assert!(matches!(version(Some("application/json")), Err(Unsupported::MediaType(_))));
        assert!(matches!(
            version(Some("application/x-protobuf;proto=prometheus.WriteRequest3")),
            Err(Unsupported::Message(_))
        ));
    }

    #[test]
    fn encodings() {
        assert_eq!(encoding(None), Ok(Encoding::Snappy));
        assert_eq!(encoding(Some("Snappy")), Ok(Encoding::Snappy));
        assert_eq!(encoding(Some("zstd")), Ok(Encoding::Zstd));
        let refused = encoding(Some("gzip")).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "Content-Encoding \"gzip\"; `snappy` and `zstd` are understood"
        );
    }
}
