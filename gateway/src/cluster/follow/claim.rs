//! The first thing at a start: whether this node may run as who it is.
//!
//! Invariant: once a claim is made nobody takes over from an older twin, and who was taken over never
//! comes back by itself.

use std::time::Duration;

use super::record::Record;
use crate::cluster::etcd::Etcd;

/// Between attempts while etcd is away.
const RETRY: Duration = Duration::from_secs(1);

/// Why a node must not run.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum ClaimError {
    /// Its follower has taken over.
    #[error(
        "{name} was away for too long, and {host} has taken it over (epoch {epoch}): all that {name} \
         had acknowledged is there. This data directory is out of date: remove it, and start this \
         gateway under another cluster.name (docs/OPERATIONS.md, \"A member that was taken over\")"
    )]
    Elsewhere {
        /// This node.
        name: String,
        /// Who runs it.
        host: String,
        /// Since which epoch.
        epoch: u64,
    },
    /// Who started this process has no right to.
    #[error("{0} does not run on {1} any more")]
    NotHosted(String, String),
}

/// Says that the member `own` runs on `host` in a new epoch, with no follower in step. `None` where
/// nothing has ever been followed and nothing `must` be. Waits for etcd if something must.
pub(super) async fn claim(
    etcd: &Etcd,
    own: &str,
    host: &str,
    must: bool,
) -> Result<Option<(Record, u64)>, ClaimError> {
    let mut is_said = false;
    loop {
        match attempt(etcd, own, host, must).await {
            Ok(Claimed::Yes(record, revision)) => return Ok(Some((record, revision))),
            Ok(Claimed::NoNeed) => return Ok(None),
            Ok(Claimed::Again) => {}
            Ok(Claimed::Never(why)) => return Err(why),
            Err(why) if !must => {
                tracing::warn!(%why, "etcd cannot say whether this node was followed before");
                return Ok(None);
            }
            Err(why) => {
                if !std::mem::replace(&mut is_said, true) {
                    tracing::warn!(%why, "waiting for etcd, which says who may run");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

enum Claimed {
    Yes(Record, u64),
    NoNeed,
    Again,
    Never(ClaimError),
}

async fn attempt(etcd: &Etcd, own: &str, host: &str, must: bool) -> Result<Claimed, String> {
    let standing = etcd.look().await?;
    let (before, revision) = match standing.records.get(own) {
        Some((record, _)) if record.host != host && host == own => {
            let (name, host) = (own.to_owned(), record.host.clone());
            let epoch = record.epoch;
            return Ok(Claimed::Never(ClaimError::Elsewhere { name, host, epoch }));
        }
        Some((record, _)) if record.host != host => {
            return Ok(Claimed::Never(ClaimError::NotHosted(own.into(), host.into())));
        }
        Some((record, revision)) => (record.clone(), *revision),
        None if host != own => {
            return Ok(Claimed::Never(ClaimError::NotHosted(own.into(), host.into())));
        }
        None if !must => return Ok(Claimed::NoNeed),
        None => (Record { host: host.to_owned(), ..Record::default() }, 0),
    };
    let record = before.next(None);
    let swapped = etcd.swap_record(own, revision, &record).await?;
    Ok(swapped.map_or(Claimed::Again, |revision| Claimed::Yes(record, revision)))
}
