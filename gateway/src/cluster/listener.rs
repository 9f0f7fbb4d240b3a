//! The second server, for other members only, on `cluster.listen`.
//!
//! Invariant: with `cluster.tls` a connection without a certificate of the tier ends in its
//! handshake, before anything of HTTP is read.

use std::sync::Arc;
use std::time::Instant;

use weir_http::{Drain, Server, ServerConfig, ServerTls};

use super::router::ClusterRouter;
use crate::boot::BootError;
use crate::node::Node;

/// Open connections: some for each of many members.
const CONNECTIONS_MAX: usize = 4096;

/// Where the address that was bound is written down, in the data directory.
const ADDRESS_FILE: &str = "cluster.addr";

/// Binds and begins to answer, until `drain`; nothing, where no address is configured.
pub async fn serve(node: &Arc<Node>, drain: &Drain) -> Result<(), BootError> {
    let current = node.current.load_full();
    let cluster = &current.config.cluster;
    let Some(listen) = cluster.listen.filter(|_| !node.cluster.is_alone()) else {
        return Ok(());
    };
    let tls = cluster.tls.as_ref().map(|tls| ServerTls::load(tls.server(), Instant::now()));
    let tls = tls.transpose().map_err(|why| BootError::State(format!("cluster.tls: {why}")))?;
    let http = ServerConfig {
        connections_max: CONNECTIONS_MAX,
        tls: tls.map(Arc::new),
        ..ServerConfig::default()
    };
    let failed = |why| BootError::Io { what: format!("cluster.listen on {listen}"), why };
    let server = Server::bind(listen, http).await.map_err(failed)?;
    let addr = server.local_addr().map_err(failed)?;
    let file = current.config.data_dir.join(ADDRESS_FILE);
    if let Err(why) = std::fs::write(&file, addr.to_string()) {
        // For people and scripts only.
        tracing::warn!(%why, file = %file.display(), "the address cannot be written down");
    }
    tracing::info!(%addr, "listening for other members");
    let router = Arc::new(ClusterRouter::new(Arc::clone(node)));
    tokio::spawn(server.serve(router, drain.clone()));
    Ok(())
}
