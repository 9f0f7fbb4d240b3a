//! `remote_write`: each block is read by `weir_remote`; here it gets the defaults of `queue`.

use std::path::Path;

use weir_config::Check;
use weir_remote::config::{Destination, PROMETHEUS, validate};

use crate::config::raw::Raw;

use super::bounds::QueueDefaults;

/// The destinations, each with its key for messages.
pub(super) fn destinations(
    raw: &mut Raw,
    folder: &Path,
    queue: &QueueDefaults,
    check: &mut Check<'_>,
) -> Vec<(Destination, String)> {
    let mut blocks = raw.remote_write.take().unwrap_or_default();
    for block in &mut blocks {
        block.max_bytes.get_or_insert_with(|| queue.bounds.max_bytes.to_string());
        if block.max_age.is_none() {
            block.max_age = queue.bounds.max_age.map(|age| age.to_string());
        }
        if block.on_full.is_none() {
            block.on_full.clone_from(&queue.on_full);
        }
    }
    let destinations = validate(&blocks, &PROMETHEUS, check).into_iter().enumerate();
    destinations
        .map(|(index, mut destination)| {
            destination.client.resolve(folder);
            (destination, format!("remote_write[{index}]"))
        })
        .collect()
}
