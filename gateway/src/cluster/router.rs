//! What other members may ask. Nobody else comes here: see [`super::listener`].

use std::sync::Arc;

use weir_http::{
    Bytes, Full, Handler, HeaderMap, HeaderValue, Incoming, Method, Peer, Request, Response,
    StatusCode, header,
};

use super::follow::serve::TWIN_PATH;
use super::forward::WRITE_PATH;
use super::stream::PARTIALS_PATH;
use super::usage::{self, USAGE_PATH};
use super::{Cluster, MEMBER_HEADER, delivered, moves};
use crate::node::Node;
use crate::router::plain;

/// The placement table, as the member that answers knows it.
pub const TABLE_PATH: &str = "/cluster/v1/table";

type Page = Response<Full<Bytes>>;

/// Answers requests of other members.
pub struct ClusterRouter {
    node: Arc<Node>,
}

impl ClusterRouter {
    /// Over a node that may still be replaying.
    pub fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn answer(&self, request: Request<Incoming>) -> Page {
        match (request.method(), request.uri().path()) {
            (&Method::GET, TABLE_PATH) => {
                delivered::take(&self.node, request.headers());
                let mut answer = table(&self.node.cluster, request.headers());
                answer.headers_mut().extend(delivered::said(&self.node));
                answer
            }
            (&Method::GET, USAGE_PATH) => used(&self.node),
            (&Method::POST, WRITE_PATH) => {
                crate::ingest::handle_forwarded(&self.node, request).await
            }
            (&Method::POST, moves::PREPARE_PATH) => moves::prepare(&self.node),
            (&Method::POST, moves::ADOPT_PATH) => moves::adopt(&self.node, request).await,
            (&Method::POST, moves::DONE_PATH) => moves::done(&self.node, request).await,
            (&Method::POST, moves::BEGIN_PATH) => moves::begin(&self.node, request).await,
            (&Method::POST, TWIN_PATH) => super::follow::serve::handle(&self.node, request).await,
            (&Method::POST, PARTIALS_PATH) => super::partials::handle(&self.node, request).await,
            _ => plain(StatusCode::NOT_FOUND, "members of the tier have nothing to ask here\n"),
        }
    }
}

impl Handler for ClusterRouter {
    async fn handle(&self, request: Request<Incoming>, _: Peer) -> Page {
        let cluster = &self.node.cluster;
        let mut answer = match cluster.peers().terms().check_asked(request.headers()) {
            Ok(()) => self.answer(request).await,
            Err(why) => plain(StatusCode::CONFLICT, &format!("{why}\n")),
        };
        answer.headers_mut().extend([cluster.peers().terms().header()]);
        if let Ok(own) = HeaderValue::from_str(cluster.own_name()) {
            answer.headers_mut().insert(MEMBER_HEADER, own);
        }
        answer
    }
}

/// The table, or 304 to who knows it.
fn table(cluster: &Cluster, headers: &HeaderMap) -> Page {
    let view = cluster.view();
    let tag = format!("\"{}\"", view.tag);
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let (status, body) = match known {
        Some(known) if known == tag => (StatusCode::NOT_MODIFIED, Bytes::new()),
        _ => (StatusCode::OK, view.text.clone()),
    };
    let answer = Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::ETAG, tag);
    answer.body(Full::new(body)).unwrap_or_default()
}

/// What tenants use here.
fn used(node: &Node) -> Page {
    let body = serde_json::to_vec(&usage::own(node)).unwrap_or_default();
    let answer = Response::builder().header(header::CONTENT_TYPE, "application/json");
    answer.body(Full::new(body.into())).unwrap_or_default()
}
