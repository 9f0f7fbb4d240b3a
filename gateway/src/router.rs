//! Which part answers a request, behind authentication.
//!
//! Health and readiness are open to all, for orchestrators have no credentials; everything else
//! asks for them where there are any.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use weir_agent_config::control::CONFIG_PATH;
use weir_agent_config::custody::CUSTODY_PATH;
use weir_agent_config::watermark::WATERMARK_PATH;
use weir_aggregate::matcher::Selector;
use weir_http::auth::AuthError;
use weir_http::{
    Authenticator, Bytes, Full, Handler, HeaderMap, Incoming, Method, Peer, Request, Response,
    ServerCounters, StatusCode, header,
};
use weir_ring::OWNERS_PATH;
use weir_telemetry::{Registry, Scrape};

use crate::admin::Admin;
use crate::admin::routes::MOVES_PATH;
use crate::allocator;
use crate::config::Overrides;
use crate::node::Node;
use crate::outlets::Outlets;

type Page = Response<Full<Bytes>>;

/// How often the status page's rates get a new moment.
const OBSERVE_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Answers every request of the gateway.
pub struct Router {
    node: Arc<Node>,
    admin: Arc<Admin>,
    auth: Authenticator,
    outlets: Arc<OnceLock<Arc<Outlets>>>,
}

impl Router {
    /// A router over a node that may still be replaying.
    pub fn new(node: Arc<Node>, overrides: Overrides) -> Result<Self, AuthError> {
        let auth = Authenticator::new(&node.current.load().config.auth, Instant::now())?;
        let outlets = Arc::new(OnceLock::<Arc<Outlets>>::new());
        let (reloaded, destinations) = (Arc::clone(&node), Arc::clone(&outlets));
        let runtime = tokio::runtime::Handle::current();
        let reload = move || {
            crate::reload::reload(&reloaded, &overrides)?;
            let Some(outlets) = destinations.get() else {
                return Ok(());
            };
            let current = reloaded.current.load_full();
            let (to, labels) = (&current.config.destinations, &current.config.external_labels);
            runtime.block_on(outlets.egress.reload(to, labels))
        };
        let admin = Admin::new(Arc::clone(&node), Registry::new(), Box::new(reload));
        admin.registry().set_collector("allocator", Arc::new(allocator::metrics));
        let held = Arc::clone(&node);
        let collect = move |scrape: &mut Scrape| held.custody.collect(scrape);
        admin.registry().set_collector("custody", Arc::new(collect));
        let told = Arc::clone(&node);
        let collect = move |scrape: &mut Scrape| crate::cluster::metrics::collect(&told, scrape);
        admin.registry().set_collector("tier", Arc::new(collect));
        Ok(Self { node, admin: Arc::new(admin), auth, outlets })
    }

    /// Outlets are shown, and `/federate` served, from now on.
    pub fn serve_outlets(&self, outlets: &Arc<Outlets>) {
        let shown = Arc::clone(outlets);
        self.admin.show_destinations(Box::new(move || crate::egress::shown(&shown.egress)));
        let measured = Arc::clone(outlets);
        let collect = move |scrape: &mut Scrape| measured.metrics(scrape);
        self.admin.registry().set_collector("outlets", Arc::new(collect));
        drop(self.outlets.set(Arc::clone(outlets)));
    }

    /// Shows what the server counts.
    pub fn count_connections(&self, counters: Arc<ServerCounters>) {
        let collect = move |scrape: &mut Scrape| connections(&counters, scrape);
        self.admin.registry().set_collector("server", Arc::new(collect));
    }

    /// Keeps a moment every few seconds, so that the page's rates are of now.
    pub fn keep_observing(&self) {
        let admin = Arc::clone(&self.admin);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(OBSERVE_EVERY).await;
                admin.observe();
            }
        });
    }

    /// Reads the configuration again. Blocks; not for a runtime's thread.
    pub fn reload(&self) -> Result<(), String> {
        self.admin.reload()
    }

    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Page {
        let path = request.uri().path().to_owned();
        let open = matches!(path.as_str(), "/-/healthy" | "/-/ready");
        if !open && let Err(denied) = self.auth.check(request.headers(), Instant::now()) {
            return unauthorized(denied.challenge());
        }
        match (request.method(), path.as_str()) {
            (_, "/api/v1/write" | "/api/v1/push") if asks_for_vm(&request) => {
                plain(StatusCode::OK, "1")
            }
            (&Method::POST, "/api/v1/write" | "/api/v1/push") => {
                crate::ingest::handle(&self.node, request).await
            }
            (&Method::POST, WATERMARK_PATH) => {
                let query = request.uri().query().unwrap_or_default();
                crate::agents::promise(&self.node, query)
            }
            (&Method::POST, CUSTODY_PATH) => {
                let query = request.uri().query().unwrap_or_default();
                crate::custody::handle(&self.node, self.outlets.get(), query)
            }
            (&Method::GET, CONFIG_PATH) => {
                let query = request.uri().query().unwrap_or_default();
                crate::agents::handle(&self.node, query, request.headers())
            }
            (&Method::GET, OWNERS_PATH) => {
                crate::cluster::senders::handle(&self.node, request.headers())
            }
            (&Method::POST, MOVES_PATH) => {
                let query = request.uri().query().unwrap_or_default();
                crate::cluster::moves::handle(&self.node, query).await
            }
            (&Method::GET, "/federate") => self.federate(&request, peer).await,
            _ => self.administer(request).await,
        }
    }

    /// Pages and reloads may take a while; they do it on a thread of their own.
    async fn administer(&self, request: Request<Incoming>) -> Page {
        let admin = Arc::clone(&self.admin);
        let (parts, _) = request.into_parts();
        let answer = move || admin.respond(&parts.method, parts.uri.path(), &parts.headers);
        match tokio::task::spawn_blocking(answer).await {
            Ok(Some(page)) => page,
            Ok(None) => plain(StatusCode::METHOD_NOT_ALLOWED, "this endpoint takes POST\n"),
            Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{why}\n")),
        }
    }

    async fn federate(&self, request: &Request<Incoming>, peer: Peer) -> Page {
        let Some(federate) = self.outlets.get().and_then(|o| o.federate.clone()) else {
            let why = "outputs go to remote_write, or are not ready yet; /federate has none\n";
            return plain(StatusCode::NOT_FOUND, why);
        };
        let query = request.uri().query().unwrap_or_default();
        let selectors = match selectors(query) {
            Ok(selectors) => selectors,
            Err(why) => return plain(StatusCode::BAD_REQUEST, &format!("{why}\n")),
        };
        let tenant = tenant(&self.node, request.headers());
        let accept = text(request.headers(), header::ACCEPT.as_str()).to_owned();
        // Whoever asks for the same from the same host is the same scraper.
        let agent = text(request.headers(), header::USER_AGENT.as_str());
        let scraper = format!("{} {agent} {query}", peer.addr.ip());
        let render = move || federate.page(&tenant, &scraper, &selectors, &accept);
        match tokio::task::spawn_blocking(render).await {
            Ok((kind, page)) => {
                let response = Response::builder().header(header::CONTENT_TYPE, kind);
                response.body(Full::new(Bytes::from(page))).unwrap_or_default()
            }
            Err(why) => plain(StatusCode::INTERNAL_SERVER_ERROR, &format!("{why}\n")),
        }
    }
}

impl Handler for Router {
    async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Page {
        let mut page = self.answer(request, peer).await;
        crate::cluster::senders::say(&self.node, page.headers_mut());
        page
    }
}

/// vmagent asks for this before it sends zstd.
fn asks_for_vm(request: &Request<Incoming>) -> bool {
    request.uri().query().is_some_and(|q| q.contains("get_vm_proto_version"))
}

/// The `match[]` of a query.
fn selectors(query: &str) -> Result<Vec<Selector>, String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let matches = pairs.filter(|(name, _)| name == "match[]");
    matches
        .map(|(_, text)| text.parse::<Selector>().map_err(|e| format!("match[] {text:?}: {e}")))
        .collect()
}

fn tenant(node: &Node, headers: &HeaderMap) -> String {
    let current = node.current.load();
    let tenancy = &current.config.tenancy;
    let named = text(headers, &tenancy.header);
    if named.is_empty() { tenancy.default.clone() } else { named.to_owned() }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn unauthorized(challenge: &'static str) -> Page {
    let response = Response::builder().status(StatusCode::UNAUTHORIZED);
    let response = response.header(header::WWW_AUTHENTICATE, challenge);
    response
        .body(Full::new(Bytes::from_static(b"credentials are missing or wrong\n")))
        .unwrap_or_default()
}

/// An answer for a program: its status and body, and nothing about them.
pub(crate) fn page(status: StatusCode, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page
}

/// An answer for people.
pub(crate) fn plain(status: StatusCode, body: &str) -> Page {
    let response = Response::builder().status(status);
    let response = response.header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
    response.body(Full::new(Bytes::from(body.to_owned()))).unwrap_or_default()
}

/// Connections, and those that were refused or broke.
fn connections(counters: &ServerCounters, scrape: &mut Scrape) {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let help = "Connections that are open now.";
    scrape.gauge("weir_connections_open", help, &[], read(&counters.connections_open) as f64);
    let help = "Connections that were let in.";
    scrape.counter("weir_connections_total", help, &[], read(&counters.connections_total));
    let help = "Connections that were refused or ended badly, by reason.";
    let reasons = [
        ("too_many", &counters.connections_refused),
        ("accept", &counters.accept_errors),
        ("tls", &counters.tls_handshake_errors),
        ("idle", &counters.idle_closed),
        ("broken", &counters.connection_errors),
    ];
    for (reason, counter) in reasons {
        let name = "weir_connections_ended_total";
        scrape.counter(name, help, &[("reason", reason)], read(counter));
    }
}
