//! From method and path to what is to be done; the paths of other parts are passed on.
//!
//! A pure function. HEAD is GET without a body, which hyper leaves out by itself.

use weir_agent_config::control::CONFIG_PATH;
use weir_agent_config::custody::CUSTODY_PATH;
use weir_agent_config::watermark::WATERMARK_PATH;
use weir_http::Method;
use weir_ring::OWNERS_PATH;

/// The members of the tier.
pub const MEMBERS_PATH: &str = "/api/v1/cluster/members";

/// The placement table.
pub const TABLE_PATH: &str = "/api/v1/cluster/table";

/// Virtual shards change hands: `vshards=0-31,77&to=NAME`.
pub const MOVES_PATH: &str = "/api/v1/cluster/moves";

/// What a request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Route {
    /// The process runs.
    Healthy,
    /// Requests are taken.
    Ready,
    /// Metrics.
    Metrics,
    /// The status page.
    Page,
    /// The page's script.
    Script,
    /// What the page shows, as JSON.
    Status,
    /// Agents, as JSON.
    Agents,
    /// Members of the tier, as JSON.
    Members,
    /// The placement table, as JSON.
    Table,
    /// Read the configuration again.
    Reload,
    /// Another part's: remote write, `/federate`, configurations of agents.
    Elsewhere,
    /// The path is known, the method is not: what is allowed, and a word of help.
    WrongMethod(&'static str, &'static str),
    /// Nobody's.
    Unknown,
}

/// Every endpoint with what it is for: the body of 404.
pub const ENDPOINTS: &str = "\
GET  /                 status page
GET  /api/v1/status    what the page shows, as JSON
GET  /api/v1/agents    agents that ask for their configuration, as JSON
GET  /api/v1/agents/config   what an agent is to run: ?agent=NAME&label=NAME=VALUE
GET  /api/v1/agents/owners   where senders find the owners of their series, as JSON
GET  /api/v1/cluster/members   members of the tier, as JSON
GET  /api/v1/cluster/table     who owns which virtual shard, as JSON
POST /api/v1/cluster/moves     vshards=0-31,77&to=NAME: they become that member's
GET  /metrics          metrics of this gateway
GET  /federate         newest outputs, for a Prometheus to scrape
GET  /-/healthy        200 while the process runs
GET  /-/ready          200 when remote write is taken
POST /-/reload         read the configuration again
POST /api/v1/write     remote write 1.0 and 2.0
POST /api/v1/push      the same, as Cortex and Mimir call it
";

const WRITE_HELP: &str = "this is a remote write endpoint: configure it as the url of remote_write \
    in Prometheus, vmagent or Alloy, which will POST to it";

/// Decides.
pub fn route(method: &Method, path: &str) -> Route {
    let read = matches!(*method, Method::GET | Method::HEAD);
    let get = |route| {
        if read { route } else { Route::WrongMethod("GET, HEAD", "use GET") }
    };
    match path {
        "/" => get(Route::Page),
        "/status.js" => get(Route::Script),
        "/api/v1/status" => get(Route::Status),
        "/api/v1/agents" => get(Route::Agents),
        MEMBERS_PATH => get(Route::Members),
        TABLE_PATH => get(Route::Table),
        WATERMARK_PATH | CUSTODY_PATH | MOVES_PATH if *method == Method::POST => Route::Elsewhere,
        WATERMARK_PATH | CUSTODY_PATH | MOVES_PATH => Route::WrongMethod("POST", "use POST"),
        CONFIG_PATH | OWNERS_PATH => get(Route::Elsewhere),
        "/metrics" => get(Route::Metrics),
        "/-/healthy" => get(Route::Healthy),
        "/-/ready" => get(Route::Ready),
        // Prometheus takes PUT, too.
        "/-/reload" if matches!(*method, Method::POST | Method::PUT) => Route::Reload,
        "/-/reload" => Route::WrongMethod("POST, PUT", "use POST: curl -X POST …/-/reload"),
        // vmagent asks with GET which protocol is spoken; that has its query and is ingest's.
        "/api/v1/write" | "/api/v1/push" if *method != Method::POST => {
            Route::WrongMethod("POST", WRITE_HELP)
        }
        "/api/v1/write" | "/api/v1/push" | "/federate" => Route::Elsewhere,
        _ => Route::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_endpoint_is_somebodys() {
        for line in ENDPOINTS.lines() {
            let mut words = line.split_whitespace();
            let method: Method = words.next().unwrap().parse().unwrap();
            let found = route(&method, words.next().unwrap());
            assert!(!matches!(found, Route::Unknown | Route::WrongMethod(..)), "{line}: {found:?}");
        }
    }

    #[test]
    fn reading_the_write_endpoint_is_answered_with_help() {
        for path in ["/api/v1/write", "/api/v1/push"] {
            let Route::WrongMethod("POST", help) = route(&Method::GET, path) else {
                panic!("{path}");
            };
            assert!(help.contains("remote_write"));
        }
    }

    #[test]
    fn nothing_changes_by_reading() {
        assert!(matches!(route(&Method::GET, "/-/reload"), Route::WrongMethod("POST, PUT", _)));
        assert_eq!(route(&Method::POST, "/-/reload"), Route::Reload);
        assert!(matches!(route(&Method::DELETE, "/"), Route::WrongMethod("GET, HEAD", _)));
        assert_eq!(route(&Method::HEAD, "/-/healthy"), Route::Healthy);
        assert_eq!(route(&Method::GET, "/metrics/"), Route::Unknown);
    }
}
