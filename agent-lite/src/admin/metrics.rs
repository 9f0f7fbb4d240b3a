//! The agent's metrics. Where the meaning is the same they carry the names that Prometheus's agent
//! gives them, so that dashboards and alerts go on; what is Weir's own begins with `weir_agent_`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_journal::Journal;
use weir_remote::metrics::GIVEN_UP;
use weir_remote::verdict::REASONS;
use weir_remote::{Destination, Destinations, Metrics, Sender};
use weir_telemetry::Scrape;

use crate::buffer::Buffer;
use crate::pools::Pools;
use crate::scrape::ScrapeCounters;

/// Scrapes and targets.
pub fn collect_scrapes(pools: &Pools, scrape: &mut Scrape) {
    pools.with_manager(|manager| collect_counters(manager.counters(), scrape));
    let help = "Total number of active scrape targets of a job.";
    let dropped_help = "Targets of a job that relabelling drops.";
    for pool in pools.view() {
        let job = [("scrape_job", pool.name.as_str())];
        let count = pool.active.len() as f64;
        scrape.gauge("prometheus_target_scrape_pool_targets", help, &job, count);
        let dropped = pool.targets.dropped_count as f64;
        scrape.gauge("weir_agent_dropped_targets", dropped_help, &job, dropped);
        let discovered = read(&pool.facts.targets) as f64;
        let help = "Current number of discovered targets.";
        scrape.gauge(
            "prometheus_sd_discovered_targets",
            help,
            &[("config", &pool.name)],
            discovered,
        );
        let help = "Total number of update events received from the SD providers.";
        let updates = read(&pool.facts.updates);
        scrape.counter("prometheus_sd_received_updates_total", help, &job, updates);
        let help = "Times that a discovery mechanism failed and kept what it had.";
        let failures = read(&pool.facts.failures);
        scrape.counter("weir_agent_discovery_failures_total", help, &job, failures);
    }
}

fn collect_counters(counters: &ScrapeCounters, scrape: &mut Scrape) {
    let all = [
        (
            "prometheus_target_scrapes_exceeded_sample_limit_total",
            "Total number of scrapes that hit the sample limit and were rejected.",
            &counters.over_sample_limit,
        ),
        (
            "prometheus_target_scrapes_exceeded_body_size_limit_total",
            "Total number of scrapes that hit the body size limit.",
            &counters.over_body_limit,
        ),
        (
            "prometheus_target_scrape_pool_exceeded_label_limits_total",
            "Total number of times scrape pools hit the label limits, during sync or config reload.",
            &counters.over_label_limits,
        ),
        (
            "prometheus_target_scrapes_sample_duplicate_timestamp_total",
            "Total number of samples rejected due to duplicate timestamps but different values.",
            &counters.duplicates,
        ),
        (
            "prometheus_target_scrapes_sample_out_of_order_total",
            "Total number of samples rejected due to not being out of the expected order.",
            &counters.out_of_order,
        ),
        (
            "prometheus_target_scrapes_sample_out_of_bounds_total",
            "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            &counters.out_of_bounds,
        ),
        (
            "prometheus_agent_samples_appended_total",
            "Total number of samples appended to the storage.",
            &counters.samples_buffered,
        ),
        (
            "weir_agent_samples_refused_total",
            "Samples that the buffer had no room for. They are lost.",
            &counters.samples_refused,
        ),
        ("weir_agent_scrapes_total", "Scrapes that ended, good and bad.", &counters.scrapes),
        ("weir_agent_scrapes_failed_total", "Scrapes that failed.", &counters.failures),
        ("weir_agent_samples_scraped_total", "Samples on all pages.", &counters.samples_scraped),
        (
            "weir_agent_page_bytes_total",
            "Bytes of pages after decompression.",
            &counters.page_bytes,
        ),
        (
            "weir_agent_ticks_missed_total",
            "Scrapes left out because the one before took too long.",
            &counters.missed_ticks,
        ),
    ];
    for (name, help, counter) in all {
        scrape.counter(name, help, &[], read(counter));
    }
    let help = "Actual intervals between scrapes.";
    for (interval, count, sum) in counters.intervals() {
        let interval = [("interval", interval.to_string())];
        let labels = [(interval[0].0, interval[0].1.as_str())];
        let name = "prometheus_target_interval_length_seconds";
        scrape.summary(name, help, &labels, (count, sum.as_secs_f64()));
    }
}

/// The buffer.
pub fn collect_buffer(journal: &Journal, buffer: &Buffer, scrape: &mut Scrape) {
    let (recovered, failures) = buffer.drafted();
    let help = "Samples that the process before had scraped when it was killed.";
    scrape.counter("weir_agent_draft_samples_recovered_total", help, &[], recovered);
    let help = "Times that a scrape could not be kept before its beat.";
    scrape.counter("weir_agent_draft_failures_total", help, &[], failures);
    let help = "Bytes of the buffer on disk, delivered parts that are not cut yet included.";
    scrape.gauge("weir_agent_buffer_bytes", help, &[], journal.bytes() as f64);
    let help = "Frames in the buffer.";
    let frames = (journal.durable() + 1).saturating_sub(journal.first());
    scrape.gauge("weir_agent_buffer_frames", help, &[], frames as f64);
}

/// All destinations.
pub fn collect_destinations(destinations: &Destinations, now_ms: i64, scrape: &mut Scrape) {
    destinations.each(|destination, sender| collect_one(destination, sender, now_ms, scrape));
}

fn collect_one(destination: &Destination, sender: &Sender, now_ms: i64, scrape: &mut Scrape) {
    let metrics: &Metrics = sender.metrics();
    let name = [("remote_name", destination.name.as_str()), ("url", destination.url.as_str())];
    let sent = read(&metrics.samples_sent) + read(&metrics.samples_repeated);
    let counters = [
        (
            "prometheus_remote_storage_samples_total",
            "Total number of samples sent to remote storage.",
            sent,
        ),
        (
            "prometheus_remote_storage_samples_failed_total",
            "Total number of samples which failed on send to remote storage, non-recoverable errors.",
            metrics.set_aside_total() + read(&metrics.samples_unwritten),
        ),
        (
            "prometheus_remote_storage_samples_retried_total",
            "Total number of samples which failed on send to remote storage but were retried because \
             the send error was recoverable.",
            read(&metrics.samples_retried),
        ),
        (
            "prometheus_remote_storage_bytes_total",
            "The total number of bytes of data (not metadata) sent by the queue after compression.",
            read(&metrics.bytes_sent),
        ),
    ];
    for (metric, help, value) in counters {
        scrape.counter(metric, help, &name, value);
    }
    let dropped = "prometheus_remote_storage_samples_dropped_total";
    let help = "Total number of samples which were dropped, by reason.";
    for reason in GIVEN_UP {
        let labels = [name[0], name[1], ("reason", reason.as_str())];
        scrape.counter(dropped, help, &labels, metrics.given_up(reason));
    }
    let help = "Samples that the other side refuses for good, by reason.";
    for (reason, counter) in REASONS.iter().zip(&metrics.set_aside) {
        let labels = [name[0], name[1], ("reason", reason.as_str())];
        scrape.counter("weir_agent_set_aside_samples_total", help, &labels, read(counter));
    }
    collect_endpoint(sender, &name, scrape);
    let oldest_ms = metrics.oldest_unsent_ms.load(Ordering::Relaxed);
    let lag = if oldest_ms == 0 { 0 } else { (now_ms - oldest_ms).max(0) };
    let gauges = [
        (
            "prometheus_remote_storage_shards",
            "Requests on their way or waiting for a retry.",
            read(&metrics.batches_open) as f64,
        ),
        (
            "weir_agent_send_lag_frames",
            "Frames that are not delivered.",
            read(&metrics.lag_frames) as f64,
        ),
        (
            "weir_agent_send_lag_bytes",
            "Bytes in the buffer that are not delivered, about.",
            read(&metrics.lag_bytes) as f64,
        ),
        (
            "weir_agent_send_lag_seconds",
            "Age of the oldest frame that is not delivered.",
            Duration::from_millis(lag.unsigned_abs()).as_secs_f64(),
        ),
    ];
    for (metric, help, value) in gauges {
        scrape.gauge(metric, help, &name, value);
    }
}

/// Which of several endpoints is in use.
fn collect_endpoint(sender: &Sender, name: &[(&str, &str); 2], scrape: &mut Scrape) {
    if let Some(endpoint) = sender.endpoint() {
        let help = "How often an endpoint failed and another one was taken.";
        scrape.counter("weir_agent_failovers_total", help, name, endpoint.failovers);
        let labels = [name[0], name[1], ("endpoint", endpoint.in_use.as_str())];
        let help = "1 for the endpoint that requests go to.";
        scrape.gauge("weir_agent_endpoint", help, &labels, 1.0);
    }
}

/// Registers what has no other home.
pub fn register(registry: &weir_telemetry::Registry, journal: &Arc<Journal>, buffer: &Buffer) {
    weir_telemetry::process::build_info(registry, "weir_agent", env!("CARGO_PKG_VERSION"), "");
    registry.set_collector("process", Arc::new(weir_telemetry::ProcessCollector::new()));
    let (journal, buffer) = (Arc::clone(journal), buffer.clone());
    let collect = move |scrape: &mut Scrape| collect_buffer(&journal, &buffer, scrape);
    registry.set_collector("buffer", Arc::new(collect));
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
