//! Where outputs go: destinations, or `/federate` where there are none; and how long the queue
//! keeps what went.
//!
//! The queue is cut below what every destination has delivered, what `/federate` would read again,
//! and what a replay needs to know. Invariant: the last frame always stays, for its source position
//! tells a replay what has been said.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_journal::CutError;
use weir_remote::JournalQueue;
use weir_remote::config::OnFull;
use weir_telemetry::Scrape;

use crate::boot::{BootError, Journals};
use crate::egress::{self, Egress, Way};
use crate::federate::Federate;
use crate::node::Node;
use crate::shard::worker::lock;

/// How often the queue is cut.
const CUT_EVERY: Duration = Duration::from_secs(5);

/// All outlets of a node.
pub struct Outlets {
    /// Destinations; none where the configuration names none.
    pub egress: Egress,
    /// Newest outputs, where there is no destination.
    pub federate: Option<Arc<Federate>>,
    cutter: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Outlets {
    /// Starts senders and readers on the current runtime.
    pub fn start(node: &Arc<Node>, journals: &Journals) -> Result<Self, BootError> {
        let current = node.current.load_full();
        let config = &current.config;
        let queue = JournalQueue {
            journal: Arc::clone(&journals.queue),
            durable: journals.queue_durable.clone(),
            fs: &*journals.fs,
            dir: &config.data_dir,
            blocked: Arc::clone(&node.queue_blocked),
        };
        let egress = Egress::start(&config.destinations, &config.external_labels, queue, Way::new);
        let egress = egress.map_err(|why| BootError::State(format!("destinations: {why}")))?;
        let federate = config.destinations.is_empty().then(|| {
            let (queue, durable) = (Arc::clone(&journals.queue), journals.queue_durable.clone());
            Arc::new(Federate::start(queue, durable, config.queue.max_bytes / 2))
        });
        Ok(Self { egress, federate, cutter: Mutex::new(None) })
    }

    /// Begins to cut the queue.
    pub fn keep_cutting(self: &Arc<Self>, node: &Arc<Node>) {
        let (outlets, node) = (Arc::clone(self), Arc::clone(node));
        let cutting = async move {
            loop {
                tokio::time::sleep(CUT_EVERY).await;
                outlets.cut(&node);
            }
        };
        *lock(&self.cutter) = Some(tokio::spawn(cutting));
    }

    /// All of the queue before this place is out: every destination that blocks is done with it, or
    /// every one where none blocks; where there is none, it is durable.
    pub fn done_below(&self, node: &Node) -> u64 {
        let (mut blocking, mut all) = (None, None);
        self.egress.each(|destination, sender| {
            let done = sender.done_below();
            let least = |of: Option<u64>| Some(of.map_or(done, |of| of.min(done)));
            all = least(all);
            if destination.queue.on_full == OnFull::Block {
                blocking = least(blocking);
            }
        });
        blocking.or(all).unwrap_or_else(|| node.queue.durable() + 1)
    }

    /// Has destinations send what stands in the queue before this place at once.
    fn hurry(&self, below: u64) {
        self.egress.each(|_, sender| sender.hurry(below));
    }

    /// Waits until all that stands in the queue now is out, but no longer than this. Whether it is.
    pub async fn emptied(&self, node: &Node, within: Duration) -> bool {
        let (end, until) = (node.queue.next_position(), Instant::now() + within);
        self.hurry(end);
        while self.done_below(node) < end {
            if Instant::now() > until {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        true
    }

    /// Adds their metrics to a scrape.
    pub fn metrics(&self, scrape: &mut Scrape) {
        egress::collect(&self.egress, scrape);
        if let Some(federate) = &self.federate {
            federate.metrics(scrape);
        }
    }

    /// Delivers what can be in this time, and stops.
    pub async fn stop(&self, within: Duration) {
        if let Some(cutter) = lock(&self.cutter).take() {
            cutter.abort();
        }
        self.egress.stop(within).await;
    }

    fn cut(&self, node: &Node) {
        let shown = self.federate.as_ref().map_or(u64::MAX, |federate| federate.needed_from());
        if let Err(why) = cut_queue(node, shown.min(self.egress.needed_from())) {
            tracing::error!(%why, "the send queue cannot be cut");
        }
    }
}

/// Cuts the queue below what outlets need and what a replay needs to know.
pub fn cut_queue(node: &Node, needed_from: u64) -> Result<(), CutError> {
    let mark = node.checkpoint_facts.queue_mark.load(Ordering::Acquire);
    let last = node.queue.next_position().saturating_sub(1);
    node.queue.cut_below(mark.min(last).min(needed_from))
}
