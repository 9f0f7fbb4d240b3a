//! From what a tier says of a member to where samples go.
//!
//! Invariant: scheme, path and query are the configured ones, so that what is sent under TLS to the
//! tier is sent under TLS to its members, with certificates of the same authority. A tier elsewhere
//! cannot have an agent talk to its own host or link.

use std::net::IpAddr;

use weir_http::Uri;
use weir_remote::config::Destination;

/// Where a member takes samples; `None` where that is not known, or nowhere that an agent would go.
pub(super) fn url(trunk: &Destination, push: &str) -> Option<String> {
    let configured: Uri = trunk.url.parse().ok()?;
    let door: Uri = format!("{}://{push}", configured.scheme_str()?).parse().ok()?;
    let is_bare = door.authority().is_some_and(|authority| authority.as_str() == push);
    let (host, own) = (door.host()?, configured.host()?);
    if !is_bare || push.contains('@') || door.port_u16().is_none() {
        return None;
    }
    if is_near(host) && !is_near(own) {
        return None;
    }
    let path = configured.path_and_query().map_or("/", |path| path.as_str());
    Some(format!("{}://{push}{path}", configured.scheme_str()?))
}

/// Whether it is this host, or what only this link knows.
fn is_near(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_link_local() || ip.is_unspecified(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unspecified() || ip.is_unicast_link_local(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use weir_agent_config::{Host, read};

    use super::*;

    fn to(configured: &str, push: &str) -> Option<String> {
        let text = format!("remote_write: [{{url: '{configured}'}}]\n");
        let host = Host::here(Path::new("."), &|_| None);
        let config = read("weir-agent.yml", &text, &host).expect("it is good");
        url(&config.destinations[0], push)
    }

    #[test]
    fn only_the_host_is_the_tiers() {
        let tier = "https://tier.example/api/v1/write?a=b";
        let expected = "https://gw-1.tier.example:9201/api/v1/write?a=b";
        assert_eq!(to(tier, "gw-1.tier.example:9201").as_deref(), Some(expected));
        let v6 = to("http://[2001:db8::1]:9201/w", "[2001:db8::2]:9201");
        assert_eq!(v6.as_deref(), Some("http://[2001:db8::2]:9201/w"));
        for odd in ["", "gw-1", "gw-1:9201/other", "user@gw-1:9201", "gw-1:x", "http://gw-1:9201"] {
            assert_eq!(to(tier, odd), None, "{odd}");
        }
    }

    #[test]
    fn nobody_elsewhere_sends_an_agent_to_its_own_host() {
        for near in
            ["127.0.0.1:80", "localhost:80", "169.254.169.254:80", "[::1]:80", "[fe80::1]:80"]
        {
            assert_eq!(to("http://tier.example/w", near), None, "{near}");
        }
        let own = to("http://127.0.0.1:9201/w", "127.0.0.1:9301");
        assert_eq!(own.as_deref(), Some("http://127.0.0.1:9301/w"));
    }
}
