//! The agent's own endpoints: health, metrics, targets, reload.
//!
//! Paths and answers are Prometheus's, so that probes, dashboards and scripts go on. Not here: what
//! is done with pushes and remote write that come in.

pub mod metrics;
mod page;
pub mod targets;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_http::{Bytes, Full, Method, Response, StatusCode, header};
use weir_telemetry::{ExpositionFormat, Registry};

use crate::pools::Pools;

/// An answer.
pub type Page = Response<Full<Bytes>>;

/// Reads the configuration again; the error is what a person is told.
pub type Reload = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

/// Answers requests about the agent.
pub struct Admin {
    pools: Arc<Pools>,
    registry: Registry,
    reload: Reload,
    lifecycle: bool,
    /// Set once everything runs.
    ready: Arc<AtomicBool>,
    /// Told when `/-/quit` is asked for.
    quit: tokio::sync::watch::Sender<bool>,
}

impl Admin {
    /// `lifecycle` says whether reloads and quits are taken from the network.
    pub fn new(
        pools: Arc<Pools>,
        registry: Registry,
        reload: Reload,
        lifecycle: bool,
        quit: tokio::sync::watch::Sender<bool>,
    ) -> Self {
        Self { pools, registry, reload, lifecycle, ready: Arc::default(), quit }
    }

    /// Set once everything runs.
    pub fn ready(&self) -> &Arc<AtomicBool> {
        &self.ready
    }

    /// Reads the configuration again. Blocks.
    pub fn reload(&self) -> Result<(), String> {
        (self.reload)()
    }

    /// Answers a request without a body; `None` where the path is nobody's here.
    pub fn respond(&self, method: &Method, path: &str, query: &str, accept: &str) -> Option<Page> {
        let reads = matches!(*method, Method::GET | Method::HEAD);
        let changes = matches!(*method, Method::POST | Method::PUT);
        Some(match path {
            "/-/healthy" if reads => plain(StatusCode::OK, "weir-agent-lite is healthy.\n"),
            "/-/ready" if reads => self.readiness(),
            "/metrics" if reads => self.metrics(accept),
            "/api/v1/targets" if reads => {
                typed("application/json", targets::json(&self.pools.view(), query))
            }
            "/" | "/targets" if reads => {
                typed("text/html; charset=utf-8", page::render(&self.pools.view()))
            }
            "/-/reload" if changes => self.asked(|| self.reload()),
            "/-/quit" if changes => self.asked(|| {
                self.quit.send_replace(true);
                Ok(())
            }),
            "/-/healthy" | "/-/ready" | "/metrics" | "/api/v1/targets" | "/" | "/targets" => {
                plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n")
            }
            "/-/reload" | "/-/quit" => plain(StatusCode::METHOD_NOT_ALLOWED, "use POST\n"),
            _ => return None,
        })
    }

    fn readiness(&self) -> Page {
        if self.ready.load(Ordering::Acquire) {
            plain(StatusCode::OK, "weir-agent-lite is ready.\n")
        } else {
            plain(StatusCode::SERVICE_UNAVAILABLE, "the buffer is being read\n")
        }
    }

    fn metrics(&self, accept: &str) -> Page {
        let format = ExpositionFormat::negotiate(Some(accept));
        typed(format.content_type(), self.registry.encode(format))
    }

    fn asked(&self, action: impl FnOnce() -> Result<(), String>) -> Page {
        if !self.lifecycle {
            let why = "Lifecycle API is not enabled: start with --web.enable-lifecycle\n";
            return plain(StatusCode::FORBIDDEN, why);
        }
        match action() {
            Ok(()) => plain(StatusCode::OK, ""),
            Err(why) => {
                let why = format!("failed to reload config: {why}\n");
                plain(StatusCode::INTERNAL_SERVER_ERROR, &why)
            }
        }
    }
}

/// A short text.
pub fn plain(status: StatusCode, body: &str) -> Page {
    let mut page = typed("text/plain; charset=utf-8", body.to_owned());
    *page.status_mut() = status;
    page
}

fn typed(content_type: &'static str, body: String) -> Page {
    let response = Response::builder().header(header::CONTENT_TYPE, content_type);
    response.body(Full::new(Bytes::from(body))).unwrap_or_default()
}
