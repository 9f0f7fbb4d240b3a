//! An agent's question over HTTP; the paths, headers and statuses of [`control`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

#[cfg(doc)]
use weir_agent_config::control;
use weir_agent_config::control::REPORT_HEADER;
use weir_agent_config::watermark::Watermark;
use weir_http::{Bytes, Full, HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::{Question, Told};
use crate::frontier::wall_ms;
use crate::node::Node;

/// Answers `GET /api/v1/agents/config`.
pub fn handle(node: &Arc<Node>, query: &str, headers: &HeaderMap) -> Response<Full<Bytes>> {
    let held = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let held = held.map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
    let report = headers.get(HeaderName::from_static(REPORT_HEADER)).map(HeaderValue::as_bytes);
    let question = Question { query, held, report };
    let current = node.current.load();
    match node.agents.ask(&current.config.agents, &question, wall_ms()) {
        Ok(Told::Take { text, version }) => {
            page(StatusCode::OK, "application/yaml", Some(&version), text.to_string())
        }
        Ok(Told::Keep(version)) => {
            page(StatusCode::NOT_MODIFIED, "application/yaml", Some(&version), String::new())
        }
        Ok(Told::Nothing) => {
            let why = "no entry of agents matches this agent's labels\n".to_owned();
            page(StatusCode::NOT_FOUND, PLAIN, None, why)
        }
        Err(why) => page(StatusCode::BAD_REQUEST, PLAIN, None, format!("{why}\n")),
    }
}

/// Answers `POST /api/v1/agents/watermark`: 204 once it counts, 503 where nothing is taken.
pub fn promise(node: &Arc<Node>, query: &str) -> Response<Full<Bytes>> {
    if !node.readiness.ready.load(Ordering::Acquire) {
        let why = "reading the log back\n".to_owned();
        return page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, None, why);
    }
    match Watermark::from_query(query) {
        Ok(watermark) => {
            node.promises.promise(&watermark, wall_ms());
            page(StatusCode::NO_CONTENT, PLAIN, None, String::new())
        }
        Err(why) => page(StatusCode::BAD_REQUEST, PLAIN, None, format!("{why}\n")),
    }
}

fn page(
    status: StatusCode,
    content_type: &'static str,
    version: Option<&str>,
    body: String,
) -> Response<Full<Bytes>> {
    let mut page = Response::new(Full::new(Bytes::from(body)));
    *page.status_mut() = status;
    let headers = page.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let tag = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok());
    headers.extend(tag.map(|tag| (header::ETAG, tag)));
    page
}

const PLAIN: &str = "text/plain; charset=utf-8";
