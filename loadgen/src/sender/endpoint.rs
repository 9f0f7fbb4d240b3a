//! Where requests go, and all of a request but its body.

use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
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
        // Before an @ there may be a password.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let url: Uri = text.parse().map_err(|e| format!("{shown:?} is no URL: {e}"))?;
        match url.scheme_str() {
            Some("http" | "https") if url.host().is_some() => Ok(url),
            _ => Err(format!("{shown:?} is no URL: it begins with http:// or https:// and a host")),
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
        for (name, value) in self.headers.iter().chain(&self.credentials()) {
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

    /// All places, for people: without passwords.
    pub fn shown(&self) -> String {
        let urls: Vec<String> =
            self.places().map(|place| without_password(&place.url.to_string())).collect();
        urls.join(", ")
    }

    /// What the URL's `user:password@` is as a header, where no other header is that.
    fn credentials(&self) -> Option<(String, String)> {
        const NAME: &str = "Authorization";
        let userinfo = self.url.authority()?.as_str().rsplit_once('@')?.0;
        let given = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(NAME));
        let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
        let plain = [&percent_decoded(user), &b":"[..], &percent_decoded(password)].concat();
        (!given).then(|| (NAME.to_owned(), format!("Basic {}", BASE64.encode(plain))))
    }

    /// Whether it is https.
    pub fn is_secure(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// Host and port as `Host` says them.
    pub fn authority(&self) -> &str {
        let authority = self.url.authority().map_or("", |a| a.as_str());
        authority.rsplit_once('@').map_or(authority, |(_, host)| host)
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
        own.into_iter().chain(self.headers.iter().cloned()).chain(self.credentials()).collect()
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

/// A URL without its `user:password`; anything else as it is.
pub fn without_password(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (_, host) = authority.rsplit_once('@')?;
        Some(format!("{scheme}://(hidden)@{host}{path}"))
    };
    hidden().unwrap_or_else(|| text.to_owned())
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let (mut decoded, mut rest) = (Vec::new(), text.as_bytes());
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        decoded.push(byte.unwrap_or(*first));
        rest = &tail[if byte.is_some() { 2 } else { 0 }..];
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::plain(Endpoint::url(url).expect("a URL"))
    }

    #[test]
    fn a_password_goes_to_the_target_and_nowhere_else() {
        let to = endpoint("http://ann:p%40ss@gw:9201/api/v1/push");
        assert_eq!(to.authority(), "gw:9201");
        assert_eq!(to.shown(), "http://(hidden)@gw:9201/api/v1/push");
        // printf 'ann:p@ss' | base64
        let credentials = ("Authorization".to_owned(), "Basic YW5uOnBAc3M=".to_owned());
        assert!(to.request_headers(None).contains(&credentials));
        assert_eq!(to.header_map()["authorization"], "Basic YW5uOnBAc3M=");
        let head = String::from_utf8(to.head(None)).expect("text");
        assert!(head.contains("\r\nHost: gw:9201\r\n") && !head.contains("p%40ss"), "{head}");
        let mut given = to.clone();
        given.headers.push(("authorization".to_owned(), "Bearer x".to_owned()));
        assert!(!given.request_headers(None).contains(&credentials), "what is asked for counts");
        let why = Endpoint::url("gw://ann:secret@x").expect_err("no scheme of ours");
        assert!(!why.contains("secret"), "{why}");
    }

    #[test]
    fn what_has_no_password_stays_as_it_is() {
        for text in ["--rate", "http://gw:9201/a@b", "prometheus=http://a:1", "x@y"] {
            assert_eq!(without_password(text), text);
        }
        let hidden = without_password("--target=https://u:p@gw/x?y=a@b");
        assert_eq!(hidden, "--target=https://(hidden)@gw/x?y=a@b");
        let plain = endpoint("http://gw:9201/push");
        assert_eq!((plain.shown().as_str(), plain.credentials()), ("http://gw:9201/push", None));
    }
}
