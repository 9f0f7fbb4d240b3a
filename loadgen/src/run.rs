//! One run from its plan to its report.
//!
//! Bodies are written before the clock starts. Then a schedule is driven, or one trial after the
//! other in search of the limit, and every second is recorded. Invariant: a run that began ends in a
//! report, interrupted or not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_http::Uri;

use crate::clock::now_ms;
use crate::limit::Search;
use crate::pacing::Schedule;
use crate::replay::Replay;
use crate::report::bounds::Bounds;
use crate::report::machine::Machine;
use crate::report::progress::Progress;
use crate::report::timeline::{Moment, Recorder};
use crate::report::{Load, Report, Target, Times, Trial};
use crate::sender::{Drive, Endpoint, Fleet, FleetConfig, Observer, Spread, Tally, owners};
use crate::source::Source;
use crate::units::{seconds, short};
use crate::watch::{Sight, Watcher, process};
use crate::workload::{Shape, Workload};

/// How samples are spread over time.
#[derive(Clone, PartialEq, Debug)]
pub enum Pace {
    /// As this says.
    Schedule(Schedule),
    /// In search of the limit, from this rate on, each for this long.
    Find {
        /// Samples a second.
        first: f64,
        /// Of each rate.
        trial: Duration,
    },
}

/// All that a run is told.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is made.
    pub shape: Shape,
    /// What is sent instead of that, and the folder that it comes from.
    pub replay: Option<(Replay, String)>,
    /// Its seed.
    pub seed: u64,
    /// Where to.
    pub endpoint: Endpoint,
    /// On how many connections.
    pub connections: usize,
    /// 429 is tried again.
    pub retries_429: bool,
    /// How fast.
    pub pace: Pace,
    /// What is asked of it.
    pub bounds: Bounds,
    /// The target's metrics, where they are not in the usual place.
    pub metrics: Option<Uri>,
    /// The target's process on this machine.
    pub pid: Option<u32>,
}

/// A trial's latency bound where none is given, seconds.
const P99_OF_A_LIMIT: f64 = 0.1;
/// Share of a rate that must be acknowledged for the rate to count as held.
const HELD: f64 = 0.98;
/// Gap between what holds and what does not at which a search ends.
const PRECISION: f64 = 0.05;
/// Between trials, so that one does not pay for the other.
const REST: Duration = Duration::from_secs(1);
const SECOND: Duration = Duration::from_secs(1);

/// Runs a plan. `stop` ends it early. `progress` is told what happens.
pub fn run(
    plan: &Plan,
    observer: Arc<dyn Observer>,
    stop: &AtomicBool,
    progress: &mut Progress,
) -> Result<Report, String> {
    let source = match &plan.replay {
        Some((replay, _)) => Source::Replayed(replay.clone()),
        None => Source::Made(Box::new(Workload::new(plan.shape.clone(), plan.seed))),
    };
    let source = Arc::new(source);
    progress.say(&format!("preparing {} samples a round", short(source.samples() as f64)));
    let endpoint = match plan.endpoint.spread {
        Spread::Owners => owners::ask(&plan.endpoint)?,
        _ => plan.endpoint.clone(),
    };
    let config = FleetConfig {
        source: Arc::clone(&source),
        endpoint,
        connections: plan.connections,
        retries_429: plan.retries_429,
        observer,
    };
    let fleet = Fleet::new(config, now_ms())?;
    let watcher = Watcher::start(&plan.endpoint, plan.metrics.clone(), plan.pid);
    let mut running = Running::new(plan, &fleet, &watcher, stop, progress);
    match &plan.pace {
        Pace::Schedule(schedule) => {
            running.drive(schedule)?;
        }
        Pace::Find { first, trial } => running.find(*first, *trial)?,
    }
    Ok(running.report(&source))
}

struct Running<'a> {
    plan: &'a Plan,
    fleet: &'a Fleet,
    watcher: &'a Watcher,
    stop: &'a AtomicBool,
    progress: &'a mut Progress,
    recorder: Recorder,
    before: Sight,
    own_cpu: Option<f64>,
    began: Instant,
    began_ms: i64,
    first: u64,
    totals: Tally,
    asked: f64,
    /// Seconds of schedules so far.
    driven: f64,
    trials: Vec<Trial>,
    limit: Option<f64>,
}

impl<'a> Running<'a> {
    fn new(
        plan: &'a Plan,
        fleet: &'a Fleet,
        watcher: &'a Watcher,
        stop: &'a AtomicBool,
        progress: &'a mut Progress,
    ) -> Self {
        let before = watcher.sight();
        Self {
            plan,
            fleet,
            watcher,
            stop,
            progress,
            recorder: Recorder::new(before),
            before,
            own_cpu: process(std::process::id()).map(|(cpu, _)| cpu),
            began: Instant::now(),
            began_ms: now_ms(),
            first: 0,
            totals: Tally::default(),
            asked: 0.0,
            driven: 0.0,
            trials: Vec::new(),
            limit: None,
        }
    }

    /// Drives a schedule; gives what was counted.
    fn drive(&mut self, schedule: &Schedule) -> Result<Tally, String> {
        let begin = Instant::now();
        let drive = Drive {
            schedule: Arc::new(schedule.clone()),
            first: self.first,
            begin,
            begin_ms: now_ms(),
        };
        let mut all = Tally::default();
        let at = self.began.elapsed().as_secs_f64();
        self.recorder.resume(at);
        self.progress.begin(at, schedule.duration().as_secs_f64());
        let (recorder, progress, stop) = (&mut self.recorder, &mut *self.progress, self.stop);
        let (watcher, began) = (self.watcher, self.began);
        let next = self.fleet.drive(&drive, SECOND, |fleet| {
            if stop.load(Ordering::Relaxed) {
                fleet.stop();
            }
            let tally = fleet.take();
            let (at, lag) = (began.elapsed().as_secs_f64(), fleet.lag(begin));
            let asked = schedule.rate(begin.elapsed().min(schedule.duration() - MOMENT));
            if let Some(moment) = recorder.add(at, asked, lag, &tally, watcher.sight()) {
                progress.show(moment);
            }
            all.merge(&tally);
        });
        self.first = next.ok_or("a connection's thread has ended; its message says why")?;
        // What is tried again after the end does not make the time longer.
        let driven = begin.elapsed().min(schedule.duration()).as_secs_f64();
        self.asked += schedule.samples() * driven / schedule.duration().as_secs_f64();
        self.driven += driven;
        self.totals.merge(&all);
        Ok(all)
    }

    fn find(&mut self, first: f64, trial: Duration) -> Result<(), String> {
        let mut search = Search::new(first, PRECISION);
        // Series are born in the first round, which is not what a steady state costs.
        self.progress.say("first all series once, which does not count");
        let all = self.fleet.samples();
        let round = Duration::from_secs_f64((all as f64 / first).max(1.0));
        self.drive(&Schedule::constant(first, round))?;
        while let Some(rate) = search.next() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            // A machine has its moods: a rate that fails gets a second chance.
            if let Some(holds) = self.try_rate(rate, trial)? {
                let holds = holds || self.try_rate(rate, trial)?.unwrap_or(false);
                search.record(rate, holds);
            }
        }
        self.limit = search.answer();
        Ok(())
    }

    /// Whether a rate holds. None: interrupted, and half a trial says nothing.
    fn try_rate(&mut self, rate: f64, trial: Duration) -> Result<Option<bool>, String> {
        std::thread::sleep(REST);
        let tally = self.drive(&Schedule::constant(rate, trial))?;
        if self.stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let outcome = self.judge(rate, trial, &tally);
        let verdict = outcome.failed.as_deref().unwrap_or("holds");
        self.progress.say(&format!("{} samples/s: {verdict}", short(rate)));
        let holds = outcome.failed.is_none();
        self.trials.push(outcome);
        Ok(Some(holds))
    }

    fn judge(&self, rate: f64, trial: Duration, tally: &Tally) -> Trial {
        let bounds = &self.plan.bounds;
        let p99 = tally.latency.quantile(0.99);
        let acknowledged = tally.acknowledged as f64 / trial.as_secs_f64();
        let error_ratio = tally.error_ratio();
        let most = bounds.p99.unwrap_or(P99_OF_A_LIMIT);
        let failed = if error_ratio > bounds.error_ratio.unwrap_or(0.0) {
            Some(format!("too many failed, {}", tally.said.as_deref().unwrap_or("no answer")))
        } else if acknowledged < rate * HELD {
            Some("not kept up with".to_owned())
        } else if p99 > most {
            Some(format!("p99 above {}", seconds(most)))
        } else {
            None
        };
        Trial { rate, acknowledged, p99, error_ratio, failed }
    }

    fn load(&self, source: &Source) -> Load {
        let plan = self.plan;
        let (name, targets) = match (source, &plan.replay) {
            (Source::Made(workload), _) => {
                let name = clap::ValueEnum::to_possible_value(&plan.shape.preset);
                let name = name.map(|value| value.get_name().to_owned());
                (name.unwrap_or_default(), workload.targets())
            }
            (_, replay) => {
                let folder = replay.as_ref().map_or("", |(_, folder)| folder);
                (format!("replay of {folder}"), source.slots())
            }
        };
        Load {
            url: plan.endpoint.shown(),
            preset: name,
            seed: plan.seed,
            series: source.samples(),
            targets,
            protocol: plan.endpoint.protocol.name().to_owned(),
            compression: plan.endpoint.compression.name().to_owned(),
            samples_per_request: self.fleet.samples_per_request().round() as u64,
            connections: self.fleet.connections() as u64,
            body_bytes: self.fleet.memory(),
        }
    }

    fn report(self, source: &Source) -> Report {
        // One more look, so that what came last is seen.
        std::thread::sleep(SECOND + SECOND / 10);
        let elapsed = self.driven.max(1e-3);
        let plan = self.plan;
        let after = self.watcher.sight();
        let own = process(std::process::id()).map(|(cpu, _)| cpu);
        let load = self.load(source);
        let timeline = self.recorder.into_moments();
        let target = target(&self.before, &after, &timeline, self.totals.acknowledged);
        let mut report = Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: String::new(),
            started_ms: self.began_ms,
            seconds: elapsed,
            interrupted: self.stop.load(Ordering::Relaxed),
            machine: Machine::here(),
            load,
            latency: Times::from(&self.totals.latency),
            service: Times::from(&self.totals.service),
            rate: self.totals.acknowledged as f64 / elapsed,
            rate_asked: self.asked / elapsed,
            target,
            own_cpu: own.zip(self.own_cpu).map(|(after, before)| after - before),
            trials: self.trials,
            limit: self.limit,
            bounds: Vec::new(),
            checked: None,
            timeline,
            totals: self.totals,
        };
        // In a search the bounds were those of its trials.
        let searched = !report.trials.is_empty();
        let asked = Bounds { rate: plan.bounds.rate, ..Bounds::default() };
        report.bounds = if searched { asked } else { plan.bounds }.judge(&report);
        report
    }
}

/// Just before a schedule's end, where it still has a rate.
const MOMENT: Duration = Duration::from_micros(1);

fn target(before: &Sight, after: &Sight, timeline: &[Moment], acknowledged: u64) -> Target {
    let grown = |now: Option<f64>, then: Option<f64>| Some((now? - then?).max(0.0));
    let greatest = |of: fn(&Moment) -> Option<f64>| timeline.iter().filter_map(of).reduce(f64::max);
    let cpu = grown(after.cpu, before.cpu);
    let out = grown(after.sent_on, before.sent_on).filter(|out| *out > 0.0);
    Target {
        cpu,
        samples_per_cpu_second: cpu.filter(|cpu| *cpu > 0.0).map(|cpu| acknowledged as f64 / cpu),
        resident: greatest(|m| m.resident),
        queue_lag: greatest(|m| m.queue_lag),
        reduction: grown(after.received, before.received).zip(out).map(|(i, o)| i / o),
        active_series: after.active_series,
    }
}
