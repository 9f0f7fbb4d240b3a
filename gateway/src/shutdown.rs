//! The end of a gateway, in stages that each have a deadline.
//!
//! Stop taking requests, let those in flight end, write a checkpoint, let workers and emitter run
//! empty, give the senders what time is left, close the journals. Nothing is lost where a stage
//! runs out of time: the log has it. A second signal ends the process at once.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::app::App;
use crate::pipeline::{Expect, Message};

/// Ends the gateway within the configured deadline.
pub async fn shut_down(app: App) {
    let App {
        node,
        outlets,
        router,
        last_checkpoint,
        give_up,
        checkpointer,
        machine,
        frontier,
        drain,
    } = app;
    drop(router);
    let deadline = Instant::now() + node.current.load().config.shutdown_deadline;
    let left = || deadline.saturating_duration_since(Instant::now());
    node.readiness.stopping.store(true, Ordering::Release);
    tracing::info!(deadline_s = left().as_secs(), "shutting down: no more requests");
    node.follow.stop_hosted();
    drain.start();
    if !drain.wait(left() / 3).await {
        drain.cut();
    }
    join(frontier, left() / 3).await;
    tracing::info!("shutting down: last checkpoint");
    last_checkpoint.store(true, Ordering::Release);
    join(checkpointer, left() / 2).await;
    give_up.store(true, Ordering::Release);
    node.pipeline.tell_workers(&Message::Stop);
    node.pipeline.tell_emitter(Expect::Stop);
    for thread in machine {
        join(thread, left() / 2).await;
    }
    tracing::info!("shutting down: last sends");
    outlets.stop(left()).await;
    node.follow.hosted_ended(left()).await;
    crate::cluster::follow::leave::leave(&node, &outlets, left() / 2).await;
    node.readiness.closing.store(true, Ordering::Release);
    node.follow.end(left() / 2).await;
    let exchange = node.exchange.iter().map(|journal| ("exchange", journal));
    let journals = [("log", &node.log), ("queue", &node.queue), ("checkpoints", &node.checkpoints)];
    for (name, journal) in journals.into_iter().chain(exchange) {
        if let Err(why) = journal.close() {
            tracing::error!(name, %why, "the journal did not end well");
        }
    }
    tracing::info!("stopped");
}

/// Waits for a thread, up to a time; it is left behind after that.
async fn join(thread: std::thread::JoinHandle<()>, patience: Duration) {
    let until = Instant::now() + patience;
    while !thread.is_finished() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if !thread.is_finished() {
        tracing::warn!(name = thread.thread().name().unwrap_or_default(), "left behind");
    }
}
