//! Which targets are scraped: a task for each, started and stopped as discovery and reloads say.
//!
//! Invariant: a target that stays keeps its task, and with it its series and its schedule, whatever
//! else of its job changes. Two tasks never scrape one endpoint of a job.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use weir_model::{Labels, Timestamp};

use super::counters::ScrapeCounters;
use super::placement::Placement;
use super::shared::{Shared, Sink};
use super::task::{Endpoint, Job, Order, TargetStatus, Task};

/// Runs the scrapes of all jobs. It belongs into a tokio runtime.
#[derive(Debug)]
pub struct Manager {
    shared: Arc<Shared>,
    jobs: BTreeMap<String, HashMap<u64, Running>>,
}

#[derive(Debug)]
struct Running {
    endpoint: Endpoint,
    orders: watch::Sender<Order>,
    status: Arc<Mutex<TargetStatus>>,
    task: JoinHandle<()>,
    /// Told to leave, and perhaps still waiting to end its series.
    is_leaving: bool,
}

impl Manager {
    /// With random bytes for the hashes of this process, and this host's
    /// [seed](crate::schedule::host_seed) of offsets.
    pub fn new(sink: Box<dyn Sink>, hash_seed: u128, host_seed: u64) -> Self {
        let shared = Arc::new(Shared::new(sink, hash_seed, host_seed));
        Self { shared, jobs: BTreeMap::new() }
    }

    /// From now on the job has these targets and is scraped like this.
    pub fn update(&mut self, name: &str, job: &Arc<Job>, endpoints: Vec<Endpoint>) {
        let running = self.jobs.entry(name.to_owned()).or_default();
        running.retain(|_, target| !target.task.is_finished());
        let wanted: HashSet<u64> = endpoints.iter().map(|e| e.identity).collect();
        let labels: HashSet<&Labels> = endpoints.iter().map(|e| &e.labels).collect();
        let hushed = running.extract_if(|id, target| {
            let goes_on = wanted.contains(id);
            if !goes_on {
                // Another endpoint with the same labels goes on with the same series.
                let is_replaced = labels.contains(&target.endpoint.labels);
                target.leave(if is_replaced { Order::Hush } else { Order::Leave });
                return is_replaced;
            }
            false
        });
        drop(hushed.collect::<Vec<_>>());
        for endpoint in endpoints {
            let is_same = |target: &&mut Running| target.endpoint == endpoint;
            match running.get_mut(&endpoint.identity).filter(is_same) {
                Some(target) => target.scrape(job),
                None => {
                    let identity = endpoint.identity;
                    let new = Running::start(endpoint, job, &self.shared);
                    if let Some(old) = running.insert(identity, new) {
                        // The same series at another interval.
                        old.orders.send_replace(Order::Hush);
                    }
                }
            }
        }
    }

    /// The job has gone: its series end.
    pub fn remove(&mut self, name: &str) {
        let running = self.jobs.get_mut(name).into_iter().flat_map(HashMap::values_mut);
        running.for_each(|target| target.leave(Order::Leave));
    }

    /// Names of the jobs that have targets or had some.
    pub fn jobs(&self) -> impl Iterator<Item = &str> {
        self.jobs.keys().map(String::as_str)
    }

    /// The targets of a job, and how they do.
    pub fn targets(&self, name: &str) -> Vec<(Endpoint, TargetStatus)> {
        let running = self.jobs.get(name).into_iter().flat_map(HashMap::values);
        let active = running.filter(|target| !target.is_leaving);
        let status =
            |target: &Running| target.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        active.map(|target| (target.endpoint.clone(), status(target))).collect()
    }

    /// What all scrapes count.
    pub fn counters(&self) -> &ScrapeCounters {
        &self.shared.counters
    }

    /// Hands what was scraped to the sink. No target brings a sample that is stamped here at or before
    /// the returned time after it; `None` without targets.
    pub fn flush(&self) -> Option<Timestamp> {
        let horizon = self.shared.horizons.least();
        self.shared.flush();
        horizon
    }

    /// From now on bodies are gathered by these owners; what waits is handed over as it was.
    pub fn place(&self, placement: Arc<Placement>) {
        self.shared.flush();
        self.shared.with_scratch(|scratch, bodies| {
            // What came in between is whole bodies, too.
            let flushed = scratch.flush(bodies);
            scratch.placement = placement;
            if let Err(error) = flushed {
                tracing::error!(%error, "samples of scrapes cannot be written");
            }
        });
    }

    /// Ends all series and all tasks, each after the scrape that it is at.
    pub async fn shutdown(self) {
        let all: Vec<Running> = self.jobs.into_values().flat_map(HashMap::into_values).collect();
        for target in &all {
            target.orders.send_replace(Order::Stop);
        }
        for target in all {
            // One that panicked has nothing more to say.
            target.task.await.ok();
        }
        self.shared.flush();
    }
}

impl Running {
    fn start(endpoint: Endpoint, job: &Arc<Job>, shared: &Arc<Shared>) -> Self {
        let (orders, received) = watch::channel(Order::Scrape(job.clone()));
        let status = Arc::new(Mutex::new(TargetStatus::default()));
        let task = Task {
            endpoint: endpoint.clone(),
            orders: received,
            status: status.clone(),
            shared: shared.clone(),
        };
        let task = tokio::spawn(task.run(job.clone()));
        Self { endpoint, orders, status, task, is_leaving: false }
    }

    fn scrape(&mut self, job: &Arc<Job>) {
        self.is_leaving = false;
        let is_new = match &*self.orders.borrow() {
            Order::Scrape(old) => !Arc::ptr_eq(old, job),
            _ => true,
        };
        if is_new {
            self.orders.send_replace(Order::Scrape(job.clone()));
        }
    }

    fn leave(&mut self, order: Order) {
        if !self.is_leaving || matches!(order, Order::Hush) {
            self.orders.send_replace(order);
        }
        self.is_leaving = true;
    }
}

#[cfg(test)]
mod tests;
