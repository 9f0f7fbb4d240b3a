//! What a follower answers: a batch of a member's stream is in the twin before it is answered.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use weir_http::Bytes;
use weir_http::limits::{declared_len, read_body};

use super::leader::FIRST_HEADER;
use super::twins::RefusedError;
use crate::cluster::MEMBER_HEADER;
use crate::cluster::stream::EPOCH_HEADER;
use crate::node::Node;
use crate::router::page;

/// Where members ship what changes in their data directories.
pub const TWIN_PATH: &str = "/cluster/v1/twin";

/// Bytes of one batch: its bound, and one more change.
const BATCH_BYTES_MAX: usize = 8 << 20;

/// For a whole batch to come.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Takes a batch: 200 with the number of changes that the twin has; 409 where the stream does not go
/// on, 503 where it may later.
pub async fn handle(node: &Arc<Node>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, incoming) = request.into_parts();
    let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| text(name)?.parse::<u64>().ok();
    let name = text(MEMBER_HEADER).unwrap_or_default().to_owned();
    let table = node.cluster.table();
    // Names come from here alone, so that none leads out of the folder of twins.
    if table.find(&name).is_none() || name == node.cluster.own_name() || name.starts_with('.') {
        return page(StatusCode::FORBIDDEN, format!("{name:?} is no other member"));
    }
    let stream = number(EPOCH_HEADER.as_str()).zip(number(FIRST_HEADER.as_str()));
    let Some((epoch, first)) = stream else {
        return page(StatusCode::BAD_REQUEST, "no stream and no place in it");
    };
    let body = read_body(incoming, declared_len(&parts.headers), BATCH_BYTES_MAX, TIMEOUT).await;
    let body = match body {
        Ok(body) => body,
        Err(why) => return page(StatusCode::BAD_REQUEST, why.to_string()),
    };
    let node = Arc::clone(node);
    let taking = tokio::task::spawn_blocking(move || match node.follow.twins.get() {
        Some(twins) => twins.take(&name, epoch, first, &body).map_err(Some),
        None => Err(None),
    });
    match taking.await {
        Ok(Ok(changes)) => page(StatusCode::OK, changes.to_string()),
        Ok(Err(Some(why @ RefusedError::Over(_)))) => page(StatusCode::CONFLICT, why.to_string()),
        Ok(Err(Some(why @ RefusedError::Wrong(_)))) => {
            page(StatusCode::BAD_REQUEST, why.to_string())
        }
        Ok(Err(Some(why @ RefusedError::Disk(_)))) => {
            tracing::error!(%why, "as a follower");
            page(StatusCode::INSUFFICIENT_STORAGE, why.to_string())
        }
        Ok(Err(None)) => page(StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        Err(why) => page(StatusCode::SERVICE_UNAVAILABLE, why.to_string()),
    }
}
