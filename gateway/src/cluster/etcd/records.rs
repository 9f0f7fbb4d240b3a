//! Where each member's twin is, as etcd has it: read with the sessions, changed by compare-and-swap.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Etcd;
use super::answers::Pair;
use super::client::Swap;
use super::keys::{Contents, Session, chunk_key, member_key, record_key};
use crate::cluster::follow::record::{Present, Record, Standing};

impl Etcd {
    /// Sessions and records as they were last read, to be told of changes.
    pub(in crate::cluster) fn standing(&self) -> watch::Receiver<Arc<Standing>> {
        self.standing.subscribe()
    }

    /// How long a session lives without a word.
    pub(in crate::cluster) fn session_ttl(&self) -> Duration {
        self.ttl
    }

    /// Reads sessions and records now.
    pub(in crate::cluster) async fn look(&self) -> Result<Standing, String> {
        let read = self.records.list(&self.prefix).await;
        let (revision, pairs) = read.map_err(|why| why.to_string())?;
        Ok(Contents::read(&self.prefix, revision, &pairs)?.standing())
    }

    /// Replaces a member's record, if it is still as of this revision (0: there is none). Gives the new
    /// revision; `None` where another was faster. After an error it may have been made.
    pub(in crate::cluster) async fn swap_record(
        &self,
        name: &str,
        expected: u64,
        record: &Record,
    ) -> Result<Option<u64>, String> {
        let value = serde_json::to_vec(record).map_err(|why| why.to_string())?;
        let swap = Swap { key: record_key(&self.prefix, name), expected, value, lease: 0 };
        self.records.swap_at(&[swap]).await.map_err(|why| why.to_string())
    }

    /// Removes this node's session and record, if it is the one that runs under its name and owns nothing,
    /// with nothing of that changed in between. Says whether it did.
    pub(in crate::cluster) async fn leave(&self) -> Result<bool, String> {
        let read = self.records.list(&self.prefix).await;
        let (revision, pairs) = read.map_err(|why| why.to_string())?;
        let contents = Contents::read(&self.prefix, revision, &pairs)?;
        let host = self.session.host.as_ref().unwrap_or(&self.name);
        let record = contents.records.get(&self.name).filter(|(record, _)| record.host == *host);
        let (Some((_, at)), Some(slots)) = (record, &contents.slots) else {
            return Ok(false);
        };
        if slots.iter().any(|(owner, _)| *owner == self.name) {
            return Ok(false);
        }
        let record = record_key(&self.prefix, &self.name);
        let table = contents.revisions.iter().enumerate();
        let table = table.map(|(chunk, &at)| (chunk_key(&self.prefix, chunk), at));
        let unchanged: Vec<(String, u64)> = table.chain([(record.clone(), *at)]).collect();
        let gone = [record, member_key(&self.prefix, &self.name)];
        self.records.remove(&unchanged, &gone).await.map_err(|why| why.to_string())
    }

    /// Who runs the member of this node's name, if it is not this node.
    pub(super) fn host_in(&self, pairs: &[Pair]) -> Option<String> {
        let key = record_key(&self.prefix, &self.name);
        let pair = pairs.iter().find(|pair| pair.key == key)?;
        let record: Record = serde_json::from_slice(&pair.value).ok()?;
        let own = self.session.host.as_ref().unwrap_or(&self.name);
        (record.host != *own).then_some(record.host)
    }
}

impl Contents {
    /// What followers look at.
    pub(super) fn standing(&self) -> Standing {
        let present = |session: &Session| Present {
            address: session.address.clone(),
            capacity: session.capacity,
            host: session.host.clone(),
        };
        let members = self.sessions.iter().map(|(name, s)| (name.clone(), present(s)));
        Standing { members: members.collect(), records: self.records.clone() }
    }
}
