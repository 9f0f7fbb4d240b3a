//! An agent: it scrapes its targets, numbers its requests, and sends them one after the other until
//! each is acknowledged.

use std::collections::VecDeque;
use std::sync::Arc;

use prost::Message;
use weir_loadgen::messages::message_v1;
use weir_loadgen::samples::{Labels, Sample, labels, stale_marker};
use weir_loadgen::torture::dice::Dice;

/// A target with a counter, a gauge, and a series that no rule takes.
struct Target {
    series: Vec<Arc<Labels>>,
    next_ms: i64,
    interval_ms: i64,
    count: u64,
    /// Away until then: its series have ended.
    away_until: i64,
}

pub(crate) struct Agent {
    targets: Vec<Target>,
    /// How wrong its clock is.
    skew_ms: i64,
    dice: Dice,
    /// Waiting, the first one on its way.
    outbox: VecDeque<(u64, Vec<u8>)>,
    requests: u64,
    number: u64,
}

impl Agent {
    pub(crate) fn new(number: u64, now: i64, mut dice: Dice) -> Self {
        let targets = (0..dice.between(1, 4)).map(|target| {
            let instance = format!("host-{number}-{target}:9100");
            let zone = ["a", "b"][(target % 2) as usize];
            let series =
                |name| labels(name, &[("instance", &instance), ("job", "sim"), ("zone", zone)]);
            let interval_ms = dice.one_of(&[1_000, 2_000, 5_000]).unwrap_or(1_000);
            Target {
                series: ["requests_total", "in_flight", "passed_on"].map(series).into(),
                next_ms: now + dice.between(0, interval_ms as u64) as i64,
                interval_ms,
                count: dice.between(0, 1_000),
                away_until: 0,
            }
        });
        let targets = targets.collect();
        let skew_ms = dice.between(0, 2_000) as i64 - 1_000;
        Self { targets, skew_ms, dice, outbox: VecDeque::new(), requests: 0, number }
    }

    /// Scrapes what is due.
    pub(crate) fn tick(&mut self, now: i64) {
        let mut samples = Vec::new();
        for target in &mut self.targets {
            if target.next_ms > now {
                continue;
            }
            let time = target.next_ms + self.skew_ms;
            target.next_ms += target.interval_ms;
            target.scrape(time, &mut self.dice, &mut samples);
        }
        if !samples.is_empty() {
            self.requests += 1;
            let request = self.number * 1_000_000 + self.requests;
            self.outbox.push_back((request, message_v1(&samples).encode_to_vec()));
        }
    }

    /// The request that is to be on its way.
    pub(crate) fn first(&self) -> Option<&(u64, Vec<u8>)> {
        self.outbox.front()
    }

    /// An answer has come.
    pub(crate) fn acknowledge(&mut self, request: u64) {
        self.outbox.pop_front_if(|(first, _)| *first == request);
    }
}

impl Target {
    fn scrape(&mut self, time: i64, dice: &mut Dice, samples: &mut Vec<Sample>) {
        if time < self.away_until {
            return;
        }
        if dice.between(0, 39) == 0 {
            self.away_until = time + dice.between(3_000, 30_000) as i64;
            samples.extend(self.series.iter().map(|s| Sample::new(s, time, stale_marker())));
            return;
        }
        self.count = if dice.between(0, 24) == 0 {
            dice.between(0, 9)
        } else {
            self.count + dice.between(0, 50)
        };
        let values = [self.count as f64, dice.between(0, 100) as f64, self.count as f64 * 3.0];
        for (series, value) in self.series.iter().zip(values) {
            // A page may lack a series.
            if dice.between(0, 49) > 0 {
                samples.push(Sample::new(series, time, value));
            }
        }
    }
}
