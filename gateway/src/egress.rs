//! Destinations as the gateway has them: a crash point behind every request, metrics under the
//! gateway's names, rows of the status page.
//!
//! What a destination does, and what a reload changes, is `weir_remote`'s.

use weir_remote::config::Destination;
use weir_remote::{Destinations, EndpointView, HttpTransport, Post, PostError, Reply, Transport};
use weir_telemetry::Scrape;

use crate::{admin, crash};

mod metrics;

/// All destinations of a gateway.
pub type Egress = Destinations<Way>;

/// The HTTP client of one destination, with the crash point `send` behind each request.
#[derive(Debug)]
pub struct Way(HttpTransport);

impl Way {
    /// Reads certificates and secrets, connects to nothing. The error names the destination.
    pub fn new(destination: &Destination) -> Result<Self, String> {
        HttpTransport::new(destination).map(Self)
    }
}

impl Transport for Way {
    async fn post(&self, post: Post) -> Result<Reply, PostError> {
        let answer = self.0.post(post).await;
        crash::point("send");
        answer
    }

    fn endpoint(&self) -> Option<EndpointView> {
        self.0.endpoint()
    }
}

/// What the status page shows of every destination, by name.
pub fn shown<T: Transport>(destinations: &Destinations<T>) -> Vec<admin::status::Destination> {
    let mut rows = Vec::new();
    destinations.each(|Destination { name, url, .. }, sender| {
        let (metrics, status) = (sender.metrics(), sender.status());
        let endpoint = sender.endpoint().map(|endpoint| endpoint.in_use);
        let url = endpoint.as_ref().unwrap_or(url);
        rows.push(admin::destination(name, url, metrics, &status, sender.is_full()));
    });
    rows
}

/// Adds every destination's metrics to a scrape.
pub fn collect<T: Transport>(destinations: &Destinations<T>, scrape: &mut Scrape) {
    let now = crate::frontier::wall_ms();
    destinations.each(|destination, sender| {
        metrics::collect(&destination.name, sender, now, scrape);
    });
}

#[cfg(test)]
mod tests;
