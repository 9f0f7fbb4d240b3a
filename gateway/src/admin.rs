//! How people and machines look at a running gateway: health, metrics, the status page, reloads.
//!
//! A moment is gathered once ([`status`], by `gather.rs`) and shown three ways: [`metrics`], the
//! [`page`], and the page's content as JSON. [`problems`] says what is wrong, [`rates`] how fast
//! things go, [`routes`] what is served where. Invariant: looking changes nothing but the moments
//! kept for rates, and never waits for the data path.

mod gather;
pub mod metrics;
pub mod page;
pub mod problems;
pub mod rates;
pub mod routes;
#[cfg(test)]
mod sample;
pub mod status;

use std::sync::{Arc, Mutex, OnceLock};

use weir_http::{Bytes, Full, HeaderMap, Method, Response, StatusCode, header};
use weir_telemetry::{ExpositionFormat, ProcessCollector, Registry, Scrape, process};

pub use gather::destination;

use crate::cluster::overview::Overview;
use crate::frontier::wall_ms;
use crate::ingest::IngestFacts;
use crate::node::Node;
use crate::shard::worker::lock;
use page::{View, format};
use rates::{History, Rates};
use routes::{ENDPOINTS, Route, route};
use status::{Destination, Reloads, Status};

/// Tells what each destination does, in the order in which they are shown.
pub type Destinations = Box<dyn Fn() -> Vec<Destination> + Send + Sync>;

/// Reads the configuration again and puts it in force; the error has a problem in each line.
pub type Reload = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Everything that is there to look at a gateway.
pub struct Admin {
    facts: Arc<Facts>,
    registry: Registry,
    history: History,
    reload: Reload,
}

/// What the collector shares with the rest.
struct Facts {
    node: Arc<Node>,
    started_ms: i64,
    destinations: OnceLock<Destinations>,
    reloads: Mutex<Reloads>,
}

/// A response of this part.
pub type Page = Response<Full<Bytes>>;

impl Admin {
    /// Registers the gateway's metrics, the process's and the build's, and begins to count
    /// requests' durations. `reload` may take as long as it wants.
    pub fn new(node: Arc<Node>, registry: Registry, reload: Reload) -> Self {
        let revision = option_env!("WEIR_REVISION").unwrap_or("unknown");
        process::build_info(&registry, "weir", env!("CARGO_PKG_VERSION"), revision);
        registry.set_collector("process", Arc::new(ProcessCollector::new()));
        let help = "How long remote write requests took, by the gateway's own clock.";
        let buckets = IngestFacts::duration_buckets();
        let durations = registry.histogram("weir_request_duration_seconds", help, buckets);
        node.ingest_facts.measure_into(durations);
        let facts = Arc::new(Facts {
            node,
            started_ms: wall_ms(),
            destinations: OnceLock::new(),
            reloads: Mutex::default(),
        });
        let collected = Arc::clone(&facts);
        let collect = move |scrape: &mut Scrape| {
            metrics::write(&collected.status(), scrape);
            collected.node.ingest_facts.collect(scrape);
        };
        registry.set_collector("gateway", Arc::new(collect));
        Self { facts, registry, history: History::default(), reload }
    }

    /// Where other parts register what they count.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Shows destinations from now on; the first call counts.
    pub fn show_destinations(&self, destinations: Destinations) {
        if self.facts.destinations.set(destinations).is_err() {
            tracing::debug!("destinations are shown already");
        }
    }

    /// Reloads the configuration, for SIGHUP and `/-/reload` alike.
    pub fn reload(&self) -> Result<(), String> {
        let outcome = (self.reload)();
        let mut reloads = lock(&self.facts.reloads);
        match &outcome {
            Ok(()) => {
                reloads.succeeded += 1;
                reloads.last_success_ms = wall_ms();
                reloads.last_errors.clear();
            }
            Err(why) => {
                reloads.failed += 1;
                reloads.last_errors = why.lines().map(str::to_owned).collect();
                if reloads.last_errors.is_empty() {
                    reloads.last_errors.push("it did not say why".into());
                }
            }
        }
        outcome
    }

    /// The answer to a request, or `None` where the path is another part's (remote write,
    /// `/federate`). Blocks for a reload, so call it where that is no harm.
    pub fn respond(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Page> {
        let answer = match route(method, path) {
            Route::Elsewhere => return None,
            Route::Healthy => text(StatusCode::OK, "this gateway runs\n"),
            Route::Ready => self.ready(),
            Route::Metrics => self.metrics(headers),
            Route::Page => self.page(),
            Route::Script => typed("text/javascript; charset=utf-8", page::SCRIPT.to_owned()),
            Route::Status => self.json(&self.view()),
            Route::Agents => self.agents(),
            Route::Members => self.json(&Overview::new(&self.facts.node)),
            Route::Table => self.table(),
            Route::Reload => self.reload_answer(),
            Route::WrongMethod(allowed, help) => {
                let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &format!("{help}\n"));
                let allowed = header::HeaderValue::from_static(allowed);
                answer.headers_mut().insert(header::ALLOW, allowed);
                answer
            }
            Route::Unknown => {
                let body = format!("there is nothing at this path; there is\n\n{ENDPOINTS}");
                text(StatusCode::NOT_FOUND, &body)
            }
        };
        Some(answer)
    }

    /// Keeps a moment for rates; whoever looks does it, too. Called every few seconds, the first
    /// look at the page shows what happens now, and not the average since the start.
    pub fn observe(&self) {
        self.view();
    }

    fn view(&self) -> View {
        let now = Arc::new(self.facts.status());
        let before = self.history.observe(&now);
        let rates = Rates::between(before.as_deref(), &now);
        let problems = problems::problems(&now, &rates);
        View { problems, rates, status: Arc::unwrap_or_clone(now) }
    }

    fn ready(&self) -> Page {
        let status = self.facts.status();
        let body = match (status.node.stopping, status.node.ready) {
            (true, _) => "shutting down\n".to_owned(),
            (false, true) => return text(StatusCode::OK, "remote write is taken\n"),
            (false, false) => {
                format!("reading the log back: {}\n", format::percent(status.replay.progress()))
            }
        };
        let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, &body);
        answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        answer
    }

    fn metrics(&self, headers: &HeaderMap) -> Page {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let format = ExpositionFormat::negotiate(accept);
        typed(format.content_type(), self.registry.encode(format))
    }

    fn page(&self) -> Page {
        let mut answer = typed("text/html; charset=utf-8", page::render(&self.view()));
        let policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";
        let policy = header::HeaderValue::from_static(policy);
        answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        answer
    }

    fn agents(&self) -> Page {
        let node = &self.facts.node;
        let agents = node.agents.list(&node.current.load().config.agents, wall_ms());
        self.json(&serde_json::json!({ "agents": agents }))
    }

    fn table(&self) -> Page {
        let text = self.facts.node.cluster.view().text.clone();
        let mut answer = typed("application/json", String::new());
        *answer.body_mut() = Full::new(text);
        answer
    }

    fn json(&self, value: &impl serde::Serialize) -> Page {
        match serde_json::to_string(value) {
            Ok(json) => typed("application/json", json),
            Err(why) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{why}\n")),
        }
    }

    fn reload_answer(&self) -> Page {
        match self.reload() {
            Ok(()) => text(StatusCode::OK, "the configuration was read again and is in force\n"),
            Err(why) => {
                let body = format!("nothing has changed, because:\n{why}\n");
                text(StatusCode::BAD_REQUEST, &body)
            }
        }
    }
}

impl Facts {
    fn status(&self) -> Status {
        let destinations = self.destinations.get().map_or_else(Vec::new, |tell| tell());
        let process = status::Node {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started_ms,
            reloads: lock(&self.reloads).clone(),
            ..status::Node::default()
        };
        gather::gather(&self.node, process, destinations)
    }
}

fn text(status: StatusCode, body: &str) -> Page {
    let mut answer = typed("text/plain; charset=utf-8", body.to_owned());
    *answer.status_mut() = status;
    answer
}

fn typed(content_type: &'static str, body: String) -> Page {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, header::HeaderValue::from_static("nosniff"));
    answer
}
