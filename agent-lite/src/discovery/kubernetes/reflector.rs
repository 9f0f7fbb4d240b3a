//! Keeping one kind of object up to date: a list, and then what a watch says.
//!
//! Invariant: after a list, every change arrives, in order, or everything is listed anew. A failed
//! request is tried again after a pause that grows, never at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::Selector;
use super::api::{Api, ApiError, Event};
use super::objects::{Kind, Object};
use super::state::Change;
use crate::discovery::{DiscoveryError, Outlet, random};

/// Which objects are looked at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scope {
    pub(super) kind: Kind,
    /// All of them if there is none.
    pub(super) namespace: Option<String>,
    pub(super) selector: Selector,
}

impl Scope {
    pub(super) fn new(kind: Kind, namespace: Option<String>, selector: Selector) -> Self {
        Self { kind, namespace, selector }
    }
}

/// Lists and watches for ever.
pub(super) async fn reflect(
    api: Arc<Api>,
    scope: Scope,
    changes: mpsc::Sender<Change>,
    outlet: Outlet,
) {
    let mut pause = Pause::default();
    let mut version = None;
    loop {
        let failure = match version.take() {
            None => match list(&api, &scope).await {
                Ok((objects, at)) => {
                    let listed = Change::Listed { scope: scope.clone(), objects };
                    if changes.send(listed).await.is_err() {
                        return;
                    }
                    version = Some(at);
                    None
                }
                Err(error) => Some(error),
            },
            Some(mut at) => {
                let outcome = follow(&api, &scope, &mut at, &changes, &mut pause).await;
                let gone = outcome.as_ref().is_err_and(ApiError::is_gone);
                version = Some(at).filter(|_| !gone);
                // To be told so is how the API works; a pause is due all the same.
                outcome.err()
            }
        };
        match failure {
            None => {}
            Some(error) => {
                if !error.is_gone() {
                    let path = scope.kind.path(scope.namespace.as_deref());
                    outlet.failed(&DiscoveryError::new(path, error));
                }
                tokio::time::sleep(pause.next()).await;
            }
        }
    }
}

/// All objects of a scope, and the version at which they were so.
async fn list(api: &Api, scope: &Scope) -> Result<(Vec<Object>, String), ApiError> {
    let mut objects = Vec::new();
    let mut next = None;
    loop {
        let page = api.list(scope, next.as_deref()).await?;
        objects.extend(page.objects);
        if objects.len() > OBJECTS_MAX {
            let message = format!("more than {OBJECTS_MAX} objects; choose with selectors");
            return Err(ApiError::Refused { code: 200, message });
        }
        match page.next {
            None => return Ok((objects, page.version)),
            Some(token) => next = Some(token),
        }
    }
}

/// Passes on what a watch says until it ends, and moves `version` along.
async fn follow(
    api: &Api,
    scope: &Scope,
    version: &mut String,
    changes: &mpsc::Sender<Change>,
    pause: &mut Pause,
) -> Result<(), ApiError> {
    let mut watch = api.watch(scope, version).await?;
    while let Some(event) = watch.next().await? {
        *pause = Pause::default();
        let (change, at) = match event {
            Event::Set(object, at) => (Some(Change::Set(object)), at),
            Event::Deleted(object, at) => (Some(Change::Deleted(object.key())), at),
            Event::Bookmark(at) => (None, at),
        };
        *version = at;
        if let Some(change) = change
            && changes.send(change).await.is_err()
        {
            return Ok(());
        }
    }
    // A server that ends watches at once must not be asked in a loop.
    tokio::time::sleep(REWATCH_PAUSE).await;
    Ok(())
}

/// The pause after a failure: doubled each time, up to half a minute, and never the same on two
/// agents.
#[derive(Debug)]
struct Pause(u64);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST_MS)
    }
}

impl Pause {
    fn next(&mut self) -> Duration {
        let pause_ms = self.0 / 2 + random() % self.0;
        self.0 = (self.0 * 2).min(LAST_MS);
        Duration::from_millis(pause_ms)
    }
}

const FIRST_MS: u64 = 800;
const LAST_MS: u64 = 30_000;
const REWATCH_PAUSE: Duration = Duration::from_millis(200);
/// Objects of one kind that are held; a cluster of 5,000 nodes has at most 150,000 pods.
const OBJECTS_MAX: usize = 150_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit() {
        let mut pause = Pause::default();
        let pauses: Vec<u64> =
            (0..20).map(|_| u64::try_from(pause.next().as_millis()).unwrap()).collect();
        assert!((400..1200).contains(&pauses[0]), "{pauses:?}");
        assert!(pauses[10..].iter().all(|ms| (15_000..45_000).contains(ms)), "{pauses:?}");
    }
}
