//! A scripted `/metrics` page for real scrapers: counters that reset, series that vanish.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::stub::{Reply, Stub};

/// A page that a test writes and real programs scrape.
pub struct Target {
    page: Arc<Mutex<Option<String>>>,
    stub: Stub,
}

impl Target {
    /// Serves an empty page on a free port.
    pub fn start() -> Self {
        let page = Arc::new(Mutex::new(Some(String::new())));
        let theirs = Arc::clone(&page);
        let stub = Stub::start(move |_| {
            let page = theirs.lock().unwrap_or_else(PoisonError::into_inner);
            page.as_ref().map_or_else(|| Reply::status("503 Down"), |page| Reply::page(page))
        });
        Self { page, stub }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.stub.address()
    }

    /// What it says from now on; `None` answers 503, as a target that is down.
    pub fn say(&self, page: Option<String>) {
        *self.page.lock().unwrap_or_else(PoisonError::into_inner) = page;
    }
}
