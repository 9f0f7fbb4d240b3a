//! Each second every other member is asked for its table: who answers is up, and who knows better is
//! believed.
//!
//! Invariant: a member that hangs is away after [`TIMEOUT`] and a pause, and holds up no one else.
//! A table that is known is not sent: the question names it, as an `ETag`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use weir_http::{HeaderMap, HeaderValue, StatusCode, header};

use super::peers::Peer;
use super::router::TABLE_PATH;
use super::{Cluster, table_text};

const EVERY: Duration = Duration::from_secs(1);

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Asks for as long as the process runs.
pub(super) fn keep_probing(cluster: &Arc<Cluster>) {
    let cluster = Arc::clone(cluster);
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            round(&cluster).await;
        }
    });
}

/// Asks each of the others once, all at the same time.
pub(super) async fn round(cluster: &Arc<Cluster>) {
    let mut asking = JoinSet::new();
    for peer in cluster.peers().all() {
        let cluster = Arc::clone(cluster);
        asking.spawn(async move { ask(&cluster, &peer).await });
    }
    while asking.join_next().await.is_some() {}
}

async fn ask(cluster: &Cluster, peer: &Peer) {
    let tag = format!("\"{}\"", cluster.view().tag);
    let headers = HeaderValue::from_str(&tag).map(|tag| (header::IF_NONE_MATCH, tag));
    let heard = cluster.delivered().heard(&peer.member().name);
    let headers: HeaderMap = headers.into_iter().chain(heard).collect();
    // Who has not answered is away; the peer's facts say why.
    let Ok(reply) = peer.get(TABLE_PATH, headers, TIMEOUT).await else {
        return;
    };
    let (member, status) = (&peer.member().name, reply.status);
    cluster.delivered().note(member, &reply.headers);
    match status {
        StatusCode::NOT_MODIFIED => {}
        StatusCode::OK => match table_text::read(&reply.body) {
            Ok(table) => {
                if cluster.learn(&table) {
                    tracing::info!(member, version = table.version(), "a member knew better");
                }
            }
            Err(why) => tracing::warn!(member, %why, "a member's table cannot be read"),
        },
        status => tracing::warn!(member, %status, "a member does not tell its table"),
    }
}
