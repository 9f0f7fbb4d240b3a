//! Which proxy a URL is asked through, if any: `proxy_url` and `no_proxy`, or the environment.
//!
//! As Go's `httpproxy`, and thus Prometheus: the environment has a proxy for each scheme, and never
//! for loopback; `no_proxy` names hosts, domains, addresses and networks, each with a port or
//! without. Only `http://` proxies are spoken to. No message shows a proxy's URL, for it may carry a
//! password.

use std::collections::BTreeMap;
use std::net::IpAddr;

use hyper::Uri;
use hyper::header::{HeaderMap, HeaderValue};

use super::url::{header_map, split_userinfo};
use crate::secret::Secret;

/// The keys of an HTTP client's block that are about proxies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `http://[user:password@]host:port`; `https` URLs go through it by CONNECT.
    pub url: Option<Secret>,
    /// Comma-separated hosts that are asked directly.
    pub no_proxy: Option<String>,
    /// The environment's proxies in place of `url`.
    pub from_environment: bool,
    /// Headers of CONNECT requests.
    pub connect_headers: BTreeMap<String, Vec<Secret>>,
}

/// An HTTP proxy and what to tell it.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) url: Uri,
    pub(crate) authorization: Option<HeaderValue>,
}

/// The proxies of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: NoProxy,
    pub(crate) connect_headers: HeaderMap,
}

impl Proxies {
    /// `env` gives an environment variable's value.
    pub(crate) fn new(
        config: &ProxyConfig,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, String> {
        let pairs = config.connect_headers.iter();
        let pairs = pairs.flat_map(|(n, values)| values.iter().map(|v| (n.as_str(), v.expose())));
        let connect_headers = header_map(pairs)?;
        let either = |upper: &str| env(upper).or_else(|| env(&upper.to_ascii_lowercase()));
        let given = |url: Option<String>| url.filter(|url| !url.is_empty());
        let (http, https, except) = if config.from_environment {
            let mut except = NoProxy::new(&either("NO_PROXY").unwrap_or_default());
            except.is_loopback_direct = true;
            (given(either("HTTP_PROXY")), given(either("HTTPS_PROXY")), except)
        } else {
            let url = given(config.url.as_ref().map(|url| url.expose().to_owned()));
            let except = NoProxy::new(config.no_proxy.as_deref().unwrap_or_default());
            (url.clone(), url, except)
        };
        let read = |url: Option<String>| url.map(|url| proxy(&url)).transpose();
        Ok(Self { http: read(http)?, https: read(https)?, except, connect_headers })
    }

    /// The proxy for this URL; `None` where it is asked directly.
    pub(crate) fn for_url(&self, url: &Uri) -> Option<&Proxy> {
        let is_https = url.scheme_str() == Some("https");
        let proxy = if is_https { &self.https } else { &self.http };
        let port = url.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        proxy.as_ref().filter(|_| !self.except.has(url.host().unwrap_or_default(), port))
    }
}

fn proxy(url: &str) -> Result<Proxy, String> {
    let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let url: Uri = url.parse().map_err(|error| format!("{error}"))?;
    if url.scheme_str() != Some("http") {
        return Err("only http:// proxies are supported".to_owned());
    }
    let (url, authorization) = split_userinfo(&url).map_err(|error| error.to_string())?;
    Ok(Proxy { url, authorization })
}

/// Hosts that are asked directly.
#[derive(Clone, Debug, Default)]
struct NoProxy {
    is_all: bool,
    is_loopback_direct: bool,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
enum Entry {
    /// An address, or a network by the length of its prefix.
    Network { address: IpAddr, prefix: u32, port: Option<u16> },
    /// `.domain`: what ends in it; and where `is_itself`, the domain too.
    Domain { suffix: String, is_itself: bool, port: Option<u16> },
}

impl NoProxy {
    fn new(text: &str) -> Self {
        let words = text.split(',').map(|word| word.trim().to_ascii_lowercase());
        let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        Self {
            is_all: words.iter().any(|word| word == "*"),
            is_loopback_direct: false,
            entries: words.iter().filter_map(|word| Entry::new(word)).collect(),
        }
    }

    fn has(&self, host: &str, port: u16) -> bool {
        let host = host.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase();
        let address: Option<IpAddr> = host.parse().ok();
        let is_loopback = host == "localhost" || address.is_some_and(|ip| ip.is_loopback());
        self.is_all
            || (self.is_loopback_direct && is_loopback)
            || self.entries.iter().any(|entry| entry.has(&host, address, port))
    }
}

impl Entry {
    /// `None` for what can be no host.
    fn new(word: &str) -> Option<Self> {
        if let Some((address, prefix)) = word.split_once('/') {
            let address: IpAddr = address.parse().ok()?;
            let prefix = prefix.parse().ok().filter(|&prefix| prefix <= bits(address).1)?;
            return Some(Self::Network { address, prefix, port: None });
        }
        let (host, port) = match word.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (word, None),
        };
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            return Some(Self::Network { address, prefix: bits(address).1, port });
        }
        let host = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let is_itself = !host.starts_with('.');
        let suffix = format!(".{}", host.trim_start_matches('.'));
        Some(Self::Domain { suffix, is_itself, port })
    }

    fn has(&self, host: &str, address: Option<IpAddr>, to: u16) -> bool {
        match self {
            Self::Network { address: network, prefix, port } => {
                let is_inside = |ip: IpAddr| {
                    let ((ip, width), (network, of)) = (bits(ip), bits(*network));
                    let shift = width - prefix.min(&width);
                    width == of && ip.checked_shr(shift) == network.checked_shr(shift)
                };
                port.is_none_or(|port| port == to) && address.is_some_and(is_inside)
            }
            Self::Domain { suffix, is_itself, port } => {
                let is_it = host.ends_with(suffix.as_str()) || (*is_itself && host == &suffix[1..]);
                port.is_none_or(|port| port == to) && is_it
            }
        }
    }
}

/// An address as a number, and how many bits it has.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the tests and documentation of `golang.org/x/net/http/httpproxy`.
    #[test]
    fn hosts_domains_and_networks_are_asked_directly_as_go_does() {
        let list = "foobar.com, .barbaz.net, *.wild.org, 192.168.1.1, 192.168.1.2:81, \
                    192.168.1.3:80, 10.0.0.0/30, 2001:db8::52:0:1, [2001:db8::52:0:2]:443, \
                    [2001:db8::52:0:3]:80, 2002:db8:a::45/64, ported.com:8080";
        let no_proxy = NoProxy::new(list);
        let direct = [
            "http://foobar.com",
            "http://www.foobar.com",
            "http://FOOBAR.com.",
            "http://a.barbaz.net",
            "http://a.wild.org",
            "http://192.168.1.1",
            "http://192.168.1.3",
            "http://10.0.0.2",
            "http://[2001:db8::52:0:1]",
            "https://[2001:db8::52:0:2]",
            "http://[2001:db8::52:0:3]",
            "http://[2002:db8:a::123]",
            "http://ported.com:8080",
        ];
        let proxied = [
            "http://localhost",
            "http://127.0.0.1",
            "http://foofoobar.com",
            "http://barbaz.net",
            "http://wild.org",
            "http://192.168.1.2",
            "http://192.168.1.4",
            "http://10.0.0.4",
            "http://[2001:db8::52:0:2]",
            "http://[fe80::424b:c8be:1643:a1b6]",
            "http://ported.com",
        ];
        let has = |url: &str| {
            let url: Uri = url.parse().unwrap();
            let default = if url.scheme_str() == Some("https") { 443 } else { 80 };
            no_proxy.has(url.host().unwrap(), url.port_u16().unwrap_or(default))
        };
        for url in direct {
            assert!(has(url), "{url}");
        }
        for url in proxied {
            assert!(!has(url), "{url}");
        }
        assert!(NoProxy::new("a, *").has("anything.at.all", 1));
        assert!(
            !NoProxy::new("").has("anything", 1) && !NoProxy::new("1.2.3.4/99").has("1.2.3.4", 1)
        );
    }

    #[test]
    fn the_environment_has_a_proxy_for_each_scheme_and_none_for_loopback() {
        let env = |name: &str| match name {
            "HTTP_PROXY" => Some("plain:3128".to_owned()),
            "https_proxy" => Some("http://me:pw@secure:3128".to_owned()),
            "no_proxy" => Some("direct".to_owned()),
            _ => None,
        };
        let config = ProxyConfig { from_environment: true, ..ProxyConfig::default() };
        let proxies = Proxies::new(&config, &env).unwrap();
        let host = |url: &str| {
            let proxy = proxies.for_url(&url.parse().unwrap());
            proxy.map(|proxy| proxy.url.host().unwrap().to_owned())
        };
        assert_eq!(host("http://a").as_deref(), Some("plain"));
        assert_eq!(host("https://a").as_deref(), Some("secure"));
        for url in ["http://direct", "http://localhost:1", "https://127.0.0.3", "http://[::1]"] {
            assert_eq!(host(url), None, "{url}");
        }
        let none = Proxies::new(&ProxyConfig::default(), &env).unwrap();
        assert!(none.for_url(&"http://a".parse().unwrap()).is_none());
    }

    #[test]
    fn a_proxy_that_is_named_counts_for_loopback_too() {
        let config = ProxyConfig {
            url: Some(Secret::new("http://proxy:3128")),
            no_proxy: Some("direct:81".to_owned()),
            ..ProxyConfig::default()
        };
        let proxies = Proxies::new(&config, &|_| None).unwrap();
        let is_proxied = |url: &str| proxies.for_url(&url.parse().unwrap()).is_some();
        assert!(is_proxied("http://localhost") && is_proxied("https://direct"));
        assert!(!is_proxied("http://direct:81/metrics"));
    }
}
