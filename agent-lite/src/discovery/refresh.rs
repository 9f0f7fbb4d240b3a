//! Mechanisms that look again and again.
//!
//! Invariant: the first look is at once, and the next one an interval after the last has ended, so
//! that a slow upstream is never asked twice at a time.

use std::future::Future;
use std::time::Duration;

use super::{DiscoveryError, Group, Outlet, Update};

/// What can be looked at.
pub(super) trait Source {
    /// How long to wait between two looks.
    fn interval(&self) -> Duration;

    /// All groups; `None` if nothing can have changed. Failures of parts are told to the outlet,
    /// and the groups of such parts are the last good ones.
    fn look(
        &mut self,
        outlet: &Outlet,
    ) -> impl Future<Output = Result<Option<Vec<Group>>, DiscoveryError>> + Send;
}

/// Looks for ever.
pub(super) async fn refresh(mut source: impl Source, outlet: Outlet) {
    loop {
        match source.look(&outlet).await {
            Ok(Some(groups)) => outlet.send(Update::All(groups)).await,
            Ok(None) => {}
            Err(error) => outlet.failed(&error),
        }
        tokio::time::sleep(source.interval()).await;
    }
}
