//! The way to one backend: a pooled HTTP client made from the destination's settings, and the
//! endpoint that each request goes to.
//!
//! Invariant: what cannot work (certificates, secrets' files, headers) is found when it is made,
//! and named. Redirects that are not followed are handed back as they are, as answers that block.
//! Which endpoint it is decides [`crate::endpoints`]; here are clock, names and sockets.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use weir_http::client::header_map;
use weir_http::{Client, ClientConfig, Uri};
use weir_ring::OWNERS_HEADER;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::Destination;
use crate::endpoints::{Endpoints, Moved};
use crate::request::Post;
use crate::seams::{EndpointView, PostError, Reply, Transport};
use crate::shares::Share;

/// How often a name is resolved anew, where its addresses are the endpoints.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// How long resolving may take; what was found last is used until it succeeds.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// A client of one destination.
#[derive(Debug)]
pub struct HttpTransport {
    client: Client,
    timeout: Duration,
    destination: String,
    /// Where the addresses of the URL's name are the endpoints.
    resolved: Option<Resolved>,
    state: Arc<Mutex<State>>,
    began: Instant,
}

#[derive(Debug)]
struct Resolved {
    url: Uri,
    /// When the name is resolved next. Held while it is.
    due: tokio::sync::Mutex<Instant>,
}

#[derive(Debug)]
struct State {
    endpoints: Endpoints,
    /// What the last answer of a tier named.
    owners: Option<String>,
    routes: BTreeMap<String, Route>,
}

/// How an endpoint is reached.
#[derive(Clone, Debug)]
struct Route {
    url: Uri,
    /// In place of the URL's own host.
    host: Option<String>,
}

impl HttpTransport {
    /// Reads certificates and secrets, connects to nothing. The error names the destination.
    pub fn new(destination: &Destination) -> Result<Self, String> {
        let named = |error: String| format!("remote_write {:?}: {error}", destination.name);
        let mut routes = BTreeMap::new();
        for text in destination.urls() {
            let url = text.parse::<Uri>().map_err(|e| named(format!("{text}: {e}")))?;
            routes.insert(shown(&url), Route { url, host: None });
        }
        let headers = destination.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        header_map(headers).map_err(named)?;
        let mut config = ClientConfig {
            concurrency_max: destination.queue.max_shards,
            ..destination.client.client_config()
        };
        let now = Instant::now();
        let by_name = routes.values().next().filter(|_| destination.round_robin_dns);
        let resolved = by_name.map(|route| {
            // Addresses stand in the URL: the name is what certificates and virtual hosts know.
            // HTTP/2 would say the address.
            config.http2 = false;
            let host = route.url.host().unwrap_or_default();
            config.tls.server_name.get_or_insert_with(|| host.to_owned());
            Resolved { url: route.url.clone(), due: tokio::sync::Mutex::new(now) }
        });
        let client = Client::new(config, now).map_err(|e| named(e.to_string()))?;
        let names: Vec<String> = routes.keys().cloned().collect();
        let first = destination.url.parse::<Uri>().map(|url| shown(&url)).ok();
        let preferred = first.filter(|_| destination.share != Share::Trunk);
        let endpoints = Endpoints::with_preferred(&names, preferred, host_seed());
        let state = State { endpoints, owners: None, routes };
        Ok(Self {
            client,
            timeout: destination.timeout,
            destination: destination.name.clone(),
            resolved,
            state: Arc::new(Mutex::new(state)),
            began: now,
        })
    }

    /// Resolves the name where that is due. One request does it, the others go on.
    async fn resolve(&self) {
        let Some(resolved) = &self.resolved else {
            return;
        };
        let Ok(mut due) = resolved.due.try_lock() else {
            return;
        };
        if *due > Instant::now() {
            return;
        }
        let url = &resolved.url;
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let port =
            url.port_u16().unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
        let found = tokio::net::lookup_host((host, port));
        let error = match tokio::time::timeout(RESOLVE_WITHIN, found).await {
            Ok(Ok(addresses)) => {
                let routes = addresses.filter_map(|address| {
                    let at = format!("{}://{address}{}", url.scheme()?, url.path_and_query()?);
                    let host = url.authority().map(|a| a.as_str().to_owned());
                    Some((address.to_string(), Route { url: at.parse().ok()?, host }))
                });
                self.state().take_routes(routes.collect());
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("timed out".to_owned()),
        };
        if let Some(error) = error {
            let destination = &self.destination;
            tracing::warn!(destination, host, error, "the name cannot be resolved");
        }
        *due = Instant::now() + RESOLVE_EVERY;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn ask(&self, route: &Route, post: Post) -> Result<Reply, PostError> {
        let host = route.host.iter().map(|host| ("Host", host.as_str()));
        let headers = post.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let headers = header_map(headers.chain(host));
        let headers = headers.map_err(|text| PostError { text, maybe_sent: false })?;
        let sent = self.client.post(&route.url, headers, post.body, self.timeout).await;
        let reply =
            sent.map_err(|e| PostError { maybe_sent: e.maybe_sent(), text: e.to_string() })?;
        let header = |name: &str| reply.headers.get(name)?.to_str().ok().map(str::to_owned);
        if let Some(owners) = header(OWNERS_HEADER) {
            self.state().owners = Some(owners);
        }
        Ok(Reply::new(reply.status.as_u16(), &header, &reply.body))
    }

    fn report(&self, moved: &Moved, ended: &Result<Reply, PostError>) {
        let (destination, Moved { from, to }) = (&self.destination, moved);
        match ended {
            Ok(reply) if reply.status < 500 => {
                tracing::info!(destination, from, to, "back at the better endpoint");
            }
            Ok(Reply { status, .. }) => {
                tracing::warn!(
                    destination,
                    from,
                    to,
                    status,
                    "an endpoint fails: sending elsewhere"
                );
            }
            Err(PostError { text, .. }) => {
                tracing::warn!(destination, from, to, text, "an endpoint fails: sending elsewhere");
            }
        }
    }
}

impl State {
    /// The first addresses take the name's own place.
    fn take_routes(&mut self, routes: BTreeMap<String, Route>) {
        if !routes.is_empty() {
            let names: Vec<String> = routes.keys().cloned().collect();
            self.endpoints.set_names(&names);
            self.routes = routes;
        }
    }
}

impl Transport for HttpTransport {
    async fn post(&self, post: Post) -> Result<Reply, PostError> {
        self.resolve().await;
        let began_ms = self.now_ms();
        let (name, route) = {
            let mut state = self.state();
            let name = state.endpoints.poll_endpoint(began_ms).to_owned();
            let route = state.routes.get(&name).cloned();
            let none = || PostError { text: "no endpoint".to_owned(), maybe_sent: false };
            (name, route.ok_or_else(none)?)
        };
        let mut ended = self.ask(&route, post).await;
        let is_well = ended.as_ref().is_ok_and(|reply| reply.status < 500);
        let (now_ms, random) = (self.now_ms(), random());
        let moved = self.state().endpoints.handle_end(&name, is_well, began_ms, now_ms, random);
        if let Some(moved) = moved {
            self.report(&moved, &ended);
            if let Ok(reply) = &mut ended {
                // It is not this one that is asked again.
                reply.retry_after = None;
            }
        }
        ended
    }

    fn endpoint(&self) -> Option<EndpointView> {
        let state = self.state();
        let (in_use, failovers) =
            (state.endpoints.in_use().to_owned(), state.endpoints.failovers());
        Some(EndpointView { in_use, failovers, owners: state.owners.clone() })
    }
}

/// The URL without its query, in which some backends take a key.
fn shown(url: &Uri) -> String {
    let text = url.to_string();
    text.split(['?', '#']).next().unwrap_or(&text).to_owned()
}

/// The host's own number: it ranks endpoints the same way after a restart.
fn host_seed() -> u64 {
    let name = std::fs::read("/proc/sys/kernel/hostname");
    name.map_or_else(|_| RandomState::new().hash_one(0), |name| xxh3_64(&name))
}

/// Enough for jitter; in 0..1.
fn random() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}
