//! Each table in force becomes a record of the log, so that a replay knows where groups lived.

use std::sync::Arc;

use crate::node::Node;
use crate::wal::PlacementRecord;

/// Records the table in force, and every one that follows.
pub fn keep_recording(node: &Arc<Node>) -> Result<(), String> {
    if node.cluster.is_alone() {
        return Ok(());
    }
    let mut version = node.cluster.watch();
    version.mark_unchanged();
    record(node)?;
    let node = Arc::clone(node);
    tokio::spawn(async move {
        while version.changed().await.is_ok() {
            if let Err(why) = record(&node) {
                tracing::error!(%why, "the table cannot be recorded");
            }
        }
    });
    Ok(())
}

fn record(node: &Node) -> Result<(), String> {
    let record = PlacementRecord::of(&node.cluster.table(), node.cluster.own_name());
    node.pipeline.placement(record).map(drop).map_err(|why| why.to_string())
}
