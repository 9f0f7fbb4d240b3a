//! Where requests go, and all of a request but its body.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_http::{Client, ClientConfig, ClientTlsConfig, HeaderMap, HeaderName, Uri};

use super::owners::Doors;
use super::routes::Spread;
use crate::body::{Compression, Protocol};

/// A remote write endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// As given; the first of several.
    pub url: Uri,
    /// More places that take the same requests: other gateways of a tier.
    pub others: Vec<Uri>,
    /// How requests are spread over them.
    pub spread: Spread,
    /// Whose series are, where requests go to their owners.
    pub doors: Option<Arc<Doors>>,
    /// Headers besides those that every request has.
    pub headers: Vec<(String, String)>,
    /// What the bodies are.
    pub protocol: Protocol,
    /// How they are compressed.
    pub compression: Compression,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Certificates of authorities to trust, for https.
    pub ca_file: Option<std::path::PathBuf>,
    /// Trust anybody, for https.
    pub insecure: bool,
}

impl Endpoint {
    /// Reads a URL; says what is wrong with it.
    pub fn url(text: &str) -> Result<Uri, String> {
        let url: Uri = text.parse().map_err(|e| format!("{text:?} is no URL: {e}"))?;
        match url.scheme_str() {
            Some("http" | "https") if url.host().is_some() => Ok(url),
            _ => Err(format!("{text:?} is no URL: it begins with http:// or https:// and a host")),
        }
    }

    /// hyper's client by what the endpoint says of TLS, over 1.1.
    pub(crate) fn client(&self, config: ClientConfig) -> Result<Client, String> {
        let tls = ClientTlsConfig {
            ca_file: self.ca_file.clone(),
            insecure_skip_verify: self.insecure,
            ..ClientTlsConfig::default()
        };
        let config = ClientConfig { tls, http2: false, ..config };
        Client::new(config, Instant::now()).map_err(|why| why.to_string())
    }

    /// The headers besides those that every request has; what is none is left out.
    pub(crate) fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.parse()) {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// 1.0 in snappy to one place, with nothing special.
    pub fn plain(url: Uri) -> Self {
        Self {
            url,
            others: Vec::new(),
            spread: Spread::default(),
            doors: None,
            headers: Vec::new(),
            protocol: Protocol::V1,
            compression: Compression::Snappy,
            timeout: Duration::from_secs(30),
            ca_file: None,
            insecure: false,
        }
    }

    /// Each place as an endpoint of its own.
    pub fn places(&self) -> impl Iterator<Item = Self> {
        let urls = std::iter::once(&self.url).chain(&self.others);
        urls.map(|url| Self { url: url.clone(), others: Vec::new(), ..self.clone() })
    }

    /// All places, for people.
    pub fn shown(&self) -> String {
        let urls: Vec<String> = self.places().map(|place| place.url.to_string()).collect();
        urls.join(", ")
    }

    /// Whether it is https.
    pub fn is_secure(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// Host and port as `Host` says them.
    pub fn authority(&self) -> &str {
        self.url.authority().map_or("", |a| a.as_str())
    }

    /// Its addresses, asked for anew.
    pub fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        let host = self.url.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.url.port_u16().unwrap_or(if self.is_secure() { 443 } else { 80 });
        Ok((host, port).to_socket_addrs()?.collect())
    }

    /// Headers of every request but the length; `content_type` where it is not the usual one.
    pub fn request_headers(&self, content_type: Option<&str>) -> Vec<(String, String)> {
        let content_type = content_type.unwrap_or_else(|| self.protocol.content_type());
        let own = [
            ("Content-Type", content_type),
            ("Content-Encoding", self.compression.name()),
            ("X-Prometheus-Remote-Write-Version", self.protocol.version()),
            ("User-Agent", concat!("weir-loadgen/", env!("CARGO_PKG_VERSION"))),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        own.into_iter().chain(self.headers.iter().cloned()).collect()
    }

    /// The head of every request, up to the number that `Content-Length` has.
    pub fn head(&self, content_type: Option<&str>) -> Vec<u8> {
        let path = self.url.path_and_query().map_or("/", |p| p.as_str());
        let mut head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\n", self.authority());
        for (name, value) in self.request_headers(content_type) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("Content-Length: ");
        head.into_bytes()
    }
}
